// decode and append on a device, beside its ceilings, measured first:
//   read  a kernel that reads as many bytes and does nothing else; decode is given as a share of it
//   copy  a kernel that reads and writes as many; append is given as a share of it
//   wgmma what the tensor cores do of products alone
// decode runs over the spec's cache and, with the same kernel skeleton, over a bf16 one; without
// kv_cache.history_ready and with it; behind another decode, by programmatic dependent launch where
// the device has it, and behind an append of its tokens.
//
//   benchmark_attention [SPEC.yaml] [--batch 1,8] [--context 16384,65536] [--append 1024,65536]
//                       [--splits N] [--ceiling-mib N] [--device NAME] [--json FILE]
//
// tools/timing.hpp says how it is timed. Inputs are normally distributed.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <vector>

#include "runtime/attention.hpp"
#include "tools/cache_layers.hpp"
#include "tools/json_file.hpp"
#include "tools/new_tokens.hpp"
#include "tools/probe.hpp"
#include "tools/random_words.hpp"
#include "tools/terminal.hpp"

namespace octavo {
namespace {

using json = nlohmann::ordered_json;

const char* const kWgmmaText =
#include "probes/wgmma_rate.inc"
    ;

struct Options {
  std::string spec = OCTAVO_SOURCE_DIR "/specs/llama-3.1-8b.yaml", device = "auto";
  std::filesystem::path json_file;
  std::vector<int> batch = {1, 8, 64}, context = {1024, 4096, 16384, 65536, 262144};
  std::vector<int> append = {64, 1024, 8192, 65536};
  int splits = 0, ceiling_mib = 2048;
};

std::size_t aligned(std::size_t bytes) { return (bytes + 255) / 256 * 256; }

class Bench {
 public:
  explicit Bench(const Options& options)
      : options_(options), device_(Device::open(options.device)), timing_(device_) {}

  void run() {
    Spec spec = read_specs(options_.spec).front();
    if (spec.kv_cache.layout != Layout::paged)
      throw UsageError(spec.name + ": the benchmark needs a paged cache");
    measure_ceilings();
    measure_decode(spec);
    spec.kernels = {KernelKind::append};
    const Attention append(spec, device_);
    for (const int tokens : options_.append) measure_append(append, tokens);
    print();
  }

 private:
  void measure_ceilings() {
    const std::size_t bytes = static_cast<std::size_t>(options_.ceiling_mib) << 20;
    const Buffer memory(device_, bytes);
    timing_.fill(memory.address(), bytes, random_bits());
    const auto row = [&](const char* what, double milliseconds) {
      add({{"kernel", what},
           {"bytes", bytes},
           {"us", 1e3 * milliseconds},
           {"gb_per_s", static_cast<double>(bytes) / milliseconds / 1e6}});
    };
    row("copy", timing_.time_copy(memory.address(), bytes, 1));
    row("read", timing_.time_read(memory.address(), bytes, 1));
    if (device_.architecture().name == "sm_90a") {
      measure_wgmma("bf16", "m64n256k16.f32.bf16.bf16", ", 1, 1, 0, 0", 16);
      measure_wgmma("e4m3", "m64n256k32.f32.e4m3.e4m3", ", 1, 1", 32);
    }
  }

  void measure_wgmma(const char* type, const char* shape, const char* immediates, int k) {
    std::vector<std::string> accumulators;
    for (int i = 0; i < 128; ++i) accumulators.push_back(fmt::format("d{}", i));
    const Probe probe(device_,
                      fmt::format("#define INSTRUCTION \"wgmma.mma_async.sync.aligned.{}\"\n"
                                  "#define ACCUMULATORS \"{{{}}}\"\n#define IMMEDIATES \"{}\"\n",
                                  shape, fmt::join(accumulators, ", "), immediates) +
                          kWgmmaText,
                      "probe");
    const Buffer sink(device_, sizeof(float));
    const unsigned rounds = device_.emulated() ? 1 : 10000;
    const auto blocks = static_cast<unsigned>(device_.multiprocessors());
    constexpr double kProductsInRound = 2.0 * 4;  // of two warpgroups
    const double operations = 2.0 * 64 * 256 * k * kProductsInRound * rounds * blocks;
    const double milliseconds = timing_.time(1, bytes_meanwhile(operations), [&](std::size_t) {
      probe.launch(blocks, 256, timing_.stream(), rounds, sink.address());
    });
    add({{"kernel", "wgmma"},
         {"type", type},
         {"us", 1e3 * milliseconds},
         {"tflop_per_s", operations / milliseconds / 1e9}});
  }

