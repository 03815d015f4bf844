#include "lower/table.hpp"

#include <algorithm>
#include <unordered_map>
#include <vector>

#include "lower/families.hpp"
#include "lower/graph.hpp"

namespace octavo::emulator::lower {
namespace {

#define ROUNDING "rn rz rm rp "
#define HALVES "f16 f16x2 bf16 bf16x2 "
#define FLOATS "f32 f64 " HALVES
#define INTEGERS "u16 u32 u64 s16 s32 s64 "
#define BITS "b16 b32 b64 "
#define COMPARISONS "eq ne lt le gt ge lo ls hi hs equ neu ltu leu gtu geu num nan "
#define CACHES                                                                                \
  "ca cg cs lu cv wb wt L1::evict_normal L1::evict_unchanged L1::evict_first L1::evict_last " \
  "L1::no_allocate L2::evict_normal L2::evict_first L2::evict_last L2::cache_hint L2::64B "   \
  "L2::128B L2::256B "
#define ORDERS "weak relaxed acquire release acq_rel volatile mmio cta cluster gpu sys "
#define SHARED "shared shared::cta "
#define REDUCTIONS "add min max inc dec and or xor "
#define DIMENSIONS "1d 2d 3d 4d 5d "
#define SPACES \
  "global shared shared::cta shared::cluster local param param::entry param::func const "
#define WMMA "m16n16k16 m32n8k16 m8n32k16 m16n16k8 f16 bf16 tf32 s8 u8 f32 s32 "
#define MEMORY_TYPES "v2 v4 v8 b8 b16 b32 b64 b128 u8 u16 u32 u64 s8 s16 s32 s64 f32 f64 "

constexpr Row kTable[] = {
    // integer and floating-point arithmetic
    {"add", ROUNDING "sat ftz cc u16x2 s16x2 f32x2 " INTEGERS FLOATS, "dss", Flow::plain,
     lower_add},
    {"sub", ROUNDING "sat ftz cc f32x2 " INTEGERS FLOATS, "dss", Flow::plain, lower_sub},
    {"mul", ROUNDING "sat ftz lo hi wide f32x2 " INTEGERS FLOATS, "dss", Flow::plain, lower_mul},
    {"mad", ROUNDING "sat ftz lo hi wide cc f32 f64 " INTEGERS, "dsss", Flow::plain, lower_mad},
    {"fma", ROUNDING "sat ftz relu f32x2 " FLOATS, "dsss", Flow::plain, lower_fma},
    {"addc", "cc u32 s32 u64 s64", "dss", Flow::plain, lower_addc},
    {"subc", "cc u32 s32 u64 s64", "dss", Flow::plain, lower_subc},
    {"madc", "cc lo hi u32 s32 u64 s64", "dsss", Flow::plain, lower_madc},
    {"mul24", "lo hi u32 s32", "dss", Flow::plain, lower_mul24},
    {"mad24", "lo hi sat u32 s32", "dsss", Flow::plain, lower_mul24},
    {"sad", INTEGERS, "dsss", Flow::plain, lower_sad},
    {"div", ROUNDING "ftz approx full f32 f64 " INTEGERS, "dss", Flow::plain, lower_div},
    {"rem", INTEGERS, "dss", Flow::plain, lower_rem},
    {"abs", "ftz s16 s32 s64 " FLOATS, "ds", Flow::plain, lower_abs},
    {"neg", "ftz s16 s32 s64 " FLOATS, "ds", Flow::plain, lower_neg},
    {"min", "ftz NaN xorsign abs relu u16x2 s16x2 " INTEGERS FLOATS, "dss?s", Flow::plain,
     lower_min},
    {"max", "ftz NaN xorsign abs relu u16x2 s16x2 " INTEGERS FLOATS, "dss?s", Flow::plain,
     lower_max},
    {"rcp", ROUNDING "approx ftz f32 f64", "ds", Flow::plain, lower_rcp},
    {"sqrt", ROUNDING "approx ftz f32 f64", "ds", Flow::plain, lower_sqrt},
    {"rsqrt", "approx ftz f32 f64", "ds", Flow::plain, lower_rsqrt},
    {"ex2", "approx ftz f32 " HALVES, "ds", Flow::plain, lower_special},
    {"lg2", "approx ftz f32", "ds", Flow::plain, lower_special},
    {"sin", "approx ftz f32", "ds", Flow::plain, lower_special},
    {"cos", "approx ftz f32", "ds", Flow::plain, lower_special},
    {"tanh", "approx f32 " HALVES, "ds", Flow::plain, lower_special},
    {"copysign", "f32 f64", "dss", Flow::plain, lower_copysign},
    {"testp", "finite infinite number notanumber normal subnormal f32 f64", "ds", Flow::plain,
     lower_testp},
    {"dp4a", "u32 s32", "dsss", Flow::plain, lower_dp4a},
    {"dp2a", "lo hi u32 s32", "dsss", Flow::plain, lower_dp2a},
    {"vabsdiff2", "u32 s32 add", "dsss", Flow::plain, lower_vabsdiff},
    {"vabsdiff4", "u32 s32 add", "dsss", Flow::plain, lower_vabsdiff},
    // bits
    {"and", "pred " BITS, "dss", Flow::plain, lower_and},
    {"or", "pred " BITS, "dss", Flow::plain, lower_or},
    {"xor", "pred " BITS, "dss", Flow::plain, lower_xor},
    {"not", "pred " BITS, "ds", Flow::plain, lower_not},
    {"cnot", BITS, "ds", Flow::plain, lower_cnot},
    {"lop3", "b32 and or", "Dssss?s", Flow::plain, lower_lop3},
    {"shl", BITS, "dss", Flow::plain, lower_shl},
    {"shr", BITS INTEGERS, "dss", Flow::plain, lower_shr},
    {"shf", "l r clamp wrap b32", "dsss", Flow::plain, lower_shf},
    {"popc", "b32 b64", "ds", Flow::plain, lower_popc},
    {"clz", "b32 b64", "ds", Flow::plain, lower_clz},
    {"bfind", "shiftamt u32 u64 s32 s64", "ds", Flow::plain, lower_bfind},
    {"brev", "b32 b64", "ds", Flow::plain, lower_brev},
    {"bfe", "u32 u64 s32 s64", "dsss", Flow::plain, lower_bfe},
    {"bfi", "b32 b64", "dssss", Flow::plain, lower_bfi},
    {"bmsk", "clamp wrap b32", "dss", Flow::plain, lower_bmsk},
    {"fns", "b32", "dsss", Flow::plain, lower_fns},
    {"prmt", "b32 f4e b4e rc8 ecl ecr rc16", "dsss", Flow::plain, lower_prmt},
    // comparison and selection
    {"setp", COMPARISONS "and or xor ftz " BITS INTEGERS FLOATS, "Dss?s", Flow::plain, lower_setp},
    {"set", COMPARISONS "and or xor ftz " BITS INTEGERS FLOATS, "dss?s", Flow::plain, lower_set},
    {"selp", BITS INTEGERS "f32 f64", "dsss", Flow::plain, lower_selp},
    {"slct", "ftz " BITS INTEGERS "f32 f64", "dsss", Flow::plain, lower_slct},
    // conversion and movement
    {"cvt",
     ROUNDING
     "rna rni rzi rmi rpi ftz sat relu satfinite u8 s8 tf32 e4m3x2 e5m2x2 ue8m0x2 " INTEGERS FLOATS,
     "ds?s", Flow::plain, lower_cvt},
    {"cvt.pack", "sat u8 s8 u16 s16 s32 b32", "dss?s", Flow::plain, lower_cvt_pack},
    {"mov", "pred b128 " BITS INTEGERS "f32 f64 f16 bf16 f16x2 bf16x2", "ds", Flow::plain,
     lower_mov},
    {"cvta", "to u32 u64 " SPACES, "ds", Flow::plain, lower_cvta},
    {"isspacep", SPACES, "ds", Flow::plain, lower_isspacep},
    {"createpolicy",
     "fractional L2::evict_last L2::evict_normal L2::evict_first L2::evict_unchanged b64", "d?ss",
     Flow::plain, lower_createpolicy},
    // memory
    {"ld", ORDERS SPACES CACHES "nc " MEMORY_TYPES, "dm?s", Flow::plain, lower_ld},
    {"ldu", SPACES MEMORY_TYPES, "dm", Flow::plain, lower_ld},
    {"st", ORDERS SPACES CACHES MEMORY_TYPES, "ms?s", Flow::plain, lower_st},
    {"atom",
     ORDERS SPACES CACHES "add min max and or xor exch cas inc dec noftz v2 v4 v8 b16 b32 b64 b128 "
                          "u32 u64 s32 s64 " FLOATS,
     "dms?ss", Flow::plain, lower_atom},
    {"red",
     ORDERS SPACES CACHES
     "add min max and or xor inc dec noftz v2 v4 v8 b32 b64 u32 u64 s32 s64 " FLOATS,
     "ms?s", Flow::plain, lower_red},
    {"prefetch", SPACES "tensormap L1 L2 L2::evict_last L2::evict_normal", "m", Flow::plain,
     lower_nothing},
    {"prefetchu", "L1", "m", Flow::plain, lower_nothing},
    {"discard", "global L2", "ms", Flow::plain, lower_nothing},
    {"applypriority", "global L2::evict_normal", "ms", Flow::plain, lower_nothing},
    {"fence", ORDERS "sc sync_restrict::shared::cta sync_restrict::shared::cluster", "",
     Flow::plain, lower_fence},
    {"membar", "cta gl sys", "", Flow::plain, lower_fence},
    {"cp.async", "ca cg shared shared::cta global L2::cache_hint L2::64B L2::128B L2::256B",
     "mms?sss", Flow::plain, lower_cp_async},
    {"cp.async.commit_group", "", "", Flow::plain, lower_cp_async_commit},
    {"cp.async.wait_group", "", "s", Flow::plain, lower_cp_async_wait},
    {"cp.async.wait_all", "", "", Flow::plain, lower_cp_async_wait_all},
    // asynchronous
    {"cp.async.mbarrier.arrive", "noinc " SHARED "b64", "m", Flow::plain, lower_cp_async_arrive},
    {"mbarrier.init", SHARED "b64", "ms", Flow::plain, lower_mbarrier_init},
    {"mbarrier.inval", SHARED "b64", "m", Flow::plain, lower_mbarrier_inval},
    {"mbarrier.arrive",
     "expect_tx noComplete release relaxed cta cluster shared::cluster " SHARED "b64", "dm?s",
     Flow::plain, lower_mbarrier_arrive},
    {"mbarrier.arrive_drop",
     "expect_tx noComplete release relaxed cta cluster shared::cluster " SHARED "b64", "dm?s",
     Flow::plain, lower_mbarrier_arrive_drop},
    {"mbarrier.expect_tx", "relaxed cta cluster shared::cluster " SHARED "b64", "ms", Flow::plain,
     lower_mbarrier_expect_tx},
    {"mbarrier.complete_tx", "relaxed cta cluster shared::cluster " SHARED "b64", "ms", Flow::plain,
     lower_mbarrier_complete_tx},
    {"mbarrier.test_wait", "parity acquire relaxed cta cluster " SHARED "b64", "dms", Flow::plain,
     lower_mbarrier_wait},
    {"mbarrier.try_wait", "parity acquire relaxed cta cluster " SHARED "b64", "dms?s", Flow::plain,
     lower_mbarrier_wait},
    {"mbarrier.pending_count", "b64", "ds", Flow::plain, lower_mbarrier_pending_count},
    {"cp.async.bulk",
     "shared::cluster shared::cta global mbarrier::complete_tx::bytes multicast::cluster "
     "L2::cache_hint",
     "mmsm?ss", Flow::plain, lower_bulk_to_shared},
    {"cp.async.bulk.bulk_group", "global shared::cta L2::cache_hint", "mms?s", Flow::plain,
     lower_bulk_to_global},
    {"cp.reduce.async.bulk",
     "shared::cluster shared::cta mbarrier::complete_tx::bytes " REDUCTIONS "b32 u32 s32 b64 u64",
     "mmsm", Flow::plain, lower_bulk_to_shared},
    {"cp.reduce.async.bulk.bulk_group",
     "global shared::cta L2::cache_hint noftz " REDUCTIONS
     "b32 u32 s32 b64 u64 s64 f16 bf16 f32 f64",
     "mms?s", Flow::plain, lower_bulk_to_global},
    {"cp.async.bulk.prefetch", "L2 global L2::cache_hint", "ms?s", Flow::plain,
     lower_bulk_prefetch},
    {"cp.async.bulk.commit_group", "", "", Flow::plain, lower_bulk_commit},
    {"cp.async.bulk.wait_group", "read", "s", Flow::plain, lower_bulk_wait},
    {"cp.async.bulk.tensor",
     DIMENSIONS
     "shared::cluster shared::cta global tile mbarrier::complete_tx::bytes multicast::cluster "
     "cta_group::1 L2::cache_hint",
     "mmm?ss", Flow::plain, lower_tensor_load},
    {"cp.async.bulk.tensor.bulk_group", DIMENSIONS "global shared::cta tile L2::cache_hint", "mm?s",
     Flow::plain, lower_tensor_store},
    {"cp.reduce.async.bulk.tensor.bulk_group",
     DIMENSIONS REDUCTIONS "global shared::cta tile L2::cache_hint", "mm?s", Flow::plain,
     lower_tensor_store},
    {"cp.async.bulk.prefetch.tensor", DIMENSIONS "L2 global tile L2::cache_hint", "m?s",
     Flow::plain, lower_tensor_prefetch},
    {"st.async",
     "weak shared::cluster mbarrier::complete_tx::bytes v2 v4 b32 b64 u32 u64 s32 s64 f32 f64",
     "msm", Flow::plain, lower_async_store},
    {"red.async",
     "relaxed cluster shared::cluster mbarrier::complete_tx::bytes " REDUCTIONS "b32 u32 s32 u64",
     "msm", Flow::plain, lower_async_store},
    {"fence.mbarrier_init", "release cluster", "", Flow::plain, lower_fence},
    {"fence.proxy",
     "alias async async::generic global shared::cta shared::cluster tensormap::generic acquire "
     "release cta cluster gpu sys sync_restrict::shared::cta sync_restrict::shared::cluster",
     "?ms", Flow::plain, lower_fence_proxy},
    {"membar.proxy", "alias async global shared::cta shared::cluster", "", Flow::plain,
     lower_fence_proxy},
    // control
    {"bra", "uni", "l", Flow::ends, lower_bra},
    {"brx", "idx uni", "sl", Flow::ends, lower_brx},
    {"call", "uni", "?sl", Flow::ends, lower_call},
    {"call.result", "", "", Flow::plain, lower_call_result},
    {"alloca", "u32 u64", "ds?s", Flow::plain, lower_alloca},
    {"stacksave", "u32 u64", "d", Flow::plain, lower_stacksave},
    {"stackrestore", "u32 u64", "s", Flow::plain, lower_stackrestore},
    {"ret", "uni", "", Flow::ends, lower_ret},
    {"exit", "", "", Flow::ends, lower_exit},
    {"trap", "", "", Flow::plain, lower_trap},
    {"brkpt", "", "", Flow::plain, lower_trap},
    {"nanosleep", "u32", "s", Flow::plain, lower_nanosleep},
    {"pmevent", "mask", "s", Flow::plain, lower_nothing},
    // the lanes of a warp and the warps of a block
    {"bar.sync", "cta", "s?s", Flow::aligned, lower_barrier},
    {"bar.arrive", "cta", "ss", Flow::aligned, lower_barrier},
    {"bar.red", "cta popc and or u32 pred", "dss?s", Flow::aligned, lower_barrier},
    {"barrier.sync.aligned", "cta", "s?s", Flow::aligned, lower_barrier},
    {"barrier.arrive.aligned", "cta", "ss", Flow::aligned, lower_barrier},
    {"barrier.red.aligned", "cta popc and or u32 pred", "dss?s", Flow::aligned, lower_barrier},
    {"barrier.sync", "cta", "s?s", Flow::ends, lower_barrier_lanes},
    {"barrier.arrive", "cta", "ss", Flow::ends, lower_barrier_lanes},
    {"barrier.red", "cta popc and or u32 pred", "dss?s", Flow::ends, lower_barrier_lanes},
    {"barrier.red.result", "cta popc and or u32 pred", "dss?s", Flow::plain, lower_barrier_result},
    // clusters
    {"barrier.cluster.arrive.aligned", "release relaxed", "", Flow::aligned, lower_barrier},
    {"barrier.cluster.wait.aligned", "acquire", "", Flow::aligned, lower_barrier},
    {"barrier.cluster.arrive", "release relaxed", "", Flow::ends, lower_barrier_lanes},
    {"barrier.cluster.wait", "acquire", "", Flow::ends, lower_barrier_lanes},
    {"mapa", "shared::cluster u32 u64", "dss", Flow::plain, lower_mapa},
    {"getctarank", "shared::cluster u32 u64", "ds", Flow::plain, lower_getctarank},
    {"setmaxnreg.sync.aligned", "inc dec u32", "s", Flow::aligned, lower_setmaxnreg},
    {"griddepcontrol", "launch_dependents wait", "", Flow::plain, lower_griddepcontrol},
    {"bar.warp.sync", "", "s", Flow::members, lower_warp_sync},
    {"shfl.sync", "up down bfly idx b32", "Dssss", Flow::members, lower_shfl},
    {"vote.sync", "all any uni ballot pred b32", "dss", Flow::members, lower_vote},
    {"match.sync", "any all b32 b64", "Dss", Flow::members, lower_match},
    {"redux.sync", "add min max and or xor abs NaN u32 s32 b32 f32", "dss", Flow::members,
     lower_redux},
    {"elect.sync", "", "Ds", Flow::members, lower_elect},
    {"activemask", "b32", "d", Flow::plain, lower_activemask},
    {"mma.sync",
     "aligned row col satfinite kind::f8f6f4 m16n8k4 m16n8k8 m16n8k16 m16n8k32 f16 bf16 tf32 e4m3 "
     "e5m2 "
     "s8 u8 f32 s32",
     "dsss", Flow::aligned, lower_mma},
    {"wgmma.mma_async.sync", "aligned satfinite m64n* f16 bf16 tf32 e4m3 e5m2 s8 u8 f32 s32",
     "usss?ssss", Flow::aligned, lower_wgmma},
    {"wgmma.fence.sync", "aligned", "", Flow::aligned, lower_wgmma_fence},
    {"wgmma.commit_group.sync", "aligned", "", Flow::aligned, lower_wgmma_commit},
    {"wgmma.wait_group.sync", "aligned", "s", Flow::settles, lower_wgmma_wait},
    {"wmma.load", "sync aligned a b c row col " WMMA "global shared shared::cta", "dm?s",
     Flow::aligned, lower_wmma_load},
    {"wmma.store", "sync aligned d row col " WMMA "global shared shared::cta", "ms?s",
     Flow::aligned, lower_wmma_store},
    {"wmma.mma", "sync aligned row col satfinite " WMMA, "dsss", Flow::aligned, lower_wmma_mma},
    {"ldmatrix.sync", "aligned m8n8 x1 x2 x4 trans shared shared::cta b16", "dm", Flow::aligned,
     lower_ldmatrix},
    {"stmatrix.sync", "aligned m8n8 x1 x2 x4 trans shared shared::cta b16", "ms", Flow::aligned,
     lower_stmatrix},
    {"movmatrix.sync", "aligned m8n8 trans b16", "ds", Flow::aligned, lower_movmatrix},
};

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> words;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(separator), text.size());
    if (end != 0) words.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return words;
}

