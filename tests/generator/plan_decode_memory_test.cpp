// The plan of decode: tunables that fit every device that runs the architecture's code.
#include <doctest/doctest.h>

#include <algorithm>

#include "generator/plan_detail.hpp"

namespace octavo {
namespace {

constexpr int kKiB = 1024;

// The specs that ask most of a block's memory in each direction: rows, dims, bytes of an element.
std::vector<Spec> extremes() {
  std::vector<Spec> result;
  for (const int group : {1, 8, 71, 128}) {
    for (const HeadDim dim : {HeadDim{32, 32}, HeadDim{32, 256}, HeadDim{128, 128},
                              HeadDim{256, 32}, HeadDim{256, 256}}) {
      for (const auto& [format, matmul] :
           {std::pair{DataType::e4m3, Matmul::fp16}, std::pair{DataType::bf16, Matmul::bf16}}) {
        Spec spec;
        spec.attention.query_heads = group;
        spec.attention.kv_heads = 1;
        spec.attention.head_dim = dim;
        spec.kv_cache.format = format;
        spec.compute.matmul = matmul;
        result.push_back(spec);
      }
    }
  }
  return result;
}

// What a block may have on the devices that the architecture's code runs on, the smallest of them.
int smallest_block(std::string_view arch) {
  return (arch == "sm_80" || arch == "sm_89" || arch == "sm_120a" ? 99 : 227) * kKiB;
}

}  // namespace

TEST_CASE("decode's plans fit the smallest device that runs their code") {
  for (const Architecture& arch : architectures()) {
    for (const Spec& spec : extremes()) {
      CAPTURE(arch.name);
      CAPTURE(spec.attention.query_heads);
      CAPTURE(spec.attention.head_dim.qk);
      CAPTURE(spec.attention.head_dim.v);
      CHECK(plan(spec, KernelKind::decode, arch).shared_bytes <= smallest_block(arch.name));
    }
  }
}

TEST_CASE("tunables that only 8.0 has the memory for are refused for sm_80") {
  const Spec spec =
      parse_specs("octavo: 1\nattention: {query_heads: 32, kv_heads: 8, head_dim: 128}\n", "case")
          .front();
  const Tunables tunables{.warps = 8, .stages = 4, .tile_tokens = 16, .row_tiles = 1};
  CHECK(plan(spec, KernelKind::decode, *find_architecture("sm_90a"), tunables).shared_bytes ==
        132 * kKiB);
  CHECK_THROWS_WITH_AS(plan(spec, KernelKind::decode, *find_architecture("sm_80"), tunables),
                       "tunables: 135168 bytes of shared memory, sm_80 has 101376", SpecError);
}

}  // namespace octavo