  void measure_decode(Spec spec) {
    spec.kernels = {KernelKind::append, KernelKind::decode};
    Spec bf16 = spec;
    bf16.kv_cache.format = DataType::bf16;
    bf16.compute = {.matmul = Matmul::bf16, .accumulation = {}};
    const std::vector<Attention> decode = late_and_ready(spec), decode_bf16 = late_and_ready(bf16);
    for (const int batch : options_.batch) {
      for (const int context : options_.context) {
        const std::vector<double> bases = measure_decode(decode_bf16, batch, context, {});
        measure_decode(decode, batch, context, bases);
      }
    }
  }

  // The spec's without history_ready and with it.
  std::vector<Attention> late_and_ready(Spec spec) const {
    std::vector<Attention> result;
    for (const bool ready : {false, true}) {
      spec.kv_cache.history_ready = ready;
      result.emplace_back(spec, device_);
    }
    return result;
  }

  // Of specs that share a cache: milliseconds each, or none where it does not fit. `bases`: of the
  // same over a bf16 cache. What counts are the bytes that a decode reads: of a window, its
  // tokens'.
  std::vector<double> measure_decode(const std::vector<Attention>& attentions, int batch,
                                     int context, const std::vector<double>& bases) {
    const Spec& spec = attentions.front().spec();
    const Mask& mask = spec.attention.mask;
    const bool windowed = mask.kind == MaskKind::sliding_window;
    const int seen = windowed ? std::min(context, mask.window) : context;
    const std::size_t bytes = LayerBytes(spec, batch, seen).all();
    const std::size_t layers = timing_.copies_for(bytes);
    if (!timing_.fits(layers * LayerBytes(spec, batch, context).all())) return {};

    const CacheLayers cache(timing_, spec, layers, batch, context);
    NewTokens tokens(timing_, spec, batch, context);
    DecodeArguments& arguments = tokens.decode;
    const double read = timing_.time_read(cache.address(), bytes, layers);
    std::vector<double> times;
    for (const Attention& attention : attentions) {
      const Attention::DecodeSize size{
          .max_query_tokens = 1, .max_kv_length = context, .splits = options_.splits};
      Buffer workspace(
          device_, std::max<std::size_t>(attention.workspace_bytes(arguments.batch, size), 256));
      workspace.fill(0);
      times.push_back(timing_.time(layers, bytes, [&](std::size_t layer) {
        arguments.cache = cache[layer];
        attention.decode(arguments, size, workspace.address(), timing_.stream());
      }));
      const double with_append = timing_.time(layers, bytes, [&](std::size_t layer) {
        arguments.cache = tokens.append.cache = cache[layer];
        attention.append(tokens.append, timing_.stream());
        attention.decode(arguments, size, workspace.address(), timing_.stream());
      });
      json row = {{"kernel", "decode"},
                  {"spec", spec.name},
                  {"cache", name_of(spec.kv_cache.format)},
                  {"history_ready", attention.spec().kv_cache.history_ready},
                  {"batch", batch},
                  {"context", context},
                  {"splits", splits_of(spec, batch, context)},
                  {"bytes", bytes},
                  {"us", 1e3 * times.back()},
                  {"us_with_append", 1e3 * with_append},
                  {"gb_per_s", static_cast<double>(bytes) / times.back() / 1e6},
                  {"read_us", 1e3 * read},
                  {"share_of_read", read / times.back()}};
      if (!bases.empty()) row["bf16_over_this"] = bases[times.size() - 1] / times.back();
      add(std::move(row));
    }
    return times;
  }

  int splits_of(const Spec& spec, int batch, int context) const {
    if (options_.splits != 0) return options_.splits;
    return choose_splits(plan(spec, KernelKind::decode, device_.architecture()),
                         {.sequences = batch, .tokens = batch, .max_kv_length = context},
                         device_.multiprocessors());
  }