struct Entry {
  const Row* row;
  std::vector<std::string_view> head;  // modifiers that make this row the one
  std::vector<std::string_view> allowed;
};

std::unordered_map<std::string_view, std::vector<Entry>> index_table() {
  std::unordered_map<std::string_view, std::vector<Entry>> index;
  for (const Row& row : kTable) {
    std::vector<std::string_view> head = split(row.opcode, '.');
    const std::string_view opcode = head.front();
    head.erase(head.begin());
    index[opcode].push_back({&row, head, split(row.modifiers, ' ')});
  }
  for (auto& [opcode, entries] : index) {
    std::stable_sort(entries.begin(), entries.end(),
                     [](const Entry& a, const Entry& b) { return a.head.size() > b.head.size(); });
  }
  return index;
}

const Entry* find_entry(const ptx::Instruction& instruction) {
  static const auto index = index_table();
  const auto found = index.find(instruction.opcode);
  if (found == index.end()) return nullptr;
  for (const Entry& entry : found->second) {
    if (std::all_of(entry.head.begin(), entry.head.end(),
                    [&](std::string_view word) { return instruction.has(word); })) {
      return &entry;
    }
  }
  return nullptr;
}

// A word of the table that ends in '*' stands for all that begin like it.
bool contains(const std::vector<std::string_view>& words, std::string_view word) {
  return std::any_of(words.begin(), words.end(), [&](std::string_view allowed) {
    if (!allowed.ends_with('*')) return word == allowed;
    return word.starts_with(allowed.substr(0, allowed.size() - 1));
  });
}

