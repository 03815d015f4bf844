// PTX instructions run on drawn inputs, as rows of hardware vectors: hex numbers, the result last.
// The inputs are the same on every device, and fewer rows are the first ones of more.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/device.hpp"
#include "tools/vector_inputs.hpp"

namespace octavo {

// d = a * b + c of one tensor-core instruction: a and b of one type, 32 bytes of it a row; d and c
// of `accumulator`.
struct TensorCore {
  bool wgmma;
  FloatFormat element;
  FloatFormat accumulator;

  std::string name() const;  // "mma_sync.f16.f32"
};

std::vector<TensorCore> tensor_cores();

// A row is `a b c d`: one output of an instruction of its own.
std::vector<std::string> record(const Device& device, const TensorCore& core, int rows);

// A function of one number, or of two halves; its exponents of interest, and those of which
// record_binade takes a regular sample.
struct Special {
  std::string_view opcode;
  int low, high;
  int dense_low = 0, dense_high = -1, stride = 64;
  bool negative = false;  // the inputs of record_binade

  bool of_halves() const { return opcode.ends_with("x2"); }
};

std::span<const Special> specials();

// A row is `x y`. Halves have all 2^16, whatever `rows` is.
std::vector<std::string> record(const Device& device, const Special& special, int rows);

// The results for each `stride`-th input of a binade, in increasing magnitude.
std::vector<std::uint32_t> record_binade(const Device& device, const Special& special,
                                         int exponent);

}  // namespace octavo
