// One layer's KV cache on the host: its geometry, and its contents read back from the device.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "generator/spec.hpp"
#include "tools/reference/attention.hpp"

namespace octavo::reference {

// The layout is that of KvCache in templates/arguments.cuh. Pages are dealt to the sequences in a
// shuffled order, as a server's are after a while.
class CacheImage {
 public:
  // A cache with room for these sequences and no more, but for the rest of the last page, and for
  // page 0, which is nobody's: who takes a missing page for it finds what no one wrote.
  CacheImage(const Spec& spec, const std::vector<int>& lengths, std::uint64_t seed);

  int capacity() const { return capacity_; }
  int page_table_stride() const { return stride_; }
  const std::vector<int>& page_table() const { return page_table_; }

  // The device's bytes; sized when the image is made, filled by whoever reads the cache back. The
  // scales are empty for a 16-bit cache.
  std::vector<std::byte> k, v;
  std::vector<float> k_scale, v_scale;

  // Dequantised rows of K and V. The image must outlive them.
  RowReader k_rows() const { return rows(k, k_scale, head_dim_.qk); }
  RowReader v_rows() const { return rows(v, v_scale, head_dim_.v); }

 private:
  RowReader rows(std::span<const std::byte> values, std::span<const float> scales, int dim) const;
  std::size_t slot(int sequence, int token, int head) const;  // row of [.., kv_heads, .., dim]
  std::size_t scale_index(std::size_t slot, int head) const;

  CacheSpec spec_;
  int kv_heads_;
  HeadDim head_dim_;
  int capacity_ = 0;  // tokens of a sequence
  int stride_ = 0;    // pages of a sequence
  std::vector<int> page_table_;
};

// Scales that make the largest value of K and of V the format's largest, of the granularities whose
// scales the caller provides (tensor and head).
struct StaticScales {
  std::vector<float> k, v;
};
StaticScales static_scales(const Spec& spec, const Operands& operands);

}  // namespace octavo::reference
