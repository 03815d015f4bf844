// cuGetProcAddress: the calls by name.
#include <algorithm>

#include "driver/api.hpp"

namespace octavo::emulator::driver {
namespace {

struct Entry {
  std::string_view name;
  void* function;
  int since;  // the CUDA version whose programs get it
};

// Programs of an older CUDA get the older of two forms of a call.
constexpr std::pair<std::string_view, int> kNewer[] = {{"cuCtxCreate_v3", 11040},
                                                       {"cuCtxCreate_v4", 13000},
                                                       {"cuGetProcAddress_v2", 12000},
                                                       {"cuDeviceGetUuid_v2", 11040}};

int since(std::string_view symbol) {
  const auto* found = std::ranges::find(kNewer, symbol, &std::pair<std::string_view, int>::first);
  return found == std::end(kNewer) ? 0 : found->second;
}

#define OCTAVO_ENTRY(name, symbol, parameters) \
  {#name, reinterpret_cast<void*>(&symbol), since(#symbol)},

// The newest form of the call that the version has; nullptr, and whether a later one has it.
void* find_function(std::string_view name, int version, bool& later) {
  static const Entry kEntries[] = {OCTAVO_CUDA_FUNCTIONS(OCTAVO_ENTRY) OCTAVO_MORE_CUDA_FUNCTIONS(
      OCTAVO_ENTRY) OCTAVO_EMULATOR_FUNCTIONS(OCTAVO_ENTRY)};
  void* found = nullptr;
  later = false;
  for (const Entry& entry : kEntries) {
    if (entry.name != name) continue;
    if (entry.since <= version) {
      found = entry.function;
    } else {
      later = true;
    }
  }
  return found;
}

}  // namespace
}  // namespace octavo::emulator::driver

using namespace octavo::emulator;
using namespace octavo::emulator::driver;

CUresult cuGetProcAddress_v2(const char* name, void** function, int version, cuuint64_t flags,
                             CUdriverProcAddressQueryResult* status) {
  return guarded("cuGetProcAddress", [&] {
    constexpr cuuint64_t kStreams = 3;  // the default stream's forms are one here
    require(name != nullptr && function != nullptr, "name, function: expected a name and a place");
    require((flags & ~kStreams) == 0, "flags: expected CU_GET_PROC_ADDRESS flags");
    bool later = false;
    *function = find_function(name, version, later);
    if (status != nullptr) {
      *status = *function != nullptr ? CU_GET_PROC_ADDRESS_SUCCESS
                : later              ? CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT
                                     : CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND;
    }
    if (*function == nullptr) {
      throw Fault(CUDA_ERROR_NOT_FOUND, fmt::format("`{}`: the emulator has no such call", name));
    }
  });
}

CUresult cuGetProcAddress(const char* name, void** function, int version, cuuint64_t flags) {
  return cuGetProcAddress_v2(name, function, version, flags, nullptr);
}
