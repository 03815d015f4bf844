#include "lower/special_registers.hpp"

#include <llvm/IR/Intrinsics.h>

#include <cstddef>

#include "execute/warp.hpp"
#include "lower/emitter.hpp"

namespace octavo::emulator::lower {
namespace {

struct Member {
  std::string_view name;
  std::size_t offset;
  unsigned bits;
  bool by_lane;
};

constexpr std::size_t kTidBytes = sizeof(Warp::tid[0]);

const Member kMembers[] = {
    {"%tid.x", offsetof(Warp, tid), 32, true},
    {"%tid.y", offsetof(Warp, tid) + kTidBytes, 32, true},
    {"%tid.z", offsetof(Warp, tid) + 2 * kTidBytes, 32, true},
    {"%ctaid.x", offsetof(Warp, ctaid), 32, false},
    {"%ctaid.y", offsetof(Warp, ctaid) + 4, 32, false},
    {"%ctaid.z", offsetof(Warp, ctaid) + 8, 32, false},
    {"%ntid.x", offsetof(Warp, ntid), 32, false},
    {"%ntid.y", offsetof(Warp, ntid) + 4, 32, false},
    {"%ntid.z", offsetof(Warp, ntid) + 8, 32, false},
    {"%nctaid.x", offsetof(Warp, nctaid), 32, false},
    {"%nctaid.y", offsetof(Warp, nctaid) + 4, 32, false},
    {"%nctaid.z", offsetof(Warp, nctaid) + 8, 32, false},
    {"%warpid", offsetof(Warp, warpid), 32, false},
    {"%nwarpid", offsetof(Warp, nwarpid), 32, false},
    {"%smid", offsetof(Warp, smid), 32, false},
    {"%nsmid", offsetof(Warp, nsmid), 32, false},
    {"%gridid", offsetof(Warp, gridid), 64, false},
    {"%dynamic_smem_size", offsetof(Warp, dynamic_shared_bytes), 32, false},
    {"%total_smem_size", offsetof(Warp, total_shared_bytes), 32, false},
};

// A constant for each lane.
template <typename F>
llvm::Value* by_lane(Emitter& e, F&& value) {
  std::vector<llvm::Constant*> lanes;
  for (std::uint32_t lane = 0; lane < kLanes; ++lane) lanes.push_back(e.ir().getInt32(value(lane)));
  return llvm::ConstantVector::get(lanes);
}

llvm::Value* clock(Emitter& e, unsigned bits, unsigned shift) {
  llvm::Value* now = e.ir().CreateIntrinsic(llvm::Intrinsic::readcyclecounter, {}, {});
  return e.splat(e.ir().CreateTrunc(e.ir().CreateLShr(now, shift), e.ir().getIntNTy(bits)));
}

}  // namespace

llvm::Value* read_special_register(Emitter& e, std::string_view name) {
  for (const Member& member : kMembers) {
    if (member.name != name) continue;
    if (member.by_lane) return e.load_member(e.lanes(member.bits), member.offset);
    return e.splat(e.load_member(e.ir().getIntNTy(member.bits), member.offset));
  }
  if (name == "%laneid") return by_lane(e, [](std::uint32_t lane) { return lane; });
  if (name == "%lanemask_eq") return by_lane(e, [](std::uint32_t lane) { return 1u << lane; });
  if (name == "%lanemask_lt")
    return by_lane(e, [](std::uint32_t lane) { return (1u << lane) - 1; });
  if (name == "%lanemask_le")
    return by_lane(e, [](std::uint32_t lane) { return (2u << lane) - 1; });
  if (name == "%lanemask_ge") return by_lane(e, [](std::uint32_t lane) { return ~0u << lane; });
  if (name == "%lanemask_gt") return by_lane(e, [](std::uint32_t lane) { return ~1u << lane; });
  // The driver's own: set for a cooperative grid only, which this is not.
  if (name.starts_with("%envreg")) return e.splat(0, 32);
  // No shared memory is reserved: the region is empty, and places in it are outside of all memory.
  if (name == "%reserved_smem_offset_0" || name == "%reserved_smem_offset_1") {
    return e.splat(0xFFFFFF00u, 32);
  }
  if (name.starts_with("%reserved_smem_offset")) return e.splat(0, 32);
  if (name == "WARP_SZ") return e.splat(kLanes, 32);
  if (name == "%clock") return clock(e, 32, 0);
  if (name == "%clock_hi") return clock(e, 32, 32);
  if (name == "%clock64") return clock(e, 64, 0);
  if (name == "%globaltimer" || name == "%globaltimer_lo" || name == "%globaltimer_hi") {
    llvm::Value* now = e.call("octavo_globaltimer", e.ir().getInt64Ty(), {});
    if (name == "%globaltimer") return e.splat(now);
    llvm::Value* half = e.ir().CreateLShr(now, name == "%globaltimer_hi" ? 32 : 0);
    return e.splat(e.ir().CreateTrunc(half, e.ir().getInt32Ty()));
  }
  // No block is part of a cluster of more than itself.
  if (name == "%cluster_ctarank" || name == "%cluster_ctaid.x" || name == "%cluster_ctaid.y" ||
      name == "%cluster_ctaid.z") {
    return e.splat(0, 32);
  }
  if (name == "%cluster_nctarank" || name == "%cluster_nctaid.x" || name == "%cluster_nctaid.y" ||
      name == "%cluster_nctaid.z") {
    return e.splat(1, 32);
  }
  return nullptr;
}

}  // namespace octavo::emulator::lower
