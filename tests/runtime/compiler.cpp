#include "runtime/compiler.hpp"

#include <doctest/doctest.h>

#include <future>

#include "generator/architecture.hpp"
#include "runtime/error.hpp"
#include "support.hpp"

using namespace octavo;
using namespace octavo::test;

TEST_CASE("a compile gives PTX, cubin, log and resources on every architecture") {
  for (const Architecture& arch : architectures()) {
    CAPTURE(arch.name);
    const Binary binary = compile(scale_source(2), arch.name);
    CHECK(binary.entry == "scale");
    CHECK(binary.arch == arch.name);
    CHECK(contains(binary.ptx, ".visible .entry scale("));
    CHECK(contains(binary.ptx, ".target " + std::string(arch.name)));
    CHECK(binary.ptx.back() != '\0');
    CHECK(std::string(binary.cubin.data() + 1, 3) == "ELF");
    CHECK(contains(binary.log, "Compiling entry function 'scale'"));
    CHECK(binary.resources.registers >= 8);
    CHECK(binary.resources.registers <= 32);
    CHECK(binary.resources.shared_bytes >= 256);  // some architectures reserve more
    CHECK(binary.resources.barriers == 1);
    CHECK(binary.resources.spill_bytes == 0);
    CHECK(binary.resources.stack_bytes == 0);
  }
}

TEST_CASE("spilled registers and stack are reported") {
  const Source source{.text = R"(
extern "C" __global__ void __launch_bounds__(1024) crowd(float* a, int n) {
  float x[96];
  #pragma unroll
  for (int i = 0; i < 96; ++i) x[i] = a[i * 1024 + threadIdx.x];
  for (int t = 0; t < n; ++t) {
    #pragma unroll
    for (int i = 0; i < 96; ++i) x[i] = x[i] * x[(i + 7) % 96] + x[(i + 13) % 96];
  }
  #pragma unroll
  for (int i = 0; i < 96; ++i) a[i * 1024 + threadIdx.x] = x[i];
}
)",
                      .entry = "crowd"};
  const Resources resources = compile(source, "sm_90a").resources;
  CHECK(resources.registers <= 64);  // 65536 registers for 1024 threads
  CHECK(resources.spill_bytes > 0);
  CHECK(resources.stack_bytes > 0);
}

TEST_CASE("the same source gives the same binary") {
  const Binary first = compile(scale_source(3), "sm_90a"),
               second = compile(scale_source(3), "sm_90a");
  CHECK(first.ptx == second.ptx);
  CHECK(first.cubin == second.cubin);
}

TEST_CASE("a source that does not compile is an error with the compiler's log") {
  const Source source{.text = "extern \"C\" __global__ void broken() { undeclared = 1; }",
                      .entry = "broken"};
  const std::string message = message_of<EnvironmentError>([&] { compile(source, "sm_90a"); });
  CHECK(contains(message, "compiling broken for sm_90a"));
  CHECK(contains(message, "broken.cu(1)"));
  CHECK(contains(message, "identifier \"undeclared\" is undefined"));
}

TEST_CASE("an architecture that the compiler does not know is an error that names it") {
  const std::string message =
      message_of<EnvironmentError>([] { compile(scale_source(1), "sm_1a"); });
  CHECK(contains(message, "sm_1a"));
  CHECK(contains(message, "--gpu-architecture"));
}

TEST_CASE("a source without the promised kernel is an error") {
  const Source source{.text = "extern \"C\" __global__ void other() {}", .entry = "missing"};
  const std::string message = message_of<EnvironmentError>([&] { compile(source, "sm_90a"); });
  CHECK(contains(message, "missing"));
}

TEST_CASE("compiles in several threads give what they give alone") {
  std::vector<std::future<Binary>> compiles;
  for (int i = 0; i < 4; ++i) {
    compiles.push_back(std::async(std::launch::async, [i] {
      return compile(scale_source(static_cast<float>(i)), "sm_90a");
    }));
  }
  for (int i = 0; i < 4; ++i) {
    CHECK(compiles[i].get().cubin == compile(scale_source(static_cast<float>(i)), "sm_90a").cubin);
  }
}

TEST_CASE("what was compiled once comes from the cache, whole") {
  const TemporaryCache cache;
  const CachedBinary cold = compile_cached(scale_source(5), "sm_90a");
  const CachedBinary warm = compile_cached(scale_source(5), "sm_90a");
  CHECK_FALSE(cold.hit);
  CHECK(warm.hit);
  CHECK(warm.binary.entry == cold.binary.entry);
  CHECK(warm.binary.arch == cold.binary.arch);
  CHECK(warm.binary.ptx == cold.binary.ptx);
  CHECK(warm.binary.cubin == cold.binary.cubin);
  CHECK(warm.binary.log == cold.binary.log);
  CHECK(warm.binary.resources.registers == cold.binary.resources.registers);
  CHECK(warm.binary.resources.shared_bytes == cold.binary.resources.shared_bytes);
  CHECK(warm.milliseconds < cold.milliseconds);

  CHECK_FALSE(compile_cached(scale_source(6), "sm_90a").hit);
  CHECK_FALSE(compile_cached(scale_source(5), "sm_89").hit);
}
