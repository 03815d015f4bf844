// Functions with a stack of their own, which take turns with the host thread that runs them.
#pragma once

#include <boost/context/detail/fcontext.hpp>
#include <cstddef>

namespace octavo::emulator {

// Of one fiber after another. Virtual: only the pages that they touch are ever committed.
class FiberStack {
 public:
  FiberStack();  // throws Fault OUT_OF_MEMORY
  FiberStack(const FiberStack&) = delete;
  FiberStack& operator=(const FiberStack&) = delete;
  ~FiberStack();

 private:
  friend class Fiber;
  void forget_frames() const;

  std::byte* memory_;
};

class Fiber {
 public:
  using Body = void (*)(void* argument);

  // The body runs on this stack from the first resume() on, and must not return. Whatever ran there
  // before is over.
  void start(const FiberStack& stack, Body body, void* argument);

  // Called by a host thread: runs the fiber until it suspends itself.
  void resume();

  // Called by the fiber; returns at the next resume().
  void suspend();

 private:
  static void enter(boost::context::detail::transfer_t from);

  Body body_;
  void* argument_;
  boost::context::detail::fcontext_t fiber_;   // while it does not run
  boost::context::detail::fcontext_t thread_;  // while it does
#ifdef __SANITIZE_ADDRESS__
  // AddressSanitizer has to be told of each switch which stack is left for which.
  const void *stack_, *thread_stack_;
  std::size_t thread_stack_bytes_;
  void* fake_stack_;
#endif
};

}  // namespace octavo::emulator
