// Spec: what the user asked for. Validated, canonical and hashable; nothing about tiles.
#pragma once

#include <filesystem>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace octavo {

enum class DataType { e4m3, e5m2, bf16, fp16, fp32 };
enum class MaskKind { none, causal, sliding_window };
enum class ScaleGranularity { tensor, head, token_head, block, channel };
enum class Layout { contiguous, paged };
enum class Matmul { fp8, fp16, bf16 };
enum class KernelKind { append, decode, merge, prefill };
enum class RopePairing { none, half, interleaved };

// The values' names, the same in YAML, C++, CUDA and messages.
std::string_view name_of(DataType type);
std::string_view name_of(MaskKind kind);
std::string_view name_of(ScaleGranularity granularity);
std::string_view name_of(Layout layout);
std::string_view name_of(Matmul matmul);
std::string_view name_of(KernelKind kernel);
std::string_view name_of(RopePairing pairing);

// Bytes of one element, and whether it is one of the two fp8 formats.
int bytes_of(DataType type);
bool is_fp8(DataType type);

struct HeadDim {
  int qk = 0;
  int v = 0;
  bool operator==(const HeadDim&) const = default;
};

// causal: a token sees itself and what came before. sliding_window: of these, the last `window`.
struct Mask {
  MaskKind kind = MaskKind::causal;
  int window = 0;  // tokens, itself included; sliding_window only
  bool operator==(const Mask&) const = default;
};

// Rotary embedding of the first `dims` dimensions of Q and K.
// half pairs (i, i + dims / 2), interleaved pairs (2i, 2i + 1).
struct Rope {
  RopePairing pairing = RopePairing::none;
  int dims = 0;
  double theta = 10000;  // base of the frequencies theta^(-2i / dims) of the table made by default
  bool operator==(const Rope&) const = default;
};

struct AttentionSpec {
  int query_heads = 0;
  int kv_heads = 0;
  HeadDim head_dim;
  Mask mask;
  double softmax_scale =
      0;               // logits are q.k * softmax_scale; default 1 / sqrt(qk), filled in by parse
  double softcap = 0;  // logits become softcap * tanh(logit / softcap); 0 is off
  bool sinks = false;  // one learned logit a query head joins the softmax's denominator
  Rope rope;
  int group() const { return query_heads / kv_heads; }  // query heads that share a KV head
  bool operator==(const AttentionSpec&) const = default;
};

struct Scale {
  ScaleGranularity granularity = ScaleGranularity::token_head;
  int block = 0;  // tokens a scale; block only
  bool operator==(const Scale&) const = default;
};

struct CacheSpec {
  DataType format = DataType::e4m3;
  Scale scale;
  Layout layout = Layout::paged;
  int page_size = 64;          // tokens; paged only
  bool history_ready = false;  // decode's lengths, pages and all but the batch's own tokens are
                               // there before the grid directly before decode begins
  bool operator==(const CacheSpec&) const = default;
};

struct Accumulation {
  int levels = 1;           // 2: partial sums are promoted into fp32 registers
  int promote_every = 128;  // tokens between promotions; levels 2 only
  bool operator==(const Accumulation&) const = default;
};

struct Compute {
  Matmul matmul = Matmul::fp16;
  Accumulation accumulation;
  bool operator==(const Compute&) const = default;
};

struct Spec {
  std::string name;
  AttentionSpec attention;
  CacheSpec kv_cache;
  Compute compute;
  DataType input = DataType::bf16;   // of q, k and v: bf16, fp16 or fp32
  DataType output = DataType::bf16;  // bf16, fp16 or e4m3
  std::vector<KernelKind> kernels{KernelKind::append, KernelKind::decode};
  bool operator==(const Spec&) const = default;
};

// Every fault of a spec file, one line each: "file:line:column: key: what was read, what is
// allowed".
class SpecError : public std::runtime_error {
 public:
  explicit SpecError(std::vector<std::string> lines);
  const std::vector<std::string>& lines() const { return lines_; }

 private:
  std::vector<std::string> lines_;
};

// The specs that a YAML text stands for: one, or the product of its sweeps, the last key varying
// fastest. `file` names the text in errors. Throws SpecError with all the faults found.
std::vector<Spec> parse_specs(std::string_view yaml, std::string_view file);
std::vector<Spec> read_specs(const std::filesystem::path& file);

// The spec as YAML with every key that applies to it written, in the schema's order: parsing it
// gives the spec again, and two parsed specs are equal if and only if these texts are. An empty
// name is left out, and history_ready where it is false, so that digests are what they were without
// it.
std::string canonical_yaml(const Spec& spec);

// 16 hex digits that identify the spec apart from its name: XXH3-64 of the canonical form.
std::string digest(const Spec& spec);

}  // namespace octavo
