// How long a kernel takes from a spec's text to a loaded binary: cold, with an empty cache in a new
// process, and warm, with a filled one in a new process. One kernel at a time.
//
//   benchmark_compile [SPEC.yaml ...] [--device NAME] [--json FILE]
//                                                       default: the Llama 3.1 8B spec, auto
//
// Loading is timed by itself: a GPU takes the cubin, the emulator compiles the PTX for the host or
// takes it from its own cache.
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "generator/plan.hpp"
#include "generator/source.hpp"
#include "runtime/compiler.hpp"
#include "runtime/kernel.hpp"
#include "tools/json_file.hpp"
#include "tools/terminal.hpp"

namespace octavo {
namespace {

constexpr double kColdTarget = 400, kWarmTarget = 5;  // milliseconds
constexpr int kRuns = 5;
constexpr std::size_t kMostKernels = 64;

struct Times {
  double compile = 0, load = 0;  // milliseconds
};
// What a child process measured, a kernel after the other.
struct Measured {
  std::size_t count = 0;
  std::array<Times, kMostKernels> times;
};

double milliseconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start)
      .count();
}

// Every kernel of every spec in the files: from reading the file to its binary, then loading that.
void measure(const std::vector<std::string>& files, const Device& device, Measured& measured) {
  for (const std::string& file : files) {
    const std::size_t specs = read_specs(file).size();
    for (std::size_t s = 0; s < specs; ++s) {
      const std::size_t kernels = plans(read_specs(file)[s], device.architecture()).size();
      for (std::size_t k = 0; k < kernels && measured.count < kMostKernels; ++k) {
        const auto start = std::chrono::steady_clock::now();
        const Plan plan = plans(read_specs(file)[s], device.architecture())[k];
        const CachedBinary binary = compile_cached(emit(plan), plan.arch.name);
        Times& times = measured.times[measured.count++];
        times.compile = milliseconds_since(start);
        const auto loading = std::chrono::steady_clock::now();
        const Kernel kernel(device, plan, binary.binary);
        times.load = milliseconds_since(loading);
      }
    }
  }
}

// In a process of its own: what an earlier run has loaded does not help this one.
Measured measure_apart(const std::vector<std::string>& files, const std::string& device) {
  void* shared =
      mmap(nullptr, sizeof(Measured), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) throw EnvironmentError("no shared memory");
  auto* measured = new (shared) Measured;
  const pid_t child = fork();
  if (child == 0) {
    int status = 0;
    try {
      measure(files, Device::open(device), *measured);
    } catch (const std::exception& error) {
      fmt::print(stderr, "benchmark_compile: {}\n", error.what());
      status = 1;
    }
    _exit(status);
  }
  int status = 0;
  waitpid(child, &status, 0);
  const Measured result = *measured;
  munmap(shared, sizeof(Measured));
  if (status != 0) std::exit(3);
  return result;
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

double of_runs(const std::vector<Measured>& runs, std::size_t kernel, double Times::* part) {
  std::vector<double> values;
  for (const Measured& run : runs) values.push_back(run.times[kernel].*part);
  return median(values);
}

int benchmark(const std::vector<std::string>& files, const std::string& device,
              const std::string& json_file) {
  std::vector<Measured> cold, warm;
  std::string folder =
      (std::filesystem::temp_directory_path() / "octavo-benchmark-XXXXXX").string();
  if (mkdtemp(folder.data()) == nullptr) throw EnvironmentError("cannot make the folder " + folder);
  for (int run = 0; run < kRuns; ++run) {
    setenv("OCTAVO_CACHE_DIR", fmt::format("{}/{}", folder, run).c_str(), 1);
    cold.push_back(measure_apart(files, device));
    warm.push_back(measure_apart(files, device));
  }
  std::filesystem::remove_all(folder);

  std::vector<std::vector<std::string>> rows = {
      {"spec", "kernel", "cold ms", "warm ms", "cold load ms", "warm load ms"}};
  nlohmann::ordered_json json = nlohmann::ordered_json::array();
  const Device opened = Device::open(device);
  std::size_t kernel = 0;
  double coldest = 0, warmest = 0;
  for (const std::string& file : files) {
    for (const Spec& spec : read_specs(file)) {
      for (const Plan& plan : plans(spec, opened.architecture())) {
        if (kernel == kMostKernels) break;
        json.push_back({{"spec", spec.name},
                        {"kernel", name_of(plan.kernel)},
                        {"cold_ms", of_runs(cold, kernel, &Times::compile)},
                        {"warm_ms", of_runs(warm, kernel, &Times::compile)},
                        {"cold_load_ms", of_runs(cold, kernel, &Times::load)},
                        {"warm_load_ms", of_runs(warm, kernel, &Times::load)}});
        rows.emplace_back();
        for (const auto& value : json.back()) {
          rows.back().push_back(value.is_string() ? value.get<std::string>()
                                                  : fmt::format("{:.1f}", value.get<double>()));
        }
        coldest = std::max(coldest, json.back()["cold_ms"].get<double>());
        warmest = std::max(warmest, json.back()["warm_ms"].get<double>());
        ++kernel;
      }
    }
  }
  write_json(json_file, {{"device", opened.name()}, {"kernels", json}});
  fmt::print("{}, {}, medians of {} runs\n\n{}\n", opened.name(), opened.architecture().name, kRuns,
             table(rows));
  fmt::print("slowest kernel: cold {:.1f} ms (target {:.0f}), warm {:.1f} ms (target {:.0f})\n",
             coldest, kColdTarget, warmest, kWarmTarget);
  return coldest <= kColdTarget && warmest <= kWarmTarget ? 0 : 1;
}

}  // namespace
}  // namespace octavo

int main(int argc, char** argv) {
  std::vector<std::string> files;
  std::string device = "auto", json_file;
  for (int i = 1; i < argc; ++i) {
    if (std::string_view(argv[i]) == "--device" && i + 1 < argc) {
      device = argv[++i];
    } else if (std::string_view(argv[i]) == "--json" && i + 1 < argc) {
      json_file = argv[++i];
    } else {
      files.emplace_back(argv[i]);
    }
  }
  if (files.empty()) files = {OCTAVO_SOURCE_DIR "/specs/llama-3.1-8b.yaml"};
  try {
    return octavo::benchmark(files, device, json_file);
  } catch (const std::exception& error) {
    fmt::print(stderr, "benchmark_compile: {}\n", error.what());
    return 2;
  }
}
