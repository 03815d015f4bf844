// Random PTX programs whose results do not depend on the order in which threads run.
#pragma once

#include <string>
#include <vector>

#include "execute/program.hpp"

namespace octavo::emulator::random_ptx {

// Kernel `random` of (.u64 inputs, .u64 outputs, .u64 totals). A thread reads kInputs 8-byte words
// and writes `outputs.size()` 8-byte slots, both at its global index; all threads update kTotals
// words.
struct RandomProgram {
  static constexpr int kInputs = 24, kTotals = 6;
  enum class Slot { integer, f32, f64 };  // in a float's slot one NaN is as good as another

  std::string ptx;
  Dim3 grid, block;
  std::vector<Slot> outputs;
};

// A seed stands for one program.
RandomProgram generate(unsigned seed);

}  // namespace octavo::emulator::random_ptx
