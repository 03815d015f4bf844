// Names of errors, and the message behind the last one.
#include <algorithm>

#include "driver/api.hpp"

namespace octavo::emulator::driver {
namespace {

struct Error {
  CUresult code;
  const char* name;
  const char* text;
};

#define OCTAVO_ERROR(code, text) \
  Error { code, #code, text }
constexpr Error kErrors[] = {
    OCTAVO_ERROR(CUDA_SUCCESS, "no error"),
    OCTAVO_ERROR(CUDA_ERROR_INVALID_VALUE, "invalid argument"),
    OCTAVO_ERROR(CUDA_ERROR_OUT_OF_MEMORY, "out of memory"),
    OCTAVO_ERROR(CUDA_ERROR_NOT_INITIALIZED, "initialization error"),
    OCTAVO_ERROR(CUDA_ERROR_NO_DEVICE, "no CUDA-capable device is detected"),
    OCTAVO_ERROR(CUDA_ERROR_INVALID_DEVICE, "invalid device ordinal"),
    OCTAVO_ERROR(CUDA_ERROR_INVALID_IMAGE, "device kernel image is invalid"),
    OCTAVO_ERROR(CUDA_ERROR_INVALID_CONTEXT, "invalid device context"),
    OCTAVO_ERROR(CUDA_ERROR_NO_BINARY_FOR_GPU,
                 "no kernel image is available for execution on the device"),
    OCTAVO_ERROR(CUDA_ERROR_INVALID_PTX, "a PTX JIT compilation failed"),
    OCTAVO_ERROR(CUDA_ERROR_UNSUPPORTED_PTX_VERSION,
                 "the provided PTX was compiled with an unsupported toolchain."),
    OCTAVO_ERROR(CUDA_ERROR_FILE_NOT_FOUND, "file not found"),
    OCTAVO_ERROR(CUDA_ERROR_INVALID_HANDLE, "invalid resource handle"),
    OCTAVO_ERROR(CUDA_ERROR_NOT_FOUND, "named symbol not found"),
    OCTAVO_ERROR(CUDA_ERROR_NOT_READY, "device not ready"),
    OCTAVO_ERROR(CUDA_ERROR_ILLEGAL_ADDRESS, "an illegal memory access was encountered"),
    OCTAVO_ERROR(CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES, "too many resources requested for launch"),
    OCTAVO_ERROR(CUDA_ERROR_CONTEXT_IS_DESTROYED, "context is destroyed"),
    OCTAVO_ERROR(CUDA_ERROR_ASSERT, "device-side assert triggered"),
    OCTAVO_ERROR(CUDA_ERROR_HARDWARE_STACK_ERROR, "hardware stack error"),
    OCTAVO_ERROR(CUDA_ERROR_ILLEGAL_INSTRUCTION, "an illegal instruction was encountered"),
    OCTAVO_ERROR(CUDA_ERROR_MISALIGNED_ADDRESS, "misaligned address"),
    OCTAVO_ERROR(CUDA_ERROR_INVALID_PC, "invalid program counter"),
    OCTAVO_ERROR(CUDA_ERROR_LAUNCH_FAILED, "unspecified launch failure"),
    OCTAVO_ERROR(CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE, "too many blocks in cooperative launch"),
    OCTAVO_ERROR(CUDA_ERROR_NOT_PERMITTED, "operation not permitted"),
    OCTAVO_ERROR(CUDA_ERROR_NOT_SUPPORTED, "operation not supported"),
    OCTAVO_ERROR(CUDA_ERROR_INVALID_CLUSTER_SIZE, "cluster misconfiguration"),
    OCTAVO_ERROR(CUDA_ERROR_UNKNOWN, "unknown error"),
};
#undef OCTAVO_ERROR

// Asking for an error's name must not replace the message that the asker will want next.
CUresult describe(CUresult code, const char** result, const char* Error::* member) {
  if (result == nullptr) return CUDA_ERROR_INVALID_VALUE;
  const auto error = std::ranges::find(kErrors, code, &Error::code);
  const bool known = error != std::end(kErrors);
  *result = known ? (*error).*member : nullptr;
  return known ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

}  // namespace

std::string& last_fault() {
  thread_local std::string message;
  return message;
}

CUresult failed(std::string_view function, CUresult code, std::string_view message) {
  try {
    std::string line = fmt::format("{}: {}", function, message);
    std::ranges::replace(line, '\n', ' ');
    last_fault() = std::move(line);
  } catch (const std::bad_alloc&) {
    last_fault().clear();
  }
  return code;
}

}  // namespace octavo::emulator::driver

using namespace octavo::emulator::driver;

CUresult cuGetErrorName(CUresult error, const char** name) {
  return describe(error, name, &Error::name);
}

CUresult cuGetErrorString(CUresult error, const char** text) {
  return describe(error, text, &Error::text);
}

CUresult octavoEmulatorLastFault(const char** text) {
  if (text == nullptr) return CUDA_ERROR_INVALID_VALUE;
  *text = last_fault().c_str();
  return CUDA_SUCCESS;
}
