// Times of launches on a device whose memory is what limits them, and the ceilings beside them.
//
// On a GPU: CUDA graphs of many launches, each over memory that has left the L2 cache since it was
// last used; the median of many replays. An emulated device's clock is the host's: one launch,
// once.
#pragma once

#include <cstddef>
#include <functional>
#include <vector>

#include "runtime/device.hpp"
#include "tools/probe.hpp"

namespace octavo {

// The bytes that memory moves while tensor cores do so many operations, roughly, on any device.
std::size_t bytes_meanwhile(double operations);

class Timing {
 public:
  explicit Timing(const Device& device);

  const Device& device() const { return device_; }
  CUstream stream() const { return stream_.handle(); }

  // Sets of `bytes` to take in turn, so that each has left the L2 cache when it comes again.
  std::size_t copies_for(std::size_t bytes) const;

  // Whether the device has so much memory left.
  bool fits(std::size_t bytes) const;

  // Fills memory with words drawn from `choices` at random.
  void fill(CUdeviceptr to, std::size_t bytes, const std::vector<unsigned>& choices);

  // Milliseconds of one launch. `launch` enqueues one on stream(), over the set that it is given;
  // `bytes`: what memory moves meanwhile, or could; not 0.
  double time(std::size_t copies, std::size_t bytes,
              const std::function<void(std::size_t)>& launch) const;

  // Of a kernel that reads `bytes` and does nothing else, in the best of a few geometries.
  double time_read(CUdeviceptr from, std::size_t bytes, std::size_t copies) const;

  // Likewise of one that copies half of `bytes`, so that it reads and writes as many in total. The
  // driver's own copy is slower inside a graph.
  double time_copy(CUdeviceptr memory, std::size_t bytes, std::size_t copies) const;

 private:
  std::size_t launches_in_graph(std::size_t copies, std::size_t bytes) const;

  // Of one to four blocks a multiprocessor.
  double fastest(const std::function<double(unsigned)>& time_of_blocks) const;

  Device device_;
  Stream stream_;
  Probe read_, copy_, fill_;
  Buffer sink_;
  unsigned seed_ = 0;
};

}  // namespace octavo
