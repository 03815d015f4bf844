// octavo run: a spec's kernels at work, timed and checked.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <numeric>

#include "tools/commands.hpp"
#include "tools/report.hpp"
#include "tools/safetensors.hpp"
#include "tools/terminal.hpp"
#include "tools/trial.hpp"

namespace octavo {
namespace {

using json = nlohmann::ordered_json;

constexpr int kMostDecoded = 16;  // query tokens of a sequence that decode takes

struct Options {
  std::string spec, device = "auto", kernel = "all", input;
  int context = 4096, batch = 1, queries = 1, splits = 0;
  std::vector<int> lengths;
  std::uint64_t seed = 0;
  bool check = false, print_json = false;
};

struct Outcome {
  std::string spec;
  std::vector<KernelRow> kernels;
  std::optional<Verdict> verdict;
  bool ok() const { return !verdict || verdict->failures.empty(); }
};

// The kernels that are asked for; merge goes with decode.
std::vector<KernelKind> wanted_kernels(const Spec& spec, const std::string& option) {
  std::vector<KernelKind> wanted;
  for (const KernelKind kernel : spec.kernels) {
    if (option == "all" || name_of(kernel) == option) wanted.push_back(kernel);
  }
  if (wanted.empty()) {
    throw UsageError(
        fmt::format("--kernel {}: the spec {} does not list it under kernels", option, spec.name));
  }
  return wanted;
}

// Refuses what would not fit into this machine's memory, before anything is allocated.
void check_memory(const Spec& spec, const std::vector<int>& kv_length) {
  const AttentionSpec& shape = spec.attention;
  double tokens = 0;
  for (const int length : kv_length) tokens += length;
  // Inputs and cache, each once on the host and once on the device; with RoPE, queries to rotate.
  const double elements = tokens * shape.kv_heads * (shape.head_dim.qk + shape.head_dim.v);
  const double rotated =
      shape.rope.pairing == RopePairing::none
          ? 0
          : tokens * shape.query_heads * shape.head_dim.qk * bytes_of(spec.input);
  const double needed =
      2 * elements * (bytes_of(spec.input) + bytes_of(spec.kv_cache.format)) + rotated;
  const double present =
      static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGESIZE));
  if (needed <= 0.9 * present) return;
  throw UsageError(fmt::format(
      "{:.0f} tokens need {:.1f} GiB of memory, of {:.1f} GiB here; use a shorter --context, fewer "
      "--lengths or a smaller --batch",
      tokens, needed / 0x1p30, present / 0x1p30));
}

reference::Inputs drawn_inputs(const Spec& spec, const Options& options) {
  std::vector<int> kv_length = options.lengths;
  if (kv_length.empty()) kv_length.assign(options.batch, options.context);
  check_memory(spec, kv_length);
  std::vector<int> query_tokens;
  for (const int length : kv_length) query_tokens.push_back(std::min(length, options.queries));
  return reference::draw_inputs(spec, kv_length, query_tokens, options.seed);
}

// Copies rows of `from` to the end of those that `to` has already.
void copy_rows(const reference::Tensor& from, std::size_t row, std::size_t count,
               reference::Tensor& to, std::size_t& filled) {
  const std::size_t bytes = from.row_bytes();
  std::copy_n(from.data.begin() + static_cast<std::ptrdiff_t>(row * bytes), count * bytes,
              to.data.begin() + static_cast<std::ptrdiff_t>(filled * bytes));
  filled += count;
}

