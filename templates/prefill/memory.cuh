#pragma once

#include "attention/rows.cuh"
#include "prefill/matrix.cuh"
#include "ptx/fence.cuh"
#include "ptx/mbarrier.cuh"

namespace octavo {

// A block is a warpgroup that brings tiles of kTileTokens tokens to shared memory, the producer,
// and kConsumers that multiply them, each with 64 query rows.
constexpr int kWarpgroupThreads = 128;
constexpr int kConsumers = kThreads / kWarpgroupThreads - 1;
constexpr int kConsumerRows = 64;
static_assert(kRows == kConsumers * kConsumerRows);

using QueryMatrix = Matrix<kConsumerRows, kHeadDimQk * 4 / Mma::kPack>;
using KeyMatrix = Matrix<kTileTokens, kHeadDimQk * Cache::kBytes>;

// Shared memory: queries of each consumer; kStages tiles of K and of V as it is multiplied, and a
// tile fewer of V as it was copied, where that is different; of each tile the scales of its tokens,
// where they have their own; barriers. V's scales become factors in place, which are read while the
// tile after next is copied: they have a stage more.
constexpr int kScaleBytes = Scale::kPerToken ? kTileTokens * 4 : 0;
constexpr int kFactorBytes = Scale::kPerToken ? kTileTokens * 4 + 16 : 0;
constexpr int kKeysOffset = kConsumers * QueryMatrix::kBytes;
constexpr int kValuesOffset = kKeysOffset + kStages * KeyMatrix::kBytes;
constexpr int kCopiedValuesOffset = kValuesOffset + kStages * Values::Operand::kBytes;
constexpr int kKeyScalesOffset = kCopiedValuesOffset + (kStages - 1) * Values::kCopiedBytes;
constexpr int kFactorsOffset = kKeyScalesOffset + kStages * kScaleBytes;
constexpr int kBarriersOffset = kFactorsOffset + (kStages + 1) * kFactorBytes;
static_assert(kBarriersOffset + 5 * kStages * 8 <= kSharedBytes);

// The stages' barriers: whether a stage's keys and values are there, and whether all consumers are
// done with them; and whether values are there as they were copied, where the producer waits.
enum class Barrier { keys_full, keys_empty, values_copied, values_full, values_empty };

// One of several stages, and the parity of the round.
struct Turn {
  int index = 0;
  unsigned parity = 0;
};

// One of kCount stages after the other, round and round.
template <int kCount>
struct Ring : Turn {
  __device__ void advance() {
    if (++index == kCount) index = 0, parity ^= 1;
  }
  __device__ Ring before() const {
    return index == 0 ? Ring{{kCount - 1, parity ^ 1}} : Ring{{index - 1, parity}};
  }
};

// A tile's stage, and that of its factors.
struct Stage : Ring<kStages> {
  Ring<kStages + 1> factors;

  __device__ void advance() {
    Ring::advance();
    if constexpr (Scale::kPerToken) factors.advance();
  }
  __device__ Stage before() const { return {Ring::before(), factors.before()}; }
};

// The block's shared memory.
struct Memory {
  char* base;
  unsigned address;  // of base, as instructions have it

  explicit __device__ Memory(uint4* memory)
      : base(reinterpret_cast<char*>(memory)),
        address(static_cast<unsigned>(__cvta_generic_to_shared(memory))) {}

  // A stage's scales of K; and V's, at last relative to the largest so far, then what O's unit,
  // that largest one, has shrunk by, and the unit.
  __device__ float* key_scales(const Stage& stage) const {
    return reinterpret_cast<float*>(base + kKeyScalesOffset + stage.index * kScaleBytes);
  }
  __device__ float* factors(int stage) const {
    return reinterpret_cast<float*>(base + kFactorsOffset + stage * kFactorBytes);
  }
  __device__ float* factors(const Stage& stage) const { return factors(stage.factors.index); }

  __device__ unsigned queries(int consumer) const {
    return address + consumer * QueryMatrix::kBytes;
  }
  __device__ unsigned keys(int stage) const {
    return address + kKeysOffset + stage * KeyMatrix::kBytes;
  }
  __device__ unsigned values(int stage) const {
    return address + kValuesOffset + stage * Values::Operand::kBytes;
  }
  __device__ unsigned copied_values(int stage) const {
    if constexpr (!Values::kTransposed) return values(stage);
    return address + kCopiedValuesOffset + stage * Values::kCopiedBytes;
  }
  __device__ unsigned barrier(Barrier of, int stage) const {
    return address + kBarriersOffset + (static_cast<int>(of) * kStages + stage) * 8;
  }

  __device__ void start_barriers() const {
    for (int stage = 0; stage < kStages; ++stage) {
      mbarrier_init(barrier(Barrier::keys_full, stage), 4);  // warps
      mbarrier_init(barrier(Barrier::values_copied, stage), 4);
      mbarrier_init(barrier(Barrier::values_full, stage), 4);
      mbarrier_init(barrier(Barrier::keys_empty, stage), 4 * kConsumers);
      mbarrier_init(barrier(Barrier::values_empty, stage), 4 * kConsumers);
    }
    fence_proxy_async();  // what copies do at barriers comes after
  }

  __device__ void wait_full(Barrier of, const Turn& stage) const {
    mbarrier_wait(barrier(of, stage.index), stage.parity);
  }
  // The first time round nothing has to be left.
  __device__ void wait_empty(Barrier of, const Turn& stage) const {
    mbarrier_wait(barrier(of, stage.index), stage.parity ^ 1);
  }
  // A warp's arrival, when all its lanes are done.
  __device__ void arrive(Barrier of, const Stage& stage) const {
    __syncwarp();
    if (lane_id() == 0) mbarrier_arrive(barrier(of, stage.index));
  }
};

// blockIdx: x row block and KV head, z sequence. Under a causal mask the last rows take longest, so
// they go first.
inline __device__ int sequence_of_block() { return blockIdx.z; }
inline __device__ int kv_head_of_block() { return blockIdx.x % kKvHeads; }
inline __device__ Rows rows_of_prefill(const PrefillArguments& arguments) {
  const int row_block = (gridDim.x - 1 - blockIdx.x) / kKvHeads;
  return rows_from(arguments.batch, sequence_of_block(), kv_head_of_block(), row_block * kRows);
}

// The tokens that a block's rows see between them, from a multiple of kTileTokens on.
struct Tokens {
  int first;
  int end;
};

inline __device__ Tokens tokens_of(const Rows& rows) {
  return {Mask::first(rows.position(0)) / kTileTokens * kTileTokens,
          Mask::end(rows.position(rows.count - 1), rows.kv_length)};
}

}  // namespace octavo
