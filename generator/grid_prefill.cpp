#include <algorithm>
#include <cmath>
#include <cstdint>

#include "generator/plan_detail.hpp"

namespace octavo {
namespace {

int block_rows(const Plan& plan) { return 16 * plan.tunables.row_tiles; }

int blocks_of(int rows, int block) { return std::max(0, rows + block - 1) / block; }

// When the last block ends if whole ones come first and then short ones, each where there is room,
// in the time of a whole one.
double end_of(std::int64_t whole, std::int64_t shorter, double short_time, int multiprocessors) {
  const std::int64_t busy = whole % multiprocessors;  // with a whole block more than the others
  const auto rounds = static_cast<double>(whole / multiprocessors);
  double end = rounds + (busy > 0 ? 1 : 0);
  if (shorter == 0) return end;
  const auto done = [&](double from) {
    return std::max(0.0, std::floor((end - from) / short_time + 1e-6));
  };
  end = std::max(end, rounds + short_time * static_cast<double>(shorter / multiprocessors));
  while (done(rounds) * static_cast<double>(multiprocessors - busy) +
             done(rounds + 1) * static_cast<double>(busy) <
         static_cast<double>(shorter)) {
    end += short_time / 8;
  }
  return end;
}

// Of a block of so many consumers, that of one of `most` being 1. As measured on an H100: a
// consumer alone takes more than its part of the time.
double block_time(int consumers, int most) {
  const double alone = most == 3 ? 0.58 : 0.75;
  return alone + (1 - alone) * (consumers - 1) / (most - 1);
}

}  // namespace

Grid grid_prefill(const Plan& plan, const LaunchShape& shape) {
  const int rows = shape.max_query_tokens * plan.spec.attention.group();
  const int others = rows - shape.short_blocks * shape.short_rows;
  const int blocks = shape.short_blocks + blocks_of(others, block_rows(plan));
  return {static_cast<unsigned>(blocks * plan.spec.attention.kv_heads), 1,
          static_cast<unsigned>(shape.sequences)};
}

void choose_short_blocks(const Plan& prefill, LaunchShape& shape, int multiprocessors) {
  const AttentionSpec& attention = prefill.spec.attention;
  const int most = block_rows(prefill) / 64, block = block_rows(prefill);
  const int rows = shape.max_query_tokens * attention.group();
  const std::int64_t heads = std::int64_t{shape.sequences} * attention.kv_heads;
  shape.short_blocks = shape.short_rows = 0;
  if (rows == 0 || heads == 0) return;
  double best = end_of(blocks_of(rows, block) * heads, 0, 1, multiprocessors);
  const auto rounds = static_cast<std::int64_t>(best);
  const auto consider = [&](std::int64_t whole_rounds) {
    const int whole = static_cast<int>(
        std::min<std::int64_t>(whole_rounds * multiprocessors / heads, blocks_of(rows, block)));
    for (int consumers = 1; consumers < most; ++consumers) {
      const int short_rows = 64 * consumers, shorter = blocks_of(rows - whole * block, short_rows);
      const double end =
          end_of(whole * heads, shorter * heads, block_time(consumers, most), multiprocessors);
      if (end < best) best = end, shape.short_blocks = shorter, shape.short_rows = short_rows;
    }
  };
  consider(0);
  // Under a mask the first rows, which are the short blocks', see few tokens: they fill the last
  // round anyway.
  if (attention.mask.kind == MaskKind::none && rounds > 1) {
    consider(rounds - 1);
    consider(rounds);
  }
}

}  // namespace octavo
