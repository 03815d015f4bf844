// Queries, keys and values from a .safetensors file.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>

#include "tools/reference/tensor.hpp"

namespace octavo {

// The tensors `q`, `k` and `v` of a file, each [batch, tokens, heads, dim] in bf16, fp16 or fp32.
// The rows of a Tensor are [batch * tokens].
struct AttentionTensors {
  std::size_t batch = 0;
  std::size_t q_tokens = 0;   // of each sequence, its last ones: at most kv_tokens
  std::size_t kv_tokens = 0;  // of each sequence
  reference::Tensor q, k, v;
};

// Throws UsageError, one line that starts with `file`, for anything that is not such a file: a
// header that is cut off, malformed or too large, offsets that leave a hole, overlap or point
// outside, sizes that overflow, a tensor that is missing or of another type or shape, q, k and v
// that do not fit each other. Other tensors are allowed and ignored.
AttentionTensors parse_safetensors(std::span<const std::byte> bytes, const std::string& file);
AttentionTensors read_safetensors(const std::filesystem::path& file);

}  // namespace octavo
