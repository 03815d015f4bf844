#include "runtime/graph.hpp"

#include <optional>

#include "runtime/driver.hpp"
#include "runtime/handle.hpp"

namespace octavo {
namespace {

using Recorded = Handle<CUgraph, &Driver::cuGraphDestroy>;
using Executable = Handle<CUgraphExec, &Driver::cuGraphExecDestroy>;

// What other threads do meanwhile, allocations for one, is not in the way.
constexpr int kCaptureModeThreadLocal = 1;

void record(const Driver& driver, CUstream stream, const std::function<void()>& work,
            CUgraph* graph) {
  driver.check(driver.cuStreamBeginCapture(stream, kCaptureModeThreadLocal), "recording a graph");
  try {
    work();
  } catch (...) {
    // The stream must not stay in recording; the error to report is the first one.
    static_cast<void>(driver.cuStreamEndCapture(stream, graph));
    throw;
  }
  driver.check(driver.cuStreamEndCapture(stream, graph), "recording a graph");
}

}  // namespace

struct Graph::State {
  Stream stream;
  std::function<void()> work;            // where the driver has no graphs
  std::optional<Executable> executable;  // where it has

  State(const Device& device, const Stream& on, const std::function<void()>& of) : stream(on) {
    if (device.driver().cuGraphInstantiate == nullptr) {
      work = of;
      return;
    }
    const Recorded recorded(device, [&](const Driver& driver, CUgraph* graph) {
      record(driver, stream.handle(), of, graph);
    });
    executable.emplace(device, [&](const Driver& driver, CUgraphExec* made) {
      driver.check(driver.cuGraphInstantiate(made, recorded.value(), 0), "making a graph");
    });
  }
};

Graph::Graph(const Device& device, const Stream& stream, const std::function<void()>& work)
    : state_(std::make_shared<State>(device, stream, work)) {}

void Graph::launch() const {
  if (state_->work) return state_->work();
  const Driver& driver = state_->executable->current();
  driver.check(driver.cuGraphLaunch(state_->executable->value(), state_->stream.handle()),
               "launching a graph");
}

}  // namespace octavo
