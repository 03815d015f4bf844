#include "execute/wgmma.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cstring>

#include "execute/cluster.hpp"
#include "execute/helpers.hpp"
#include "execute/warpgroup.hpp"

namespace octavo::emulator {
namespace {

using tensor_core::for_chunks;
using tensor_core::kChunkBytes;
using tensor_core::Major;
using tensor_core::MatrixDescriptor;

class WgmmaOperation final : public Operation {
 public:
  WgmmaOperation(const Warp& issuing, PendingWgmma& wgmma)
      : Operation(issuing, kAllLanes, Group::wgmma), issuing_(issuing), wgmma_(wgmma) {
    in_order = true;
    const int columns = wgmma.code.shape.n / 8;
    if (!wgmma.code.a_in_registers) {
      const std::uint32_t first = issuing.warpid % kWarpgroupWarps * 2;
      add_reads(wgmma.a, wgmma.code.a_major, first, first + 2);
    }
    add_reads(wgmma.b, wgmma.code.b_major, 0, static_cast<std::uint32_t>(columns));
  }

  bool reads_defined() const {
    return std::ranges::all_of(reads, [&](const SharedRange& range) {
      return block.cluster->defined->all(range.begin, range.bytes);
    });
  }

  void perform(std::uint32_t) override {
    const WgmmaCode& code = wgmma_.code;
    const auto& shape = code.shape;
    std::uint32_t b_words[tensor_core::kWgmmaMostColumns / 8 * tensor_core::kWgmmaColumnWords];
    if (!code.a_in_registers) {
      for (std::uint32_t i = 0; i < 2; ++i) {
        std::uint32_t* lower = wgmma_.a_words + i * kLanes;
        load_core_matrices(wgmma_.a, code.a_major, issuing_.warpid % kWarpgroupWarps * 2 + i,
                           block.window(), lower, lower + 2 * kLanes);
      }
    }
    const auto groups = static_cast<std::uint32_t>(shape.n) / 8;
    for (std::uint32_t i = 0; i < groups; ++i) {
      std::uint32_t* lower = b_words + i * tensor_core::kWgmmaColumnWords;
      load_core_matrices(wgmma_.b, code.b_major, i, block.window(), lower, lower + kLanes);
    }
    if (code.negate_a) tensor_core::negate(shape.a, wgmma_.a_words, tensor_core::kWgmmaWords);
    if (code.negate_b) {
      tensor_core::negate(shape.b, b_words,
                          static_cast<int>(groups) * tensor_core::kWgmmaColumnWords);
    }
    // Earlier ones have been performed.
    const auto earlier = wgmma_.id - issuing_.wgmmas->pending.front()->id;
    if (wgmma_.accumulates)
      issuing_.wgmmas->renew_all(earlier, wgmma_.d);
    else
      std::fill(wgmma_.d.begin(), wgmma_.d.end(), 0);
    tensor_core::wgmma(shape, code.saturate, wgmma_.a_words, b_words, wgmma_.d.data());
    wgmma_.performed = true;
  }

 private:
  void add_reads(const MatrixDescriptor& descriptor, Major major, std::uint32_t first_group,
                 std::uint32_t last_group) {
    for (std::uint32_t rows = first_group; rows < last_group; ++rows) {
      // The two halves of a row are neighbours where there is a swizzle.
      std::uint32_t order[16], i = 0;
      for_chunks(descriptor, major, rows, [&](std::uint32_t address) {
        order[descriptor.swizzle != 0 && major == Major::k ? i % 8 * 2 + i / 8 : i] = address;
        ++i;
      });
      for (const std::uint32_t address : order) add_read(address);
    }
  }

  void add_read(std::uint32_t address) {
    std::byte* at = block.window() + address;
    SharedRange* last = reads.empty() ? nullptr : &reads.back();
    if (last != nullptr && (last->begin + last->bytes == at || at + kChunkBytes == last->begin)) {
      last->begin = std::min(last->begin, at);
      last->bytes += kChunkBytes;
    } else {
      reads.push_back({at, kChunkBytes});
    }
  }

