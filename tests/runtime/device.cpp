// Device, Buffer, Stream and Event on drivers that run nothing; libcuda.so.1 is a fake as well.
#include "runtime/device.hpp"

#include <dlfcn.h>
#include <doctest/doctest.h>

#include <thread>
#include <vector>

#include "fakes.hpp"
#include "runtime/driver.hpp"
#include "runtime/graph.hpp"
#include "support.hpp"

using namespace octavo;
using namespace octavo::test;

TEST_CASE("a library that is no driver is an error that names what it lacks") {
  const std::string message = message_of<EnvironmentError>([] { Driver::load("libm.so.6"); });
  CHECK_MESSAGE(contains(message, "libm.so.6"), message);
  CHECK_MESSAGE(contains(message, "lacks cuInit cuDriverGetVersion"), message);
}

TEST_CASE("a library that is not there is an error with the loader's reason") {
  const std::string message =
      message_of<EnvironmentError>([] { Driver::load("/nonexistent/libcuda.so.1"); });
  CHECK_MESSAGE(contains(message, "/nonexistent/libcuda.so.1: cannot open"), message);
}

TEST_CASE("the emulator named by OCTAVO_EMULATOR_LIBRARY is the only one tried") {
  const Environment library("OCTAVO_EMULATOR_LIBRARY", "/nonexistent/emulator.so");
  const std::string message = message_of<EnvironmentError>([] { Driver::load_emulator(); });
  CHECK_MESSAGE(contains(message, "/nonexistent/emulator.so"), message);
  CHECK_MESSAGE(contains(message, "OCTAVO_EMULATOR_LIBRARY"), message);
  CHECK_FALSE_MESSAGE(contains(message, "/lib/liboctavo"), message);
}

TEST_CASE("check tells what was done, the driver's words and the emulator's fault") {
  const Fakes fakes;
  const Driver gpu = Driver::load(OCTAVO_FAKE_GPU);
  const Driver emulator = Driver::load(OCTAVO_FAKE_EMULATOR);
  CHECK_FALSE(gpu.emulates());
  CHECK(emulator.emulates());
  CHECK_NOTHROW(gpu.check(CUDA_SUCCESS, "nothing"));
  const auto message = [](const Driver& driver, CUresult result) {
    return message_of<EnvironmentError>([&] { driver.check(result, "doing it"); });
  };
  CHECK(message(gpu, CUDA_ERROR_OUT_OF_MEMORY) ==
        "doing it: CUDA_ERROR_OUT_OF_MEMORY (2): out of memory");
  CHECK(message(gpu, static_cast<CUresult>(12345)) ==
        "doing it: unknown error (12345): no description");
  fakes.emulator->last_fault = "decode: line 7, block 1, warp 2, lane 3: misaligned";
  CHECK(message(emulator, CUDA_ERROR_OUT_OF_MEMORY) ==
        "doing it: CUDA_ERROR_OUT_OF_MEMORY (2): out of memory: " + fakes.emulator->last_fault);
}

TEST_CASE("auto takes the GPU where there is one") {
  const Fakes fakes;
  for (const char* name : {"auto", "cuda", "cuda:0"}) {
    const Device device = Device::open(name);
    CHECK_FALSE(device.emulated());
    CHECK(device.why_emulated().empty());
    CHECK(device.name() == "Fake GPU");
    CHECK(device.compute_capability() == 90);
    CHECK(device.architecture().name == "sm_90a");
    CHECK(device.multiprocessors() == 132);
  }
  CHECK(fakes.gpu->calls["cuDevicePrimaryCtxRetain"] == 3);
  CHECK(fakes.gpu->calls["cuDevicePrimaryCtxRelease"] == 3);
}

TEST_CASE("auto takes the emulator where there is no GPU, and knows why; cuda is an error then") {
  const Fakes fakes;
  std::string why;
  SUBCASE("no device") {
    fakes.gpu->results["cuInit"] = CUDA_ERROR_NO_DEVICE;
    why = "cuInit";
  }
  SUBCASE("no device either way") {
    fakes.gpu->devices = 0;
    why = "the driver has no GPU";
  }
  const Device device = Device::open("auto");
  CHECK(device.emulated());
  CHECK_MESSAGE(contains(device.why_emulated(), why), device.why_emulated());
  CHECK(contains(message_of<EnvironmentError>([] { Device::open("cuda"); }), why));
}

TEST_CASE("a GPU that is not there, or too old, is an error; auto does not hide it") {
  const Fakes fakes;
  CHECK(contains(message_of<EnvironmentError>([] { Device::open("cuda:5"); }), "GPU 5"));
  fakes.gpu->compute_capability = 75;
  const std::string message = message_of<EnvironmentError>([] { Device::open("auto"); });
  CHECK_MESSAGE(contains(message, "Fake GPU has compute capability 7.5"), message);
}

TEST_CASE("a device's name of another form is a usage error") {
  const Fakes fakes;
  for (const char* name :
       {"", "gpu", "cuda:", "cuda:x", "cuda:-1", "cuda:1x", "emulator:", "Auto"}) {
    CAPTURE(std::string(name));
    CHECK(contains(message_of<UsageError>([&] { Device::open(name); }), "expected"));
  }
}

