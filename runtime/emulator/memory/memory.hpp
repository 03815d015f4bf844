// The device's global memory: what is allocated, and where.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace octavo::emulator {

// Device addresses are host addresses: a checked access is an access. Allocations are aligned to
// 512 bytes and never touch one another. Thread-safe.
class Memory {
 public:
  explicit Memory(std::size_t capacity);
  ~Memory();
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  // Fresh memory is filled with 0xFF bytes (NaN in every format), so that reading before writing
  // shows. Throws Fault CUDA_ERROR_OUT_OF_MEMORY beyond the capacity.
  std::uint64_t allocate(std::size_t bytes);
  void release(std::uint64_t address);  // throws Fault for what was not allocated

  // Kernels' malloc and free: of a heap of Heap::kBytes; 0 if it has no room. Fresh memory as
  // above.
  std::uint64_t allocate_heap(std::size_t bytes);
  void release_heap(std::uint64_t address);  // throws Fault for what was not allocated there

  struct Range {
    std::uint64_t begin = 0, end = 0;
    bool contains(std::uint64_t address, std::uint64_t bytes) const {
      return address >= begin && address <= end && bytes <= end - address;
    }
  };
  // The live allocation that holds this address; an empty range if there is none.
  Range find(std::uint64_t address) const;

  // Changes whenever an allocation is made or released: a cached Range is good while it is the
  // same.
  std::uint64_t generation() const;

  // For a fault's message: "7 bytes past the end of a 1024-byte allocation", "inside memory that
  // was freed", "not device memory".
  std::string describe(std::uint64_t address, std::uint64_t bytes) const;

  std::size_t used() const;
  std::size_t capacity() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace octavo::emulator
