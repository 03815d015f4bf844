#pragma once

#include "attention/merge_parts.cuh"

namespace octavo {

// Makes the output of what decode's splits left. A block has the rows that a block of decode has.
extern "C" __global__ void __launch_bounds__(kThreads)
    octavo_merge(const __grid_constant__ MergeArguments arguments) {
  Launch::wait();
  Launch::let_next_begin();
  const Rows rows = rows_of_block(arguments.batch);
  if (rows.count <= 0) return;
  merge_splits(arguments, rows);
}

}  // namespace octavo