bool kind_fits(char letter, const ptx::Operand& operand) {
  using Kind = ptx::Operand::Kind;
  switch (letter) {
    case 'd':
    case 'D':
    case 'u':
      return operand.kind == Kind::reg || operand.kind == Kind::vector ||
             operand.kind == Kind::sink;
    case 'm':
      return operand.kind == Kind::address;
    case 'l':
      return operand.kind == Kind::symbol;
    default:
      return operand.kind != Kind::address && operand.kind != Kind::sink;
  }
}

void check_operands(const Row& row, const ptx::Instruction& instruction) {
  std::size_t next = 0;
  bool optional = false;
  for (const char letter : row.operands) {
    if (letter == '?') {
      optional = true;
      continue;
    }
    if (next == instruction.operands.size()) {
      if (optional) break;
      reject(instruction, "has too few operands");
    }
    if (!kind_fits(letter, instruction.operands[next])) {
      reject(instruction,
             "operand " + std::to_string(next + 1) + " is of a kind that cannot be there");
    }
    ++next;
    if (letter == 'D' && instruction.pair) ++next;
  }
  const bool pairs = row.operands.find('D') != std::string_view::npos;
  if (next != instruction.operands.size() || (instruction.pair && !pairs)) {
    reject(instruction, "has too many operands");
  }
}

}  // namespace

