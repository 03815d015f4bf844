#include "execute/fiber.hpp"

#include <sys/mman.h>

#include "fault.hpp"
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif

namespace octavo::emulator {

namespace context = boost::context::detail;

namespace {

constexpr std::size_t kStackBytes = 4u << 20;
// Wider than any frame of a compiled kernel: an overflow must hit it.
constexpr std::size_t kGuardBytes = 1u << 20;
constexpr std::size_t kUsableBytes = kStackBytes - kGuardBytes;

}  // namespace

FiberStack::FiberStack() {
  void* memory = mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw Fault(CUDA_ERROR_OUT_OF_MEMORY, "no memory for a stack");
  memory_ = static_cast<std::byte*>(memory);
  mprotect(memory_, kGuardBytes, PROT_NONE);
}

FiberStack::~FiberStack() {
  forget_frames();
  munmap(memory_, kStackBytes);
}

// A fiber that was left for good never returned from its frames, which AddressSanitizer would find
// in whatever comes to lie there.
void FiberStack::forget_frames() const {
#ifdef __SANITIZE_ADDRESS__
  ASAN_UNPOISON_MEMORY_REGION(memory_ + kGuardBytes, kUsableBytes);
#endif
}

void Fiber::start(const FiberStack& stack, Body body, void* argument) {
  stack.forget_frames();
  body_ = body;
  argument_ = argument;
#ifdef __SANITIZE_ADDRESS__
  stack_ = stack.memory_ + kGuardBytes;
  fake_stack_ = nullptr;
#endif
  fiber_ = context::make_fcontext(stack.memory_ + kStackBytes, kUsableBytes, enter);
}

void Fiber::enter(context::transfer_t from) {
  auto& fiber = *static_cast<Fiber*>(from.data);
  fiber.thread_ = from.fctx;
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_finish_switch_fiber(nullptr, &fiber.thread_stack_, &fiber.thread_stack_bytes_);
#endif
  fiber.body_(fiber.argument_);
}

void Fiber::resume() {
#ifdef __SANITIZE_ADDRESS__
  void* fake_stack = nullptr;
  __sanitizer_start_switch_fiber(&fake_stack, stack_, kUsableBytes);
#endif
  fiber_ = context::jump_fcontext(fiber_, this).fctx;
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_finish_switch_fiber(fake_stack, nullptr, nullptr);
#endif
}

void Fiber::suspend() {
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_start_switch_fiber(&fake_stack_, thread_stack_, thread_stack_bytes_);
#endif
  thread_ = context::jump_fcontext(thread_, nullptr).fctx;
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_finish_switch_fiber(fake_stack_, &thread_stack_, &thread_stack_bytes_);
#endif
}

}  // namespace octavo::emulator
