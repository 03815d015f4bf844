// `octavo emulate`.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "tests/tools/command.hpp"
#include "tools/npy.hpp"

using namespace octavo;
using namespace octavo::testing;

namespace {

const bool kNoEmulator = !OCTAVO_EMULATOR;

const char* const kScale = R"(.version 8.4
.target sm_80
.address_size 64
.visible .entry scale(.param .u64 data, .param .u32 n, .param .f32 by)
{
.reg .pred %p;
.reg .b32 %i, %n;
.reg .b64 %a, %offset;
.reg .f32 %x, %by;
mov.u32 %i, %tid.x;
ld.param.u32 %n, [n];
setp.ge.u32 %p, %i, %n;
@%p bra done;
ld.param.u64 %a, [data];
ld.param.f32 %by, [by];
mad.wide.u32 %a, %i, 4, %a;
ld.global.f32 %x, [%a];
mul.f32 %x, %x, %by;
st.global.f32 [%a], %x;
done:
ret;
}
)";

const char* const kSaxpy = R"(#include "factor.cuh"
__global__ void saxpy(int n, float a, const float* x, float* y) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] = kFactor * a * x[i] + y[i];
}
struct Pair { int a; short b; };
__global__ void sum(Pair pair, int* out) { *out = pair.a + pair.b; }
__global__ void shout() { printf("thread %d\n", threadIdx.x); }
)";

std::string replace_first(std::string text, const std::string& from, const std::string& to) {
  const std::size_t place = text.find(from);
  REQUIRE(place != std::string::npos);
  return text.replace(place, from.size(), to);
}

std::vector<float> floats_of(const std::string& file) {
  const Array array = read_npy(file);
  CHECK(array.type->name == "f32");
  std::vector<float> values(array.data.size() / 4);
  std::memcpy(values.data(), array.data.data(), array.data.size());
  return values;
}

}  // namespace

TEST_CASE("a PTX kernel runs over a file's array" * doctest::skip(kNoEmulator)) {
  const Folder folder;
  const std::string ptx = folder.write("scale.ptx", kScale);
  Array array{&element_types()[9], {5, 8}, {}};
  for (int i = 0; i < 40; ++i) {
    const float value = static_cast<float>(i) + 0.5f;
    const auto* bytes = reinterpret_cast<const std::byte*>(&value);
    array.data.insert(array.data.end(), bytes, bytes + 4);
  }
  const std::string in = folder.write("in.npy", to_npy(array)), out = folder.path("out.npy");
  const std::string command = "emulate " + ptx +
                              " --entry scale --grid 1 --block 40,1,1 --arg buf:" + in +
                              " --arg u32:33 --arg f32:-2 --out 0=" + out;
  const CommandResult result = run_octavo(command + " --device a100 --json");
  REQUIRE_MESSAGE(result.status == 0, result.err);
  const nlohmann::json object = result.json();
  CHECK(has(object["device"], "A100"));
  CHECK(object["kernel"] == "scale");
  CHECK(object["grid"] == nlohmann::json{1, 1, 1});
  CHECK(object["block"] == nlohmann::json{40, 1, 1});
  CHECK(object["ok"] == true);
  CHECK(object["launch_ms"] > 0);
  CHECK(object["fault"].is_null());
  CHECK(object["outputs"] == nlohmann::json::parse(R"([{"argument": 0, "file": ")" + out +
                                                   R"(", "type": "f32", "shape": [5, 8]}])"));
  // Both warps issue all eleven: the second has a lane within n.
  CHECK(object["warp_instructions"] == 22);
  CHECK(read_npy(out).shape == array.shape);
  const std::vector<float> values = floats_of(out);
  for (int i = 0; i < 40; ++i)
    CHECK(values[i] == (static_cast<float>(i) + 0.5f) * (i < 33 ? -2.0f : 1.0f));

  const CommandResult text = run_octavo(command);
  CHECK(text.status == 0);
  CHECK(has(text.out, "scale of " + ptx + " on NVIDIA H100"));
  CHECK(has(text.out, "argument 0: f32 [5, 8] in " + out));
  // The second warp leaves at the branch.
  const CommandResult less = run_octavo(replace_first(command, "u32:33", "u32:32") + " --json");
  CHECK(less.json()["warp_instructions"] == 11 + 5);
}

