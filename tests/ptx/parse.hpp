// Parsing of short texts in tests.
#pragma once

#include <string>

#include "fault.hpp"
#include "ptx/parser.hpp"

namespace octavo::emulator::ptx {

inline std::string in_module(const std::string& text) {
  return ".version 8.5\n.target sm_90a\n.address_size 64\n" + text;
}

// Line 5 of the text is the first line of `body`.
inline std::string in_kernel(const std::string& body) {
  return in_module(".visible .entry k(.param .u64 k_param_0) {\n" + body + "\n}\n");
}

inline Function parse_kernel(const std::string& body) {
  return parse(in_kernel(body)).functions.at(0);
}

inline std::string fault_of(const std::string& text) {
  try {
    parse(text);
  } catch (const Fault& fault) {
    return fault.code() == CUDA_ERROR_INVALID_PTX ? fault.what() : "wrong code";
  }
  return "no fault";
}

}  // namespace octavo::emulator::ptx
