#include "runtime/attention.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <future>

#include "generator/plan.hpp"
#include "runtime/attention_arguments.hpp"
#include "runtime/compiler.hpp"
#include "runtime/driver.hpp"

namespace octavo {
namespace {

// Where each part of decode's workspace begins, and where the last one ends.
//
// All of it is zero before a decode and after it, so that a workspace zeroed once serves decodes of
// any size.
struct Workspace {
  static constexpr std::size_t kAlignment = 256;
  static constexpr std::size_t kArrivals = 16384;  // groups of splits; more blocks fill any device

  std::size_t arrivals = 0;
  std::size_t partial_output = kArrivals * sizeof(unsigned);
  std::size_t partial_sums;
  std::size_t bytes;

  Workspace(const Spec& spec, int tokens, int splits) {
    const auto rows = static_cast<std::size_t>(splits) * static_cast<std::size_t>(tokens) *
                      static_cast<std::size_t>(spec.attention.query_heads);
    const auto dim = static_cast<std::size_t>(spec.attention.head_dim.v);
    partial_sums = aligned(partial_output + rows * dim * sizeof(float));
    bytes = aligned(partial_sums + rows * ((dim + 63) / 64) * 2 * sizeof(float));
  }

  static std::size_t aligned(std::size_t bytes) {
    return (bytes + kAlignment - 1) / kAlignment * kAlignment;
  }
};

LaunchShape launch_shape(const Batch& batch, const Attention::DecodeSize& size) {
  return {.sequences = batch.sequences,
          .tokens = batch.tokens,
          .max_query_tokens = size.max_query_tokens,
          .max_kv_length = size.max_kv_length,
          .splits = std::max(size.splits, 1)};
}

struct Loaded {
  Kernel kernel;
  KernelReport report;
};

Loaded build(const Plan& plan, const Device& device) {
  CachedBinary compiled = compile_cached(emit(plan), plan.arch.name);
  const Resources& resources = compiled.binary.resources;
  KernelReport report{.kernel = plan.kernel,
                      .arch = compiled.binary.arch,
                      .compile_ms = compiled.milliseconds,
                      .cache_hit = compiled.hit,
                      .resources = resources,
                      .shared_bytes = resources.shared_bytes + plan.shared_bytes};
  return {Kernel(device, plan, compiled.binary), std::move(report)};
}

}  // namespace

struct Attention::State {
  Spec spec;
  Device device;
  std::vector<Loaded> kernels;  // in the order of launch

  State(const Spec& of, const Device& on) : spec(of), device(on) {
    std::vector<std::future<Loaded>> builds;
    for (const Plan& plan : plans(spec, device.architecture())) {
      builds.push_back(
          std::async(std::launch::async, [plan, this] { return build(plan, device); }));
    }
    for (auto& done : builds) kernels.push_back(done.get());
  }

  const Kernel* find(KernelKind kind) const {
    for (const Loaded& loaded : kernels) {
      if (loaded.report.kernel == kind) return &loaded.kernel;
    }
    return nullptr;
  }

  const Kernel& get(KernelKind kind) const {
    if (const Kernel* kernel = find(kind)) return *kernel;
    throw UsageError(
        fmt::format("spec {} has no {} kernel; add it to its `kernels`", spec.name, name_of(kind)));
  }

  // How many parts decode cuts each sequence into.
  int splits(const LaunchShape& shape, const DecodeSize& size) const {
    const Plan& plan = get(KernelKind::decode).plan();
    const bool countable = arrival_count(plan, shape) <= Workspace::kArrivals;
    if (size.splits == 0) {
      return countable ? choose_splits(plan, shape, device.multiprocessors()) : 1;
    }
    if (size.splits > 1 && !countable) {
      throw UsageError(fmt::format("{} splits: a batch of {} tokens is too large to be split",
                                   size.splits, shape.tokens));
    }
    return size.splits;
  }
};

Attention::Attention(const Spec& spec, const Device& device)
    : state_(std::make_shared<State>(spec, device)) {}

const Spec& Attention::spec() const { return state_->spec; }

std::vector<KernelReport> Attention::report() const {
  std::vector<KernelReport> reports;
  for (const Loaded& loaded : state_->kernels) reports.push_back(loaded.report);
  return reports;
}

void Attention::append(const AppendArguments& arguments, CUstream stream) const {
  const Kernel& kernel = state_->get(KernelKind::append);
  require_append(state_->spec, arguments);
  kernel.launch({.sequences = arguments.batch.sequences,
                 .tokens = arguments.batch.tokens,
                 .rotates_queries = arguments.q != 0},
                arguments, stream);
}

std::size_t Attention::workspace_bytes(const Batch& batch, const DecodeSize& size) const {
  require_decode_size(batch, size);
  if (batch.tokens == 0) return 0;
  const int splits = state_->splits(launch_shape(batch, size), size);
  return splits == 1 ? 0 : Workspace(state_->spec, batch.tokens, splits).bytes;
}

void Attention::decode(DecodeArguments arguments, const DecodeSize& size, CUdeviceptr workspace,
                       CUstream stream) const {
  const Kernel& kernel = state_->get(KernelKind::decode);
  require_decode_size(arguments.batch, size);
  require_decode(state_->spec, arguments, size);
  if (arguments.batch.tokens == 0) return;

  LaunchShape shape = launch_shape(arguments.batch, size);
  shape.splits = arguments.splits = state_->splits(shape, size);
  if (arguments.splits > 1) {
    if (workspace == 0 || workspace % Workspace::kAlignment != 0) {
      throw UsageError(
          fmt::format("decode in {} splits needs a workspace of workspace_bytes(), at a "
                      "multiple of {}; it is {:#x}",
                      arguments.splits, Workspace::kAlignment, workspace));
    }
    const Workspace parts(state_->spec, arguments.batch.tokens, arguments.splits);
    arguments.arrivals = workspace + parts.arrivals;
    arguments.partial_output = workspace + parts.partial_output;
    arguments.partial_sums = workspace + parts.partial_sums;
  }
  kernel.launch(shape, arguments, stream);
  const Kernel* merge = state_->find(KernelKind::merge);
  if (merge != nullptr && arguments.splits > 1) merge->launch(shape, arguments, stream);
}

void Attention::prefill(const PrefillArguments& arguments, const PrefillSize& size,
                        CUstream stream) const {
  const Kernel& kernel = state_->get(KernelKind::prefill);
  require_prefill(state_->spec, arguments, size);
  LaunchShape shape{.sequences = arguments.batch.sequences,
                    .tokens = arguments.batch.tokens,
                    .max_query_tokens = size.max_query_tokens,
                    .short_blocks = size.short_blocks,
                    .short_rows = size.short_rows};
  if (size.short_blocks < 0) {
    choose_short_blocks(kernel.plan(), shape, state_->device.multiprocessors());
  } else {
    require_short_blocks(kernel.plan(), size);
  }
  kernel.launch(shape, arguments, stream);
}

}  // namespace octavo