TEST_CASE("a CUDA file's kernels run, by their names in C++" * doctest::skip(kNoEmulator)) {
  const Folder folder;
  folder.write("factor.cuh", "constexpr float kFactor = 2;\n");
  const std::string cu = folder.write("saxpy.cu", kSaxpy);
  const std::string x = folder.path("x.npy"), y = folder.path("y.npy");
  const CommandResult result =
      run_octavo("emulate " + cu +
                 " --entry saxpy --grid 4 --block 64 --arg i32:200 --arg f32:1.5 --arg "
                 "'buf:f32:256:uniform(3)' --arg 'buf:f32:256:uniform(4)' --out 2=" +
                 x + " --out 3=" + y);
  REQUIRE_MESSAGE(result.status == 0, result.err);
  // y before the kernel is what another run over nothing leaves.
  const std::string before = folder.path("before.npy");
  const CommandResult nothing =
      run_octavo("emulate " + cu + " --entry saxpy --grid 1 --block 1 --arg i32:0 --arg f32:0 " +
                 "--arg buf:f32:1 --arg 'buf:f32:256:uniform(4)' --out 3=" + before);
  REQUIRE_MESSAGE(nothing.status == 0, nothing.err);
  const std::vector<float> xs = floats_of(x), ys = floats_of(y), old = floats_of(before);
  REQUIRE(ys.size() == 256);
  for (std::size_t i = 0; i < 256; ++i)
    CHECK(ys[i] == (i < 200 ? std::fma(3.0f, xs[i], old[i]) : old[i]));

  const std::string pair = folder.write("pair", std::string("\x05\0\0\0\xFE\xFF\0\0", 8));
  const std::string sum = folder.path("sum.npy");
  const CommandResult by_value =
      run_octavo("emulate " + cu + " --entry sum --grid 1 --block 1 --arg bytes:" + pair +
                 " --arg buf:i32:1 --out 1=" + sum);
  REQUIRE_MESSAGE(by_value.status == 0, by_value.err);
  CHECK(read_npy(sum).data ==
        std::vector<std::byte>{std::byte{3}, std::byte{0}, std::byte{0}, std::byte{0}});

  const std::string rank =
      folder.write("rank.cu", R"(extern "C" __global__ void rank(unsigned* out) {
  unsigned rank;
  asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  out[blockIdx.x] = rank;
})");
  const std::string ranks = folder.path("ranks.npy");
  const CommandResult clusters = run_octavo(
      "emulate " + rank + " --entry rank --grid 4 --block 1 --cluster 2 --arg buf:u8:16 " +
      "--out 0=" + ranks);
  REQUIRE_MESSAGE(clusters.status == 0, clusters.err);
  CHECK(read_npy(ranks).data[4] == std::byte{1});
  CHECK(read_npy(ranks).data[8] == std::byte{0});

  const CommandResult shout =
      run_octavo("emulate " + cu + " --entry shout --grid 1 --block 2 --json");
  CHECK(shout.status == 0);
  CHECK(shout.err == "thread 0\nthread 1\n");
  CHECK(shout.json()["kernel"] == "_Z5shoutv");
}

TEST_CASE("a kernel's fault exits with 1 and says where it is" * doctest::skip(kNoEmulator)) {
  const Folder folder;
  const std::string ptx = folder.write("scale.ptx", kScale), out = folder.path("out.npy");
  const std::string command = "emulate " + ptx +
                              " --entry scale --grid 1 --block 64 --arg buf:f32:40 --arg u32:64 "
                              "--arg f32:2 --out 0=" +
                              out;
  const CommandResult result = run_octavo(command);
  CHECK(result.status == 1);
  CHECK(has(result.err, "octavo: "));
  CHECK(has(result.err, "kernel scale, line 17: ld.global.f32 %x, [%a]: block (0,0,0), warp 1"));
  CHECK(std::count(result.err.begin(), result.err.end(), '\n') == 1);
  CHECK_FALSE(std::filesystem::exists(out));
  const CommandResult as_json = run_octavo(command + " --json");
  CHECK(as_json.status == 1);
  CHECK(as_json.json()["ok"] == false);
  CHECK(has(as_json.json()["fault"], "line 17"));
  CHECK(as_json.json()["warp_instructions"].is_null());
}

