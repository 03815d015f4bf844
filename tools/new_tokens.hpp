// One new token of each sequence for benchmarks: what append writes to a cache and what decode then
// attends.
#pragma once

#include "templates/arguments.cuh"
#include "tools/cache_layers.hpp"

namespace octavo {

// Owns the memory that the arguments name, but for the cache, which is set in both. Numbers are
// normally distributed; append's K and V are the same ones. decode's queries are those that append
// rotates, or random ones without RoPE.
class NewTokens {
 public:
  // `context`: tokens of each sequence, the new one included.
  NewTokens(Timing& timing, const Spec& spec, int sequences, int context);

  AppendArguments append{};
  DecodeArguments decode{};

 private:
  Buffer token_start_, kv_length_, rows_, q_, output_, sinks_, rope_;
};

}  // namespace octavo
