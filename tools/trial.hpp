// A trial: one spec's kernels at work on a device, with inputs of known content, and checked.
#pragma once

#include <optional>
#include <vector>

#include "runtime/attention.hpp"
#include "tools/reference/cache.hpp"
#include "tools/reference/data.hpp"
#include "tools/reference/error.hpp"

namespace octavo {

struct Verdict {
  reference::Difference difference;  // of the output; of the cache where nothing was decoded
  double bound = 0;                  // on difference.relative_l2
  std::optional<double> end_to_end_relative_l2;  // of the output
  std::vector<std::string> failures;             // one line each; none: all is within its bound
};

// Uses the public API as a host application would.
class Trial {
 public:
  // `splits` 0: chosen by the plan. The spec must list append.
  Trial(const Spec& spec, const Device& device, const reference::Inputs& inputs, int splits);

  std::vector<KernelReport> report() const { return attention_.report(); }

  // Appends the sequences' context in one launch, then their query tokens in another; returns the
  // time of the larger one, in milliseconds. The cache is poisoned before. Pages that a sliding
  // window has left are taken from the page table after.
  double append();

  // Decodes the query tokens, after append; returns the time in milliseconds. The output is
  // poisoned before.
  double decode();

  // The same by prefill, with as many query tokens as there are; short blocks as PrefillSize has
  // them.
  double prefill(int short_blocks = -1, int short_rows = 0);

  // The cache against the inputs and, if it was decoded, the output against float64 attention over
  // the cache and over the unquantised inputs.
  Verdict check();

  std::vector<double> output() const;  // [query tokens, query_heads, v_dim]
  std::vector<double> lse() const;     // [query tokens, query_heads]

  // All that the kernels wrote, bit for bit, in the order in which it is computed: each depends on
  // none that comes after it.
  struct Written {
    std::string name;
    DataType type;
    std::vector<std::byte> data;
  };
  std::vector<Written> written() const;

  // What decode left in its workspace.
  std::vector<std::byte> workspace() const;

 private:
  // New tokens of every sequence, and the rows of k and v that hold them.
  struct Phase {
    std::size_t first_row = 0;
    int tokens = 0;
    Buffer token_start, kv_length;
  };
  Phase make_phase(const std::vector<int>& new_tokens, const std::vector<int>& kv_length,
                   std::size_t first_row);
  Buffer upload(const void* data, std::size_t bytes);
  void upload_cache();
  KvCache cache() const;
  AppendArguments append_arguments(const Phase& phase) const;
  void forget_pages();
  PrefillArguments query_arguments();
  double time(const std::function<void()>& launch);
  void read_cache();
  reference::Operands unquantised() const;
  void check_cache(Verdict& verdict);
  void check_output(Verdict& verdict);

  Spec spec_;
  Device device_;
  const reference::Inputs& inputs_;
  int splits_;
  Attention attention_;
  Stream stream_;
  bool attended_ = false;  // there is an output

  reference::CacheImage image_;
  std::vector<double> rope_;  // float64; the device gets it in fp32
  Phase context_, query_;
  float output_scale_ = 1;
  Buffer q_, q_rotated_, k_, v_, rope_table_, sinks_;
  Buffer cache_k_, cache_v_, cache_k_scale_, cache_v_scale_, page_table_;
  Buffer output_, lse_, workspace_;
};

}  // namespace octavo
