// A stack of its own, which takes turns with the host thread that runs it.
#pragma once

#include <boost/context/detail/fcontext.hpp>
#include <cstddef>

namespace octavo::emulator {

class Fiber {
 public:
  using Body = void (*)(void* argument);

  // The body runs on this stack from the first resume() on, and must not return. Whatever ran there
  // before is over.
  void start(std::byte* stack, std::size_t bytes, Body body, void* argument);

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
  std::size_t stack_bytes_, thread_stack_bytes_;
  void* fake_stack_;
#endif
};

}  // namespace octavo::emulator