TEST_CASE("wrong input exits with 2 and one line that helps" * doctest::skip(kNoEmulator)) {
  const Folder folder;
  const std::string ptx = folder.write("scale.ptx", kScale);
  const std::string shape = " --grid 1 --block 32 ", entry = " --entry scale ";
  const std::string given = "--arg buf:f32:32 --arg u32:32 --arg f32:2 ";
  const auto emulate = [&](const std::string& rest) { return run_octavo("emulate " + rest); };
  check_refused(emulate(""), 2, "FILE is required");
  check_refused(emulate(ptx + shape + given), 2, "--entry is required");
  check_refused(emulate(ptx + entry + "--block 1 " + given), 2, "--grid is required");
  check_refused(emulate(ptx + entry + shape + given + "--args i32:1"), 2, "did you mean --arg");
  check_refused(emulate(ptx + entry + "--grid 1,2,3,4 --block 32 " + given), 2,
                "--grid 1,2,3,4: expected X, X,Y or X,Y,Z");
  check_refused(emulate(ptx + entry + "--grid x --block 32 " + given), 2, "--grid");
  check_refused(emulate(ptx + entry + "--grid 0 --block 32 " + given), 2, "grid x 0: expected 1");
  check_refused(emulate(ptx + entry + "--grid 1 --block 2048 " + given), 2, "2048");
  check_refused(emulate(ptx + entry + "--grid 1 --block 32,32,2 " + given), 2, "2048 threads");
  check_refused(emulate(ptx + entry + shape + given + "--shared 1000000"), 2, "1000000 bytes");
  check_refused(emulate(ptx + entry + shape + given + "--cluster 2"), 2, "cluster");
  check_refused(emulate(ptx + entry + shape + given + "--device h101"), 2, "h101");
  check_refused(emulate("none.ptx" + entry + shape), 2, "none.ptx: no such file");
  check_refused(emulate(folder.write("a.txt", kScale) + entry + shape), 2, "a .ptx or a .cu file");
  check_refused(emulate(ptx + " --entry scal" + shape + given), 2,
                "scale.ptx has these kernels: scale");
  check_refused(emulate(folder.write("empty.ptx", "") + entry + shape), 2, "has no kernels");
  check_refused(emulate(ptx + entry + shape + "--arg i32:1"), 2,
                "scale takes 3 arguments, of 8, 4, 4 bytes; 1 are given");
  check_refused(emulate(ptx + entry + shape + "--arg buf:f32:32 --arg u64:32 --arg f32:2"), 2,
                "--arg u64:32: argument 1 of scale has 4 bytes, not 8");
  check_refused(emulate(ptx + entry + shape + given + "--out 3=o.npy"), 2, "--out 3=o.npy");
  check_refused(emulate(ptx + entry + shape + given + "--out 1=o.npy"), 2, "not a buffer");
  check_refused(emulate(ptx + entry + shape + given + "--out o.npy"), 2, "INDEX=FILE.npy");
  check_refused(emulate(ptx + entry + shape + given + "--out 0=o.txt"), 2, "INDEX=FILE.npy");
  check_refused(emulate(folder.write("bad.ptx", replace_first(kScale, "mul.f32", "mul.f32 %x,")) +
                        entry + shape + given),
                2, "bad.ptx: cuModuleLoadData: line 18");
  check_refused(emulate(folder.write("wide.ptx", replace_first(kScale, ".param .f32 by",
                                                               ".param .b8 by[40000]")) +
                        entry + shape + given),
                2, "more than 32764 bytes of parameters");
  check_refused(emulate(folder.write("new.ptx", replace_first(kScale, "sm_80", "sm_100")) + entry +
                        shape + given),
                2, "sm_100");
}

TEST_CASE("what the emulator lacks, and what cannot be written, exits with 3" *
          doctest::skip(kNoEmulator)) {
  const Folder folder;
  const std::string run =
      " --entry scale --grid 1 --block 32 --arg buf:f32:32 --arg u32:32 --arg f32:2 ";
  const std::string ptx = folder.write("scale.ptx", kScale);
  check_refused(
      run_octavo("emulate " +
                 folder.write("odd.ptx", replace_first(kScale, "mul.f32", "mangle.f32")) + run),
      3, "line 18: mangle.f32: this instruction is not supported");
  check_refused(run_octavo("emulate " + ptx + run, "OCTAVO_EMULATOR_LIBRARY=/nowhere.so"), 3,
                "/nowhere.so");
  const CommandResult result = run_octavo("emulate " + ptx + run + "--out 0=/proc/o.npy");
  CHECK(result.status == 3);
  CHECK(has(result.err, "cannot write /proc/o.npy"));
  const std::string cu = folder.write("scale.cu", "extern \"C\" __global__ void scale() {}");
  check_refused(
      run_octavo("emulate " + cu + " --entry scale --grid 1 --block 1", "OCTAVO_NVRTC=/nowhere.so"),
      3, "NVRTC");
}

TEST_CASE("a CUDA file that does not compile exits with 2 and the compiler's log" *
          doctest::skip(kNoEmulator)) {
  const Folder folder;
  const std::string cu = folder.write("bad.cu", "__global__ void k() {\n  x = 1;\n}\n");
  const CommandResult result = run_octavo("emulate " + cu + " --entry k --grid 1 --block 1");
  CHECK(result.status == 2);
  CHECK(has(result.err, "octavo: " + cu + " does not compile for sm_90a"));
  CHECK(has(result.err, "bad.cu(2): error: identifier \"x\" is undefined"));
}
