#include "tools/probe.hpp"

#include <fmt/format.h>

#include "runtime/compiler.hpp"
#include "runtime/driver.hpp"

namespace octavo {

Probe::Probe(const Device& device, const std::string& text, const std::string& entry)
    : device_(device) {
  const Binary binary =
      compile_cached({.text = text, .entry = entry}, device.architecture().name).binary;
  const Driver& driver = device.driver();
  device.make_current();
  const void* image = device.emulated() ? static_cast<const void*>(binary.ptx.c_str())
                                        : static_cast<const void*>(binary.cubin.data());
  driver.check(driver.cuModuleLoadData(&module_, image), "loading the probe " + entry);
  driver.check(driver.cuModuleGetFunction(&function_, module_, entry.c_str()),
               "finding the probe " + entry);
}

Probe::~Probe() { static_cast<void>(device_.driver().cuModuleUnload(module_)); }

void Probe::enqueue(unsigned blocks, unsigned threads, CUstream stream, void** arguments) const {
  device_.make_current();
  const Driver& driver = device_.driver();
  driver.check(
      driver.cuLaunchKernel(function_, blocks, 1, 1, threads, 1, 1, 0, stream, arguments, nullptr),
      fmt::format("launching a probe in {} blocks", blocks));
}

}  // namespace octavo
