#include "harness.hpp"

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

Machine::Machine(const std::string& ptx) : program_(Program::load(ptx, device(), memory_)) {}

void Machine::launch(Dim3 grid, Dim3 block, std::vector<std::uint64_t> parameters, std::uint32_t shared_bytes) {
  const KernelInfo* kernel = program_->find_kernel("k");
  if (kernel == nullptr) throw Fault(CUDA_ERROR_NOT_FOUND, "no kernel k");
  parameters.resize((kernel->parameter_bytes + 7) / 8);
  program_->launch(*kernel, {grid, block, shared_bytes},
                   std::as_bytes(std::span(parameters)).first(kernel->parameter_bytes));
}

Ending load_and_launch(const std::string& ptx, Dim3 grid, Dim3 block, std::vector<std::uint64_t> parameters,
                       std::uint32_t shared_bytes) {
  try {
    Machine machine(ptx);
    machine.launch(grid, block, std::move(parameters), shared_bytes);
  } catch (const Fault& fault) {
    return {fault.code(), fault.what()};
  }
  return {};
}

}  // namespace octavo::emulator::test
