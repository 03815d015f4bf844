#include "generator/spec.hpp"

#include <fmt/format.h>
#include <xxhash.h>

#include <array>

namespace octavo {
namespace {

// Arrays in the order of the enumerators.
constexpr std::array<std::string_view, 5> kDataTypes{"e4m3", "e5m2", "bf16", "fp16", "fp32"};
constexpr std::array<std::string_view, 3> kMaskKinds{"none", "causal", "sliding_window"};
constexpr std::array<std::string_view, 5> kGranularities{"tensor", "head", "token_head", "block",
                                                         "channel"};
constexpr std::array<std::string_view, 2> kLayouts{"contiguous", "paged"};
constexpr std::array<std::string_view, 3> kMatmuls{"fp8", "fp16", "bf16"};
constexpr std::array<std::string_view, 4> kKernels{"append", "decode", "merge", "prefill"};
constexpr std::array<std::string_view, 3> kPairings{"none", "half", "interleaved"};

template <class Names, class Enum>
std::string_view at(const Names& names, Enum value) {
  return names.at(static_cast<std::size_t>(value));
}

// Quoted where YAML would read the word as nothing.
std::string name_text(const std::string& name) {
  const bool null = name == "null" || name == "Null" || name == "NULL";
  return null ? fmt::format("\"{}\"", name) : name;
}

std::string head_dim_text(const HeadDim& dim) {
  if (dim.qk == dim.v) return fmt::format("{}", dim.qk);
  return fmt::format("{{qk: {}, v: {}}}", dim.qk, dim.v);
}

std::string mask_text(const Mask& mask) {
  if (mask.kind != MaskKind::sliding_window) return std::string(name_of(mask.kind));
  return fmt::format("{{sliding_window: {}}}", mask.window);
}

std::string rope_text(const Rope& rope) {
  if (rope.pairing == RopePairing::none) return "none";
  return fmt::format("{{pairing: {}, dims: {}, theta: {}}}", name_of(rope.pairing), rope.dims,
                     rope.theta);
}

std::string scale_text(const Scale& scale) {
  if (scale.granularity != ScaleGranularity::block) return std::string(name_of(scale.granularity));
  return fmt::format("{{block: {}}}", scale.block);
}

std::string accumulation_text(const Accumulation& accumulation) {
  if (accumulation.levels == 1) return "{levels: 1}";
  return fmt::format("{{levels: {}, promote_every: {}}}", accumulation.levels,
                     accumulation.promote_every);
}

std::string attention_text(const AttentionSpec& attention) {
  return fmt::format(
      "attention:\n"
      "  query_heads: {}\n"
      "  kv_heads: {}\n"
      "  head_dim: {}\n"
      "  mask: {}\n"
      "  softmax_scale: {}\n"
      "  softcap: {}\n"
      "  sinks: {}\n"
      "  rope: {}\n",
      attention.query_heads, attention.kv_heads, head_dim_text(attention.head_dim),
      mask_text(attention.mask), attention.softmax_scale, attention.softcap, attention.sinks,
      rope_text(attention.rope));
}

std::string cache_text(const CacheSpec& cache) {
  std::string text = fmt::format("kv_cache:\n  format: {}\n", name_of(cache.format));
  if (is_fp8(cache.format)) text += fmt::format("  scale: {}\n", scale_text(cache.scale));
  text += fmt::format("  layout: {}\n", name_of(cache.layout));
  if (cache.layout == Layout::paged) text += fmt::format("  page_size: {}\n", cache.page_size);
  if (cache.history_ready) text += "  history_ready: true\n";
  return text;
}

std::string kernels_text(const std::vector<KernelKind>& kernels) {
  std::vector<std::string_view> names;
  names.reserve(kernels.size());
  for (KernelKind kernel : kernels) names.push_back(name_of(kernel));
  return fmt::format("kernels: [{}]\n", fmt::join(names, ", "));
}

}  // namespace

std::string_view name_of(DataType type) { return at(kDataTypes, type); }
std::string_view name_of(MaskKind kind) { return at(kMaskKinds, kind); }
std::string_view name_of(ScaleGranularity granularity) { return at(kGranularities, granularity); }
std::string_view name_of(Layout layout) { return at(kLayouts, layout); }
std::string_view name_of(Matmul matmul) { return at(kMatmuls, matmul); }
std::string_view name_of(KernelKind kernel) { return at(kKernels, kernel); }
std::string_view name_of(RopePairing pairing) { return at(kPairings, pairing); }

int bytes_of(DataType type) {
  if (is_fp8(type)) return 1;
  return type == DataType::fp32 ? 4 : 2;
}

bool is_fp8(DataType type) { return type == DataType::e4m3 || type == DataType::e5m2; }

SpecError::SpecError(std::vector<std::string> lines)
    : std::runtime_error(fmt::format("{}", fmt::join(lines, "\n"))), lines_(std::move(lines)) {}

std::string canonical_yaml(const Spec& spec) {
  std::string text = "octavo: 1\n";
  if (!spec.name.empty()) text += fmt::format("name: {}\n", name_text(spec.name));
  text += attention_text(spec.attention);
  text += cache_text(spec.kv_cache);
  text += fmt::format("compute:\n  matmul: {}\n  accumulation: {}\n", name_of(spec.compute.matmul),
                      accumulation_text(spec.compute.accumulation));
  text += fmt::format("input: {}\noutput: {}\n", name_of(spec.input), name_of(spec.output));
  text += kernels_text(spec.kernels);
  return text;
}

std::string digest(const Spec& spec) {
  Spec nameless = spec;
  nameless.name.clear();
  const std::string text = canonical_yaml(nameless);
  return fmt::format("{:016x}", XXH3_64bits(text.data(), text.size()));
}

}  // namespace octavo
