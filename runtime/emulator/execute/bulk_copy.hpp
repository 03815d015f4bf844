// Bulk copies, of bytes as they lie or of a tensor's box. Everything they touch is checked when
// they are issued; memory is read and written when they are performed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "execute/access.hpp"
#include "execute/async.hpp"
#include "execute/reduction.hpp"

namespace octavo::emulator {

// Completes by transactions on an mbarrier, or without one as part of its lane's bulk group.
class BulkOperation : public Operation {
 public:
  BulkOperation(const Warp& issuing, int lane, std::uint32_t size, std::byte* signalled);

  void read() final;
  void perform(std::uint32_t lanes_now) final;

 protected:
  virtual void gather(std::byte* data) = 0;         // reads all of it
  virtual void scatter(const std::byte* data) = 0;  // writes all of it

 private:
  std::vector<std::byte> data_;  // between the two
};

// The mbarrier that a lane's operation names, which must be of the block that holds the
// destination.
std::byte* resolve_signal(Warp& warp, int lane, std::uint64_t address, SharedWindow window,
                          const std::byte* destination);
// It must be initialised.
void require_mbarrier(Warp& warp, int lane, const std::byte* mbarrier);

// The same offset in the shared memory of the cluster's block of this rank, which must be there.
std::byte* in_block(Warp& warp, int lane, std::byte* at, std::uint32_t rank);

// Of ctaMask's blocks; those of the destination's own if there is no mask.
template <typename F>
void for_destinations(Warp& warp, int lane, const std::uint16_t* cta_mask, std::byte* to,
                      std::byte* mbarrier, F&& issue_one) {
  if (cta_mask == nullptr) {
    require_mbarrier(warp, lane, mbarrier);
    return issue_one(to, mbarrier);
  }
  for (std::uint32_t rest = cta_mask[lane]; rest != 0; rest &= rest - 1) {
    const auto rank = static_cast<std::uint32_t>(__builtin_ctz(rest));
    std::byte* signalled = in_block(warp, lane, mbarrier, rank);
    require_mbarrier(warp, lane, signalled);
    issue_one(in_block(warp, lane, to, rank), signalled);
  }
}

}  // namespace octavo::emulator
