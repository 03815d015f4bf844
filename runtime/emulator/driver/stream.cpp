// Streams and events. Work is done when its call returns, so all waits are over at once, and an
// event holds the time at which it was recorded.
#include "driver/api.hpp"

using namespace octavo::emulator;
using namespace octavo::emulator::driver;

namespace {

constexpr unsigned kNonBlocking = 1;                                          // of a stream
constexpr unsigned kBlockingSync = 1, kDisableTiming = 2, kInterprocess = 4;  // of an event

using Clock = std::chrono::steady_clock;

}  // namespace

CUresult cuStreamCreate(CUstream* stream, unsigned flags) {
  return with_context(__func__, [&](Context& context) {
    require(stream != nullptr, "stream: expected a place for the result");
    require((flags & ~kNonBlocking) == 0, "flags: expected 0 or CU_STREAM_NON_BLOCKING");
    *stream = context.streams.add(std::make_shared<Stream>());
  });
}

CUresult cuStreamDestroy_v2(CUstream stream) {
  return with_context("cuStreamDestroy",
                      [&](Context& context) { context.streams.remove(stream, "stream"); });
}

CUresult cuStreamSynchronize(CUstream stream) {
  return with_context(__func__, [&](Context& context) {
    context.check_stream(stream);
    const std::lock_guard lock(context.running);
    context.check();
  });
}

CUresult cuStreamWaitEvent(CUstream stream, CUevent event, unsigned flags) {
  return with_context(__func__, [&](Context& context) {
    constexpr unsigned kExternal = 1;
    require((flags & ~kExternal) == 0, "flags: expected 0 or CU_EVENT_WAIT_EXTERNAL");
    context.check_stream(stream);
    context.events.find(event, "event");
  });
}

CUresult cuEventCreate(CUevent* event, unsigned flags) {
  return with_context(__func__, [&](Context& context) {
    require(event != nullptr, "event: expected a place for the result");
    require((flags & ~(kBlockingSync | kDisableTiming | kInterprocess)) == 0,
            "flags: expected CU_EVENT flags");
    require((flags & kInterprocess) == 0 || (flags & kDisableTiming) != 0,
            "flags: CU_EVENT_INTERPROCESS needs CU_EVENT_DISABLE_TIMING");
    auto made = std::make_shared<Event>();
    made->timed = (flags & kDisableTiming) == 0;
    *event = context.events.add(std::move(made));
  });
}

CUresult cuEventDestroy_v2(CUevent event) {
  return with_context("cuEventDestroy",
                      [&](Context& context) { context.events.remove(event, "event"); });
}

CUresult cuEventRecord(CUevent event, CUstream stream) {
  return with_context(__func__, [&](Context& context) {
    const std::shared_ptr<Event> found = context.events.find(event, "event");
    context.check_stream(stream);
    const std::lock_guard lock(found->mutex);
    found->recorded = Clock::now();
  });
}

CUresult cuEventSynchronize(CUevent event) {
  return with_context(__func__, [&](Context& context) { context.events.find(event, "event"); });
}

CUresult cuEventElapsedTime(float* milliseconds, CUevent start, CUevent end) {
  return with_context(__func__, [&](Context& context) {
    require(milliseconds != nullptr, "milliseconds: expected a place for the result");
    const auto time = [&](CUevent event, const char* which) {
      const std::shared_ptr<Event> found = context.events.find(event, "event");
      const std::lock_guard lock(found->mutex);
      if (!found->timed || !found->recorded) {
        throw Fault(CUDA_ERROR_INVALID_HANDLE,
                    fmt::format("{}: expected an event with timing that was recorded", which));
      }
      return *found->recorded;
    };
    const Clock::time_point from = time(start, "start");
    const Clock::time_point to = time(end, "end");
    *milliseconds = std::chrono::duration<float, std::milli>(to - from).count();
  });
}
