// Plan: every decision made for one kernel on one architecture. The only place where decisions
// live.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "generator/architecture.hpp"
#include "generator/spec.hpp"
#include "generator/wgmma.hpp"

namespace octavo {

enum class Merge { fused, kernel };

// The part of a plan that the tuner may vary. Each value is literal in the source.
struct Tunables {
  int warps = 0;        // of a block
  int stages = 0;       // tiles in shared memory, of a warp (decode) or of the block (prefill)
  int tile_tokens = 0;  // tokens that a warp (decode) or the block (prefill) takes at a time
  int row_tiles = 0;    // 16-row MMA tiles of queries that a block holds
  Merge merge = Merge::fused;
  int chunk = 0;  // dims of V that prefill sums at a time
  bool operator==(const Tunables&) const = default;
};

// One axis of the kernel's variation and the template file that its value selects.
struct Policy {
  std::string axis;  // "scale"
  std::string file;  // "scale/token_head.cuh"
};

struct Constant {
  std::string type;   // "int"
  std::string name;   // "kHeadDim"
  std::string value;  // "128"
};

// What prefill's tensor maps bring at a time: so many rows, of which so many bytes. Without rows
// the kernel takes no maps.
struct Boxes {
  int rows = 0;
  int k_bytes = 0;
  int v_bytes = 0;
};

struct Plan {
  Spec spec;
  KernelKind kernel;
  Architecture arch;
  Tunables tunables;
  std::vector<Policy> policies;     // in the order in which they are emitted
  std::vector<Constant> constants;  // in the order in which they are emitted
  std::vector<Wgmma> instructions;  // that the policies call; their text depends on their shape
  std::string skeleton;             // "kernels/decode.cuh"
  std::string entry;                // name of the kernel function
  int threads = 0;                  // of a block
  int shared_bytes = 0;             // dynamic shared memory
  Boxes boxes;                      // prefill only
};

struct Grid {
  unsigned x = 1, y = 1, z = 1;
};

// Throws SpecError where the spec names something that does not exist for this kernel yet.
Plan plan(const Spec& spec, KernelKind kernel, const Architecture& arch);
Plan plan(const Spec& spec, KernelKind kernel, const Architecture& arch, const Tunables& tunables);

// The kernels that the spec's `kernels` stand for on this architecture, in the order of launch:
// decode brings a merge kernel where its plan says so.
std::vector<Plan> plans(const Spec& spec, const Architecture& arch);

// What a launch looks like: the sizes the host knows when it launches.
struct LaunchShape {
  int sequences = 0;
  int tokens = 0;                // new (append) or query tokens, all sequences
  bool rotates_queries = false;  // append with RoPE, Q given
  int max_query_tokens = 1;      // of one sequence; all but append
  int max_kv_length = 0;         // of one sequence; decode and merge
  int splits = 1;                // decode and merge
  int short_blocks = 0;          // prefill, as PrefillKernelArguments has them
  int short_rows = 0;
};
Grid grid(const Plan& plan, const LaunchShape& shape);

// Parts to cut each sequence into, so that the blocks fill `multiprocessors`; at least 1.
int choose_splits(const Plan& decode, const LaunchShape& shape, int multiprocessors);

// Sets the shape's short blocks, so that the last round of blocks leaves few of `multiprocessors`
// without one.
void choose_short_blocks(const Plan& prefill, LaunchShape& shape, int multiprocessors);

// Entries of DecodeArguments::arrivals.
std::size_t arrival_count(const Plan& decode, const LaunchShape& shape);

}  // namespace octavo
