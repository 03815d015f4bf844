// prefill on a device, in TFLOP/s: fp8 with one level and two beside bf16, over head dims and
// lengths, causal and not. Each sequence is a whole prompt, all heads have K and V of their own,
// and the cache is paged.
//
//   benchmark_prefill [--dim 64,128,256] [--tokens 2048,32768] [--heads N] [--kv-heads N]
//                     [--scale head|token_head] [--promote-every N] [--tile N] [--chunk N]
//                     [--stages N] [--rows 128|192] [--device NAME] [--json FILE]
//
// --tile, --chunk, --stages and --rows take the place of what the plan chooses; what cannot be is
// left out. tools/timing.hpp says how it is timed, each after a second's rest: at full power a GPU
// soon lowers its clock. Inputs are normally distributed.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <thread>

#include "generator/plan.hpp"
#include "generator/source.hpp"
#include "runtime/compiler.hpp"
#include "runtime/kernel.hpp"
#include "tools/cache_layers.hpp"
#include "tools/json_file.hpp"
#include "tools/random_words.hpp"
#include "tools/terminal.hpp"
#include "tools/timing.hpp"

namespace octavo {
namespace {

using json = nlohmann::ordered_json;

struct Options {
  std::vector<int> dim = {64, 128, 256}, tokens = {2048, 8192, 16384, 32768};
  int heads = 16, kv_heads = 16, promote_every = 128, tile = 0, chunk = 0, stages = 0, rows = 0;
  std::string scale = "token_head", device = "auto";
  std::filesystem::path json_file;
};

// What is multiplied, and how it is summed.
struct Variant {
  const char* name;
  const char* yaml;
};
constexpr Variant kVariants[] = {{"fp8, two levels",
                                  "compute: {{matmul: fp8, accumulation: "
                                  "{{levels: 2, promote_every: {}}}}}\n"
                                  "kv_cache: {{scale: {}}}\n"},
                                 {"fp8, one level",
                                  "compute: {{matmul: fp8}} # {}\n"
                                  "kv_cache: {{scale: {}}}\n"},
                                 {"bf16", "kv_cache: {{format: bf16}} # {} {}\n"}};

class Bench {
 public:
  explicit Bench(const Options& options)
      : options_(options), device_(Device::open(options.device)), timing_(device_) {}

  void run() {
    for (const int dim : options_.dim) {
      for (const char* mask : {"none", "causal"}) {
        for (const Variant& variant : kVariants) measure(variant, dim, mask);
      }
    }
    std::vector<std::vector<std::string>> cells = {{"dim", "mask", "multiplied", "tile", "chunk",
                                                    "stages", "rows", "tokens", "us", "TFLOP/s"}};
    for (const json& row : rows_) {
      std::vector<std::string> line;
      for (const json& value : row) {
        line.push_back(value.is_string()         ? value.get<std::string>()
                       : value.is_number_float() ? fmt::format("{:.1f}", value.get<double>())
                                                 : value.dump());
      }
      cells.push_back(line);
    }
    fmt::print("{}\n\n{}", device_.name(), table(cells));
  }

 private:
  void measure(const Variant& variant, int dim, const char* mask) {
    const std::string yaml =
        fmt::format("attention: {{query_heads: {}, kv_heads: {}, head_dim: {}, mask: {}}}\n",
                    options_.heads, options_.kv_heads, dim, mask) +
        fmt::format(fmt::runtime(variant.yaml), options_.promote_every, options_.scale);
    const Spec spec = parse_specs("octavo: 1\nkernels: [prefill]\n" + yaml, "benchmark").front();
    const Architecture& arch = device_.architecture();
    Tunables tunables = plan(spec, KernelKind::prefill, arch).tunables;
    if (options_.tile > 0) tunables.tile_tokens = options_.tile;
    if (options_.stages > 0) tunables.stages = options_.stages;
    if (options_.rows > 0) {
      tunables.row_tiles = options_.rows / 16;
      tunables.warps = tunables.row_tiles + 4;
    }
    if (options_.chunk > 0 && spec.compute.accumulation.levels == 2) {
      tunables.chunk = options_.chunk;
    }
    try {
      const Plan prefill = plan(spec, KernelKind::prefill, arch, tunables);
      const Kernel kernel(device_, prefill, compile_cached(emit(prefill), arch.name).binary);
      for (const int tokens : options_.tokens) measure(kernel, variant.name, tokens);
    } catch (const SpecError& error) {
      fmt::print(stderr, "{}, dim {}: {}\n", variant.name, dim, error.what());
    }
  }

