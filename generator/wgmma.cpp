#include "generator/wgmma.hpp"

#include <fmt/format.h>

namespace octavo {
namespace {

// Items 0 to count - 1, eight a line.
template <typename Item>
std::string list(int count, std::string_view line_end, Item item) {
  std::string text;
  for (int i = 0; i < count; ++i) {
    text += item(i);
    if (i + 1 < count) text += i % 8 == 7 ? line_end : std::string_view(", ");
  }
  return text;
}

}  // namespace

std::string definition(const Wgmma& instruction) {
  const int registers = instruction.columns / 2;
  const bool bytes = instruction.a.starts_with('e');
  const bool from_registers = instruction.a_in_registers;
  const int b = registers + (from_registers ? 4 : 1);
  const auto place = [](int i) { return fmt::format("%{}", i); };
  const std::string a =
      from_registers
          ? fmt::format("{{{}}}", list(4, "", [&](int i) { return place(registers + i); }))
          : place(registers);
  const std::string majors =
      bytes ? ""
            : fmt::format(", {}{}", from_registers ? "" : "0, ", instruction.b_transposed ? 1 : 0);
  return fmt::format(
      "inline __device__ void wgmma(float (&d)[{}], {}, unsigned long long b, bool add) {{\n"
      "  asm volatile(\n"
      "      \"{{\\n\\t\"\n"
      "      \".reg .pred add;\\n\\t\"\n"
      "      \"setp.ne.b32 add, %{}, 0;\\n\\t\"\n"
      "      \"wgmma.mma_async.sync.aligned.m64n{}k{}.f32.{}.{} \"\n"
      "      \"{{{}}}, \"\n"
      "      \"{}, %{}, add, 1, 1{};\\n\\t\"\n"
      "      \"}}\"\n"
      "      : {}\n"
      "      : {}, \"l\"(b), \"r\"(static_cast<int>(add)));\n"
      "}}\n",
      registers, from_registers ? "const unsigned (&a)[4]" : "unsigned long long a", b + 1,
      instruction.columns, bytes ? 32 : 16, instruction.a, instruction.b,
      list(registers, ", \"\n      \"", place), a, b, majors,
      list(registers, ",\n        ", [](int i) { return fmt::format("\"+f\"(d[{}])", i); }),
      from_registers ? list(4, "", [](int i) { return fmt::format("\"r\"(a[{}])", i); })
                     : "\"l\"(a)");
}

}  // namespace octavo
