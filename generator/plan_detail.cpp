#include "generator/plan_detail.hpp"

#include <fmt/format.h>

#include <string_view>

namespace octavo {
namespace {

std::string scale_file(const CacheSpec& cache) {
  if (!is_fp8(cache.format)) return "scale/none.cuh";
  switch (cache.scale.granularity) {
    case ScaleGranularity::tensor:
      return "scale/tensor.cuh";
    case ScaleGranularity::head:
      return "scale/head.cuh";
    case ScaleGranularity::token_head:
      return "scale/token_head.cuh";
    case ScaleGranularity::block:
    case ScaleGranularity::channel:
      break;
  }
  throw SpecError(
      {fmt::format("kv_cache.scale: no kernel has {} scales yet, use tensor, head or "
                   "token_head",
                   name_of(cache.scale.granularity))});
}

}  // namespace

std::vector<Constant> shape_constants(const Spec& spec) {
  const AttentionSpec& attention = spec.attention;
  std::vector<Constant> constants;
  const auto add = [&](std::string_view name, int value) {
    constants.push_back({"int", std::string(name), fmt::to_string(value)});
  };
  add("kQueryHeads", attention.query_heads);
  add("kKvHeads", attention.kv_heads);
  add("kHeadDimQk", attention.head_dim.qk);
  add("kHeadDimV", attention.head_dim.v);
  if (spec.kv_cache.layout == Layout::paged) add("kPageSize", spec.kv_cache.page_size);
  return constants;
}

Policy launch_policy(const Architecture& arch) {
  return {"launch", arch.dependent_launch ? "launch/dependent.cuh" : "launch/serial.cuh"};
}

Policy fp8_convert_policy(const Architecture& arch) {
  return {"fp8_convert", arch.fp8_convert ? "fp8_convert/hardware.cuh" : "fp8_convert/integer.cuh"};
}

std::vector<Policy> cache_policies(const Spec& spec, const Architecture& arch) {
  const CacheSpec& cache = spec.kv_cache;
  std::vector<Policy> policies;
  if (is_fp8(cache.format)) {
    policies.push_back(fp8_convert_policy(arch));
  }
  policies.push_back({"cache", fmt::format("cache/{}.cuh", name_of(cache.format))});
  policies.push_back({"scale", scale_file(cache)});
  policies.push_back({"kv", cache.layout == Layout::paged ? "kv/paged.cuh" : "kv/contiguous.cuh"});
  return policies;
}

}  // namespace octavo
