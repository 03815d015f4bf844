// Graph: launches recorded once and replayed by one call, which costs the host next to nothing.
#pragma once

#include <functional>
#include <memory>

#include "runtime/device.hpp"

namespace octavo {

class Graph {
 public:
  // Records what `work` enqueues on `stream`, instead of running it; everything that the launches
  // read and write must live as long as the graph is replayed. Where the driver has no graphs, as
  // the emulator has none, `work` is kept and called at each launch.
  Graph(const Device& device, const Stream& stream, const std::function<void()>& work);

  // Enqueues all of it on the stream that it was recorded from.
  void launch() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace octavo
