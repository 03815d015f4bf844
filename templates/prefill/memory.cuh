#pragma once

#include "attention/rows.cuh"
#include "prefill/matrix.cuh"
#include "ptx/fence.cuh"
#include "ptx/mbarrier.cuh"
#include "ptx/mov.cuh"

namespace octavo {

// A block is a warpgroup that brings tiles of kTileTokens tokens to shared memory, the producer,
// and kConsumers that multiply them, each with 64 query rows.
constexpr int kWarpgroupThreads = 128;
constexpr int kConsumers = kThreads / kWarpgroupThreads - 1;
constexpr int kConsumerRows = 64;
static_assert(kRows == kConsumers * kConsumerRows);

using QueryMatrix = Matrix<kConsumerRows, kHeadDimQk * 4 / Mma::kPack>;
using KeyMatrix = Matrix<kTileTokens, kHeadDimQk * Cache::kBytes>;

// Of a lane's two rows, of the consumer's: g and g + 8 of its warp's 16.
inline __device__ int row_of_lane(int half) {
  return warp_id() % 4 * 16 + mov_laneid() / 4 + 8 * half;
}

// The tokens that a block's rows see between them, from a multiple of kTileTokens on.
struct Tokens {
  int first;
  int end;
};

// Which tokens a consumer's rows see.
struct Sight {
  Tokens tokens;  // of the block
  int from;       // all rows see the tokens from here..
  int to;         // ..to before here
  int kv_length;
  int position[kConsumerRows];
};

// Shared memory: queries of each consumer; kStages tiles of K; V as it was copied, where it is to
// be transposed; kStages tiles of V as wgmma takes it; of each tile the scales of its tokens, where
// they have their own, V's as factors of P; what each consumer's rows see; barriers.
constexpr int kScaleBytes = Scale::kPerToken ? kTileTokens * 4 : 0;
constexpr int kFactorBytes = Scale::kPerToken ? kTileTokens * 4 + 16 : 0;
constexpr int kLargestBytes = Scale::kPerToken ? 2 * 4 * 4 : 0;
constexpr int kKeysOffset = kConsumers * QueryMatrix::kBytes;
constexpr int kCopiedValuesOffset = kKeysOffset + kStages * KeyMatrix::kBytes;
constexpr int kValuesOffset = kCopiedValuesOffset + Values::kCopiedBytes;
constexpr int kKeyScalesOffset = kValuesOffset + kStages * Values::Operand::kBytes;
constexpr int kFactorsOffset = kKeyScalesOffset + kStages * kScaleBytes;
constexpr int kLargestOffset = kFactorsOffset + kStages * kFactorBytes;
constexpr int kSightOffset = kLargestOffset + kLargestBytes;
constexpr int kBarriersOffset = kSightOffset + (kConsumers * sizeof(Sight) + 15) / 16 * 16;
static_assert(kBarriersOffset + (3 * kStages + 1) * 8 <= kSharedBytes);

// The stages' barriers: whether a stage's keys and values are there, and whether all consumers are
// done with them. At last, whether the next V is there as it was copied, where the producer waits.
enum class Barrier { keys_full, values_full, empty, values_copied };

// One stage after the other, round and round.
struct Stage {
  int index = 0;
  unsigned parity = 0;  // of the round

  __device__ void advance() {
    if (++index == kStages) index = 0, parity ^= 1;
  }
};

// The block's shared memory.
struct Memory {
  char* base;
  unsigned address;  // of base, as instructions have it

  explicit __device__ Memory(uint4* memory)
      : base(reinterpret_cast<char*>(memory)),
        address(static_cast<unsigned>(__cvta_generic_to_shared(memory))) {}

  // A stage's scales of K; and V's as exponents relative to the largest so far, then what O's unit,
  // that largest one, has shrunk by, and the unit.
  __device__ float* key_scales(const Stage& stage) const {
    return reinterpret_cast<float*>(base + kKeyScalesOffset + stage.index * kScaleBytes);
  }
  __device__ float* factors(const Stage& stage) const {
    return reinterpret_cast<float*>(base + kFactorsOffset + stage.index * kFactorBytes);
  }
  // The largest exponent of each of the producer's warps, of this tile and of the one before.
  __device__ unsigned* largest(int tile) const {
    return reinterpret_cast<unsigned*>(base + kLargestOffset) + tile % 2 * 4;
  }

  __device__ Sight& sight(int consumer) const {
    return reinterpret_cast<Sight*>(base + kSightOffset)[consumer];
  }

  __device__ unsigned queries(int consumer) const {
    return address + consumer * QueryMatrix::kBytes;
  }
  __device__ unsigned keys(int stage) const {
    return address + kKeysOffset + stage * KeyMatrix::kBytes;
  }
  __device__ unsigned values(int stage) const {
    return address + kValuesOffset + stage * Values::Operand::kBytes;
  }
  // Where V is copied to that will be that stage's.
  __device__ unsigned copied_values(int stage) const {
    return Values::kTransposed ? address + kCopiedValuesOffset : values(stage);
  }
  // Where a shared address is, for loads and stores.
  __device__ char* at(unsigned shared) const { return base + (shared - address); }

  __device__ unsigned barrier(Barrier of, int stage) const {
    return address + kBarriersOffset + (static_cast<int>(of) * kStages + stage) * 8;
  }

  // Of a block with so many consumers that have rows.
  __device__ void start_barriers(int consumers) const {
    for (int stage = 0; stage < kStages; ++stage) {
      mbarrier_init(barrier(Barrier::keys_full, stage), 4);  // warps
      mbarrier_init(barrier(Barrier::values_full, stage), 4);
      mbarrier_init(barrier(Barrier::empty, stage), 4 * consumers);
    }
    mbarrier_init(barrier(Barrier::values_copied, 0), 4);
    fence_proxy_async();  // what copies do at barriers comes after
  }

  __device__ void wait_full(Barrier of, const Stage& stage) const {
    mbarrier_wait(barrier(of, stage.index), stage.parity);
  }
  // The first time round nothing has to be left.
  __device__ void wait_empty(const Stage& stage) const {
    mbarrier_wait(barrier(Barrier::empty, stage.index), stage.parity ^ 1);
  }
  // A warp's arrival, when all its lanes are done.
  __device__ void arrive(Barrier of, int stage) const {
    __syncwarp();
    if (lane_id() == 0) mbarrier_arrive(barrier(of, stage));
  }
};

// blockIdx: x row block and KV head, z sequence. Under a causal mask the last rows take longest, so
// they go first.
inline __device__ int sequence_of_block() { return blockIdx.z; }
inline __device__ int kv_head_of_block() { return blockIdx.x % kKvHeads; }
inline __device__ Rows rows_of_prefill(const PrefillKernelArguments& arguments) {
  const int row_block = (gridDim.x - 1 - blockIdx.x) / kKvHeads;
  const int longer = max(row_block - arguments.short_blocks, 0);
  const int first = (row_block - longer) * arguments.short_rows + longer * kRows;
  Rows rows = rows_from(arguments.batch, sequence_of_block(), kv_head_of_block(), first);
  if (row_block < arguments.short_blocks) rows.count = min(rows.count, arguments.short_rows);
  return rows;
}

// Consumers that have rows.
inline __device__ int consumers_of(const Rows& rows) {
  return (rows.count + kConsumerRows - 1) / kConsumerRows;
}

inline __device__ Tokens tokens_of(const Rows& rows) {
  return {Mask::first(rows.position(0)) / kTileTokens * kTileTokens,
          Mask::end(rows.position(rows.count - 1), rows.kv_length)};
}

}  // namespace octavo
