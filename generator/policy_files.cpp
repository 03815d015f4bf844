#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "generator/plan_detail.hpp"

namespace octavo {
namespace {

constexpr std::array kPolicyFiles{
    PolicyFile{"input", "bf16", "input/bf16.cuh"},
    PolicyFile{"input", "fp16", "input/fp16.cuh"},
    PolicyFile{"input", "fp32", "input/fp32.cuh"},
    PolicyFile{"matmul", "fp16", "mma/fp16.cuh"},
    PolicyFile{"matmul", "bf16", "mma/bf16.cuh"},
    PolicyFile{"matmul", "fp8 e4m3", "mma/fp8_e4m3.cuh"},
    PolicyFile{"matmul", "fp8 e5m2", "mma/fp8_e5m2.cuh"},
    PolicyFile{"operand", "e4m3 in fp8", "operand/bytes.cuh"},
    PolicyFile{"operand", "e5m2 in fp8", "operand/bytes.cuh"},
    PolicyFile{"operand", "e4m3 in fp16", "operand/converted.cuh"},
    PolicyFile{"operand", "e5m2 in fp16", "operand/converted.cuh"},
    PolicyFile{"operand", "e4m3 in bf16", "operand/converted.cuh"},
    PolicyFile{"operand", "e5m2 in bf16", "operand/converted.cuh"},
    PolicyFile{"operand", "fp16 in fp16", "operand/halves.cuh"},
    PolicyFile{"operand", "bf16 in bf16", "operand/halves.cuh"},
    PolicyFile{"accumulation", "1", "accumulate/one_level.cuh"},
    PolicyFile{"accumulation", "2", "accumulate/two_level.cuh"},
    PolicyFile{"prefill_accumulation", "1", "accumulate_tile/one_level.cuh"},
    PolicyFile{"prefill_accumulation", "2", "accumulate_tile/two_level.cuh"},
    PolicyFile{"prefill_values", "1 byte", "values/transposed.cuh"},
    PolicyFile{"prefill_values", "2 bytes", "values/as_stored.cuh"},
    PolicyFile{"prefill_copy", "adjacent", "tile_copy/adjacent.cuh"},
    PolicyFile{"prefill_copy", "scattered", "tile_copy/scattered.cuh"},
    PolicyFile{"mask", "none", "mask/none.cuh"},
    PolicyFile{"mask", "causal", "mask/causal.cuh"},
    PolicyFile{"mask", "sliding_window", "mask/sliding_window.cuh"},
    PolicyFile{"softcap", "off", "softcap/none.cuh"},
    PolicyFile{"softcap", "on", "softcap/tanh.cuh"},
    PolicyFile{"tile_rows", "adjacent", "tile_rows/adjacent.cuh"},
    PolicyFile{"tile_rows", "scattered", "tile_rows/scattered.cuh"},
    PolicyFile{"query", "registers", "query/registers.cuh"},
    PolicyFile{"query", "shared", "query/shared.cuh"},
    PolicyFile{"output", "bf16", "output/bf16.cuh"},
    PolicyFile{"output", "fp16", "output/fp16.cuh"},
    PolicyFile{"output", "e4m3", "output/e4m3.cuh"},
    PolicyFile{"sinks", "off", "sinks/none.cuh"},
    PolicyFile{"sinks", "on", "sinks/learned.cuh"},
    PolicyFile{"history", "late", "history/late.cuh"},
    PolicyFile{"history", "ready", "history/ready.cuh"},
    PolicyFile{"merge", "fused", "merge/fused.cuh"},
    PolicyFile{"merge", "kernel", "merge/kernel.cuh"},
};

}  // namespace

std::span<const PolicyFile> policy_files() { return kPolicyFiles; }

const PolicyFile* find_policy(std::string_view axis, std::string_view value) {
  const auto* row = std::ranges::find_if(kPolicyFiles, [&](const PolicyFile& file) {
    return file.axis == axis && file.value == value;
  });
  return row == kPolicyFiles.end() ? nullptr : row;
}

Policy select_policy(std::string_view axis, std::string_view value) {
  const PolicyFile* row = find_policy(axis, value);
  if (row == nullptr) throw SpecError({fmt::format("{}: no kernel has {}", axis, value)});
  return {std::string(axis), std::string(row->file)};
}

}  // namespace octavo
