// What is known of a cluster's shared memory beyond its bytes, for kernels with asynchronous
// instructions: which bytes operations in flight will read or write, which hold mbarriers, and
// which were written last by threads and not through the async proxy, and who has read them since
// they were written. Touching what one may not is a fault that names both places.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "execute/async.hpp"
#include "execute/clock.hpp"

namespace octavo::emulator {

struct Mbarrier {
  Site initialised;
  Clock arrived, completed;  // of those that have arrived in this phase, and in those before
};

class Shadow {
 public:
  void start(Cluster& owner, std::byte* memory, std::size_t bytes, std::size_t warps);

  // What a lane loads, stores or updates atomically through the generic proxy, by host address.
  // Bytes outside the cluster's shared memory are none of its business.
  void load(Warp& warp, int lane, const std::byte* at, std::uint32_t bytes);
  void store(Warp& warp, int lane, const std::byte* at, std::uint32_t bytes);
  void update(Warp& warp, int lane, const std::byte* at, std::uint32_t bytes);

  // The operation is about to be in flight. Faults at the warp's current instruction.
  void begin(Warp& warp, const Operation& operation);
  // These lanes' part of it has read its sources; has written.
  void end_reads(const Operation& operation, std::uint32_t lanes);
  void end_writes(const Operation& operation, std::uint32_t lanes);

  // nullptr where no mbarrier is.
  Mbarrier* find_mbarrier(const std::byte* at);
  Mbarrier& add_mbarrier(const Site& site, const std::byte* at);
  void remove_mbarrier(const std::byte* at);
  const std::unordered_map<const std::byte*, Mbarrier>& mbarriers() const { return mbarriers_; }

  std::string name(const std::byte* at) const;  // "shared address 0x40"

  Clocks clocks;

 private:
  // Of four bytes: asynchronous operations work on no less.
  enum Flag : std::uint8_t {
    kWritten = 1,
    kRead = 2,
    kMbarrier = 4,
    kGeneric = 8,
    kReduced = 16,
    kLoaded = 32,  // since asynchronous work has last written there: loaders_ and loads_ hold
  };
  struct Touch {
    std::uint32_t time;
    std::uint32_t thread : 14;  // warp of the cluster and lane
    std::uint32_t line : 18;
  };

  bool contains(const std::byte* at) const {
    return at >= memory_ && static_cast<std::size_t>(at - memory_) < bytes_;
  }
  std::size_t granule(const std::byte* at) const {
    return static_cast<std::size_t>(at - memory_) / 4;
  }
  // The first granule of these bytes that has one of the flags; `none` if none has.
  static constexpr std::size_t kNone = ~std::size_t{0};
  std::size_t find(const std::byte* at, std::uint32_t bytes, std::uint8_t flags) const;
  void write(Warp& warp, int lane, const std::byte* at, std::uint32_t bytes, std::uint8_t mind);
  Touch touch(std::size_t warp, int lane, std::int32_t line) const;
  std::string describe_touch(const Touch& touch) const;
  void note_write(std::size_t warp, int lane, std::int32_t line, const std::byte* at,
                  std::uint32_t bytes);
  void note_read(const Block& block, std::size_t warp, int lane, std::int32_t line,
                 const std::byte* at, std::uint32_t bytes);
  void check(Warp& warp, const Operation& operation, const SharedRange& range, bool writes);
  void check_fences(Warp& warp, const Operation& operation, const SharedRange& range, bool writes);
  void check_loads(Warp& warp, const Operation& operation, const SharedRange& range);
  [[noreturn]] void conflict(Warp& warp, int lane, const char* verb, std::size_t at);

  Cluster* cluster_ = nullptr;
  std::byte* memory_ = nullptr;
  std::size_t bytes_ = 0;
  std::vector<std::uint8_t> flags_;
  std::vector<std::uint16_t> readers_, reducers_;
  std::vector<Touch> last_writes_;
  // Reads by warps of the block that owns the bytes; others' are not followed. Of a granule, the
  // warps of its block; of each such warp, its last read of every granule, and the time of its last
  // of every page.
  std::vector<std::uint32_t> loaders_;
  std::unique_ptr<Touch[]> loads_;
  std::vector<std::uint32_t> last_loads_;
  std::size_t warps_of_block_ = 0, loads_room_ = 0;
  std::unordered_map<const std::byte*, Mbarrier> mbarriers_;
};

}  // namespace octavo::emulator
