// Kernels of one warpgroup that issue wgmmas.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "harness.hpp"

namespace octavo::emulator::test {

inline constexpr const char* kCompletionOrders[] = {"eager", "latest", "random:1", "random:2",
                                                    "random:3"};

// Runs the body under each completion order.
void under_every_order(const std::function<void(std::string_view order)>& body);

inline constexpr const char* kFence = "wgmma.fence.sync.aligned;\n";
inline constexpr const char* kCommit = "wgmma.commit_group.sync.aligned;\n";
inline constexpr const char* kWait = "wgmma.wait_group.sync.aligned 0;\n";
inline constexpr const char* kPublish = "fence.proxy.async;\nbar.sync 0;\n";
inline const std::string kStart = std::string(kPublish) + kFence;
inline const std::string kEnd = std::string(kCommit) + kWait;

// A kernel of one warpgroup: shared memory is filled from p0 (as many bytes as the parameter
// `image_bytes` says, a multiple of 2048), and accumulators %c0 ... from p1, [register][thread];
// %a0..3, A's registers, from p2; then `body`; then the accumulators are stored to p3.
std::string kernel(std::size_t registers, std::size_t image_bytes, const std::string& body);

// Where that image begins: a block's first shared address, as a descriptor has it.
inline constexpr std::uint64_t kImage = 1024 >> 4;

// m64n8k16 of f16 whose operands, K-major core matrices, lie at 0 (A) and 4096 (B) of the image:
// A's and B's halves of k 128 bytes apart.
std::string small_wgmma(const char* accumulators = "{%c0, %c1, %c2, %c3}",
                        const char* b = "0x1000080140", const char* scale = "%yes");

// The ending of a kernel of four accumulators whose operands are all ones, and what it stores.
struct Run {
  Ending ending;
  std::vector<std::uint32_t> d;
};
Run run(const std::string& body, Dim3 block = {128, 1, 1});

// That it stores this value everywhere, under every order.
void check_value(const std::string& body, float value);

// Under which orders a fault is sure to show.
enum class Shows { always, in_flight, latest };

// That it ends with one line that says all of this.
void check_fault(const std::string& body, const std::vector<const char*>& says,
                 Shows shows = Shows::always, Dim3 block = {128, 1, 1});

}  // namespace octavo::emulator::test
