#pragma once

namespace octavo {

// An operand of wgmma in shared memory, kRows rows of kRowBytes: cut into pieces of kPiece bytes of
// every row, one piece's rows after another, whose 16-byte units are exchanged as the hardware
// does: bits 7 and up of an address flip those from bit 4 up. So neither eight rows' units in the
// same place nor a row's units have a bank conflict.
template <int kRows, int kBytesOfRow>
struct Matrix {
  static constexpr int kRowBytes = kBytesOfRow;
  static constexpr int kPiece = kRowBytes % 128 == 0 ? 128 : kRowBytes % 64 == 0 ? 64 : 32;
  static constexpr int kPieceBytes = kRows * kPiece;
  static constexpr int kBytes = kRows * kRowBytes;
  static constexpr int kUnits = kRowBytes / 16;  // of a row
  static_assert(kRowBytes % 32 == 0 && kRows % 8 == 0, "pieces begin at whole patterns");

  // Where unit `unit + more_units` of row `row + more_rows` is, numbers that share no bit: the
  // lane's part is computed once for all that the compiler knows.
  static __device__ int unit(int row, int unit, int more_rows = 0, int more_units = 0) {
    constexpr int kPieceUnits = kPiece / 16;
    const auto swizzle = [](int row) { return (row * kPiece >> 7 & kPieceUnits - 1) * 16; };
    const auto pieces = [](int unit) { return unit / kPieceUnits * kPieceBytes; };
    const int lane = row * kPiece + pieces(unit) + unit % kPieceUnits * 16 ^ swizzle(row);
    return (lane ^ swizzle(more_rows) ^ more_units % kPieceUnits * 16) + more_rows * kPiece +
           pieces(more_units);
  }

  // From a row to the one 16 later, which the pattern does not tell apart.
  static constexpr int kStripBytes = 16 * kPiece;

  // Where in a row, in units of 16 bytes as descriptors count them, byte `byte` is.
  static constexpr __device__ int along(int byte) {
    return (byte / kPiece * kPieceBytes + byte % kPiece) / 16;
  }

  // Of the matrix at this shared address, as wgmma is told. From 8 rows to the next 8; where rows
  // are what is summed over, from a piece to the next.
  static __device__ unsigned long long descriptor(unsigned matrix) {
    constexpr unsigned long long kSwizzle = kPiece == 128 ? 1 : kPiece == 64 ? 2 : 3;
    constexpr unsigned long long kOffsets = static_cast<unsigned long long>(kPieceBytes / 16)
                                                << 16 |
                                            static_cast<unsigned long long>(8 * kPiece / 16) << 32;
    return (matrix & 0x3ffff) >> 4 | kOffsets | kSwizzle << 62;
  }
};

}  // namespace octavo
