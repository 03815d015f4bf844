#include "execute/clock.hpp"

#include <algorithm>

namespace octavo::emulator {
namespace {

void join(std::vector<std::uint32_t>& into, const std::vector<std::uint32_t>& from) {
  if (into.size() < from.size()) into.resize(from.size());
  for (std::size_t i = 0; i < from.size(); ++i) into[i] = std::max(into[i], from[i]);
}

}  // namespace

void Clock::join(const Clock& other) {
  emulator::join(happened, other.happened);
  emulator::join(fenced, other.fenced);
}

void Clocks::start(std::size_t warps) {
  warps_.assign(warps, {});
  for (std::size_t w = 0; w < warps; ++w) {
    warps_[w].clock.happened.assign(warps, 0);
    warps_[w].clock.fenced.assign(warps, 0);
    warps_[w].clock.happened[w] = 1;  // what it writes is after what anyone knows
  }
}

void Clocks::release(std::size_t warp, Clock& into) {
  Clock& clock = warps_[warp].clock;
  into.join(clock);
  ++clock.happened[warp];
}

void Clocks::acquire(std::size_t warp, const Clock& from) { warps_[warp].clock.join(from); }

void Clocks::release_relaxed(std::size_t warp, Clock& into) { into.join(warps_[warp].released); }

void Clocks::acquire_relaxed(std::size_t warp, const Clock& from) { warps_[warp].seen.join(from); }

void Clocks::fence_threads(std::size_t warp) {
  Known& known = warps_[warp];
  known.clock.join(known.seen);
  known.seen.clear();
  release(warp, known.released);
}

void Clocks::acquire_all(std::size_t warp) {
  for (std::size_t other = 0; other < warps_.size(); ++other)
    if (other != warp) release(other, warps_[warp].clock);
}

void Clocks::converge(std::size_t warp) {
  Known& known = warps_[warp];
  known.converged = known.clock.happened[warp]++;
}

void Clocks::fence(std::size_t warp, std::uint32_t lanes, std::uint32_t live) {
  Known& known = warps_[warp];
  Clock& clock = known.clock;
  const std::uint32_t now = clock.happened[warp]++;
  // What its other lanes wrote since they last met is not this lane's to fence.
  clock.happened[warp] = lanes == live ? now : known.converged;
  emulator::join(clock.fenced, clock.happened);
  clock.happened[warp] = now + 1;
  for (int lane = 0; lane < 32; ++lane) {
    if ((lanes >> lane & 1) != 0) known.lane_fenced[lane] = now;
  }
}

bool Clocks::visible(std::size_t warp, std::size_t writer, int lane, std::uint32_t time) const {
  return warps_[warp].clock.fenced[writer] >= time || warps_[writer].lane_fenced[lane] >= time;
}

}  // namespace octavo::emulator
