// The instruction wgmma.mma_async as device functions. Its operands are as many registers as it has
// columns, and inline assembly names each: no template can, so that the text of a plan's few shapes
// is written for it.
#pragma once

#include <string>
#include <string_view>

namespace octavo {

// d = a * b, or d += a * b, of 64 rows, `columns` columns and 32 bytes along what is summed over.
struct Wgmma {
  int columns = 0;     // a multiple of 8 up to 256
  std::string_view a;  // PTX's name of a's type: e4m3, e5m2, bf16 or f16
  std::string_view b;  // and of b's
  bool a_in_registers = false;
  bool b_transposed = false;  // b's rows lie along the columns; 16-bit types only

  bool operator==(const Wgmma&) const = default;
};

// wgmma(d, a, b, add), with d's registers; a's, or its descriptor; b's descriptor; and whether the
// product is added to what d holds.
std::string definition(const Wgmma& instruction);

}  // namespace octavo
