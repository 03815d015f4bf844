// What each warp of a cluster may rely on having happened: vector clocks.
//
// A warp's own time counts its releases (arrivals at barriers, proxy fences). Shared memory is
// written through the generic proxy, and what asynchronous operations do goes through another, so
// that a warp knows two things of every other: which of its writes it has seen happen, and which of
// those a `fence.proxy.async` has made visible to asynchronous operations too. Both travel with
// barriers: the fence may be the writer's, before the barrier, or the reader's, after it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace octavo::emulator {

// By warp of the cluster; empty is nothing.
struct Clock {
  std::vector<std::uint32_t> happened, fenced;
  void join(const Clock& other);
  void clear() { happened.clear(), fenced.clear(); }
};

class Clocks {
 public:
  void start(std::size_t warps);

  void release(std::size_t warp, Clock& into);
  void acquire(std::size_t warp, const Clock& from);
  // Relaxed ones do what they do together with a fence: before a release, after an acquisition.
  void release_relaxed(std::size_t warp, Clock& into);
  void acquire_relaxed(std::size_t warp, const Clock& from);
  void fence_threads(std::size_t warp);
  // It may rely on all that any warp has done; for synchronisation that is not understood.
  void acquire_all(std::size_t warp);
  // The lanes of the warp have met.
  void converge(std::size_t warp);
  // fence.proxy.async of these lanes of the live ones.
  void fence(std::size_t warp, std::uint32_t lanes, std::uint32_t live);

  // Of what the warp does now.
  std::uint32_t time(std::size_t warp) const { return warps_[warp].clock.happened[warp]; }
  // Whether `warp` may rely on what the other did at this time having happened.
  bool happened(std::size_t warp, std::size_t other, std::uint32_t time) const {
    return warps_[warp].clock.happened[other] >= time;
  }
  // Whether an asynchronous operation of `warp` sees what the writer's lane wrote at this time.
  bool visible(std::size_t warp, std::size_t writer, int lane, std::uint32_t time) const;

 private:
  struct Known {
    Clock clock;
    Clock released, seen;                // by its last fence; by relaxed acquisitions since
    std::uint32_t converged = 0;         // its own time when its lanes last met
    std::uint32_t lane_fenced[32] = {};  // of its own writes, by lane
  };
  std::vector<Known> warps_;
};

}  // namespace octavo::emulator