  // The new tokens of one sequence that had none.
  void measure_append(const Attention& attention, int tokens) {
    const Spec& spec = attention.spec();
    const AttentionSpec& shape = spec.attention;
    const bool rotates = shape.rope.pairing != RopePairing::none;
    const std::size_t element = bytes_of(spec.input);
    const std::size_t q_bytes =
        rotates ? aligned(element * tokens * shape.query_heads * shape.head_dim.qk) : 0;
    const std::size_t k_bytes = aligned(element * tokens * shape.kv_heads * shape.head_dim.qk);
    const std::size_t v_bytes = aligned(element * tokens * shape.kv_heads * shape.head_dim.v);
    const std::size_t rope_bytes = rotates ? 4ull * tokens * shape.rope.dims : 0;
    const std::size_t inputs = 2 * q_bytes + k_bytes + v_bytes;
    const std::size_t bytes = inputs + rope_bytes + LayerBytes(spec, 1, tokens).all();
    const std::size_t layers = timing_.copies_for(bytes);
    if (!timing_.fits(layers * bytes)) return;

    const CacheLayers cache(timing_, spec, layers, 1, tokens);
    const Buffer memory(device_, layers * inputs),
        rope(device_, std::max<std::size_t>(rope_bytes, 4));
    timing_.fill(memory.address(), memory.bytes(), normal_numbers(spec.input, 1));
    timing_.fill(rope.address(), rope_bytes, normal_numbers(DataType::fp32, 1));
    const Buffer token_start = upload(device_, {0, tokens}), kv_length = upload(device_, {tokens});
    AppendArguments arguments{};
    arguments.batch = {.token_start = token_start.address(),
                       .kv_length = kv_length.address(),
                       .sequences = 1,
                       .tokens = tokens};
    arguments.rope = rotates ? rope.address() : 0;
    arguments.q_stride = static_cast<long long>(shape.query_heads) * shape.head_dim.qk;
    arguments.k_stride = static_cast<long long>(shape.kv_heads) * shape.head_dim.qk;
    arguments.v_stride = static_cast<long long>(shape.kv_heads) * shape.head_dim.v;
    const double milliseconds = timing_.time(layers, bytes, [&](std::size_t layer) {
      arguments.cache = cache[layer];
      arguments.k = memory.address() + layer * inputs;
      arguments.v = arguments.k + k_bytes;
      arguments.q = rotates ? arguments.v + v_bytes : 0;
      arguments.q_rotated = rotates ? arguments.q + q_bytes : 0;
      attention.append(arguments, timing_.stream());
    });
    const Buffer other(device_, layers * bytes);
    timing_.fill(other.address(), other.bytes(), random_bits());
    const double copy = timing_.time_copy(other.address(), bytes / 2 * 2, layers);
    add({{"kernel", "append"},
         {"spec", spec.name},
         {"cache", name_of(spec.kv_cache.format)},
         {"tokens", tokens},
         {"bytes", bytes},
         {"us", 1e3 * milliseconds},
         {"gb_per_s", static_cast<double>(bytes) / milliseconds / 1e6},
         {"copy_us", 1e3 * copy},
         {"share_of_copy", copy / milliseconds}});
  }

  void add(json row) {
    rows_.push_back(std::move(row));
    write_json(options_.json_file, {{"device", device_.name()}, {"rows", rows_}});
  }

  void print() const {
    std::vector<std::vector<std::string>> cells = {
        {"kernel", "type", "history ready", "batch", "tokens", "splits", "us", "with append",
         "GB/s, TFLOP/s", "ceiling us", "share", "bf16 / this"}};
    for (const json& row : rows_) {
      const auto text = [&](const char* key) {
        return row.contains(key)
                   ? (row[key].is_string() ? row[key].get<std::string>() : row[key].dump())
                   : std::string("-");
      };
      const auto number = [&](std::initializer_list<const char*> keys, const char* format) {
        for (const char* key : keys) {
          if (row.contains(key)) return fmt::format(fmt::runtime(format), row[key].get<double>());
        }
        return std::string("-");
      };
      cells.push_back(
          {text("kernel"), text(row.contains("cache") ? "cache" : "type"), text("history_ready"),
           text("batch"), text(row.contains("context") ? "context" : "tokens"), text("splits"),
           number({"us"}, "{:.1f}"), number({"us_with_append"}, "{:.1f}"),
           number({"gb_per_s", "tflop_per_s"}, "{:.0f}"), number({"read_us", "copy_us"}, "{:.1f}"),
           number({"share_of_read", "share_of_copy"}, "{:.3f}"),
           number({"bf16_over_this"}, "{:.2f}")});
    }
    fmt::print("{}\n\n{}", device_.name(), table(cells));
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
  CLI::App app("decode and append on a device, beside its memory's ceilings");
  const CLI::Range sizes(1, 1 << 30);
  app.add_option("SPEC", options.spec, "Spec file; its first spec is taken")
      ->check(CLI::ExistingFile)
      ->capture_default_str();
  app.add_option("--batch", options.batch, "Sequences of decode")->delimiter(',')->check(sizes);
  app.add_option("--context", options.context, "Tokens of each")->delimiter(',')->check(sizes);
  app.add_option("--append", options.append, "New tokens")->delimiter(',')->check(sizes);
  app.add_option("--splits", options.splits, "Of each sequence; 0: as the plan chooses")
      ->check(CLI::Range(0, 1 << 16));
  app.add_option("--ceiling-mib", options.ceiling_mib, "That the two ceilings move")
      ->check(CLI::Range(1, 1 << 15))
      ->capture_default_str();
  app.add_option("--device", options.device, "As octavo run takes it")->capture_default_str();
  app.add_option("--json", options.json_file, "Write the rows here");
  CLI11_PARSE(app, argc, argv);
  try {
    octavo::Bench(options).run();
    return 0;
  } catch (const octavo::EnvironmentError& error) {
    fmt::print(stderr, "benchmark_attention: {}\n", error.what());
    return 3;
  } catch (const std::exception& error) {
    fmt::print(stderr, "benchmark_attention: {}\n", error.what());
    return 2;
  }
}
