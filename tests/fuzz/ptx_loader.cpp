// Any text is a module whose kernels compile, or is refused with one line: what cuModuleLoadData
// and cuModuleGetFunction do of it.
#include <stdlib.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "device_model.hpp"
#include "execute/program.hpp"
#include "fault.hpp"
#include "ptx/parser.hpp"

namespace {

using namespace octavo::emulator;

void require(bool condition) {
  if (!condition) std::abort();
}

std::vector<std::string> kernels_of(std::string_view text) {
  std::vector<std::string> names;
  for (const ptx::Function& function : ptx::parse(text).functions) {
    if (function.entry && !function.declared_only) names.push_back(function.name);
  }
  return names;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // Nothing is kept on disk.
  [[maybe_unused]] static const int no_cache = setenv("OCTAVO_CACHE_DIR", "/dev/null", 1);
  static const DeviceModel& device = *find_device_model("h100");
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    Memory memory(device.memory_bytes);
    const auto program = Program::load(text, device, memory);
    for (const std::string& name : kernels_of(text)) {
      try {
        require(program->find_kernel(name) != nullptr);
      } catch (const Fault& fault) {
        require(std::string_view(fault.what()).find('\n') == std::string_view::npos);
      }
    }
  } catch (const Fault& fault) {
    const std::string_view message = fault.what();
    require(!message.empty() && message.find('\n') == std::string_view::npos);
    require(fault.code() == CUDA_ERROR_INVALID_PTX || fault.code() == CUDA_ERROR_NOT_SUPPORTED ||
            fault.code() == CUDA_ERROR_OUT_OF_MEMORY);
  }
  return 0;
}
