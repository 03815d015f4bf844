#include "harness.hpp"

#include <doctest/doctest.h>
#include <fmt/core.h>

#include <cstdlib>
#include <utility>

namespace octavo::emulator::test {

const DeviceModel& device() {
  static const DeviceModel model{.id = "test",
                                 .name = "test",
                                 .compute_capability = 90,
                                 .multiprocessors = 132,
                                 .shared_per_block = 232448,
                                 .shared_per_multiprocessor = 233472,
                                 .clock_khz = 1980000,
                                 .memory_clock_khz = 2619000,
                                 .memory_bus_bits = 5120,
                                 .l2_bytes = 50 << 20,
                                 .memory_bytes = std::size_t{80} << 30};
  return model;
}

std::string module_of(std::string_view body, std::string_view before) {
  std::string text = ".version 8.4\n.target sm_90a\n.address_size 64\n";
  text += before;
  text +=
      "\n.visible .entry k(.param .u64 p0, .param .u64 p1, .param .u64 p2, .param .u64 p3)\n{\n"
      ".reg .pred %p<20>; .reg .b16 %h<20>; .reg .b32 %r<60>; .reg .b64 %rd<40>; .reg .f32 %f<40>; "
      ".reg .f64 %d<20>;\n";
  text += body;
  return text + "\nret;\n}\n";
}

Machine::Machine(const std::string& ptx, const DeviceModel& model)
    : program_(Program::load(ptx, model, memory_)) {}

void Machine::launch(Dim3 grid, Dim3 block, std::vector<std::uint64_t> parameters,
                     std::uint32_t shared_bytes) {
  launch(LaunchShape{.grid = grid, .block = block, .dynamic_shared_bytes = shared_bytes},
         std::move(parameters));
}

void Machine::launch(const LaunchShape& shape, std::vector<std::uint64_t> parameters) {
  const KernelInfo* kernel = program_->find_kernel("k");
  if (kernel == nullptr) throw Fault(CUDA_ERROR_NOT_FOUND, "no kernel k");
  parameters.resize((kernel->parameter_bytes + 7) / 8);
  program_->launch(*kernel, shape,
                   std::as_bytes(std::span(parameters)).first(kernel->parameter_bytes));
}

Ending load_and_launch(const std::string& ptx, Dim3 grid, Dim3 block,
                       std::vector<std::uint64_t> parameters, std::uint32_t shared_bytes) {
  return ending_of(ptx,
                   LaunchShape{.grid = grid, .block = block, .dynamic_shared_bytes = shared_bytes},
                   std::move(parameters));
}

Ending ending_of(const std::string& ptx, const LaunchShape& shape,
                 std::vector<std::uint64_t> parameters) {
  try {
    Machine machine(ptx);
    machine.launch(shape, std::move(parameters));
  } catch (const Fault& fault) {
    return {fault.code(), fault.what()};
  }
  return {};
}

void under_each_schedule(const std::function<void()>& body) {
  for (const std::string schedule : {"round-robin", "random:1", "random:2", "random:3"}) {
    for (const std::string threads : {"1", "2", "5"}) {
      CAPTURE(schedule);
      CAPTURE(threads);
      setenv("OCTAVO_SCHEDULE", schedule.c_str(), 1);
      setenv("OCTAVO_EMULATOR_THREADS", threads.c_str(), 1);
      body();
    }
  }
  unsetenv("OCTAVO_SCHEDULE");
  unsetenv("OCTAVO_EMULATOR_THREADS");
}

void check_cases(const std::vector<Case>& cases) {
  std::string body =
      "ld.param.u64 %rd10, [p0]; ld.param.u64 %rd11, [p1];\n"
      "mov.u32 %r50, %tid.x; mul.wide.u32 %rd12, %r50, 8; add.u64 %rd11, %rd11, %rd12;\n";
  std::vector<std::uint64_t> inputs;
  for (const Case& test : cases) {
    for (std::size_t i = 0; i < 3; ++i) {
      const std::size_t n = i + 1;
      body += fmt::format(
          "ld.global.u64 %rd{}, [%rd10+{}]; cvt.u32.u64 %r{}, %rd{}; cvt.u16.u64 %h{}, %rd{}; "
          "mov.b32 %f{}, %r{}; mov.b64 %d{}, %rd{};\n",
          n, inputs.size() * 8, n, n, n, n, n, n, n, n);
      inputs.push_back(i < test.inputs.size() ? test.inputs[i] : 0);
    }
    body += std::string(test.body) + "\n";
    switch (test.result) {
      case 'r':
        body += "cvt.u64.u32 %rd0, %r0;";
        break;
      case 'h':
        body += "cvt.u64.u16 %rd0, %h0;";
        break;
      case 'f':
        body += "mov.b32 %r0, %f0; cvt.u64.u32 %rd0, %r0;";
        break;
      case 'd':
        body += "mov.b64 %rd0, %d0;";
        break;
      case 'p':
        body += "selp.b64 %rd0, 1, 0, %p0;";
        break;
      default:
        break;
    }
    const auto index = static_cast<std::size_t>(&test - cases.data());
    body += fmt::format(" st.global.u64 [%rd11+{}], %rd0;\n", index * 256);
  }
  Machine machine(module_of(body));
  const std::uint64_t results = machine.allocate(cases.size() * 256);
  machine.launch({}, {32, 1, 1}, {machine.upload(inputs), results});
  const auto values = machine.download<std::uint64_t>(results, cases.size() * 32);
  for (std::size_t i = 0; i < cases.size(); ++i) {
    for (std::size_t lane = 0; lane < 32; ++lane) {
      if (values[i * 32 + lane] == cases[i].expected && lane != 31) continue;
      CHECK_MESSAGE(values[i * 32 + lane] == cases[i].expected,
                    fmt::format("{} lane {}: 0x{:x}, expected 0x{:x}", cases[i].name, lane,
                                values[i * 32 + lane], cases[i].expected));
      break;
    }
  }
}

}  // namespace octavo::emulator::test
