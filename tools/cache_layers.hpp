// Layers of a KV cache on a device for benchmarks, which take them in turn so that each has left
// the L2 cache when it comes again.
#pragma once

#include <cstddef>
#include <vector>

#include "generator/spec.hpp"
#include "templates/arguments.cuh"
#include "tools/timing.hpp"

namespace octavo {

Buffer upload(const Device& device, const std::vector<int>& values);

// Of one layer of a paged cache, the last page of each sequence whole.
struct LayerBytes {
  std::size_t k, v, scales;  // scales: of K, and as many of V

  LayerBytes(const Spec& spec, int sequences, int tokens_each);
  std::size_t all() const { return k + v + 2 * scales; }
};

// Layers one after the other in memory, whose K and V are normally distributed, with a deviation of
// one half to one. They share their page table, as a server's do, which names the pages in a
// shuffled order, as it does after a while.
class CacheLayers {
 public:
  CacheLayers(Timing& timing, const Spec& spec, std::size_t layers, int sequences, int tokens_each);

  CUdeviceptr address() const { return memory_.address(); }
  KvCache operator[](std::size_t layer) const;

 private:
  LayerBytes bytes_;
  Buffer memory_, page_table_;
  int page_table_stride_;
};

}  // namespace octavo
