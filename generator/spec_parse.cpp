// The schema: every key, its default, what it allows, and which combinations are impossible.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <fstream>

#include "generator/spec.hpp"
#include "generator/spec_scope.hpp"
#include "generator/spec_sweep.hpp"
#include "generator/spec_yaml.hpp"

namespace octavo {
namespace {

constexpr IntegerRange kHeads{.least = 1, .most = 1024};
constexpr IntegerRange kHeadDim{.least = 32, .most = 256, .step = 16};
constexpr IntegerRange kTokens{.least = 1, .most = 1 << 24};
constexpr IntegerRange kPageSize{.least = 8, .most = 256, .step = 8};
constexpr IntegerRange kPromoteEvery{.least = 32, .most = 1 << 16, .step = 32};
constexpr NumberRange kSoftmaxScale{.least = 1e-6, .most = 1000};
constexpr NumberRange kSoftcap{.least = 0.001, .most = 1e6, .zero_too = true};
constexpr NumberRange kTheta{.least = 1, .most = 1e12};
constexpr int kMostGroup = 128;  // query heads that share a KV head
constexpr std::size_t kLongestName = 100;

bool is_name(std::string_view text) {
  const auto letter_or_digit = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  };
  return !text.empty() && text.size() <= kLongestName && letter_or_digit(text.front()) &&
         std::ranges::all_of(
             text, [&](char c) { return letter_or_digit(c) || c == '.' || c == '_' || c == '-'; });
}

// The name is used in file names, so it is held to what every file system takes.
std::string read_name(const Scope& root, const std::string& file_stem) {
  const std::string allowed = fmt::format(
      "letters, digits, '.', '_' and '-', a letter or digit first, at most {}", kLongestName);
  const std::optional<Choice> choice = root.find("name");
  if (!choice) {
    if (!is_name(file_stem)) {
      root.fault("name",
                 fmt::format("missing, and the file's own name is none; allowed: {}", allowed));
    }
    return file_stem;
  }
  if (!is_name(choice->node().text)) {
    root.fault("name", fmt::format("read {}; allowed: {}", shown(choice->node()), allowed));
  }
  return choice->node().text;
}

HeadDim read_head_dim(const Scope& attention) {
  if (attention.holds_map("head_dim")) {
    const Scope dims = attention.inner("head_dim", {"qk", "v"});
    return {.qk = dims.integer("qk", kHeadDim, std::nullopt),
            .v = dims.integer("v", kHeadDim, std::nullopt)};
  }
  const int both = attention.integer("head_dim", kHeadDim, std::nullopt, ", or {qk: ..., v: ...}");
  return {.qk = both, .v = both};
}

Mask read_mask(const Scope& attention) {
  if (attention.holds_map("mask")) {
    const Scope mask = attention.inner("mask", {"sliding_window"});
    return {.kind = MaskKind::sliding_window,
            .window = mask.integer("sliding_window", kTokens, std::nullopt)};
  }
  return {.kind = attention.name("mask", {MaskKind::none, MaskKind::causal}, MaskKind::causal,
                                 ", {sliding_window: tokens}")};
}

Rope read_rope(const Scope& attention, Reading& reading, const HeadDim& head_dim) {
  if (!attention.holds_map("rope")) {
    attention.name("rope", {RopePairing::none}, RopePairing::none,
                   ", {pairing: ..., dims: ..., theta: ...}");
    return {};
  }
  const Scope scope = attention.inner("rope", {"pairing", "dims", "theta"});
  Rope rope;
  rope.pairing =
      scope.name("pairing", {RopePairing::half, RopePairing::interleaved}, RopePairing::half);
  rope.dims = scope.integer("dims", {.least = 2, .most = kHeadDim.most, .step = 2}, head_dim.qk);
  rope.theta = scope.number("theta", kTheta, rope.theta);
  reading.refuse_if(
      rope.dims > head_dim.qk, scope.path_of("dims"),
      {"attention.head_dim", "attention.head_dim.qk"},
      fmt::format("read {}; allowed: at most the head dim of q and k, {}", rope.dims, head_dim.qk));
  return rope;
}

AttentionSpec read_attention(const Scope& root, Reading& reading) {
  const Scope scope = root.inner("attention", {"query_heads", "kv_heads", "head_dim", "mask",
                                               "softmax_scale", "softcap", "sinks", "rope"});
  AttentionSpec attention;
  attention.query_heads = scope.integer("query_heads", kHeads, std::nullopt);
  attention.kv_heads = scope.integer("kv_heads", kHeads, std::nullopt);
  attention.head_dim = read_head_dim(scope);
  attention.mask = read_mask(scope);
  attention.softmax_scale =
      scope.number("softmax_scale", kSoftmaxScale, 1 / std::sqrt(attention.head_dim.qk));
  attention.softcap = scope.number("softcap", kSoftcap, 0);
  attention.sinks = scope.boolean("sinks", false);
  attention.rope = read_rope(scope, reading, attention.head_dim);

  const std::string query_heads = scope.path_of("query_heads");
  reading.refuse_if(attention.query_heads % attention.kv_heads != 0, query_heads,
                    {"attention.kv_heads"},
                    fmt::format("read {}; allowed: a multiple of kv_heads, {}",
                                attention.query_heads, attention.kv_heads));
  reading.refuse_if(attention.group() > kMostGroup, query_heads, {"attention.kv_heads"},
                    fmt::format("read {}, {} to a KV head; allowed: at most {} to a KV head",
                                attention.query_heads, attention.group(), kMostGroup));
  return attention;
}

Scale read_scale(const Scope& cache) {
  if (cache.holds_map("scale")) {
    const Scope scale = cache.inner("scale", {"block"});
    return {.granularity = ScaleGranularity::block,
            .block = scale.integer("block", kTokens, std::nullopt)};
  }
  using enum ScaleGranularity;
  return {.granularity = cache.name("scale", {tensor, head, token_head, channel}, token_head,
                                    ", {block: tokens}")};
}

CacheSpec read_cache(const Scope& root, Reading& reading) {
  using enum DataType;
  const Scope scope =
      root.inner("kv_cache", {"format", "scale", "layout", "page_size", "history_ready"});
  CacheSpec cache;
  cache.format = scope.name("format", {e4m3, e5m2, bf16, fp16}, e4m3);
  const Scale scale = read_scale(scope);
  if (is_fp8(cache.format)) cache.scale = scale;
  cache.layout = scope.name("layout", {Layout::contiguous, Layout::paged}, Layout::paged);
  const int page_size = scope.integer("page_size", kPageSize, cache.page_size);
  if (cache.layout == Layout::paged) cache.page_size = page_size;
  cache.history_ready = scope.boolean("history_ready", false);

  reading.refuse_if(
      !is_fp8(cache.format) && scope.has("scale"), scope.path_of("scale"), {"kv_cache.format"},
      fmt::format("a {} cache has no scales; allowed: to leave it out", name_of(cache.format)));
  reading.refuse_if(cache.layout == Layout::contiguous && scope.has("page_size"),
                    scope.path_of("page_size"), {"kv_cache.layout"},
                    "a contiguous cache has no pages; allowed: to leave it out");
  return cache;
}

Accumulation read_accumulation(const Scope& compute, Reading& reading) {
  const Scope scope = compute.inner("accumulation", {"levels", "promote_every"});
  Accumulation accumulation;
  accumulation.levels = scope.integer("levels", {.least = 1, .most = 2}, accumulation.levels);
  const int every = scope.integer("promote_every", kPromoteEvery, accumulation.promote_every);
  if (accumulation.levels == 2) accumulation.promote_every = every;
  reading.refuse_if(accumulation.levels == 1 && scope.has("promote_every"),
                    scope.path_of("promote_every"), {"compute.accumulation.levels"},
                    "one level promotes nothing; allowed: to leave it out, or levels: 2");
  return accumulation;
}

// What the tensor cores multiply has to hold what the cache holds.
Compute read_compute(const Scope& root, Reading& reading, DataType format) {
  const Scope scope = root.inner("compute", {"matmul", "accumulation"});
  Compute compute;
  compute.matmul = scope.name("matmul", {Matmul::fp8, Matmul::fp16, Matmul::bf16},
                              format == DataType::bf16 ? Matmul::bf16 : Matmul::fp16);
  compute.accumulation = read_accumulation(scope, reading);

  const bool fits = is_fp8(format) || name_of(compute.matmul) == name_of(format);
  reading.refuse_if(!fits, scope.path_of("matmul"), {"kv_cache.format"},
                    fmt::format("read \"{}\"; allowed: {}, as the cache is",
                                name_of(compute.matmul), name_of(format)));
  reading.refuse_if(compute.accumulation.levels == 2 && compute.matmul != Matmul::fp8,
                    "compute.accumulation.levels", {"compute.matmul", "kv_cache.format"},
                    fmt::format("read 2; allowed: 1, as matmul: {} accumulates in fp32 already",
                                name_of(compute.matmul)));
  return compute;
}

std::vector<KernelKind> read_kernels(const Scope& root) {
  const std::optional<Choice> choice = root.find("kernels");
  if (!choice) return Spec{}.kernels;
  const auto refuse = [&root](std::string_view read) {
    root.fault("kernels",
               fmt::format("read {}; allowed: a list of append, decode, prefill, each at most once",
                           read));
  };
  const YamlNode& node = choice->node();
  if (node.kind != YamlNode::Kind::list || node.items.empty()) refuse(shown(node));

  std::vector<KernelKind> kernels;
  for (const YamlNode& item : node.items) {
    constexpr std::array kAllowed{KernelKind::append, KernelKind::decode, KernelKind::prefill};
    const auto kernel =
        std::ranges::find(kAllowed, item.text, [](KernelKind each) { return name_of(each); });
    if (kernel == kAllowed.end()) {
      refuse(shown(item));
    } else if (std::ranges::find(kernels, *kernel) != kernels.end()) {
      refuse(shown(item) + " a second time");
    } else {
      kernels.push_back(*kernel);
    }
  }
  return kernels;
}

Spec read_spec(const YamlNode& document, std::size_t number, const std::string& file_stem,
               Faults& faults) {
  using enum DataType;
  Reading reading(faults);
  const Scope root(
      reading, "", Choice(document, number), {},
      {"octavo", "name", "attention", "kv_cache", "compute", "input", "output", "kernels"});
  root.integer("octavo", {.least = 1, .most = 1}, 1);
  Spec spec;
  spec.name = read_name(root, file_stem);
  spec.attention = read_attention(root, reading);
  spec.kv_cache = read_cache(root, reading);
  spec.compute = read_compute(root, reading, spec.kv_cache.format);
  spec.input = root.name("input", {bf16, fp16, fp32}, bf16);
  spec.output = root.name("output", {bf16, fp16, e4m3}, bf16);
  spec.kernels = read_kernels(root);
  return spec;
}

std::vector<Spec> read_document(YamlNode& document, const std::string& file_stem, Faults& faults) {
  count_choices(document);
  std::size_t count = document.choices;
  if (count > kMostSpecs) {
    faults.add(document.place, "",
               fmt::format("the lists stand for more than {0} specs; allowed: {0}", kMostSpecs));
    count = 1;  // enough to find what else is wrong
  }
  std::vector<Spec> specs;
  std::set<std::string> names;
  for (std::size_t i = 0; i < count && !faults.full(); ++i) {
    specs.push_back(read_spec(document, i, file_stem, faults));
    if (!faults.empty()) continue;
    specs.back().name += sweep_suffix(document, i);
    if (!names.insert(specs.back().name).second) {
      faults.add(document.place, "",
                 fmt::format("the lists stand for {} twice; allowed: once", specs.back().name));
    }
  }
  return specs;
}

}  // namespace

std::vector<Spec> parse_specs(std::string_view yaml, std::string_view file) {
  Faults faults;
  YamlNode document;
  std::vector<Spec> specs;
  if (read_yaml(yaml, document, faults)) {
    specs = read_document(document, std::filesystem::path(file).stem().string(), faults);
  }
  if (!faults.empty()) throw SpecError(faults.lines(file));
  return specs;
}

std::vector<Spec> read_specs(const std::filesystem::path& file) {
  const auto fail = [&](std::string_view why) {
    throw SpecError({fmt::format("{}: cannot be read: {}", file.string(), why)});
  };
  std::error_code ignored;
  if (std::filesystem::is_directory(file, ignored)) fail("it is a folder");
  std::ifstream stream(file, std::ios::binary);
  if (!stream) fail(std::strerror(errno));
  std::string text(kMostYamlBytes + 1, '\0');  // one more than allowed, so that parse_specs sees it
  stream.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (stream.bad()) fail(std::strerror(errno));
  text.resize(static_cast<std::size_t>(stream.gcount()));
  return parse_specs(text, file.string());
}

}  // namespace octavo