TEST_CASE("a process emulates one GPU") {
  const Fakes fakes;
  const Device device = Device::open("emulator");
  CHECK(device.emulated());
  const char* set = std::getenv("OCTAVO_EMULATE");
  const std::string emulated = set == nullptr ? "h100" : set;
  CHECK_NOTHROW(Device::open("emulator:" + emulated));
  CHECK(contains(message_of<UsageError>([] { Device::open("emulator:other"); }), emulated));
}

TEST_CASE("buffers carry bytes, free their memory once, and refuse what lies outside") {
  const Fakes fakes;
  const Device device = Device::open("cuda");
  {
    Buffer buffer(device, 8);
    const Buffer same = buffer;
    CHECK(same.address() == buffer.address());
    buffer.fill(0xAA);
    buffer.upload("xyz", 3, 2);
    char bytes[8];
    buffer.download(bytes, 8);
    CHECK(std::string(bytes, 8) == "\xAA\xAAxyz\xAA\xAA\xAA");
    CHECK_THROWS_AS(buffer.upload(bytes, 9), UsageError);
    CHECK_THROWS_AS(buffer.upload(bytes, 1, 8), UsageError);
    CHECK_THROWS_AS(buffer.download(bytes, 2, 7), UsageError);
    CHECK_THROWS_AS(buffer.download(bytes, ~std::size_t{0}, 1), UsageError);
    CHECK_NOTHROW(buffer.upload(bytes, 0, 8));
  }
  CHECK(fakes.gpu->calls["cuMemFree"] == 1);

  Buffer empty(device, 0);
  CHECK(empty.address() == 0);
  CHECK(empty.bytes() == 0);
  CHECK_NOTHROW(empty.fill(1));
  CHECK_NOTHROW(empty.upload(nullptr, 0));
  CHECK_THROWS_AS(empty.upload("x", 1), UsageError);
  CHECK_THROWS_AS(Buffer().download(nullptr, 1), UsageError);
}

TEST_CASE("an allocation that fails says how much was asked for, and frees nothing") {
  const Fakes fakes;
  const Device device = Device::open("cuda");
  fakes.gpu->results["cuMemAlloc"] = CUDA_ERROR_OUT_OF_MEMORY;
  const std::string message = message_of<EnvironmentError>([&] { Buffer(device, 12345); });
  CHECK_MESSAGE(contains(message, "allocating 12345 bytes on Fake GPU"), message);
  CHECK(fakes.gpu->calls["cuMemFree"] == 0);
}

TEST_CASE("streams and events are destroyed once, their errors reported") {
  const Fakes fakes;
  const Device device = Device::open("cuda");
  {
    const Stream stream(device);
    const std::vector<Stream> copies(2, stream);
    Event start(device), end(device);
    start.record(stream.handle());
    end.record(stream.handle());
    CHECK(end.milliseconds_since(start) == 1.5f);
    stream.synchronize();
    fakes.gpu->results["cuStreamSynchronize"] = CUDA_ERROR_ILLEGAL_ADDRESS;
    CHECK_THROWS_AS(copies[0].synchronize(), EnvironmentError);
    fakes.gpu->results["cuCtxSynchronize"] = CUDA_ERROR_ILLEGAL_ADDRESS;
    CHECK_THROWS_AS(device.synchronize(), EnvironmentError);
  }
  CHECK(fakes.gpu->calls["cuStreamDestroy"] == 1);
  CHECK(fakes.gpu->calls["cuEventDestroy"] == 2);
}

TEST_CASE("a graph is recorded once and destroyed once; a failed recording is ended") {
  const Fakes fakes;
  const Device device = Device::open("cuda");
  const Stream stream(device);
  int works = 0;
  {
    const Graph graph(device, stream, [&] { ++works; });
    const std::vector<Graph> copies(2, graph);
    graph.launch();
    copies[0].launch();
  }
  CHECK(works == 1);
  CHECK(fakes.gpu->calls["cuGraphLaunch"] == 2);
  CHECK(fakes.gpu->calls["cuGraphDestroy"] == 1);
  CHECK(fakes.gpu->calls["cuGraphExecDestroy"] == 1);
  CHECK_THROWS_AS(Graph(device, stream, [] { throw UsageError("wrong"); }), UsageError);
  CHECK(fakes.gpu->calls["cuStreamEndCapture"] == 2);
}

TEST_CASE("where the driver has no graphs, each launch does the work") {
  const Fakes fakes;
  const Device device = Device::open("emulator");
  const Stream stream(device);
  int works = 0;
  const Graph graph(device, stream, [&] { ++works; });
  CHECK(works == 0);
  graph.launch();
  graph.launch();
  CHECK(works == 2);
}

TEST_CASE("the device is released after the last thing that lives on it, in any thread") {
  const Fakes fakes;
  auto buffer = std::make_unique<Buffer>(Device::open("cuda"), 4);
  CHECK(fakes.gpu->calls["cuDevicePrimaryCtxRelease"] == 0);
  const int before = fakes.gpu->calls["cuCtxSetCurrent"];
  std::thread([&] { buffer.reset(); }).join();
  CHECK(fakes.gpu->calls["cuCtxSetCurrent"] == before + 1);
  CHECK(fakes.gpu->calls["cuDevicePrimaryCtxRelease"] == 1);
}
