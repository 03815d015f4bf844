// How far a result is from the reference, and how far it may be.
#pragma once

#include <span>

#include "generator/spec.hpp"
#include "tools/reference/attention.hpp"

namespace octavo::reference {

struct Difference {
  double relative_l2 = 0;  // |got - want| / |want|; 0 if both are zero, infinite if only want is
  double max_abs = 0;      // NaN if anything is NaN, as relative_l2
};
Difference compare(std::span<const double> got, std::span<const double> want);

// The same over the rows of one of the caches, all heads and sequences.
Difference compare(const RowReader& got, const RowReader& want, const std::vector<int>& kv_length,
                   int heads, int dim);

// The most that decode's relative_l2 may be against float64 attention over the dequantised cache.
double output_bound(const Spec& spec);

// The most that an LSE may be off by, against the same with the queries that are multiplied().
double lse_bound(const Spec& spec);

// The most that the dequantised cache's relative_l2 may be against what was appended.
double cache_bound(const Spec& spec);

}  // namespace octavo::reference