// The file's tensors; the last --queries tokens of q are the queries. The spec takes on their type.
reference::Inputs file_inputs(Spec& spec, const Options& options) {
  const AttentionTensors file = read_safetensors(options.input);
  const AttentionSpec& shape = spec.attention;
  const auto require = [&](const char* name, const reference::Tensor& tensor, int heads, int dim) {
    if (tensor.heads == static_cast<std::size_t>(heads) &&
        tensor.dim == static_cast<std::size_t>(dim))
      return;
    throw UsageError(fmt::format("{}: {} has {} heads of dim {}; the spec {} expects {} of {}",
                                 options.input, name, tensor.heads, tensor.dim, spec.name, heads,
                                 dim));
  };
  require("q", file.q, shape.query_heads, shape.head_dim.qk);
  require("k", file.k, shape.kv_heads, shape.head_dim.qk);
  require("v", file.v, shape.kv_heads, shape.head_dim.v);
  const auto queries = static_cast<std::size_t>(options.queries);
  if (queries > file.q_tokens) {
    throw UsageError(fmt::format("{}: q has {} tokens; expected at least the {} of --queries",
                                 options.input, file.q_tokens, queries));
  }
  spec.input = file.q.type;

  reference::Inputs inputs;
  inputs.kv_length.assign(file.batch, static_cast<int>(file.kv_tokens));
  inputs.query_tokens.assign(file.batch, options.queries);
  check_memory(spec, inputs.kv_length);
  inputs.q = reference::Tensor(spec.input, file.batch * queries, file.q.heads, file.q.dim);
  inputs.k = reference::Tensor(spec.input, file.k.tokens, file.k.heads, file.k.dim);
  inputs.v = reference::Tensor(spec.input, file.v.tokens, file.v.heads, file.v.dim);
  std::size_t q_filled = 0, k_filled = 0, v_filled = 0;
  const std::size_t context = file.kv_tokens - queries;
  for (const bool last : {false, true}) {
    for (std::size_t b = 0; b < file.batch; ++b) {
      const std::size_t from = b * file.kv_tokens + (last ? context : 0);
      copy_rows(file.k, from, last ? queries : context, inputs.k, k_filled);
      copy_rows(file.v, from, last ? queries : context, inputs.v, v_filled);
    }
  }
  for (std::size_t b = 0; b < file.batch; ++b) {
    copy_rows(file.q, (b + 1) * file.q_tokens - queries, queries, inputs.q, q_filled);
  }
  if (shape.sinks) inputs.sinks = reference::draw_sinks(shape, options.seed);
  return inputs;
}

Outcome run_one(Spec spec, const Device& device, const Options& options) {
  const std::vector<KernelKind> wanted = wanted_kernels(spec, options.kernel);
  const auto is_wanted = [&](KernelKind kernel) {
    return std::ranges::find(wanted, kernel) != wanted.end();
  };
  // Prefill takes what decode does not.
  const bool prefills = is_wanted(KernelKind::prefill) &&
                        (options.queries > kMostDecoded || !is_wanted(KernelKind::decode));
  const bool decodes = is_wanted(KernelKind::decode) && !prefills;
  if (decodes && options.queries > kMostDecoded) {
    throw UsageError(
        fmt::format("--queries {}: decode takes at most {}; add prefill to the kernels of {}",
                    options.queries, kMostDecoded, spec.name));
  }

  Progress progress;
  progress.show(spec.name + ": making the inputs");
  const reference::Inputs inputs =
      options.input.empty() ? drawn_inputs(spec, options) : file_inputs(spec, options);
  // What is attended to has to be appended first, whether or not that is asked for.
  spec.kernels = wanted;
  if (!is_wanted(KernelKind::append)) spec.kernels.insert(spec.kernels.begin(), KernelKind::append);
  progress.show(spec.name + ": compiling");
  Trial trial(spec, device, inputs, options.splits);
  progress.show(spec.name + ": append");
  const double append_ms = trial.append();
  std::optional<double> decode_ms, prefill_ms;
  if (decodes) {
    progress.show(spec.name + ": decode");
    decode_ms = trial.decode();
  } else if (prefills) {
    progress.show(spec.name + ": prefill");
    prefill_ms = trial.prefill();
  }

  Outcome outcome{.spec = spec.name, .kernels = {}, .verdict = {}};
  for (const KernelReport& report : trial.report()) {
    if (report.kernel == KernelKind::append && is_wanted(KernelKind::append)) {
      outcome.kernels.push_back({report, append_ms});
    } else if (report.kernel == KernelKind::decode) {
      outcome.kernels.push_back({report, decode_ms});
    } else if (report.kernel == KernelKind::prefill) {
      outcome.kernels.push_back({report, prefill_ms});
    } else if (report.kernel == KernelKind::merge) {
      outcome.kernels.push_back({report, std::nullopt});  // its time is in decode's
    }
  }
  if (options.check) {
    progress.show(spec.name + ": checking against float64");
    outcome.verdict = trial.check();
  } else {
    device.synchronize();
  }
  return outcome;
}

json to_json(const Outcome& outcome, const Device& device) {
  json object = {{"device", device.name()},
                 {"spec", outcome.spec},
                 {"ok", outcome.ok()},
                 {"kernels", to_json(outcome.kernels)},
                 {"check", nullptr}};
  if (outcome.verdict) {
    const Verdict& verdict = *outcome.verdict;
    object["check"] = {{"relative_l2", verdict.difference.relative_l2},
                       {"max_abs", verdict.difference.max_abs},
                       {"bound", verdict.bound},
                       {"end_to_end_relative_l2", nullptr}};
    if (verdict.end_to_end_relative_l2) {
      object["check"]["end_to_end_relative_l2"] = *verdict.end_to_end_relative_l2;
    }
  }
  return object;
}

