// The host API: attention over an FP8 KV cache, made from a spec for a device.
//
//   octavo::Device device = octavo::Device::open();
//   octavo::Attention attention(octavo::read_specs("specs/llama-3.1-8b.yaml").front(), device);
//   attention.append({...}, stream);
//   attention.decode({...}, stream);
//
// Results are those of the order in which work was enqueued. From sm_90 on kernels follow each
// other by programmatic dependent launch: they take their places before the work enqueued before
// has ended, and wait there for its end. Until then decode reads the batch's lengths and the page
// table, whatever is in them, for what it may bring to the L2 cache: they must be allocated by
// then.
//
// With kv_cache.history_ready decode reads more meanwhile: token_start, kv_length, the page table,
// and K, V and scales of all tokens but the batch's own. Kernels that may still run then must write
// none of these: the one enqueued directly before decode, the one before that where the former lets
// decode begin before it has itself waited, and so on. Of Octavo's only append does so. An append
// of just the batch's tokens writes none; one of a longer prompt does, as does whatever moves pages
// or sets lengths. Copies and memsets never overlap.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "generator/spec.hpp"
#include "runtime/device.hpp"
#include "runtime/kernel.hpp"

namespace octavo {

// What one kernel of an Attention is and what it cost to get.
struct KernelReport {
  KernelKind kernel;
  std::string arch;
  double compile_ms = 0;  // compiling, or reading from the cache
  bool cache_hit = false;
  Resources resources;
  int shared_bytes = 0;  // static and dynamic
};

class Attention {
 public:
  // Compiles the spec's kernels, in parallel, or takes them from the cache, and loads them. Throws
  // SpecError for a spec no kernel exists for, EnvironmentError for what the machine lacks.
  Attention(const Spec& spec, const Device& device);

  const Spec& spec() const;
  std::vector<KernelReport> report() const;

  // Quantises K and V of the batch's new tokens into the cache, and rotates K, and Q if that is
  // given, if the spec has RoPE, in one launch. Enqueues and returns; shapes and units are in
  // templates/arguments.cuh.
  void append(const AppendArguments& arguments, CUstream stream) const;

  // Sizes that decode needs on the host, known without reading the device.
  struct DecodeSize {
    int max_query_tokens = 1;  // of one sequence, 1 to 16
    int max_kv_length = 0;     // of one sequence
    int splits = 0;            // 0: chosen so that the blocks fill the device
  };

  // Bytes of scratch memory that decode needs; zero it once, before its first use. Decodes in
  // flight together need one each.
  std::size_t workspace_bytes(const Batch& batch, const DecodeSize& size) const;

  // Attention of the batch's tokens. arguments' partial_output, partial_sums, arrivals and splits
  // are filled in from `workspace`. Enqueues one launch, or two where the plan merges in a kernel
  // of its own. Throws UsageError for sizes outside what the spec allows.
  void decode(DecodeArguments arguments, const DecodeSize& size, CUdeviceptr workspace,
              CUstream stream) const;

  // Sizes that prefill needs on the host, known without reading the device.
  struct PrefillSize {
    int max_query_tokens = 1;  // of one sequence; any number
    int max_kv_length = 0;     // of one sequence
    int short_blocks = -1;     // of a head, of short_rows query rows each; -1: chosen for the GPU
    int short_rows = 0;        // a multiple of 64 that is less than the plan's row_tiles * 16
  };

  // The same of any number of query tokens a sequence, the first ones or later ones of it: what is
  // worth the tensor cores. Enqueues one launch and needs no workspace.
  void prefill(const PrefillArguments& arguments, const PrefillSize& size, CUstream stream) const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace octavo
