#include "tools/instructions.hpp"

#include <fmt/format.h>

#include "tools/probe.hpp"

namespace octavo {
namespace {

using Words = std::vector<std::uint32_t>;

const char* const kTensorCoreText =
#include "probes/tensor_core.inc"
    ;
const char* const kSpecialText =
#include "probes/special.inc"
    ;

constexpr FloatFormat kBf16{"bf16", 8, 7}, kTf32{"tf32", 8, 23}, kE5m2{"e5m2", 5, 2},
    kE4m3{"e4m3", 4, 3, false};

constexpr Special kSpecials[] = {
    {"ex2.approx.ftz.f32", -30, 7, -26, -13, 512, true},
    {"ex2.approx.f32", -26, 7},
    {"lg2.approx.ftz.f32", -126, 127, -126, 127, 4096},
    {"lg2.approx.f32", -128, 127},
    {"rcp.approx.ftz.f32", -126, 127},
    {"rcp.approx.f32", -128, 127},
    {"rsqrt.approx.ftz.f32", -126, 127},
    {"rsqrt.approx.f32", -128, 127},
    {"sqrt.approx.ftz.f32", -126, 127},
    {"sqrt.approx.f32", -128, 127},
    {"sin.approx.ftz.f32", -16, 12, -12, 3, 64},
    {"sin.approx.f32", -128, 12},
    {"cos.approx.ftz.f32", -16, 12, -12, 3, 64},
    {"cos.approx.f32", -128, 12},
    {"tanh.approx.f32", -16, 4, -12, 3, 32},
    {"ex2.approx.f16x2", 0, 0},
    {"ex2.approx.ftz.bf16x2", 0, 0},
    {"tanh.approx.f16x2", 0, 0},
    {"tanh.approx.bf16x2", 0, 0},
};

std::uint64_t seed_of(std::string_view name) {
  std::uint64_t hash = 0xCBF29CE484222325u;  // FNV-1a
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3u;
  return hash;
}

Buffer upload(const Device& device, const Words& words) {
  Buffer buffer(device, words.size() * sizeof words[0]);
  buffer.upload(words.data(), buffer.bytes());
  return buffer;
}

Words download(const Buffer& buffer) {
  Words words(buffer.bytes() / sizeof(std::uint32_t));
  buffer.download(words.data(), buffer.bytes());
  return words;
}

// Element `index` of packed elements of `bytes` bytes.
std::uint32_t element(const Words& words, std::size_t index, std::size_t bytes) {
  const std::size_t bit = index * bytes * 8;
  return words[bit / 32] >> bit % 32 & static_cast<std::uint32_t>((1ull << bytes * 8) - 1);
}

template <typename Draw>
Words draw_packed(std::size_t elements, std::size_t bytes, const Draw& draw) {
  Words words(elements * bytes / 4);
  for (std::size_t i = 0; i < elements; ++i) words[i * bytes / 4] |= draw() << i * bytes % 4 * 8;
  return words;
}

std::string hex(std::uint32_t bits, std::size_t bytes) {
  return fmt::format("{:0{}x}", bits, 2 * bytes);
}

std::string text_of(const TensorCore& core, std::size_t k) {
  const auto type = core.element.name, accumulator = core.accumulator.name;
  const bool halves = core.element.bits() == 16;
  return fmt::format("#define WGMMA {}\n#define ACCUMULATORS {}\n#define IMMEDIATES \"{}\"\n",
                     static_cast<int>(core.wgmma), core.accumulator.bits() / 8,
                     halves ? ", 1, 1, 0, 0" : ", 1, 1") +
         (core.wgmma
              ? fmt::format(
                    "#define INSTRUCTION \"wgmma.mma_async.sync.aligned.m64n8k{}.{}.{}.{}\"\n", k,
                    accumulator, type, type)
              : fmt::format(
                    "#define INSTRUCTION \"mma.sync.aligned.m16n8k{0}.row.col.{1}.{2}.{2}.{1}\"\n",
                    k, accumulator, type)) +
         kTensorCoreText;
}

Words evaluate(const Device& device, const Special& special, const Words& x) {
  const std::string text = fmt::format("#define INSTRUCTION \"{}\"\n#define REGISTER \"{}\"\n",
                                       special.opcode, special.of_halves() ? ".b32" : ".f32") +
                           kSpecialText;
  const Probe probe(device, text, "probe");
  const Buffer device_x = upload(device, x), device_y = upload(device, Words(x.size(), ~0u));
  constexpr unsigned kThreads = 256;
  const auto count = static_cast<unsigned>(x.size());
  probe.launch((count + kThreads - 1) / kThreads, kThreads, nullptr, device_x.address(),
               device_y.address(), count);
  device.synchronize();
  return download(device_y);
}

}  // namespace

std::string TensorCore::name() const {
  return fmt::format("{}.{}.{}", wgmma ? "wgmma" : "mma_sync", element.name, accumulator.name);
}

std::vector<TensorCore> tensor_cores() {
  std::vector<TensorCore> all;
  for (const bool wgmma : {false, true}) {
    for (const FloatFormat& element : {kF16, kBf16, kTf32, kE4m3, kE5m2}) {
      all.push_back({wgmma, element, kF32});
      if (element.name == "f16" || element.name == "e4m3") all.push_back({wgmma, element, kF16});
    }
  }
  return all;
}

std::vector<std::string> record(const Device& device, const TensorCore& core, int row_count) {
  const auto bytes = static_cast<std::size_t>(core.element.bits() / 8);
  const std::size_t k = 32 / bytes, height = core.wgmma ? 64 : 16, width = 8;
  const auto d_bytes = static_cast<std::size_t>(core.accumulator.bits() / 8);
  const auto rows = static_cast<std::size_t>(row_count);
  // Each matrix from numbers of its own: a shorter file is the beginning of a longer one.
  std::uint64_t seed = seed_of(core.name());
  const auto draw = [&](std::size_t elements_each, std::size_t size, const FloatFormat& format,
                        auto function) {
    Random random(++seed);
    std::size_t drawn = 0;
    return draw_packed(rows * elements_each, size, [&] {
      const auto kind = static_cast<InputKind>(drawn++ / elements_each % kInputKinds);
      return function(random, format, kind);
    });
  };
  const Words a = draw(height * k, bytes, core.element, draw_element);
  const Words b = draw(width * k, bytes, core.element, draw_element);
  const Words c = draw(height * width, d_bytes, core.accumulator, draw_accumulator);

  const Probe probe(device, text_of(core, k), "probe");
  const Buffer device_a = upload(device, a), device_b = upload(device, b);
  const Buffer device_c = upload(device, c), device_d = upload(device, Words(c.size(), ~0u));
  probe.launch(static_cast<unsigned>(rows), core.wgmma ? 128 : 32, nullptr, device_a.address(),
               device_b.address(), device_c.address(), device_d.address());
  device.synchronize();
  const Words d = download(device_d);

  std::vector<std::string> lines;
  Random random(++seed);
  for (std::size_t row = 0; row < rows; ++row) {
    // One output of each instruction, so that a short file has as many inputs as can be.
    const std::size_t m = random.next() % height, n = random.next() % width;
    std::string line;
    for (std::size_t i = 0; i < k; ++i)
      line += hex(element(a, (row * height + m) * k + i, bytes), bytes);
    line += ' ';
    for (std::size_t i = 0; i < k; ++i)
      line += hex(element(b, (row * width + n) * k + i, bytes), bytes);
    const std::size_t output = (row * height + m) * width + n;
    lines.push_back(line + ' ' + hex(element(c, output, d_bytes), d_bytes) + ' ' +
                    hex(element(d, output, d_bytes), d_bytes));
  }
  return lines;
}

std::span<const Special> specials() { return kSpecials; }

std::vector<std::string> record(const Device& device, const Special& special, int rows) {
  Words x;
  if (special.of_halves()) {
    for (std::uint32_t i = 0; i < 0x8000; ++i) x.push_back((2 * i + 1) << 16 | 2 * i);
  } else {
    Random random(seed_of(special.opcode));
    for (int row = 0; row < rows; ++row) {
      x.push_back(row % 32 == 0 ? draw_special(random, kF32)
                                : draw_number(random, kF32, special.low, special.high));
    }
  }
  const Words y = evaluate(device, special, x);
  const std::size_t bytes = special.of_halves() ? 2 : 4;
  std::vector<std::string> lines;
  for (std::size_t i = 0; i < x.size() * 4 / bytes; ++i)
    lines.push_back(hex(element(x, i, bytes), bytes) + ' ' + hex(element(y, i, bytes), bytes));
  return lines;
}

std::vector<std::uint32_t> record_binade(const Device& device, const Special& special,
                                         int exponent) {
  Words x;
  const std::uint32_t first =
      (special.negative ? 1u << 31 : 0) | static_cast<std::uint32_t>(exponent + kF32.bias()) << 23;
  for (std::uint32_t i = 0; i < 1u << 23; i += static_cast<std::uint32_t>(special.stride))
    x.push_back(first | i);
  return evaluate(device, special, x);
}

}  // namespace octavo
