// The emulator's speed: fp32 warp instructions and fp8 multiply-adds a second, through the Driver
// API alone, beside what this machine's cores do of the same arithmetic without an emulator. That
// is the floor: 32 lanes of fp32 multiply-adds in vector registers, on every thread.
#include <fmt/format.h>
#include <immintrin.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "runtime/device.hpp"
#include "runtime/driver.hpp"
#include "tools/terminal.hpp"

namespace octavo {
namespace {

constexpr unsigned kBlocks = 64, kThreads = 128;
constexpr double kWarps = kBlocks * kThreads / 32.0;

constexpr int kFmasInLoop = 64, kLoopInstructions = kFmasInLoop + 3;
constexpr int kMmasInLoop = 8;
constexpr double kMacsOfMma = 16 * 8 * 32;
constexpr int kWgmmasInLoop = 4, kWgmmaColumns = 128;
constexpr double kMacsOfWgmma = 16 * kWgmmaColumns * 32;  // of a warp
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

// One accumulator of 64 x 128, of which a warp computes 16 rows; the operands are finite core
// matrices in shared memory, A's and then B's, and differ from thread to thread.
std::string wgmma_kernel() {
  std::string first =
      "mov.u32 %s, operands;\nshr.u32 %t, %s, 4;\ncvt.u64.u32 %d0, %t;\n"
      "or.b64 %d0, %d0, 0x1000080000;\nadd.u64 %d1, %d0, 128;\n"
      "mad.lo.u32 %s, %lane, 48, %s;\nsetp.eq.u32 %yes, 0, 0;\n";
  for (int i = 0; i < 12; ++i) {
    first += fmt::format(
        "mul.lo.u32 %t, %lane, {};\nand.b32 %t, %t, 0x3F3F3F3F;\nst.shared.b32 [%s+{}], %t;\n",
        0x9E3779B1u + 2 * i, 4 * i);
  }
  std::string accumulators = "{%f0";
  for (int i = 1; i < kWgmmaColumns / 2; ++i) accumulators += fmt::format(", %f{}", i);
  for (int i = 0; i < kWgmmaColumns / 2; ++i)
    first += fmt::format("mov.f32 %f{}, 0f00000000;\n", i);
  std::string body = "wgmma.fence.sync.aligned;\n", last;
  for (int i = 0; i < kWgmmasInLoop; ++i) {
    body += fmt::format(
        "wgmma.mma_async.sync.aligned.m64n{}k32.f32.e4m3.e4m3 {}}}, %d0, %d1, %yes, 1, 1;\n",
        kWgmmaColumns, accumulators);
  }
  body += "wgmma.commit_group.sync.aligned;\nwgmma.wait_group.sync.aligned 0;\n";
  for (int i = 1; i < kWgmmaColumns / 2; ++i) last += fmt::format("add.f32 %f0, %f0, %f{};\n", i);
  return loop_kernel(fmt::format(".shared .align 1024 .b8 operands[6144];\n.reg .pred %yes;\n"
                                 ".reg .b32 %s;\n.reg .b64 %d<2>;\n.reg .f32 %f<{}>;\n",
                                 kWgmmaColumns / 2),
                     first + "fence.proxy.async;\nbar.sync 0;\n", body,
                     last + "st.global.f32 [%address], %f0;\n");
}

// As many instructions as large kernels have, of the kinds that they have: addresses, loads, tiles
// through shared memory, exponentials, shuffles, and a branch every forty or so.
constexpr int kLargeSections = 100;
std::string large_kernel() {
  std::string body;
  for (int i = 0; i < kLargeSections; ++i) {
    const int a = i % 8, b = (i + 3) % 8;
    body += fmt::format(R"(and.b32 %t, %lane, {2};
setp.eq.u32 %q, %t, {3};
@%q bra SKIP{2};
mul.lo.u32 %i{0}, %lane, {4};
add.u32 %i{1}, %i{0}, %n;
and.b32 %t, %i{1}, 127;
shl.b32 %t, %t, 2;
add.u32 %t, %t, %tile;
ld.shared.f32 %f{0}, [%t];
ld.global.f32 %x, [%address];
)",
                        a, b, i, i + 64, 2 * i + 1);
    for (int j = 0; j < 8; ++j) {
      body += fmt::format("fma.rn.f32 %f{0}, %f{0}, 0f3F7FFFFE, %x;\n", (a + j) % 8);
      body += fmt::format("mul.f32 %f{0}, %f{0}, %f{1};\n", (b + j) % 8, (a + j) % 8);
    }
    body += fmt::format(R"(max.f32 %f{0}, %f{0}, %f{1};
sub.f32 %x, %f{1}, %f{0};
ex2.approx.ftz.f32 %x, %x;
SKIP{2}:
shfl.sync.bfly.b32 %i{1}, %i{0}, {3}, 31, -1;
xor.b32 %i{0}, %i{0}, %i{1};
shr.u32 %i{1}, %i{0}, 3;
cvt.rn.f32.u32 %f{1}, %i{1};
setp.lt.f32 %q, %f{1}, %f{0};
selp.f32 %f{0}, %f{1}, %f{0}, %q;
st.shared.f32 [%slot], %f{0};
bar.sync 0;
)",
                        a, b, i, 1 << i % 5);
  }
  std::string first =
      ".shared .align 16 .b8 tile_memory[512];\nmov.u32 %tile, tile_memory;\nshl.b32 %t, %lane, "
      "2;\n"
      "add.u32 %slot, %tile, %t;\nst.shared.u32 [%slot], %t;\nbar.sync 0;\nmov.f32 %x, "
      "0f00000000;\n";
  for (int i = 0; i < 8; ++i) {
    first += fmt::format("cvt.rn.f32.u32 %f{0}, %lane;\nadd.u32 %i{0}, %lane, {0};\n", i);
  }
  return loop_kernel(".reg .pred %q;\n.reg .f32 %x, %f<8>;\n.reg .b32 %tile, %slot, %i<8>;\n",
                     first, body, "st.global.f32 [%address], %f0;\n");
}

