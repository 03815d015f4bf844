#include "wgmma_kernel.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cstdlib>

namespace octavo::emulator::test {

void under_every_order(const std::function<void(std::string_view order)>& body) {
  for (const char* order : kCompletionOrders) {
    setenv("OCTAVO_ASYNC", order, 1);
    CAPTURE(std::string(order));
    body(order);
  }
  unsetenv("OCTAVO_ASYNC");
}

std::string kernel(std::size_t registers, std::size_t image_bytes, const std::string& body) {
  std::string text = fmt::format(
      ".reg .b32 %c<{}>, %a<4>, %t<8>; .reg .b64 %x<8>; .reg .pred %yes, %no, %q;\n"
      "setp.eq.u32 %yes, 0, 0; setp.ne.u32 %no, 0, 0;\n"
      "mov.u32 %t0, %tid.x; mul.wide.u32 %x0, %t0, 4; mul.wide.u32 %x1, %t0, 16;\n"
      "ld.param.u64 %x2, [p0]; add.u64 %x2, %x2, %x1; mov.u32 %t1, image; cvt.u32.u64 %t2, %x1;\n"
      "add.u32 %t1, %t1, %t2; mov.u32 %t3, {};\n"
      "FILL: ld.global.v4.u32 {{%t4, %t5, %t6, %t7}}, [%x2];\n"
      "st.shared.v4.u32 [%t1], {{%t4, %t5, %t6, %t7}};\n"
      "add.u64 %x2, %x2, 2048; add.u32 %t1, %t1, 2048; sub.u32 %t3, %t3, 1;\n"
      "setp.ne.u32 %q, %t3, 0; @%q bra FILL;\n"
      "ld.param.u64 %x3, [p1]; add.u64 %x3, %x3, %x0; ld.param.u64 %x4, [p2];\n"
      "add.u64 %x4, %x4, %x0; ld.param.u64 %x5, [p3]; add.u64 %x5, %x5, %x0;\n",
      registers, image_bytes / 2048);
  for (std::size_t i = 0; i < registers; ++i)
    text += fmt::format("ld.global.b32 %c{}, [%x3+{}];\n", i, 512 * i);
  for (std::size_t i = 0; i < 4; ++i)
    text += fmt::format("ld.global.b32 %a{}, [%x4+{}];\n", i, 512 * i);
  text += body;
  for (std::size_t i = 0; i < registers; ++i)
    text += fmt::format("st.global.b32 [%x5+{}], %c{};\n", 512 * i, i);
  return module_of(text, ".extern .shared .align 1024 .b8 image[];");
}

std::string small_wgmma(const char* accumulators, const char* b, const char* scale) {
  return fmt::format(
      "wgmma.mma_async.sync.aligned.m64n8k16.f32.f16.f16 {}, 0x1000080040, {}, {}, 1, 1, 0, 0;\n",
      accumulators, b, scale);
}

Run run(const std::string& body, Dim3 block) {
  const std::string ptx = kernel(4, 8192, body);
  Run result;
  try {
    Machine machine(ptx);
    const std::vector<std::uint16_t> ones(4096, 0x3C00);
    const std::vector<std::uint32_t> c(512), a(512, 0x3C003C00);
    const std::uint64_t out = machine.upload(std::vector<std::uint32_t>(512, 0xDEADBEEF));
    machine.launch({}, block, {machine.upload(ones), machine.upload(c), machine.upload(a), out},
                   8192);
    result.d = machine.download<std::uint32_t>(out, 512);
  } catch (const Fault& fault) {
    result.ending = {fault.code(), fault.what()};
  }
  return result;
}

void check_value(const std::string& body, float value) {
  CAPTURE(body);
  under_every_order([&](std::string_view) {
    const Run result = run(body);
    CHECK(result.ending.message == "");
    if (result.d.empty()) return;
    int wrong = 0;
    for (const std::uint32_t word : result.d) wrong += word != f(value);
    CHECK_MESSAGE(wrong == 0, fmt::format("{:x}", result.d[0]));
  });
}

void check_fault(const std::string& body, const std::vector<const char*>& says, Shows shows,
                 Dim3 block) {
  CAPTURE(body);
  under_every_order([&](std::string_view order) {
    if (shows != Shows::always && order == "eager") return;
    if (shows == Shows::latest && order != "latest") return;
    const Ending ending = run(body, block).ending;
    CHECK(ending.code != CUDA_SUCCESS);
    CHECK(ending.message.find('\n') == std::string::npos);
    for (const char* part : says)
      CHECK_MESSAGE(ending.message.find(part) != std::string::npos,
                    ending.message << " lacks " << std::string(part));
  });
}

}  // namespace octavo::emulator::test
