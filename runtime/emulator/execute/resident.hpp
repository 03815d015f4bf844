// A cluster and the memory it runs in.
#pragma once

#include <memory>
#include <vector>

#include "execute/cluster.hpp"

namespace octavo::emulator {

// A warp's memory, kept for the next one.
struct WarpMemory {
  Warp warp;
  WarpWgmmas wgmmas;
  FiberStack stack;
  std::unique_ptr<std::byte[]> frame_memory, local_memory;
  std::byte* frame = nullptr;
  DefinedBytes local_defined;
  std::vector<UndefinedLoad> undefined_loads;

  WarpMemory(std::size_t frame_bytes, std::size_t local_bytes);
};

// Zeros, of which only the pages that are touched are ever committed.
class ReservedMemory {
 public:
  explicit ReservedMemory(std::size_t bytes);  // throws Fault OUT_OF_MEMORY
  ReservedMemory(const ReservedMemory&) = delete;
  ReservedMemory& operator=(const ReservedMemory&) = delete;
  ~ReservedMemory();

  std::byte* begin() const { return begin_; }
  std::size_t bytes() const { return bytes_; }

 private:
  std::byte* begin_;
  std::size_t bytes_;
};

// One cluster after another of the same launch runs in it.
class Resident {
 public:
  explicit Resident(Launch& launch);  // throws Fault OUT_OF_MEMORY
  Resident(const Resident&) = delete;
  Resident& operator=(const Resident&) = delete;

  // Every warp of the cluster that is taken in at this turn is ready at its first instruction.
  void start(std::uint64_t turn);

  Cluster cluster;
  int polling_rounds = 0;

 private:
  void start_block(Block& block, std::uint32_t rank);
  void start_warp(WarpMemory& memory, Block& block, std::uint32_t warpid) const;

  Launch& launch_;
  std::uint32_t warps_of_block_;
  ReservedMemory window_;                              // the cluster's shared memory
  std::vector<std::unique_ptr<WarpMemory>> memories_;  // block by block
  AsyncQueue async_;
  Shadow shadow_;
  DefinedBytes shared_defined_;
};

}  // namespace octavo::emulator