  const Warp& issuing_;
  PendingWgmma& wgmma_;
};

// Of a group of eight rows of A or columns of B in shared memory, those with undefined bytes.
std::uint32_t undefined_rows(const Block& block, const MatrixDescriptor& descriptor, Major major,
                             std::uint32_t group) {
  const DefinedBytes& defined = *block.cluster->defined;
  std::uint32_t rows = 0, chunks = 0;
  for_chunks(descriptor, major, group, [&](std::uint32_t address) {
    const std::byte* chunk = block.window() + address;
    if (major == Major::k) {
      rows |= (defined.all(chunk, kChunkBytes) ? 0u : 1u) << chunks % 8;
    } else {
      for (std::uint32_t row = 0; row < 8; ++row)
        rows |= (defined.all(chunk + 2 * row, 2) ? 0u : 1u) << row;
    }
    ++chunks;
  });
  return rows;
}

// Of each accumulator, the lanes in which its row of A or its column of B is undefined.
void find_undefined(Warp& warp, const PendingWgmma& wgmma, std::uint32_t* undefined) {
  const WgmmaCode& code = wgmma.code;
  const Block& block = *warp.block;
  std::uint32_t rows[2] = {};
  for (std::uint32_t i = 0; i < 2 && !code.a_in_registers; ++i) {
    const std::uint32_t found =
        undefined_rows(block, wgmma.a, code.a_major, warp.warpid % kWarpgroupWarps * 2 + i);
    for (std::uint32_t row = 0; row < 8; ++row) rows[i] |= (found >> row & 1) * 0xFu << 4 * row;
  }
  // Of a pair of columns a lane has two registers, or one of two halves.
  const bool halves = code.shape.accumulator == tensor_core::Accumulator::f16;
  std::uint32_t any = 0;
  for (std::uint32_t group = 0; group < static_cast<std::uint32_t>(code.shape.n) / 8; ++group) {
    const std::uint32_t columns = undefined_rows(block, wgmma.b, code.b_major, group);
    for (std::uint32_t i = 0; i < (halves ? 2 : 4); ++i) {
      std::uint32_t lanes = rows[halves ? i : i / 2];
      for (std::uint32_t pair = 0; pair < 4; ++pair) {
        const std::uint32_t of_register = halves ? 3 : 1u << i % 2;
        if ((columns >> 2 * pair & of_register) != 0) lanes |= 0x11111111u << pair;
      }
      *undefined++ = lanes;
      any |= lanes;
    }
  }
  note_undefined(warp, any);
}

MatrixDescriptor decode(Warp& warp, const char* name, std::uint64_t bits, Major major,
                        std::uint32_t groups) {
  MatrixDescriptor descriptor;
  if (const char* problem = tensor_core::decode(bits, descriptor)) {
    fault(warp, CUDA_ERROR_ILLEGAL_INSTRUCTION, 0, "the descriptor of %s, 0x%llx, %s", name,
          static_cast<unsigned long long>(bits), problem);
  }
  std::uint32_t begin = UINT32_MAX, end = 0;
  for (std::uint32_t group = 0; group < groups; ++group) {
    for_chunks(descriptor, major, group, [&](std::uint32_t address) {
      begin = std::min(begin, address);
      end = std::max(end, address + kChunkBytes);
    });
  }
  const std::uint32_t first = warp.block->launch->first_shared_address();
  const std::uint32_t bytes = warp.block->launch->shared_bytes();
  if (begin < first || end > first + bytes) {
    fault(warp, CUDA_ERROR_ILLEGAL_ADDRESS, 0,
          "%s, by its descriptor 0x%llx, lies from shared address 0x%x to 0x%x; the block has %u "
          "bytes from 0x%x on",
          name, static_cast<unsigned long long>(bits), begin, end, bytes, first);
  }
  return descriptor;
}

// "line 12: wgmma.mma_async...", without operands.
std::string quote(const Warp& warp, std::int32_t line) {
  const std::string_view text = ptx_line(warp.block->launch->ptx, line);
  return fmt::format("line {}: {}", line, text.substr(0, text.find('{')));
}

// What a set's word is after a wgmma with these accumulators: another of this shape may follow.
std::int32_t shape_mark(const WgmmaCode& code) { return -(code.shape.n << 8 | code.shape.k()); }

// `word` is 0 if a fence came last, the line that wrote to the registers since, or, of accumulators
// of a wgmma since, its shape_mark().
void check_fence(Warp& warp, const char* what, std::int32_t word, std::int32_t allowed) {
  if (!warp.wgmmas->fenced)
    fault(warp, CUDA_ERROR_LAUNCH_FAILED, 0, "no wgmma.fence comes before it");
  if (word == 0 || word == allowed) return;
  if (word < 0) {
    fault(warp, CUDA_ERROR_LAUNCH_FAILED, 0,
          "%s hold those of a wgmma of m64n%dk%d, and no wgmma.fence came after it", what,
          -word >> 8, -word & 0xFF);
  }
  fault(warp, 0, [&] {
    return fmt::format("{} were written without a wgmma.fence after it, at {}", what,
                       quote(warp, word));
  });
}

}  // namespace

// d, [register][lane], is c and then what the registers hold until the wait. `a` is a fragment, or
// like `b` each lane's descriptor. d_written and a_written are of the sets of accumulators and of
// A's fragments (null if it has none): the line that wrote to one of it since the last fence.
// `undefined` gets the lanes of each accumulator that what is in shared memory makes undefined.
static void octavo_wgmma(Warp* warp, std::uint32_t packed, std::uint32_t* d, const void* a,
                         const std::uint64_t* b, std::uint32_t accumulates, std::int32_t* d_written,
                         const std::int32_t* a_written, std::uint32_t* undefined) {
  check_whole(*warp);
  const WgmmaCode code = WgmmaCode::unpack(packed);
  const bool in_registers = code.a_in_registers;
  const std::uint64_t a_bits =
      in_registers ? 0 : same_in_all_lanes(*warp, "A", static_cast<const std::uint64_t*>(a));
  const std::uint64_t b_bits = same_in_all_lanes(*warp, "B", b);
  if (accumulates != 0 && accumulates != kAllLanes) {
    fault(*warp, CUDA_ERROR_LAUNCH_FAILED, __builtin_ctz(~accumulates),
          "scale-d is not the same in all lanes");
  }
  agree(*warp, a_bits, b_bits);
  if (a_written != nullptr) check_fence(*warp, "A's registers", *a_written, 0);
  check_fence(*warp, "its accumulators", *d_written, shape_mark(code));
  *d_written = shape_mark(code);

  WarpWgmmas& wgmmas = *warp->wgmmas;
  if (wgmmas.pending.size() >= WarpWgmmas::kIds)
    fault(*warp, CUDA_ERROR_LAUNCH_FAILED, 0, "%u wgmmas in flight, and none waited for",
          WarpWgmmas::kIds);
  const auto columns = static_cast<std::uint32_t>(code.shape.n) / 8;
  MatrixDescriptor a_matrix;
  if (!in_registers) a_matrix = decode(*warp, "A", a_bits, code.a_major, 8);
  const MatrixDescriptor b_matrix = decode(*warp, "B", b_bits, code.b_major, columns);
  auto& wgmma = *wgmmas.pending.emplace_back(std::make_unique<PendingWgmma>());
  wgmma.code = code;
  wgmma.line = warp->line;
  wgmma.id = wgmmas.next_id++;
  wgmma.group = warp->committed_groups[static_cast<int>(Group::wgmma)][0];
  wgmma.accumulates = accumulates != 0;
  wgmma.a = a_matrix;
  wgmma.b = b_matrix;
  if (in_registers) std::memcpy(wgmma.a_words, a, sizeof wgmma.a_words);
  const auto registers = static_cast<std::uint32_t>(code.shape.accumulator_registers());
  wgmma.d.assign(d, d + registers * kLanes);
  // What is written after this is not what it reads.
  auto operation = std::make_unique<WgmmaOperation>(*warp, wgmma);
  std::fill_n(undefined, registers, 0);
  if (!operation->reads_defined()) find_undefined(*warp, wgmma, undefined);
  issue(*warp, std::move(operation));
  if (warp->block->launch->order.completion == Completion::eager) {
    std::copy(wgmma.d.begin(), wgmma.d.end(), d);
    wgmmas.pending.pop_back();
    return;
  }
  for (std::uint32_t i = 0; i < registers; ++i) std::fill_n(d + i * kLanes, kLanes, wgmma.tag(i));
}

static void octavo_wgmma_fence(Warp* warp, std::int32_t* written, std::uint32_t sets) {
  warp->wgmmas->fenced = true;
  std::fill_n(written, sets, 0);
}

static void octavo_wgmma_commit(Warp* warp) { commit_group(*warp, kAllLanes, Group::wgmma); }

// The slots are those of the frame that may hold tags.
static void octavo_wgmma_wait(Warp* warp, std::byte* frame, const std::uint32_t* slots,
                              std::uint32_t count, std::uint32_t pending) {
  wait_group(*warp, kAllLanes, Group::wgmma, pending);
  WarpWgmmas& wgmmas = *warp->wgmmas;
  const std::uint32_t committed = warp->committed_groups[static_cast<int>(Group::wgmma)][0];
  std::size_t due = 0;
  while (due < wgmmas.pending.size() && wgmmas.pending[due]->group + pending < committed) ++due;
  if (due == 0) return;
  for (std::uint32_t i = 0; i < count; ++i)
    wgmmas.renew(due, reinterpret_cast<std::uint32_t*>(frame + slots[i]));
  for (std::size_t i = due; i < wgmmas.pending.size(); ++i)
    if (!wgmmas.pending[i]->performed) wgmmas.renew_all(due, wgmmas.pending[i]->d);
  wgmmas.pending.erase(wgmmas.pending.begin(),
                       wgmmas.pending.begin() + static_cast<std::ptrdiff_t>(due));
}

// An instruction other than a move uses registers that may be accumulators in flight.
static void octavo_wgmma_check(Warp* warp, std::uint32_t mask, const std::uint32_t* values) {
  if (warp->wgmmas->pending.empty()) return;
  for_lanes(mask, [&](int lane) {
    const PendingWgmma* wgmma = warp->wgmmas->find(values[lane]);
    if (wgmma == nullptr) return;
    fault(*warp, lane, [&] {
      return "an accumulator is touched before the wgmma.wait_group of its wgmma, " +
             quote(*warp, wgmma->line);
    });
  });
}

// A register of A of the wgmmas at these lines is about to be overwritten.
static void octavo_wgmma_overwrite(Warp* warp, std::uint32_t mask, const std::uint32_t* lines,
                                   std::uint32_t count) {
  if (mask == 0) return;
  for (const auto& wgmma : warp->wgmmas->pending) {
    if (std::find(lines, lines + count, static_cast<std::uint32_t>(wgmma->line)) == lines + count)
      continue;
    fault(*warp, __builtin_ctz(mask), [&] {
      return "a register of A is overwritten before the wgmma.wait_group of its wgmma, " +
             quote(*warp, wgmma->line);
    });
  }
}

std::span<const Helper> wgmma_helpers() {
  static const Helper list[] = {
      OCTAVO_HELPER(octavo_wgmma),        OCTAVO_HELPER(octavo_wgmma_fence),
      OCTAVO_HELPER(octavo_wgmma_commit), OCTAVO_HELPER(octavo_wgmma_wait),
      OCTAVO_HELPER(octavo_wgmma_check),  OCTAVO_HELPER(octavo_wgmma_overwrite)};
  return list;
}

}  // namespace octavo::emulator
