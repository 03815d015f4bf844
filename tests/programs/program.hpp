// Ordinary CUDA C++, compiled by NVRTC for the device under test and run there.
#pragma once

#include <array>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "../device.hpp"

namespace octavo::test {

// NVRTC's options that give other PTX for the same program.
inline const std::vector<std::vector<std::string>> kModes = {{}, {"--device-debug"}};

struct Dim {
  unsigned x = 1, y = 1, z = 1;
};

class Program {
 public:
  // tests/programs/NAME.cu; a failing compile ends the test with NVRTC's log.
  explicit Program(const std::string& name, const std::vector<std::string>& options = {});
  ~Program();
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  // Launches and waits. Arguments are passed as they are: their types must be the parameters' own.
  template <typename... Arguments>
  CUresult try_launch(const char* kernel, Dim grid, Dim block, unsigned shared_bytes,
                      Arguments... arguments) {
    std::array<void*, sizeof...(arguments) + 1> pointers{&arguments..., nullptr};
    return launch_kernel(kernel, grid, block, shared_bytes, pointers.data());
  }
  template <typename... Arguments>
  void launch(const char* kernel, Dim grid, Dim block, unsigned shared_bytes,
              Arguments... arguments) {
    require(try_launch(kernel, grid, block, shared_bytes, arguments...), kernel);
  }
  CUdeviceptr global(const char* name);

 private:
  CUresult launch_kernel(const char* kernel, Dim grid, Dim block, unsigned shared_bytes,
                         void** arguments);
  static void require(CUresult result, const char* what);
  CUmodule module_ = nullptr;
};

// Device memory with these values, or `count` of them that are poisoned.
template <typename T>
class Array {
 public:
  explicit Array(const std::vector<T>& values)
      : count_(values.size()), buffer_(device(), count_ * sizeof(T)) {
    buffer_.upload(values.data(), count_ * sizeof(T));
  }
  explicit Array(std::size_t count) : count_(count), buffer_(device(), count * sizeof(T)) {
    buffer_.fill(0xCD);
  }
  CUdeviceptr operator*() const { return buffer_.address(); }
  std::vector<T> values() const {
    std::vector<T> result(count_);
    buffer_.download(result.data(), count_ * sizeof(T));
    return result;
  }

 private:
  std::size_t count_;
  Buffer buffer_;
};

// Runs the body under several schedules, on one host thread and on three.
void each_schedule(const std::function<void()>& body);

// What the body writes to stdout.
std::string captured_output(const std::function<void()>& body);

// The message of the emulator's last fault; "" on a GPU.
std::string last_fault();

// Folder of the toolkit's headers (cuda_fp16.h); "" if there is none.
std::string cuda_headers();

template <typename T>
std::vector<T> random_values(std::size_t count, T low, T high, unsigned seed) {
  std::mt19937_64 random(seed);
  std::vector<T> values(count);
  for (T& value : values) {
    if constexpr (std::is_floating_point_v<T>) {
      value = std::uniform_real_distribution<T>(low, high)(random);
    } else {
      value = std::uniform_int_distribution<T>(low, high)(random);
    }
  }
  return values;
}

}  // namespace octavo::test
