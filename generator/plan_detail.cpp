#include "generator/plan_detail.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numbers>
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

std::string float_literal(double value) {
  std::string text = fmt::format("{:.9g}", value);
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  return text + "f";
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

std::vector<Constant> row_constants(const Spec& spec, int row_tiles, int threads) {
  std::vector<Constant> result = shape_constants(spec);
  result.push_back({"int", "kGroup", fmt::to_string(spec.attention.group())});
  result.push_back({"int", "kRowTiles", fmt::to_string(row_tiles)});
  result.push_back({"int", "kThreads", fmt::to_string(threads)});
  return result;
}

std::vector<Constant> attention_constants(const Spec& spec, int row_tiles, int threads) {
  std::vector<Constant> result = row_constants(spec, row_tiles, threads);
  const AttentionSpec& attention = spec.attention;
  if (attention.mask.kind == MaskKind::sliding_window) {
    result.push_back({"int", "kWindow", fmt::to_string(attention.mask.window)});
  }
  const auto add = [&](std::string_view name, double value) {
    result.push_back({"float", std::string(name), float_literal(value)});
  };
  constexpr double kLog2E = std::numbers::log2e;
  if (attention.softcap > 0) {
    add("kLogitScale", attention.softmax_scale * 2 * kLog2E / attention.softcap);
    add("kSoftcap", attention.softcap * kLog2E);
  } else {
    add("kLogitScale", attention.softmax_scale * kLog2E);
  }
  return result;
}

void add_end(Plan& plan) {
  const bool has_fp8 = std::ranges::any_of(
      plan.policies, [](const Policy& policy) { return policy.axis == "fp8_convert"; });
  if (plan.spec.output == DataType::e4m3 && !has_fp8) {
    plan.policies.insert(plan.policies.begin(), fp8_convert_policy(plan.arch));
  }
  plan.policies.push_back(launch_policy(plan.arch));
  plan.policies.push_back(select_policy("output", name_of(plan.spec.output)));
  plan.policies.push_back(select_policy("sinks", plan.spec.attention.sinks ? "on" : "off"));
}

}  // namespace octavo
