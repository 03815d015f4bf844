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
    {"%cluster_ctaid.x", offsetof(Warp, cluster_ctaid), 32, false},
    {"%cluster_ctaid.y", offsetof(Warp, cluster_ctaid) + 4, 32, false},
    {"%cluster_ctaid.z", offsetof(Warp, cluster_ctaid) + 8, 32, false},
    {"%cluster_nctaid.x", offsetof(Warp, cluster_nctaid), 32, false},
    {"%cluster_nctaid.y", offsetof(Warp, cluster_nctaid) + 4, 32, false},
    {"%cluster_nctaid.z", offsetof(Warp, cluster_nctaid) + 8, 32, false},
    {"%clusterid.x", offsetof(Warp, clusterid), 32, false},
    {"%clusterid.y", offsetof(Warp, clusterid) + 4, 32, false},
    {"%clusterid.z", offsetof(Warp, clusterid) + 8, 32, false},
    {"%nclusterid.x", offsetof(Warp, nclusterid), 32, false},
    {"%nclusterid.y", offsetof(Warp, nclusterid) + 4, 32, false},
    {"%nclusterid.z", offsetof(Warp, nclusterid) + 8, 32, false},
    {"%envreg1", offsetof(Warp, grid_workspace), 32, false},
    {"%envreg2", offsetof(Warp, grid_workspace) + 4, 32, false},
    {"%cluster_ctarank", offsetof(Warp, cluster_ctarank), 32, false},
    {"%cluster_nctarank", offsetof(Warp, cluster_nctarank), 32, false},
    {"%warpid", offsetof(Warp, warpid), 32, false},
    {"%nwarpid", offsetof(Warp, nwarpid), 32, false},
    {"%smid", offsetof(Warp, smid), 32, false},
    {"%nsmid", offsetof(Warp, nsmid), 32, false},
    {"%gridid", offsetof(Warp, gridid), 64, false},
    {"%dynamic_smem_size", offsetof(Warp, dynamic_shared_bytes), 32, false},
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

// The block's shared memory as the device gives it out, with what the system reserves or without.
llvm::Value* shared_size(Emitter& e, std::uint32_t reserved) {
  constexpr std::uint32_t kUnit = 128;
  auto& ir = e.ir();
  llvm::Value* bytes = e.load_member(ir.getInt32Ty(), offsetof(Warp, total_shared_bytes));
  llvm::Value* up = ir.CreateAdd(bytes, ir.getInt32(reserved + kUnit - 1));
  return e.splat(ir.CreateAnd(up, ir.getInt32(~(kUnit - 1))));
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
  // What is reserved of shared memory is not for programs: the region seems empty, and places in it
  // are outside of all memory.
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
  if (name == "%total_smem_size") return shared_size(e, 0);
  if (name == "%aggr_smem_size") return shared_size(e, 1024);
  if (name.starts_with("%envreg")) return e.splat(0, 32);  // the driver sets no others
  if (name == "%is_explicit_cluster") {
    llvm::Value* is = e.load_member(e.ir().getInt32Ty(), offsetof(Warp, is_explicit_cluster));
    return e.predicate(e.ir().CreateICmpNE(e.splat(is), e.splat(0, 32)));
  }
  return nullptr;
}

}  // namespace octavo::emulator::lower