  void measure(const Kernel& kernel, const char* name, int tokens) {
    const Spec& spec = kernel.plan().spec;
    const AttentionSpec& shape = spec.attention;
    const std::size_t bytes = LayerBytes(spec, 1, tokens).all();
    const std::size_t layers = timing_.copies_for(bytes);
    if (!timing_.fits(layers * bytes)) return;

    const CacheLayers cache(timing_, spec, layers, 1, tokens);
    const int dim = shape.head_dim.v;
    const std::size_t heads = static_cast<std::size_t>(tokens) * shape.query_heads;
    const Buffer q(device_, heads * dim * 2), output(device_, heads * dim * 2);
    timing_.fill(q.address(), q.bytes(), normal_numbers(spec.input, 1));
    const Buffer start = upload(device_, {0, tokens}), length = upload(device_, {tokens});
    PrefillArguments arguments{};
    arguments.batch = {.token_start = start.address(),
                       .kv_length = length.address(),
                       .sequences = 1,
                       .tokens = tokens};
    arguments.q = q.address();
    arguments.output = output.address();
    arguments.q_stride = static_cast<long long>(shape.query_heads) * dim;
    LaunchShape launch{.sequences = 1, .tokens = tokens, .max_query_tokens = tokens};
    choose_short_blocks(kernel.plan(), launch, device_.multiprocessors());
    const bool causal = shape.mask.kind == MaskKind::causal;
    const double operations =
        (causal ? 2.0 : 4.0) * tokens * tokens * shape.query_heads * shape.head_dim.v;
    if (!device_.emulated()) std::this_thread::sleep_for(std::chrono::seconds(1));
    const double milliseconds =
        timing_.time(layers, bytes_meanwhile(operations), [&](std::size_t layer) {
          arguments.cache = cache[layer];
          kernel.launch(launch, arguments, timing_.stream());
        });
    const Tunables& tunables = kernel.plan().tunables;
    rows_.push_back({{"dim", dim},
                     {"mask", name_of(shape.mask.kind)},
                     {"multiplied", name},
                     {"tile", tunables.tile_tokens},
                     {"chunk", tunables.chunk},
                     {"stages", tunables.stages},
                     {"rows", 16 * tunables.row_tiles},
                     {"tokens", tokens},
                     {"us", 1e3 * milliseconds},
                     {"tflop_per_s", operations / milliseconds / 1e9}});
    write_json(options_.json_file, {{"device", device_.name()}, {"rows", rows_}});
  }

  Options options_;
  Device device_;
  Timing timing_;
  json rows_ = json::array();
};

}  // namespace
}  // namespace octavo

int main(int argc, char** argv) {
  octavo::Options options;
  CLI::App app("prefill on a device, in TFLOP/s");
  const CLI::Range sizes(1, 1 << 20);
  app.add_option("--dim", options.dim, "Head dims")->delimiter(',')->check(sizes);
  app.add_option("--tokens", options.tokens, "Of the prompt")->delimiter(',')->check(sizes);
  app.add_option("--heads", options.heads, "Query heads")->check(sizes)->capture_default_str();
  app.add_option("--kv-heads", options.kv_heads, "KV heads")->check(sizes)->capture_default_str();
  app.add_option("--scale", options.scale, "Of the fp8 cache")->capture_default_str();
  app.add_option("--promote-every", options.promote_every, "Tokens")->capture_default_str();
  app.add_option("--tile", options.tile, "Tokens of a tile")->check(sizes);
  app.add_option("--chunk", options.chunk, "Dims of V that are summed at a time")->check(sizes);
  app.add_option("--stages", options.stages, "Tiles in shared memory")->check(sizes);
  app.add_option("--rows", options.rows, "Query rows of a block")->check(sizes);
  app.add_option("--device", options.device, "As octavo run takes it")->capture_default_str();
  app.add_option("--json", options.json_file, "Write the rows here");
  CLI11_PARSE(app, argc, argv);
  try {
    octavo::Bench(options).run();
    return 0;
  } catch (const octavo::EnvironmentError& error) {
    fmt::print(stderr, "benchmark_prefill: {}\n", error.what());
    return 3;
  } catch (const std::exception& error) {
    fmt::print(stderr, "benchmark_prefill: {}\n", error.what());
    return 2;
  }
}
