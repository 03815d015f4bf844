// Runs small PTX texts on the emulator.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "device_model.hpp"
#include "execute/program.hpp"
#include "fault.hpp"
#include "memory/memory.hpp"

namespace octavo::emulator::test {

// The device that the texts run on: an H100's numbers, little memory.
const DeviceModel& device();

// A whole module around a kernel's body. The kernel `k` has four 64-bit parameters p0..p3 and these
// registers: %p<20> %h<20> %r<60> %rd<40> %f<40> %d<20>.
std::string module_of(std::string_view body, std::string_view before = "");

// A loaded module and its memory.
class Machine {
 public:
  // The model must outlive it.
  explicit Machine(const std::string& ptx, const DeviceModel& model = device());

  std::uint64_t allocate(std::size_t bytes) { return memory_.allocate(bytes); }
  template <typename T>
  std::uint64_t upload(const std::vector<T>& values) {
    const std::uint64_t address = memory_.allocate(values.size() * sizeof(T));
    std::memcpy(reinterpret_cast<void*>(address), values.data(), values.size() * sizeof(T));
    return address;
  }
  template <typename T>
  std::vector<T> download(std::uint64_t address, std::size_t count) const {
    std::vector<T> values(count);
    std::memcpy(values.data(), reinterpret_cast<const void*>(address), count * sizeof(T));
    return values;
  }
  // Launches kernel `k`; missing parameters are zeros.
  void launch(Dim3 grid, Dim3 block, std::vector<std::uint64_t> parameters,
              std::uint32_t shared_bytes = 0);
  void launch(const LaunchShape& shape, std::vector<std::uint64_t> parameters = {});

  Memory& memory() { return memory_; }
  Program& program() { return *program_; }

 private:
  Memory memory_{1u << 28};
  std::unique_ptr<Program> program_;
};

// The message of the fault that this run ends with; "" if it ends well. With its code.
struct Ending {
  CUresult code = CUDA_SUCCESS;
  std::string message;
};
Ending load_and_launch(const std::string& ptx, Dim3 grid, Dim3 block,
                       std::vector<std::uint64_t> parameters = {}, std::uint32_t shared_bytes = 0);
Ending ending_of(const std::string& ptx, const LaunchShape& shape,
                 std::vector<std::uint64_t> parameters = {});

// Runs the body under several schedules, each with 1, 2 and 5 host threads.
void under_each_schedule(const std::function<void()>& body);

// One instruction on one thread's registers. The inputs a, b, c are in %rd1..3, and their low bits
// in %r1..3, %h1..3, %f1..3 (32 bits) and %d1..3 (64 bits); the result is register 0 of the kind
// `result`: r 32 bits, R 64 bits, h 16 bits, f f32, d f64, p a predicate (0 or 1).
struct Case {
  const char* name;
  char result;
  const char* body;
  std::vector<std::uint64_t> inputs;
  std::uint64_t expected;
};

// Runs all cases in one kernel, each on all 32 lanes, and checks every lane.
void check_cases(const std::vector<Case>& cases);

inline std::uint64_t f(float value) { return std::bit_cast<std::uint32_t>(value); }
inline std::uint64_t d(double value) { return std::bit_cast<std::uint64_t>(value); }

}  // namespace octavo::emulator::test
