#include "runtime/device.hpp"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cstdlib>
#include <mutex>
#include <optional>

#include "runtime/driver.hpp"

namespace octavo {
namespace {

// There is nothing to run on; said by what tells "auto" to look further.
class NoDevice : public EnvironmentError {
 public:
  using EnvironmentError::EnvironmentError;
};

int attribute(const Driver& driver, CUdevice device, CUdevice_attribute which) {
  int value = 0;
  driver.check(driver.cuDeviceGetAttribute(&value, which, device), "cuDeviceGetAttribute");
  return value;
}

// The GPU driver, initialised and with a GPU; throws NoDevice if there is none.
const Driver& gpu_driver() {
  try {
    const Driver& driver = Driver::cuda();
    driver.check(driver.cuInit(0), "cuInit");
    int count = 0;
    driver.check(driver.cuDeviceGetCount(&count), "cuDeviceGetCount");
    if (count == 0) throw EnvironmentError("the driver has no GPU");
    return driver;
  } catch (const EnvironmentError& error) {
    throw NoDevice(error.what());
  }
}

// The emulator reads what it stands for once, when it is initialised.
void select_model(const std::string& model) {
  static std::mutex mutex;
  static std::optional<std::string> selected;
  const std::lock_guard guard(mutex);
  if (!selected) {
    if (!model.empty()) setenv("OCTAVO_EMULATE", model.c_str(), 1);
    const Driver& driver = Driver::emulator();
    const CUresult result = driver.cuInit(0);
    if (!model.empty() && result == CUDA_ERROR_NO_DEVICE) {
      const char* fault = "";
      driver.check(driver.octavoEmulatorLastFault(&fault), "asking what was wrong");
      throw UsageError(fmt::format("device 'emulator:{}': {}", model, fault));
    }
    driver.check(result, "starting the emulator");
    const char* emulated = std::getenv("OCTAVO_EMULATE");
    selected = emulated == nullptr ? "h100" : emulated;
  }
  if (!model.empty() && model != *selected) {
    throw UsageError(
        fmt::format("device 'emulator:{}': this process emulates {} already", model, *selected));
  }
}

int parse_ordinal(std::string_view text, std::string_view device) {
  int ordinal = -1;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), ordinal);
  if (error != std::errc() || rest != text.data() + text.size() || ordinal < 0) {
    throw UsageError(fmt::format("device '{}': expected a GPU's number after 'cuda:'", device));
  }
  return ordinal;
}

}  // namespace

struct Device::State {
  const Driver& driver;
  CUdevice device = 0;
  CUcontext context = nullptr;
  std::string name;
  std::string why_emulated;
  int compute_capability = 0;
  const Architecture* architecture = nullptr;
  int multiprocessors = 0;

  State(const Driver& driver_of_device, int ordinal) : driver(driver_of_device) {
    driver.check(driver.cuDeviceGet(&device, ordinal), fmt::format("opening GPU {}", ordinal));
    std::array<char, 256> text = {};
    driver.check(driver.cuDeviceGetName(text.data(), static_cast<int>(text.size()) - 1, device),
                 "cuDeviceGetName");
    name = text.data();
    compute_capability =
        attribute(driver, device, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR) * 10 +
        attribute(driver, device, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
    multiprocessors = attribute(driver, device, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT);
    architecture = architecture_for_device(compute_capability);
    if (architecture == nullptr) {
      throw EnvironmentError(fmt::format(
          "{} has compute capability {}.{}, which Octavo has no kernels for; it needs 8.0 "
          "or newer",
          name, compute_capability / 10, compute_capability % 10));
    }
    driver.check(driver.cuDevicePrimaryCtxRetain(&context, device),
                 fmt::format("making a context on {}", name));
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() {
    if (context != nullptr) driver.cuDevicePrimaryCtxRelease(device);
  }
};

Device::Device(std::shared_ptr<State> state) : state_(std::move(state)) { make_current(); }

Device Device::open_gpu(int ordinal) {
  return Device(std::make_shared<State>(gpu_driver(), ordinal));
}

Device Device::open_emulator(const std::string& model) {
  select_model(model);
  return Device(std::make_shared<State>(Driver::emulator(), 0));
}

Device Device::open(std::string_view name) {
  if (name == "cuda") return open_gpu(0);
  if (name.starts_with("cuda:")) return open_gpu(parse_ordinal(name.substr(5), name));
  if (name == "emulator") return open_emulator("");
  if (name.starts_with("emulator:") && name.size() > 9) {
    return open_emulator(std::string(name.substr(9)));
  }
  if (name != "auto") {
    throw UsageError(fmt::format(
        "device '{}': expected auto, cuda, cuda:N, emulator or emulator:GPU such as emulator:h100",
        name));
  }
  try {
    return open_gpu(0);
  } catch (const NoDevice& no_gpu) {
    try {
      Device device = open_emulator("");
      device.state_->why_emulated = no_gpu.what();
      return device;
    } catch (const EnvironmentError& no_emulator) {
      throw EnvironmentError(fmt::format("no GPU ({}) and {}", no_gpu.what(), no_emulator.what()));
    }
  }
}

const std::string& Device::name() const { return state_->name; }
bool Device::emulated() const { return state_->driver.emulates(); }
const std::string& Device::why_emulated() const { return state_->why_emulated; }
int Device::compute_capability() const { return state_->compute_capability; }
const Architecture& Device::architecture() const { return *state_->architecture; }
int Device::multiprocessors() const { return state_->multiprocessors; }
const Driver& Device::driver() const { return state_->driver; }

void Device::make_current() const {
  driver().check(driver().cuCtxSetCurrent(state_->context), "cuCtxSetCurrent");
}

void Device::synchronize() const {
  make_current();
  driver().check(driver().cuCtxSynchronize(), fmt::format("waiting for {}", name()));
}

}  // namespace octavo
