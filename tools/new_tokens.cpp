#include "tools/new_tokens.hpp"

#include <algorithm>
#include <numeric>

#include "tools/random_words.hpp"

namespace octavo {

NewTokens::NewTokens(Timing& timing, const Spec& spec, int sequences, int context) {
  const Device& device = timing.device();
  const AttentionSpec& shape = spec.attention;
  const auto numbers = [&](std::size_t count, DataType type) {
    Buffer buffer(device, count * bytes_of(type));
    timing.fill(buffer.address(), buffer.bytes(), normal_numbers(type, 1));
    return buffer;
  };
  const long long stride =
      static_cast<long long>(shape.query_heads) * std::max(shape.head_dim.qk, shape.head_dim.v);
  const auto elements = static_cast<std::size_t>(sequences * stride);
  std::vector<int> starts(static_cast<std::size_t>(sequences) + 1);
  std::iota(starts.begin(), starts.end(), 0);
  token_start_ = upload(device, starts);
  kv_length_ = upload(device, std::vector<int>(static_cast<std::size_t>(sequences), context));
  rows_ = numbers(elements, spec.input);
  q_ = numbers(elements, spec.input);
  output_ = Buffer(device, elements * bytes_of(spec.output));
  sinks_ = numbers(static_cast<std::size_t>(shape.query_heads), DataType::fp32);

  append.batch = decode.batch = {.token_start = token_start_.address(),
                                 .kv_length = kv_length_.address(),
                                 .sequences = sequences,
                                 .tokens = sequences};
  append.k = append.v = rows_.address();
  append.q_stride = append.k_stride = append.v_stride = decode.q_stride = stride;
  if (shape.rope.pairing != RopePairing::none) {
    rope_ = numbers(static_cast<std::size_t>(context) * shape.rope.dims, DataType::fp32);
    append.rope = rope_.address();
    append.q = rows_.address();
    append.q_rotated = q_.address();
  }
  decode.q = q_.address();
  decode.output = output_.address();
  decode.sinks = sinks_.address();
  decode.output_scale = 1;
}

}  // namespace octavo
