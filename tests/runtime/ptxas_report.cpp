#include "runtime/ptxas_report.hpp"

#include <doctest/doctest.h>

#include "runtime/error.hpp"
#include "support.hpp"

using namespace octavo;
using namespace octavo::test;

namespace {

// Two kernels, the second of which calls a function that spills too.
constexpr std::string_view kLog =
    R"(decode.cu(3): warning #177-D: variable "x" was declared but never referenced
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'merge' for 'sm_90a'
ptxas info    : Function properties for merge
    8 bytes stack frame, 100 bytes spill stores, 200 bytes spill loads
ptxas info    : Used 11 registers, used 3 barriers, 512 bytes smem
ptxas info    : Compile time = 3.000 ms
ptxas info    : Compiling entry function 'decode' for 'sm_90a'
ptxas info    : Function properties for decode
    24 bytes stack frame, 4 bytes spill stores, 8 bytes spill loads
ptxas info    : Function properties for helper
    40 bytes stack frame, 1 bytes spill stores, 2 bytes spill loads
ptxas info    : Used 255 registers, 1040 bytes smem, 368 bytes cmem[0]
)";

}  // namespace

TEST_CASE("the report of the kernel asked for is read, with what its callees spill") {
  const Resources merge = read_ptxas_report(kLog, "merge");
  CHECK(merge.registers == 11);
  CHECK(merge.spill_bytes == 300);
  CHECK(merge.stack_bytes == 8);
  CHECK(merge.shared_bytes == 512);
  CHECK(merge.barriers == 3);
  const Resources decode = read_ptxas_report(kLog, "decode");
  CHECK(decode.registers == 255);
  CHECK(decode.spill_bytes == 15);
  CHECK(decode.stack_bytes == 24);
  CHECK(decode.shared_bytes == 1040);
  CHECK(decode.barriers == 0);
}

TEST_CASE("a log without the kernel's report is an error, never zeros") {
  for (const std::string_view log : {std::string_view(), kLog, kLog.substr(0, kLog.find("Used"))}) {
    CHECK(contains(message_of<EnvironmentError>([&] { read_ptxas_report(log, "dec"); }), "'dec'"));
  }
}
