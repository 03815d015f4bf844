#include "runtime/ptxas_report.hpp"

#include <fmt/format.h>

#include <charconv>
#include <string>

#include "runtime/error.hpp"

namespace octavo {
namespace {

// The number that stands right before `words` in the line; 0 if they are not in it.
int number_before(std::string_view line, std::string_view words) {
  const std::size_t end = line.find(words);
  if (end == std::string_view::npos) return 0;
  std::size_t begin = end;
  while (begin > 0 && line[begin - 1] >= '0' && line[begin - 1] <= '9') --begin;
  int value = 0;
  std::from_chars(line.data() + begin, line.data() + end, value);
  return value;
}

}  // namespace

// The report's lines, in this order:
//   ptxas info    : Compiling entry function 'decode' for 'sm_90a'
//   ptxas info    : Function properties for decode                       (and for each function
//   called)
//       0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
//   ptxas info    : Used 239 registers, used 1 barriers, 512 bytes smem
Resources read_ptxas_report(std::string_view log, std::string_view entry) {
  const std::string start = fmt::format("Compiling entry function '{}'", entry);
  const std::string own = fmt::format("Function properties for {}", entry);
  Resources resources;
  bool inside = false, in_own = false, complete = false;
  while (!log.empty()) {
    const std::size_t end = std::min(log.find('\n'), log.size());
    const std::string_view line = log.substr(0, end);
    log.remove_prefix(std::min(end + 1, log.size()));
    if (line.find("Compiling entry function") != std::string_view::npos) {
      inside = line.find(start) != std::string_view::npos;
    } else if (!inside) {
      continue;
    } else if (line.find("Function properties for") != std::string_view::npos) {
      in_own = line.ends_with(own);
    } else if (line.find("bytes stack frame") != std::string_view::npos) {
      resources.spill_bytes +=
          number_before(line, " bytes spill stores") + number_before(line, " bytes spill loads");
      if (in_own) resources.stack_bytes = number_before(line, " bytes stack frame");
    } else if (line.find(" registers") != std::string_view::npos) {
      resources.registers = number_before(line, " registers");
      resources.barriers = number_before(line, " barriers");
      resources.shared_bytes = number_before(line, " bytes smem");
      complete = true;
    }
  }
  if (complete) return resources;
  throw EnvironmentError(fmt::format(
      "ptxas' report has no resources of kernel '{}'; Octavo reads that of NVRTC 12.8 to 13",
      entry));
}

}  // namespace octavo
