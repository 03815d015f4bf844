// Checked addresses: from what a lane names to the host memory it may touch.
#pragma once

#include "execute/warp.hpp"

namespace octavo::emulator {

enum class Access : std::uint8_t { read, write, update };  // update: atomically

// Each returns the host address of `bytes` bytes that the lane may access, or ends the launch.
// `address` is in the space's own terms: generic and global ones are host addresses, local ones
// offsets, shared ones offsets in the window of the cluster (kSharedWindow).
std::byte* resolve_generic(Warp& warp, int lane, std::uint64_t address, std::uint32_t bytes,
                           std::uint32_t alignment, Access access);
std::byte* resolve_global(Warp& warp, int lane, std::uint64_t address, std::uint32_t bytes,
                          std::uint32_t alignment);
std::byte* resolve_shared(Warp& warp, int lane, std::uint64_t address, std::uint32_t bytes,
                          std::uint32_t alignment);
// `address` may be any block's of the cluster.
std::byte* resolve_cluster(Warp& warp, int lane, std::uint64_t address, std::uint32_t bytes,
                           std::uint32_t alignment);
std::byte* resolve_local(Warp& warp, int lane, std::uint64_t address, std::uint32_t bytes,
                         std::uint32_t alignment);

// What an address of shared memory may name: as a generic address, in the block's own window, or in
// that of the cluster.
enum class SharedWindow : std::uint32_t { generic, cta, cluster };
std::byte* resolve_window(Warp& warp, int lane, std::uint64_t address, std::uint32_t bytes,
                          std::uint32_t alignment, SharedWindow window);

// Tells the shadow, if the kernel has one, what a lane is about to do with memory at this host
// address.
void note_access(Warp& warp, int lane, const std::byte* at, std::uint32_t bytes, Access access);

// The warp asks for what others may have written, which may tell it that they are done.
void note_poll(Warp& warp);

// The cached allocation that holds all of [begin, end), or nullptr.
const Memory::Range* find_range(Warp& warp, std::uint64_t begin, std::uint64_t end);

}  // namespace octavo::emulator
