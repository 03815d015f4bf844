// Any bytes are tensors that fit each other, or one line of plain text that says why not.
#include "tools/safetensors.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "runtime/error.hpp"

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

void check(const octavo::AttentionTensors& tensors) {
  require(tensors.batch > 0 && tensors.q_tokens > 0 && tensors.q_tokens <= tensors.kv_tokens);
  require(tensors.q.tokens == tensors.batch * tensors.q_tokens);
  require(tensors.k.tokens == tensors.batch * tensors.kv_tokens);
  require(tensors.v.tokens == tensors.k.tokens && tensors.v.heads == tensors.k.heads);
  require(tensors.q.dim == tensors.k.dim);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    check(octavo::parse_safetensors({reinterpret_cast<const std::byte*>(data), size}, "fuzz"));
  } catch (const octavo::UsageError& error) {
    const std::string line = error.what();
    require(line.starts_with("fuzz: "));
    require(std::ranges::all_of(line, [](char c) { return c >= ' ' && c <= '~'; }));
  }
  return 0;
}
