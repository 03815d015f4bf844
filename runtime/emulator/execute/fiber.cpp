#include "execute/fiber.hpp"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif

namespace octavo::emulator {

namespace context = boost::context::detail;

void Fiber::start(std::byte* stack, std::size_t bytes, Body body, void* argument) {
  body_ = body;
  argument_ = argument;
#ifdef __SANITIZE_ADDRESS__
  // A fiber that was left for good never returned from the frames it had here.
  ASAN_UNPOISON_MEMORY_REGION(stack, bytes);
  stack_ = stack;
  stack_bytes_ = bytes;
  fake_stack_ = nullptr;
#endif
  fiber_ = context::make_fcontext(stack + bytes, bytes, enter);
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
  __sanitizer_start_switch_fiber(&fake_stack, stack_, stack_bytes_);
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
