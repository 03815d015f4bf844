// Specs and batches drawn at random, from a seed that the failure names.
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdlib>
#include <random>

#include "support.hpp"

using namespace octavo;
using namespace octavo::test;

namespace {

constexpr int kDraws = 12, kPrefillDraws = 6;

class Draw {
 public:
  explicit Draw(std::uint64_t seed) : random_(seed) {}

  // The same on every platform, which std::uniform_int_distribution is not.
  int between(int low, int high) {
    return low + static_cast<int>(random_() % static_cast<std::uint64_t>(high - low + 1));
  }
  const char* one_of(std::initializer_list<const char*> values) {
    return values.begin()[between(0, static_cast<int>(values.size()) - 1)];
  }
  bool sometimes() { return between(0, 3) == 0; }

 private:
  std::mt19937_64 random_;
};

std::string draw_spec(Draw& draw, bool fp8_mma) {
  const int kv_heads = draw.between(1, 3), group = draw.between(1, 12);
  const int qk = 16 * draw.between(2, 16);
  const int v = draw.sometimes() ? 16 * draw.between(2, 16) : qk;
  const std::string mask = draw.sometimes()
                               ? fmt::format("{{sliding_window: {}}}", draw.between(1, 300))
                               : draw.one_of({"causal", "none"});
  const bool rotates = qk % 32 == 0 && draw.sometimes();
  const std::string format = draw.one_of({"e4m3", "e4m3", "e5m2", "bf16", "fp16"});
  const bool fp8 = format.front() == 'e';
  const std::string layout = draw.sometimes()
                                 ? "contiguous"
                                 : fmt::format("paged, page_size: {}", 8 << draw.between(0, 5));
  std::string matmul = draw.one_of({"fp16", "bf16"});
  if (format == "bf16" || format == "fp16") matmul = format;
  if (fp8 && fp8_mma && draw.sometimes()) matmul = "fp8";
  return fmt::format(
      "attention: {{query_heads: {}, kv_heads: {}, head_dim: {{qk: {}, v: {}}}, mask: {}, softcap: "
      "{}, "
      "sinks: {}{}}}\nkv_cache: {{format: {}, {}layout: {}}}\ncompute: {{matmul: {}, accumulation: "
      "{{levels: {}}}}}\ninput: {}\noutput: {}\n",
      kv_heads * group, kv_heads, qk, v, mask, draw.sometimes() ? 20 : 0, draw.sometimes(),
      rotates ? fmt::format(", rope: {{pairing: {}}}", draw.one_of({"half", "interleaved"})) : "",
      format, fp8 ? fmt::format("scale: {}, ", draw.one_of({"token_head", "head", "tensor"})) : "",
      layout, matmul, matmul == "fp8" ? draw.between(1, 2) : 1,
      draw.one_of({"bf16", "fp16", "fp32"}), draw.one_of({"bf16", "fp16", "e4m3"}));
}

// What prefill takes; any fp8 cache in fp8.
std::string draw_prefill_spec(Draw& draw) {
  const int kv_heads = draw.between(1, 2), group = draw.between(1, 12);
  const int qk = 32 * draw.between(1, 8);
  const int v = draw.sometimes() ? 32 * draw.between(1, 8) : qk;
  const std::string mask = draw.sometimes()
                               ? fmt::format("{{sliding_window: {}}}", draw.between(1, 300))
                               : draw.one_of({"causal", "none"});
  const std::string format = draw.one_of({"e4m3", "e4m3", "e5m2", "bf16", "fp16"});
  const bool fp8 = format.front() == 'e';
  const std::string layout = draw.sometimes()
                                 ? "contiguous"
                                 : fmt::format("paged, page_size: {}", 8 * draw.between(1, 20));
  const std::string compute =
      !fp8 ? ""
      : draw.sometimes()
          ? "compute: {matmul: fp8}\n"
          : fmt::format(
                "compute: {{matmul: fp8, accumulation: {{levels: 2, promote_every: {}}}}}\n",
                32 * draw.between(1, 6));
  return fmt::format(
      "attention: {{query_heads: {}, kv_heads: {}, head_dim: {{qk: {}, v: {}}}, mask: {}, softcap: "
      "{}, sinks: {}}}\nkv_cache: {{format: {}, {}layout: {}}}\n{}input: {}\noutput: {}\n"
      "kernels: [append, prefill]\n",
      kv_heads * group, kv_heads, qk, v, mask, draw.sometimes() ? 20 : 0, draw.sometimes(), format,
      fp8 ? fmt::format("scale: {}, ", draw.one_of({"token_head", "head", "tensor"})) : "", layout,
      compute, draw.one_of({"bf16", "fp16", "fp32"}), draw.one_of({"bf16", "fp16", "e4m3"}));
}

Shape draw_shape(Draw& draw) {
  Shape shape;
  const int sequences = draw.between(1, 4);
  for (int i = 0; i < sequences; ++i)
    shape.lengths.push_back(draw.sometimes() ? draw.between(0, 3) : draw.between(0, 400));
  shape.queries = draw.sometimes() ? draw.between(2, 16) : 1;
  shape.splits = draw.between(0, 4);
  return shape;
}

}  // namespace

TEST_CASE("random specs and batches") {
  const bool fp8_mma = device().architecture().fp8_mma;
  // Each GPU draws cases of its own.
  const auto base = static_cast<std::uint64_t>(device().compute_capability()) * 1000;
  for (std::uint64_t seed = base; seed < base + kDraws; ++seed) {
    Draw draw(seed);
    const std::string yaml = draw_spec(draw, fp8_mma);
    const Shape shape = draw_shape(draw);
    CAPTURE(seed);
    CAPTURE(yaml);
    CAPTURE(fmt::format("lengths {}, {} queries, {} splits", fmt::join(shape.lengths, ","),
                        shape.queries, shape.splits));
    check_case(spec_of(yaml), shape, seed);
  }
}

TEST_CASE("random specs and prompts of prefill") {
  if (!has_prefill()) return;
  for (std::uint64_t seed = 0; seed < kPrefillDraws; ++seed) {
    Draw draw(seed);
    const std::string yaml = draw_prefill_spec(draw);
    Shape shape = draw_shape(draw);
    shape.queries = draw.between(1, 200);
    CAPTURE(seed);
    CAPTURE(yaml);
    CAPTURE(fmt::format("lengths {}, {} queries", fmt::join(shape.lengths, ","), shape.queries));
    setenv("OCTAVO_ASYNC", fmt::format("random:{}", seed).c_str(), 1);
    check_case(spec_of(yaml), shape, seed);
    unsetenv("OCTAVO_ASYNC");
  }
}