// This process's time alone: a load from disk, or a compile, is one thread's work.
double processor_seconds_of(const std::function<void()>& work) {
  const std::clock_t start = std::clock();
  work();
  return static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
}

void load(const Device& device, const std::string& ptx) {
  const Driver& driver = device.driver();
  CUmodule module = nullptr;
  CUfunction function = nullptr;
  driver.check(driver.cuModuleLoadData(&module, ptx.c_str()), "loading the benchmark");
  driver.check(driver.cuModuleGetFunction(&function, module, "benchmark"), "finding the benchmark");
  driver.check(driver.cuModuleUnload(module), "unloading the benchmark");
}

// Seconds to compile the large kernel, and to load it again from the emulator's cache.
std::pair<double, double> load_seconds(const Device& device) {
  const auto folder = std::filesystem::temp_directory_path() / fmt::format("octavo-{}", getpid());
  const char* before = std::getenv("OCTAVO_CACHE_DIR");
  const std::string restored = before == nullptr ? "" : before;
  setenv("OCTAVO_CACHE_DIR", folder.c_str(), 1);
  const std::string ptx = large_kernel();
  const double compile = processor_seconds_of([&] { load(device, ptx); });
  double reload = compile;
  for (int i = 0; i < kRuns; ++i) {
    reload = std::min(reload, processor_seconds_of([&] { load(device, ptx); }));
  }
  before == nullptr ? unsetenv("OCTAVO_CACHE_DIR")
                    : setenv("OCTAVO_CACHE_DIR", restored.c_str(), 1);
  std::filesystem::remove_all(folder);
  return {compile, reload};
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

// Chains of multiply-adds of 32 lanes each, all different: enough to keep a core's units busy, and
// few enough for its registers.
constexpr int kChains = 3;

[[gnu::target("avx512f")]] void native_fmas_avx512(std::size_t count, float* out) {
  const __m512 factor = _mm512_set1_ps(0.9999999f), addend = _mm512_set1_ps(*out);
  __m512 parts[2 * kChains];
  for (int i = 0; i < 2 * kChains; ++i) parts[i] = _mm512_set1_ps(static_cast<float>(i));
  for (std::size_t n = 0; n < count; ++n) {
#pragma GCC unroll 8  // so that they stay in registers
    for (auto& part : parts) part = _mm512_fmadd_ps(part, factor, addend);
  }
  __m512 sum = addend;
  for (auto& part : parts) sum = _mm512_add_ps(sum, part);
  *out = _mm512_cvtss_f32(sum);
}

[[gnu::target("avx2,fma")]] void native_fmas_avx2(std::size_t count, float* out) {
  const __m256 factor = _mm256_set1_ps(0.9999999f), addend = _mm256_set1_ps(*out);
  __m256 parts[4 * kChains];
  for (int i = 0; i < 4 * kChains; ++i) parts[i] = _mm256_set1_ps(static_cast<float>(i));
  for (std::size_t n = 0; n < count; ++n) {
#pragma GCC unroll 16
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
  const auto fmas = __builtin_cpu_supports("avx512f") ? native_fmas_avx512 : native_fmas_avx2;
  std::vector<float> out(threads, 1.0f);
  const double seconds = shortest_of_runs([&] {
    std::vector<std::jthread> workers;
    for (float& value : out) workers.emplace_back(fmas, kCount, &value);
  });
  return static_cast<double>(kChains) * kCount * threads / seconds;
}

void benchmark() {
  const Device device = Device::open("emulator");
  const unsigned threads = std::thread::hardware_concurrency();
  const double floor = native_warp_fmas_per_second();
  const auto row = [&](const char* what, const std::string& ptx, double in_loop, double of) {
    const double speed = loops_per_second(device, ptx) * in_loop;
    return std::vector<std::string>{what, fmt::format("{:.3g}", speed / threads),
                                    fmt::format("{:.3g}", of / threads),
                                    fmt::format("{:.1f}x", of / speed)};
  };
  fmt::print("{}, {} host threads\n\n{}", device.name(), threads,
             table({{"a second and host thread", "emulator", "floor", "distance"},
                    row("fp32 warp instructions", fma_kernel(), kLoopInstructions, floor),
                    row("fp8 multiply-adds (mma.sync)", mma_kernel(), kMmasInLoop * kMacsOfMma,
                        floor * 32),
                    row("fp8 multiply-adds (wgmma)", wgmma_kernel(), kWgmmasInLoop * kMacsOfWgmma,
                        floor * 32)}));
  const auto [compile, reload] = load_seconds(device);
  const std::string large = large_kernel();
  fmt::print(
      "\na kernel of {} lines of PTX: compiled in {:.0f} ms, loaded from the cache in {:.1f} ms\n",
      std::count(large.begin(), large.end(), '\n'), compile * 1e3, reload * 1e3);
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
