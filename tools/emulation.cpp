#include "tools/emulation.hpp"

#include <cxxabi.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <chrono>
#include <memory>
#include <regex>

#include "runtime/compiler.hpp"
#include "runtime/driver.hpp"
#include "runtime/emulator/cuda_abi_more.h"
#include "tools/file.hpp"

namespace octavo {
namespace {

double milliseconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start)
      .count();
}

std::string ptx_of(const std::string& file, const Device& device) {
  std::string text = read_file(file);
  if (file.ends_with(".ptx")) return text;
  if (file.ends_with(".cu")) return compile_to_ptx(text, file, device.architecture().name);
  throw UsageError(file + ": expected a .ptx or a .cu file");
}

// "saxpy" of "_Z5saxpyfPf", as it is spelled in C++.
std::string demangled(const std::string& symbol) {
  int status = 0;
  const std::unique_ptr<char, decltype(&std::free)> text(
      abi::__cxa_demangle(symbol.c_str(), nullptr, nullptr, &status), std::free);
  if (status != 0) return symbol;
  const std::string name(text.get());
  return name.substr(0, name.find('('));
}

// The PTX's name for the kernel, which may be asked for by its name in C++.
std::string find_entry(const std::string& ptx, const Emulation& emulation) {
  static const std::regex entry("\\.entry\\s+([A-Za-z0-9_$%]+)");
  std::vector<std::string> names, matches;
  for (std::sregex_iterator at(ptx.begin(), ptx.end(), entry), end; at != end; ++at) {
    const std::string name = (*at)[1];
    if (name == emulation.entry) return name;
    names.push_back(name);
    if (demangled(name) == emulation.entry) matches.push_back(name);
  }
  if (matches.size() == 1) return matches.front();
  throw UsageError(fmt::format(
      "--entry {}: {} has {}", emulation.entry, emulation.file,
      names.empty() ? "no kernels" : fmt::format("these kernels: {}", fmt::join(names, ", "))));
}

// The emulator's own words for what its last call refused.
[[noreturn]] void refuse(const Driver& driver, CUresult result, const std::string& file) {
  const char* fault = nullptr;
  driver.check(driver.octavoEmulatorLastFault(&fault), "asking what was wrong");
  const std::string line = fmt::format("{}: {}", file, fault);
  switch (result) {
    case CUDA_ERROR_INVALID_VALUE:
    case CUDA_ERROR_INVALID_PTX:
    case CUDA_ERROR_UNSUPPORTED_PTX_VERSION:
    case CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES:
    case CUDA_ERROR_INVALID_CLUSTER_SIZE:
      throw UsageError(line);
    default:
      throw EnvironmentError(line);
  }
}

class Module {
 public:
  Module(const Device& device, const std::string& ptx, const std::string& file)
      : driver_(device.driver()) {
    device.make_current();
    if (const CUresult result = driver_.cuModuleLoadData(&module_, ptx.c_str()))
      refuse(driver_, result, file);
  }
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;
  ~Module() { driver_.cuModuleUnload(module_); }

  CUfunction function(const std::string& name, const std::string& file) const {
    CUfunction function = nullptr;
    if (const CUresult result = driver_.cuModuleGetFunction(&function, module_, name.c_str()))
      refuse(driver_, result, file);
    return function;
  }

 private:
  const Driver& driver_;
  CUmodule module_ = nullptr;
};

// Refuses arguments that the kernel's parameters are not.
void check_arguments(const Driver& driver, CUfunction function, const std::string& kernel,
                     const std::vector<KernelArgument>& arguments) {
  std::vector<std::size_t> sizes;
  for (std::size_t offset = 0, bytes = 0;
       driver.cuFuncGetParamInfo(function, sizes.size(), &offset, &bytes) == CUDA_SUCCESS;)
    sizes.push_back(bytes);
  if (sizes.size() != arguments.size()) {
    throw UsageError(fmt::format("{} takes {} arguments, of {} bytes; {} are given with --arg",
                                 kernel, sizes.size(), fmt::join(sizes, ", "), arguments.size()));
  }
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    const std::size_t given = arguments[i].buffer ? sizeof(CUdeviceptr) : arguments[i].value.size();
    if (given != sizes[i]) {
      throw UsageError(fmt::format("--arg {}: argument {} of {} has {} bytes, not {}",
                                   arguments[i].spec, i, kernel, sizes[i], given));
    }
  }
}

void launch(const Device& device, CUfunction function, Emulation& emulation, Outcome& outcome) {
  const Driver& driver = device.driver();
  std::vector<KernelArgument>& arguments = emulation.arguments;
  std::vector<Buffer> buffers(arguments.size());
  std::vector<CUdeviceptr> addresses(arguments.size());
  std::vector<void*> values(arguments.size());
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    values[i] = arguments[i].value.data();
    if (!arguments[i].buffer) continue;
    const std::vector<std::byte>& data = arguments[i].buffer->data;
    buffers[i] = Buffer(device, data.size());
    buffers[i].upload(data.data(), data.size());
    addresses[i] = buffers[i].address();
    values[i] = &addresses[i];
  }
  if (emulation.shared_bytes > 0) {
    if (const CUresult result =
            driver.cuFuncSetAttribute(function, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
                                      static_cast<int>(emulation.shared_bytes)))
      refuse(driver, result, emulation.file);
  }
  const std::vector<unsigned>&grid = emulation.grid, &block = emulation.block;
  CUlaunchAttribute cluster{CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION, {}, {}};
  cluster.value.clusterDim = {emulation.cluster, 1, 1};
  const CUlaunchConfig config{.gridDimX = grid[0],
                              .gridDimY = grid[1],
                              .gridDimZ = grid[2],
                              .blockDimX = block[0],
                              .blockDimY = block[1],
                              .blockDimZ = block[2],
                              .sharedMemBytes = emulation.shared_bytes,
                              .hStream = nullptr,
                              .attrs = &cluster,
                              .numAttrs = emulation.cluster > 0 ? 1u : 0u};
  const auto start = std::chrono::steady_clock::now();
  const CUresult result = driver.cuLaunchKernelEx(&config, function, values.data(), nullptr);
  outcome.launch_ms = milliseconds_since(start);
  if (result >= CUDA_ERROR_ILLEGAL_ADDRESS && result != CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES &&
      result != CUDA_ERROR_NOT_SUPPORTED && result != CUDA_ERROR_INVALID_CLUSTER_SIZE) {
    const char* fault = nullptr;
    driver.check(driver.octavoEmulatorLastFault(&fault), "asking for the fault");
    outcome.fault = fault;
    return;
  }
  if (result != CUDA_SUCCESS) refuse(driver, result, emulation.file);
  driver.check(driver.octavoEmulatorWarpInstructions(&outcome.warp_instructions),
               "counting the instructions");
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    if (!arguments[i].buffer) continue;
    buffers[i].download(arguments[i].buffer->data.data(), buffers[i].bytes());
  }
}

}  // namespace

Outcome run_kernel(const Device& device, Emulation& emulation) {
  Outcome outcome;
  auto start = std::chrono::steady_clock::now();
  const std::string ptx = ptx_of(emulation.file, device);
  outcome.compile_ms = milliseconds_since(start);
  outcome.kernel = find_entry(ptx, emulation);
  start = std::chrono::steady_clock::now();
  const Module module(device, ptx, emulation.file);
  const CUfunction function = module.function(outcome.kernel, emulation.file);
  outcome.load_ms = milliseconds_since(start);
  check_arguments(device.driver(), function, outcome.kernel, emulation.arguments);
  launch(device, function, emulation, outcome);
  return outcome;
}

}  // namespace octavo