void print(const Outcome& outcome, const Device& device) {
  fmt::print("{} on {}\n\n{}\n", outcome.spec, device.name(), to_table(outcome.kernels));
  if (!outcome.verdict) return;
  const Verdict& verdict = *outcome.verdict;
  const bool attended = verdict.end_to_end_relative_l2.has_value();
  fmt::print("{}: relative L2 {:.2e} (bound {:.2e}), largest error {:.2e}\n",
             attended ? "against float64 over the same cache" : "cache against the input",
             verdict.difference.relative_l2, verdict.bound, verdict.difference.max_abs);
  if (attended) {
    fmt::print("against float64 over the unquantised input: relative L2 {:.2e}\n",
               *verdict.end_to_end_relative_l2);
  }
  fmt::print("{}\n\n", outcome.ok() ? "ok" : "FAILED");
}

void run(const Options& options, int& status) {
  const std::vector<Spec> specs = read_specs(options.spec);
  const Device device = Device::open(options.device);
  if (!device.why_emulated().empty()) {
    fmt::print(stderr, "octavo: no GPU ({}); running on {}\n", device.why_emulated(),
               device.name());
  }
  std::vector<json> objects;
  for (const Spec& spec : specs) {
    const Outcome outcome = run_one(spec, device, options);
    if (options.print_json) {
      objects.push_back(to_json(outcome, device));
    } else {
      print(outcome, device);
    }
    if (outcome.ok()) continue;
    status = 1;
    for (const std::string& failure : outcome.verdict->failures) {
      fmt::print(stderr, "octavo: {}: {}\n", outcome.spec, failure);
    }
  }
  if (options.print_json) print_json(std::move(objects));
}

}  // namespace

void add_run(CLI::App& app, int& status) {
  const auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("run", "Run a spec's kernels, time them and check them");
  command
      ->add_option("SPEC", options->spec,
                   "Spec file; one that sweeps runs once for each spec in it")
      ->required();
  command
      ->add_option("--device", options->device,
                   "auto, cuda, cuda:N, emulator or emulator:GPU, such as emulator:h100")
      ->capture_default_str();
  command->add_option("--kernel", options->kernel, "append, decode, prefill or all")
      ->check(CLI::IsMember({"append", "decode", "prefill", "all"}))
      ->capture_default_str();
  const CLI::Range lengths(0, 1 << 30);
  auto* context = command
                      ->add_option("--context", options->context,
                                   "Tokens in each sequence's cache, the query tokens included")
                      ->check(lengths)
                      ->capture_default_str();
  auto* list =
      command
          ->add_option("--lengths", options->lengths, "The same, sequence by sequence: 100,0,4096")
          ->delimiter(',')
          ->allow_extra_args(false)
          ->check(lengths);
  auto* batch = command->add_option("--batch", options->batch, "Sequences")
                    ->check(CLI::Range(1, 1 << 16))
                    ->capture_default_str();
  command
      ->add_option("--queries", options->queries,
                   "Query tokens of each sequence, its last ones; more than 16 for prefill")
      ->check(CLI::Range(1, 1 << 30))
      ->capture_default_str();
  command
      ->add_option("--splits", options->splits,
                   "Parts that each sequence is cut into; 0: as the plan chooses")
      ->check(CLI::Range(0, 1 << 16))
      ->capture_default_str();
  command
      ->add_option("--seed", options->seed,
                   "Of the inputs, which are drawn like a language model's")
      ->capture_default_str();
  auto* input =
      command->add_option("--input", options->input,
                          "Take q, k and v, [batch, tokens, heads, dim], from a .safetensors file");
  command->add_flag("--check", options->check,
                    "Compare with attention in float64; exit with 1 if it is over the bound");
  command->add_flag("--json", options->print_json, "Print JSON: an object a spec");
  list->excludes(context)->excludes(batch);
  input->excludes(context)->excludes(list)->excludes(batch);
  command->footer("Example:\n  octavo run specs/llama-3.1-8b.yaml --context 4096 --check");
  command->callback([options, &status] { run(*options, status); });
}

}  // namespace octavo
