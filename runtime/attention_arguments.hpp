// What the host can know to be wrong with a launch's arguments before a kernel reads them. Private
// to the runtime.
#pragma once

#include "runtime/attention.hpp"

namespace octavo {

// Rows of q, k, v, the cache and the output begin at multiples of this many bytes: kernels move
// rows in pieces of this size.
constexpr int kRowAlignment = 16;

// Throw UsageError that names the first field that is wrong, its value and what is expected. Sizes
// are always checked; pointers only where a kernel would read them, so that an empty batch needs
// none.
void require_append(const Spec& spec, const AppendArguments& arguments);
void require_decode_size(const Batch& batch, const Attention::DecodeSize& size);
void require_decode(const Spec& spec, const DecodeArguments& arguments,
                    const Attention::DecodeSize& size);
void require_prefill(const Spec& spec, const PrefillArguments& arguments,
                     const Attention::PrefillSize& size);
// The size's short blocks, if it has any, are shorter than the plan's, and no more than rows fill.
void require_short_blocks(const Plan& prefill, const Attention::PrefillSize& size);

}  // namespace octavo
