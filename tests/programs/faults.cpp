#include <doctest/doctest.h>
#include <fmt/core.h>

#include <cstdlib>
#include <filesystem>

#include "program.hpp"

using namespace octavo::test;

namespace {

// A fault is the end of its context: the test case runs in a process of its own.
void check_alone(const char* test_case) {
  const std::string self = std::filesystem::read_symlink("/proc/self/exe");
  const std::string command =
      fmt::format("'{}' --no-skip --test-case='{}' >/dev/null 2>&1", self, test_case);
  CHECK_MESSAGE(std::system(command.c_str()) == 0, std::string(test_case));
}

template <typename... Arguments>
void check_fault(const char* kernel, Dim grid, Dim block, CUresult code, const std::string& message,
                 Arguments... arguments) {
  Program program("faults");
  CHECK(program.try_launch(kernel, grid, block, 0, arguments...) == code);
  if (!device().emulated()) return;
  CAPTURE(last_fault());
  CHECK(last_fault().find(message) != std::string::npos);
}

}  // namespace

TEST_CASE("printf, in order of blocks and threads") {
  std::string expected;
  for (int block = 0; block < 5; ++block) {
    // A warp's lanes that take one branch print together.
    for (int thread = 0; thread < 6; thread += 2) {
      expected += fmt::format(
          "block {} thread {:2}: ab   |+10.500|7.000000e-03|0.5 z 123456789abcdef  99.5% ff "
          "-5000000000\n",
          block, thread);
    }
    for (int thread = 1; thread < 6; thread += 2) expected += "     7|given|%|    x|tr\n";
  }
  const std::vector<char> text = {'g', 'i', 'v', 'e', 'n', '\0'};
  Program program("faults");
  each_schedule([&] {
    const Array<char> given(text);
    CHECK(captured_output([&] { program.launch("print", {5}, {6}, 0, 7, *given); }) == expected);
  });
}

TEST_CASE("faults") {
  for (const char* name : {"assert", "trap", "breakpoint", "stack overflow", "null pointer call",
                           "free of what was freed"}) {
    check_alone(name);
  }
}

TEST_CASE("assert" * doctest::skip()) {
  check_fault("check", {4}, {32}, CUDA_ERROR_ASSERT,
              "block (2,0,0), warp 0, lane 6: faults.cu:", 70);
  if (!device().emulated()) return;
  CHECK(last_fault().find("check") != std::string::npos);
  CHECK(last_fault().find("< limit && \"too many\"' failed") != std::string::npos);
}

TEST_CASE("trap" * doctest::skip()) {
  check_fault("stop", {}, {32}, CUDA_ERROR_LAUNCH_FAILED, "lane 5: trap");
}

TEST_CASE("breakpoint" * doctest::skip()) {
  check_fault("breakpoint", {}, {32}, CUDA_ERROR_LAUNCH_FAILED, "lane 0: ");
}

TEST_CASE("stack overflow" * doctest::skip()) {
  Array<int> out(1);
  check_fault("recurse_deeply", {}, {1}, CUDA_ERROR_HARDWARE_STACK_ERROR, "16384 bytes of stack",
              *out, 100000);
}

TEST_CASE("null pointer call" * doctest::skip()) {
  Array<int> out(std::vector<int>{0, 0});
  check_fault("through_null", {}, {1}, CUDA_ERROR_INVALID_PC,
              "0x0 is not the address of a function", *out, 0ull);
}

TEST_CASE("free of what was freed" * doctest::skip()) {
  check_fault("free_twice", {}, {1}, CUDA_ERROR_LAUNCH_FAILED, "which was freed already");
}