std::span<const Row> instruction_table() { return kTable; }

const Row& check(const ptx::Instruction& instruction) {
  const Entry* entry = find_entry(instruction);
  if (entry == nullptr) refuse(instruction, "this instruction is not supported");
  for (const auto& modifier : instruction.modifiers) {
    if (!contains(entry->head, modifier) && !contains(entry->allowed, modifier)) {
      refuse(instruction, "modifier ." + modifier + " is not supported");
    }
  }
  check_operands(*entry->row, instruction);
  return *entry->row;
}

bool is_asynchronous(const ptx::Instruction& instruction) {
  return instruction.opcode == "cp" || instruction.opcode == "mbarrier" ||
         instruction.opcode == "wgmma" || instruction.has("mbarrier::complete_tx::bytes");
}

bool reads_carry(const ptx::Instruction& instruction) {
  return instruction.opcode == "addc" || instruction.opcode == "subc" ||
         instruction.opcode == "madc";
}

bool is_destination(const Row& row, const ptx::Instruction& instruction, std::size_t i) {
  if (row.operands.empty()) return false;
  if (row.operands[0] == 'd' || row.operands[0] == 'u') return i == 0;
  return row.operands[0] == 'D' && (i == 0 || (i == 1 && instruction.pair));
}

}  // namespace octavo::emulator::lower
