// setmaxnreg: the registers that the warps of a block pass on to one another. A block's pool begins
// empty: its warps hold all that it was launched with.
#include "execute/block.hpp"
#include "execute/helpers.hpp"

namespace octavo::emulator {

static void octavo_release_registers(Warp* warp, std::uint32_t count) {
  if (warp->registers == 0) return;
  if (count > warp->registers) {
    fault(*warp, CUDA_ERROR_LAUNCH_FAILED, __builtin_ctz(warp->mask),
          "down to %u registers a thread, which has %u", count, warp->registers);
  }
  Block& block = *warp->block;
  block.free_registers += warp->registers - count;
  warp->registers = count;
  warp->advanced = true;
  for (Warp* other : block.warps) {
    if (other->state == WarpState::waiting && other->waits == Waits::registers) {
      other->state = WarpState::ready;
    }
  }
}

static void octavo_acquire_registers(Warp* warp, std::uint32_t count) {
  if (warp->registers == 0) return;
  if (count < warp->registers) {
    fault(*warp, CUDA_ERROR_LAUNCH_FAILED, __builtin_ctz(warp->mask),
          "up to %u registers a thread, which has %u", count, warp->registers);
  }
  std::uint32_t& free = warp->block->free_registers;
  while (free < count - warp->registers) {
    warp->waits = Waits::registers;
    warp->state = WarpState::waiting;
    yield(*warp);
  }
  free -= count - warp->registers;
  warp->registers = count;
  warp->advanced = true;
}

std::span<const Helper> register_helpers() {
  static const Helper list[] = {OCTAVO_HELPER(octavo_release_registers),
                                OCTAVO_HELPER(octavo_acquire_registers)};
  return list;
}

}  // namespace octavo::emulator
