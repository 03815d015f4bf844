// The special functions against every fp32 of the binades recorded on an H100.
#include "tensor_core/special.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <future>
#include <map>
#include <thread>

#include "recordings.hpp"

namespace octavo::emulator::tensor_core {
namespace {

constexpr std::size_t kLanes = 32;

// The mismatches among [begin, end) of a recording; `first` is set to the first one.
int mismatches(const Recording& recording, std::size_t begin, std::size_t end, std::size_t& first) {
  const Special* special = find_special(recording.function + ".approx.ftz.f32");
  int wrong = 0;
  for (std::size_t i = begin; i < end; i += kLanes) {
    std::uint32_t x[kLanes], y[kLanes];
    for (std::size_t lane = 0; lane < kLanes; ++lane)
      x[lane] = recording.first + static_cast<std::uint32_t>(i + lane);
    special->function(reinterpret_cast<float*>(y), reinterpret_cast<const float*>(x));
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      const std::uint32_t rounded = correctly_rounded(recording.function, x[lane]);
      const int difference = std::clamp(static_cast<int>(y[lane] - rounded), -127, 127);
      if (difference == recording.differences[i + lane]) continue;
      if (wrong++ == 0) first = i + lane;
    }
  }
  return wrong;
}

TEST_CASE("every recorded special function matches bit for bit") {
  const auto archive = vectors_folder() / "mufu-h100.tar.gz";
  if (!std::filesystem::exists(archive)) {
    MESSAGE("skipped: no file ", archive.string(), " (OCTAVO_TEST_VECTORS names its folder)");
    return;
  }
  std::map<std::string, int> binades;
  for_each_recording(archive, [&](const Recording& recording) {
    CAPTURE(recording.name);
    struct Share {
      std::size_t begin, end, first = 0;
      std::future<int> wrong;
    };
    const std::size_t count = std::max(1u, std::thread::hardware_concurrency());
    const std::size_t lines = recording.differences.size() / kLanes;
    std::vector<Share> shares(count);
    for (std::size_t i = 0; i < count; ++i) {
      Share& share = shares[i];
      share.begin = lines * i / count * kLanes;
      share.end = lines * (i + 1) / count * kLanes;
      share.wrong = std::async(std::launch::async, [&] {
        return mismatches(recording, share.begin, share.end, share.first);
      });
    }
    for (Share& share : shares) {
      const int wrong = share.wrong.get();
      if (wrong > 0) {
        const auto x = recording.first + static_cast<std::uint32_t>(share.first);
        MESSAGE(fmt::format("the first is x = {:a}", std::bit_cast<float>(x)));
      }
      CHECK(wrong == 0);
    }
    ++binades[recording.function];
  });
  const std::map<std::string, int> expected = {
      {"ex2", 38}, {"lg2", 7}, {"rcp", 1}, {"rsqrt", 2}, {"sqrt", 2}};
  CHECK(binades == expected);
}

}  // namespace
}  // namespace octavo::emulator::tensor_core
