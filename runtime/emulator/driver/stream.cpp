// Streams and events. Work is done when its call returns, so all waits are over at once, and an
// event holds the time at which it was recorded.
#include <algorithm>

#include "driver/api.hpp"

using namespace octavo::emulator;
using namespace octavo::emulator::driver;

namespace {

constexpr unsigned kNonBlocking = 1;                                          // of a stream
constexpr unsigned kBlockingSync = 1, kDisableTiming = 2, kInterprocess = 4;  // of an event

using Clock = std::chrono::steady_clock;

bool is_default(CUstream stream) {
  return reinterpret_cast<std::uintptr_t>(stream) <= kLastDefault;
}

}  // namespace

CUresult cuStreamCreate(CUstream* stream, unsigned flags) {
  return cuStreamCreateWithPriority(stream, flags, 0);
}

// A priority beyond the range is the nearest in it.
CUresult cuStreamCreateWithPriority(CUstream* stream, unsigned flags, int priority) {
  return with_context("cuStreamCreate", [&](Context& context) {
    require(stream != nullptr, "stream: expected a place for the result");
    require((flags & ~kNonBlocking) == 0, "flags: expected 0 or CU_STREAM_NON_BLOCKING");
    auto made = std::make_shared<Stream>();
    made->flags = flags;
    made->priority = std::clamp(priority, kGreatestPriority, kLeastPriority);
    *stream = context.streams.add(std::move(made));
  });
}

CUresult cuStreamQuery(CUstream stream) {
  return with_context(__func__, [&](Context& context) { context.check_stream(stream); });
}

CUresult cuStreamGetPriority(CUstream stream, int* priority) {
  return with_context(__func__, [&](Context& context) {
    require(priority != nullptr, "priority: expected a place for the result");
    context.check_stream(stream);
    *priority = is_default(stream) ? 0 : context.streams.find(stream, "stream")->priority;
  });
}

CUresult cuStreamGetFlags(CUstream stream, unsigned* flags) {
  return with_context(__func__, [&](Context& context) {
    require(flags != nullptr, "flags: expected a place for the result");
    context.check_stream(stream);
    *flags = is_default(stream) ? 0 : context.streams.find(stream, "stream")->flags;
  });
}

CUresult cuStreamGetCtx(CUstream stream, CUcontext* result) {
  return with_context(__func__, [&](Context& context) {
    require(result != nullptr, "context: expected a place for the result");
    context.check_stream(stream);
    *result = Session::get().current_handle();
  });
}

// What comes before it in the stream is done, so it is called at once.
CUresult cuLaunchHostFunc(CUstream stream, CUhostFn function, void* user_data) {
  return with_context(__func__, [&](Context& context) {
    require(function != nullptr, "function: expected a function");
    context.check_stream(stream);
    function(user_data);
  });
}

CUresult cuStreamAddCallback(CUstream stream, CUstreamCallback callback, void* user_data,
                             unsigned flags) {
  return with_context(__func__, [&](Context& context) {
    require(callback != nullptr, "callback: expected a function");
    require(flags == 0, "flags: expected 0");
    context.check_stream(stream);
    callback(stream, CUDA_SUCCESS, user_data);
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

CUresult cuEventRecordWithFlags(CUevent event, CUstream stream, unsigned flags) {
  constexpr unsigned kExternal = 1;
  if ((flags & ~kExternal) != 0) {
    return failed(__func__, CUDA_ERROR_INVALID_VALUE,
                  "flags: expected 0 or CU_EVENT_RECORD_EXTERNAL");
  }
  return cuEventRecord(event, stream);
}

CUresult cuEventQuery(CUevent event) {
  return with_context(__func__, [&](Context& context) { context.events.find(event, "event"); });
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
