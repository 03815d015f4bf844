// Where shared memory begins, which wgmma's descriptors and tensor copies' swizzles see.
#include <doctest/doctest.h>

#include "harness.hpp"

using namespace octavo::emulator;
using namespace octavo::emulator::test;

namespace {

// Writes to the addresses' own memory, and stores them to p0, their generic ones as they were, and
// what is at the first.
constexpr const char* kAddresses =
    ".shared .align 4 .b8 s[148]; mov.u32 %r1, s; mov.u32 %r2, dynamic; st.shared.u32 [s], %r2;\n"
    "cvta.shared.u64 %rd2, s; cvta.to.shared.u64 %rd3, %rd2; cvt.u32.u64 %r3, %rd3;\n"
    "ld.u32 %r4, [%rd2]; ld.param.u64 %rd1, [p0];\n"
    "st.global.v4.u32 [%rd1], {%r1, %r2, %r3, %r4};";

std::string module_for(const char* target, const char* body) {
  std::string text = module_of(body, ".extern .shared .align 2048 .b8 dynamic[];");
  const std::string_view usual = "sm_90a";
  return text.replace(text.find(usual), usual.size(), target);
}

DeviceModel model_of(int compute_capability) {
  DeviceModel model = device();
  model.compute_capability = compute_capability;
  return model;
}

}  // namespace

// As ptxas 13.0 lays it out: its code adds 0x400 to every shared address from sm_90 on, and aligns
// what follows relative to that.
TEST_CASE("shared memory begins behind the 1024 bytes of the system's, from sm_90 on") {
  struct Case {
    const char* target;
    int compute_capability;
    std::uint32_t begin;
  };
  for (const auto& [target, compute_capability, begin] : {Case{"sm_80", 80, 0},
                                                          {"sm_89", 89, 0},
                                                          {"sm_90a", 90, 1024},
                                                          {"sm_100a", 100, 1024},
                                                          {"sm_120a", 120, 1024}}) {
    CAPTURE(compute_capability);
    const DeviceModel model = model_of(compute_capability);
    Machine machine(module_for(target, kAddresses), model);
    const std::uint64_t out = machine.allocate(16);
    machine.launch({}, {1, 1, 1}, {out}, 64);
    CHECK(machine.download<std::uint32_t>(out, 4) ==
          std::vector<std::uint32_t>{begin, begin + 2048, begin, begin + 2048});
  }
}

TEST_CASE("what the system reserves of shared memory is not the block's") {
  const char* const body =
      ".shared .align 4 .b8 s[64]; mov.u32 %r1, 1020; st.shared.u32 [%r1], %r1;";
  const Ending ending = load_and_launch(module_of(body), {}, {1, 1, 1});
  CHECK(ending.code == CUDA_ERROR_ILLEGAL_ADDRESS);
  CHECK(ending.message.find("shared address 0x3fc: outside the block's 64 bytes of shared memory, "
                            "which begin at 0x400") != std::string::npos);
  const char* const by_generic =
      ".shared .align 4 .b8 s[64]; cvta.shared.u64 %rd1, s; ld.u32 %r1, [%rd1-4];";
  CHECK(load_and_launch(module_of(by_generic), {}, {1, 1, 1}).code == CUDA_ERROR_ILLEGAL_ADDRESS);
  const char* const of_the_cluster =
      ".shared .align 4 .b8 s[64]; mov.u32 %r1, 1020; st.shared::cluster.u32 [%r1], %r1;";
  CHECK(load_and_launch(module_of(of_the_cluster), {}, {1, 1, 1}).code ==
        CUDA_ERROR_ILLEGAL_ADDRESS);
}
