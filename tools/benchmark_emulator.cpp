// The emulator's speed: fp32 warp instructions and fp8 multiply-adds a second, through the Driver
// API alone, beside what this machine's cores do of the same arithmetic without an emulator. That
// is the floor: 32 lanes of fp32 multiply-adds in vector registers, on every thread.
#include <fmt/format.h>
#include <immintrin.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "runtime/device.hpp"
#include "runtime/driver.hpp"
#include "tools/terminal.hpp"

namespace octavo {
namespace {

constexpr unsigned kBlocks = 64, kThreads = 128;
constexpr double kWarps = kBlocks * kThreads / 32;

constexpr int kFmasInLoop = 64, kLoopInstructions = kFmasInLoop + 3;
constexpr int kMmasInLoop = 8;
constexpr double kMacsOfMma = 16 * 8 * 32;
constexpr int kRuns = 5;

// `registers` and `body` of a loop that runs `count` times; lane, count and out are set up.
std::string loop_kernel(const std::string& registers, const std::string& first,
                        const std::string& body, const std::string& last) {
  return R"(.version 8.4
.target sm_90a
.address_size 64
.visible .entry benchmark(.param .u64 out, .param .u32 count)
{
.reg .pred %p;
.reg .b32 %lane, %n, %t;
.reg .b64 %address;
)" + registers +
         R"(
mov.u32 %lane, %tid.x;
ld.param.u32 %n, [count];
ld.param.u64 %address, [out];
)" + first +
         "loop:\n" + body + R"(add.u32 %n, %n, -1;
setp.ne.u32 %p, %n, 0;
@%p bra loop;
)" + last +
         "ret;\n}\n";
}

// Eight chains of multiply-adds whose values neither grow nor vanish.
std::string fma_kernel() {
  std::string first = "cvt.rn.f32.u32 %x, %lane;\n", body, last;
  for (int i = 0; i < 8; ++i) first += fmt::format("add.f32 %f{}, %x, 0f3F800000;\n", i);
  for (int i = 0; i < kFmasInLoop; ++i)
    body += fmt::format("fma.rn.f32 %f{0}, %f{0}, 0f3F7FFFFE, %x;\n", i % 8);
  for (int i = 1; i < 8; ++i) last += fmt::format("add.f32 %f0, %f0, %f{};\n", i);
  return loop_kernel(".reg .f32 %x, %f<8>;\n", first, body,
                     last + "st.global.f32 [%address], %f0;\n");
}

// Eight accumulator tiles; the operands are finite, and differ from lane to lane.
std::string mma_kernel() {
  std::string first, body, last;
  for (int i = 0; i < 6; ++i) {
    first += fmt::format("mul.lo.u32 %t, %lane, {};\nand.b32 %a{}, %t, 0x3F3F3F3F;\n",
                         0x9E3779B1u + 2 * i, i);
  }
  for (int i = 0; i < 4 * kMmasInLoop; ++i) first += fmt::format("mov.f32 %f{}, 0f00000000;\n", i);
  for (int i = 0; i < kMmasInLoop; ++i) {
    const std::string tile =
        fmt::format("{{%f{}, %f{}, %f{}, %f{}}}", 4 * i, 4 * i + 1, 4 * i + 2, 4 * i + 3);
    body += "mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e4m3.f32 " + tile +
            ", {%a0, %a1, %a2, %a3}, {%a4, %a5}, " + tile + ";\n";
  }
  for (int i = 1; i < 4 * kMmasInLoop; ++i) last += fmt::format("add.f32 %f0, %f0, %f{};\n", i);
  return loop_kernel(fmt::format(".reg .b32 %a<6>;\n.reg .f32 %f<{}>;\n", 4 * kMmasInLoop), first,
                     body, last + "st.global.f32 [%address], %f0;\n");
}

double seconds_of(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// What else the machine does only ever makes it longer.
double shortest_of_runs(const std::function<void()>& work) {
  double seconds = seconds_of(work);
  for (int i = 1; i < kRuns; ++i) seconds = std::min(seconds, seconds_of(work));
  return seconds;
}

// Loops a second, all warps together. Runs long enough to be measured.
double loops_per_second(const Device& device, const std::string& ptx) {
  const Driver& driver = device.driver();
  CUmodule module = nullptr;
  CUfunction function = nullptr;
  driver.check(driver.cuModuleLoadData(&module, ptx.c_str()), "loading the benchmark");
  driver.check(driver.cuModuleGetFunction(&function, module, "benchmark"), "finding the benchmark");
  Buffer out(device, sizeof(float));
  CUdeviceptr address = out.address();
  unsigned count = 1;
  void* arguments[] = {&address, &count};
  const auto launch = [&] {
    driver.check(driver.cuLaunchKernel(function, kBlocks, 1, 1, kThreads, 1, 1, 0, nullptr,
                                       arguments, nullptr),
                 "launching the benchmark");
    device.synchronize();
  };
  launch();
  for (count = 16; seconds_of(launch) < 0.3; count *= 2) {
  }
  const double seconds = shortest_of_runs(launch);
  driver.check(driver.cuModuleUnload(module), "unloading the benchmark");
  return kWarps * count / seconds;
}

// What native_warp_fmas_per_second counts: two chains of 32 lanes, which is as many registers as
// keep both of a core's multiply-add units busy.
constexpr int kChains = 2;
[[gnu::target("avx2,fma")]] void native_fmas(std::size_t count, float* out) {
  const __m256 factor = _mm256_set1_ps(0.9999999f), addend = _mm256_set1_ps(*out);
  __m256 parts[4 * kChains];
  for (auto& part : parts) part = addend;
  for (std::size_t i = 0; i < count; ++i) {
#pragma GCC unroll 8  // so that they stay in registers
    for (auto& part : parts) part = _mm256_fmadd_ps(part, factor, addend);
  }
  __m256 sum = addend;
  for (auto& part : parts) sum = _mm256_add_ps(sum, part);
  *out = _mm256_cvtss_f32(sum);
}

// Multiply-adds of 32 lanes a second, on all of this machine's threads together.
double native_warp_fmas_per_second() {
  constexpr std::size_t kCount = 100'000'000;
  const unsigned threads = std::thread::hardware_concurrency();
  std::vector<float> out(threads, 1.0f);
  const double seconds = shortest_of_runs([&] {
    std::vector<std::jthread> workers;
    for (float& value : out) workers.emplace_back(native_fmas, kCount, &value);
  });
  return static_cast<double>(kChains) * kCount * threads / seconds;
}

void benchmark() {
  const Device device = Device::open("emulator");
  const double floor = native_warp_fmas_per_second();
  const double instructions = loops_per_second(device, fma_kernel()) * kLoopInstructions;
  const double macs = loops_per_second(device, mma_kernel()) * kMmasInLoop * kMacsOfMma;
  const auto row = [](const char* what, double speed, double of) {
    return std::vector<std::string>{what, fmt::format("{:.3g}", speed), fmt::format("{:.3g}", of),
                                    fmt::format("{:.1f}x", of / speed)};
  };
  fmt::print("{}, {} host threads\n\n{}", device.name(), std::thread::hardware_concurrency(),
             table({{"a second", "emulator", "floor", "distance"},
                    row("fp32 warp instructions", instructions, floor),
                    row("fp8 multiply-adds (mma.sync, exact)", macs, floor * 32)}));
}

}  // namespace
}  // namespace octavo

int main() {
  try {
    octavo::benchmark();
    return 0;
  } catch (const std::exception& error) {
    fmt::print(stderr, "benchmark_emulator: {}\n", error.what());
    return 3;
  }
}
