// What every cu* function shares: its export, and the way from Fault to CUresult.
#pragma once

#include <fmt/format.h>

#include <new>
#include <string>
#include <string_view>
#include <utility>

#include "cuda_abi_more.h"
#include "driver/session.hpp"
#include "fault.hpp"

extern "C" {
#define OCTAVO_DECLARE(name, symbol, parameters) \
  __attribute__((visibility("default"))) CUresult symbol parameters;
OCTAVO_CUDA_FUNCTIONS(OCTAVO_DECLARE)
OCTAVO_MORE_CUDA_FUNCTIONS(OCTAVO_DECLARE)
OCTAVO_EMULATOR_FUNCTIONS(OCTAVO_DECLARE)
#undef OCTAVO_DECLARE
}

namespace octavo::emulator::driver {

// Of the calling thread's last failed call.
std::string& last_fault();

CUresult failed(std::string_view function, CUresult code, std::string_view message);

inline void require(bool condition, const char* message) {
  if (!condition) throw Fault(CUDA_ERROR_INVALID_VALUE, message);
}

// Runs a cu* function's body; no exception leaves it.
template <typename Body>
CUresult guarded(std::string_view function, Body&& body) {
  try {
    std::forward<Body>(body)();
    return CUDA_SUCCESS;
  } catch (const Fault& fault) {
    return failed(function, fault.code(), fault.what());
  } catch (const std::bad_alloc&) {
    return failed(function, CUDA_ERROR_OUT_OF_MEMORY, "the host is out of memory");
  } catch (const std::exception& error) {
    return failed(function, CUDA_ERROR_UNKNOWN, error.what());
  }
}

// For functions that need cuInit and nothing else; the body gets the emulated device.
template <typename Body>
CUresult with_device(std::string_view function, Body&& body) {
  return guarded(function, [&] { body(Session::get().model()); });
}

// For functions that work in the calling thread's context. A launch that is held ends first, unless
// `overlaps` says that the call may be one that overlaps it.
template <typename Body>
CUresult with_context(std::string_view function, Body&& body, bool overlaps = false) {
  return guarded(function, [&] {
    const std::shared_ptr<Context> context = Session::get().current();
    context->check();
    if (!overlaps) context->settle();
    body(*context);
  });
}

}  // namespace octavo::emulator::driver
