// Asynchronous work: a warp issues it, the launch's order says when it is performed, and the
// program's own waits say when at the latest.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "execute/order.hpp"
#include "execute/warp.hpp"
#include "fault.hpp"

namespace octavo::emulator {

struct Cluster;
struct Launch;

// Where in a launch something was done; good when its warp is gone.
struct Site {
  std::uint32_t block[3] = {};
  std::uint32_t warp = 0;
  int lane = 0;
  std::int32_t line = 0;
};
Site site_of(const Warp& warp, int lane);
// "line 12: cp.async.bulk...: block (0,0,0), warp 1, lane 3"
std::string describe(const Launch& launch, const Site& site);

// What a program's wait for a group of operations can mean. Each thread counts its groups.
enum class Group : std::uint8_t { none, cp_async, bulk, wgmma };

// Part of a cluster's shared memory, by host address.
struct SharedRange {
  std::byte* begin;
  std::uint32_t bytes;
  std::uint32_t lanes = kAllLanes;  // of the issuing warp: those whose part it is
};

class Operation {
 public:
  // Issued by these lanes of the warp now; joins the group that they commit next.
  Operation(const Warp& warp, std::uint32_t lanes_of_warp, Group group_kind);
  virtual ~Operation() = default;
  Operation(const Operation&) = delete;
  Operation& operator=(const Operation&) = delete;

  // Takes in what is read of shared memory, for `cp.async.bulk.wait_group.read`.
  virtual void read() {}
  // Does the work of these lanes, what is read first if it was not. Called by the host thread of
  // the cluster, not always by the issuing warp: what goes wrong is reported with report().
  virtual void perform(std::uint32_t lanes_now) = 0;

  Block& block;  // the issuing warp's
  Site site;
  std::size_t warp;     // of the cluster
  std::uint32_t lanes;  // those it is still to be performed for
  Group group;
  std::uint32_t number = 0;       // groups that its lanes had committed before
  std::byte* mbarrier = nullptr;  // the object whose phase it helps to complete
  bool in_order = false;          // earlier work of the same lanes and group comes first
  bool async_proxy = true;        // false: it reads and writes as the issuing threads do
  bool reduces = false;           // its writes are atomic: others may reduce there at the same time
  bool has_read = false;
  std::vector<SharedRange> reads, writes;
  std::uint64_t sequence = 0;  // in the cluster
};

// Of a cluster: what has been issued and not performed.
class AsyncQueue {
 public:
  void start(Cluster& owner, std::size_t warps, const Order& order);

  // For the issuing warp: checks it against what is in flight and takes it in.
  void issue(Warp& warp, std::unique_ptr<Operation> operation);
  void commit(Warp& warp, std::uint32_t mask, Group group);
  // All but the last `pending` groups of each lane are performed; or have read their sources.
  void wait(Warp& warp, std::uint32_t mask, Group group, std::uint32_t pending, bool only_read);

  // No warp can go on: performs the oldest operation that a warp's mbarrier waits for, if any.
  bool perform_awaited();
  // Between two warps' turns, in random order.
  void perform_at_random();
  // The block's last warp has exited: what is left of its work is done, or is a fault.
  void end_block(Block& block);

  bool empty() const { return count_ == 0; }
  // What is in flight and writes (or else reads) the byte of shared memory, or nullptr.
  const Operation* find(const std::byte* at, bool writes) const;

 private:
  using List = std::vector<std::unique_ptr<Operation>>;
  void perform(List& list, std::size_t index, std::uint32_t lanes);
  void read(Operation& operation);
  void sweep(List& list);

  Cluster* cluster_ = nullptr;
  Completion completion_ = Completion::latest;
  std::vector<List> lists_;  // by issuing warp, in program order
  std::size_t count_ = 0;
  std::uint64_t sequence_ = 0;
  Random random_;
};

// For kernels and the functions they call; see AsyncQueue.
void issue(Warp& warp, std::unique_ptr<Operation> operation);
void commit_group(Warp& warp, std::uint32_t mask, Group group);
void wait_group(Warp& warp, std::uint32_t mask, Group group, std::uint32_t pending,
                bool only_read = false);

// A fault of what was issued there; the first of a cluster counts.
void report(Cluster& cluster, CUresult code, const Site& site, const std::string& what);
// Never returns if the cluster has a fault: for warps that may have reported one.
void stop_if_faulted(Warp& warp);

}  // namespace octavo::emulator
