// Threads' stacks, in local memory: frames of functions that may be active more than once or are
// called by their address, and what alloca gives out.
#include <cstring>

#include "execute/block.hpp"
#include "execute/helpers.hpp"

namespace octavo::emulator {
namespace {

std::byte* stack_at(Warp& warp, int lane, std::uint64_t offset) {
  return warp.local + std::uint64_t{warp.local_bytes} * static_cast<std::uint32_t>(lane) + offset;
}

}  // namespace

// Before a call: the callee's frame begins `beyond` bytes after the caller's and has `bytes`.
static void octavo_check_stack(Warp* warp, std::uint32_t mask, std::uint32_t beyond,
                               std::uint32_t bytes) {
  for_lanes(mask, [&](int lane) {
    if (std::uint64_t{warp->stack[lane]} + beyond + bytes <= warp->stack_end[lane]) return;
    fault(*warp, CUDA_ERROR_HARDWARE_STACK_ERROR, lane,
          "the call needs more than the thread's %u bytes of stack", kThreadStackBytes);
  });
}

static void octavo_push_frame(Warp* warp, std::uint32_t mask, std::uint32_t beyond) {
  for_lanes(mask, [&](int lane) {
    warp->stack[lane] += beyond;
    std::memcpy(stack_at(*warp, lane, warp->stack[lane] - kFrameHeader), &warp->stack_end[lane],
                sizeof warp->stack_end[lane]);
  });
}

static void octavo_pop_frame(Warp* warp, std::uint32_t mask, std::uint32_t beyond) {
  for_lanes(mask, [&](int lane) {
    std::memcpy(&warp->stack_end[lane], stack_at(*warp, lane, warp->stack[lane] - kFrameHeader),
                sizeof warp->stack_end[lane]);
    warp->stack[lane] -= beyond;
  });
}

// values has a register's `bytes` a lane.
static void octavo_save_register(Warp* warp, std::uint32_t mask, const std::byte* values,
                                 std::uint32_t offset, std::uint32_t bytes) {
  for_lanes(mask, [&](int lane) {
    std::memcpy(stack_at(*warp, lane, std::uint64_t{warp->stack[lane]} + offset),
                values + std::size_t{bytes} * static_cast<std::uint32_t>(lane), bytes);
  });
}

static void octavo_restore_register(Warp* warp, std::uint32_t mask, std::byte* values,
                                    std::uint32_t offset, std::uint32_t bytes) {
  for_lanes(mask, [&](int lane) {
    std::memcpy(values + std::size_t{bytes} * static_cast<std::uint32_t>(lane),
                stack_at(*warp, lane, std::uint64_t{warp->stack[lane]} + offset), bytes);
  });
}

// Sends each lane to the block of the function whose address it has.
static void octavo_call_address(Warp* warp, const std::uint64_t* addresses,
                                const std::uint64_t* functions, const std::uint32_t* blocks,
                                std::uint32_t count) {
  for_lanes(warp->mask, [&](int lane) {
    for (std::uint32_t i = 0; i < count; ++i) {
      if (functions[i] != addresses[lane]) continue;
      warp->next[lane] = blocks[i];
      return;
    }
    fault(*warp, CUDA_ERROR_INVALID_PC, lane,
          "0x%llx is not the address of a function with these parameters",
          static_cast<unsigned long long>(addresses[lane]));
  });
}

// frame: the bytes of the running function's frame, which must stay below.
static void octavo_alloca(Warp* warp, std::uint32_t mask, std::uint64_t* result,
                          const std::uint64_t* size, std::uint32_t alignment, std::uint32_t frame) {
  for_lanes(mask, [&](int lane) {
    const std::uint64_t lowest = std::uint64_t{warp->stack[lane]} + frame;
    const std::uint64_t end = warp->stack_end[lane];
    const std::uint64_t begin = size[lane] > end ? 0 : (end - size[lane]) / alignment * alignment;
    if (size[lane] > end || begin < lowest) {
      fault(*warp, CUDA_ERROR_HARDWARE_STACK_ERROR, lane,
            "%llu bytes are more than is left of the thread's %u bytes of stack",
            static_cast<unsigned long long>(size[lane]), kThreadStackBytes);
    }
    warp->stack_end[lane] = static_cast<std::uint32_t>(begin);
    result[lane] = begin;
  });
}

static void octavo_stack_restore(Warp* warp, std::uint32_t mask, const std::uint32_t* end) {
  for_lanes(mask, [&](int lane) {
    if (end[lane] < warp->stack_end[lane] || end[lane] > warp->local_bytes) {
      fault(*warp, CUDA_ERROR_HARDWARE_STACK_ERROR, lane, "this is not what stacksave gave");
    }
    warp->stack_end[lane] = end[lane];
  });
}

std::span<const Helper> stack_helpers() {
  static const Helper list[] = {
      OCTAVO_HELPER(octavo_check_stack),      OCTAVO_HELPER(octavo_push_frame),
      OCTAVO_HELPER(octavo_pop_frame),        OCTAVO_HELPER(octavo_save_register),
      OCTAVO_HELPER(octavo_restore_register), OCTAVO_HELPER(octavo_call_address),
      OCTAVO_HELPER(octavo_alloca),           OCTAVO_HELPER(octavo_stack_restore)};
  return list;
}

}  // namespace octavo::emulator
