// octavo doctor: what was found, what is missing, and the remedy.
#include <fmt/format.h>

#include <functional>
#include <memory>

#include "runtime/cache.hpp"
#include "runtime/compiler.hpp"
#include "runtime/device.hpp"
#include "runtime/driver.hpp"
#include "tools/commands.hpp"
#include "tools/report.hpp"
#include "tools/terminal.hpp"

namespace octavo {
namespace {

using json = nlohmann::ordered_json;

enum class State { ok, absent, missing };  // absent: Octavo works without it

struct Finding {
  std::string what;
  State state;
  std::string detail;  // what was found, or what was searched and the remedy
};

const char* name_of(State state) {
  return state == State::ok ? "ok" : state == State::absent ? "absent" : "missing";
}

Finding examine(const std::string& what, State otherwise,
                const std::function<std::string()>& look) {
  try {
    return {what, State::ok, look()};
  } catch (const EnvironmentError& error) {
    return {what, otherwise, error.what()};
  }
}

std::string describe_compiler() {
  const NvrtcInfo& info = nvrtc();
  return fmt::format("NVRTC {}.{} in {}", info.major, info.minor, info.library.string());
}

std::string describe_driver() {
  const Driver& driver = Driver::cuda();
  int version = 0;
  driver.check(driver.cuDriverGetVersion(&version), "asking for the driver's version");
  return fmt::format("for CUDA {}.{}, {}", version / 1000, version % 1000 / 10,
                     driver.library.string());
}

std::string describe_device(const Device& device) {
  return fmt::format("{}, compute capability {}.{}, {} multiprocessors; kernels for {}",
                     device.name(), device.compute_capability() / 10,
                     device.compute_capability() % 10, device.multiprocessors(),
                     device.architecture().name);
}

int count_gpus() {
  const Driver& driver = Driver::cuda();
  int count = 0;
  driver.check(driver.cuInit(0), "starting the driver");
  driver.check(driver.cuDeviceGetCount(&count), "counting the GPUs");
  return count;
}

std::vector<Finding> examine_gpus() {
  int count = 0;
  const Finding driver = examine("driver", State::absent, [&] {
    count = count_gpus();
    return describe_driver();
  });
  std::vector<Finding> findings = {driver};
  for (int i = 0; i < count; ++i) {
    findings.push_back(examine(fmt::format("GPU {}", i), State::absent, [&] {
      return describe_device(Device::open(fmt::format("cuda:{}", i)));
    }));
  }
  if (count == 0) findings.push_back({"GPU", State::absent, "none; kernels run on the emulator"});
  return findings;
}

Finding examine_cache() {
  const Cache cache = Cache::of_user();
  if (!cache.problem().empty()) {
    return {"cache", State::absent,
            cache.problem() +
                "; every kernel is compiled anew until OCTAVO_CACHE_DIR names a folder of yours"};
  }
  const Cache::Usage usage = cache.usage();
  return {"cache", State::ok,
          fmt::format("{}, {} kernels, {:.1f} of {:.0f} MiB", cache.directory().string(),
                      usage.entries, static_cast<double>(usage.bytes) / 0x1p20,
                      static_cast<double>(cache.limit_bytes()) / 0x1p20)};
}

std::vector<Finding> examine_all() {
  std::vector<Finding> findings = {examine("compiler", State::missing, describe_compiler)};
  bool gpu = false;
  for (Finding& finding : examine_gpus()) {
    gpu = gpu || (finding.what.starts_with("GPU") && finding.state == State::ok);
    findings.push_back(std::move(finding));
  }
  // One of the two has to be there.
  findings.push_back(examine("emulator", gpu ? State::absent : State::missing,
                             [] { return describe_device(Device::open("emulator")); }));
  findings.push_back(examine_cache());
  return findings;
}

void doctor(bool as_json, int& status) {
  const std::vector<Finding> findings = examine_all();
  bool ok = true;
  json checks = json::array();
  std::vector<std::vector<std::string>> rows = {{"what", "state", "detail"}};
  for (const Finding& finding : findings) {
    ok = ok && finding.state != State::missing;
    checks.push_back(
        {{"what", finding.what}, {"state", name_of(finding.state)}, {"detail", finding.detail}});
    rows.push_back({finding.what, name_of(finding.state), finding.detail});
  }
  if (as_json) {
    print_json({{{"ok", ok}, {"checks", checks}}});
  } else {
    fmt::print("{}", table(rows));
  }
  if (!ok) status = 3;
}

}  // namespace

void add_doctor(CLI::App& app, int& status) {
  const auto as_json = std::make_shared<bool>(false);
  CLI::App* command =
      app.add_subcommand("doctor", "Say what Octavo found on this machine and what is missing");
  command->add_flag("--json", *as_json, "Print JSON");
  command->footer(
      "Exits with 3 if something that Octavo needs is missing.\n\nExample:\n  octavo doctor");
  command->callback([as_json, &status] { doctor(*as_json, status); });
}

}  // namespace octavo
