#include "execute/program.hpp"

#include <dlfcn.h>
#include <fmt/core.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <thread>
#include <tuple>
#include <unordered_map>

#include "execute/worker.hpp"
#include "fault.hpp"
#include "lower/code_cache.hpp"
#include "lower/compile.hpp"
#include "lower/contract.hpp"
#include "ptx/parser.hpp"
#include "tensor_core/fast_dot.hpp"

namespace octavo::emulator {
namespace {

constexpr double kDefaultTimeout = 600;
constexpr std::uint32_t kMostClusterBlocks = 16;

// A number from the environment; `otherwise` where there is none or it is not above zero.
double environment(const char* name, double otherwise) {
  const char* text = std::getenv(name);
  if (text == nullptr) return otherwise;
  char* end = nullptr;
  const double value = std::strtod(text, &end);
  return end != text && *end == '\0' && value > 0 ? value : otherwise;
}

unsigned host_threads() {
  return static_cast<unsigned>(std::min(
      environment("OCTAVO_EMULATOR_THREADS", std::max(1u, std::thread::hardware_concurrency())),
      1024.0));
}

// The binary that holds this code, by its path, time and size: objects of another are not for it.
std::string build_name() {
  Dl_info info{};
  struct stat status{};
  if (dladdr(reinterpret_cast<const void*>(&build_name), &info) == 0 ||
      stat(info.dli_fname, &status) != 0) {
    return "unknown";
  }
  return fmt::format("{} {}.{} {}", info.dli_fname, status.st_mtim.tv_sec, status.st_mtim.tv_nsec,
                     status.st_size);
}

std::atomic<std::uint64_t> launches{0};

// Where the blocks of a cooperative launch meet: four bytes for the workspace's size, four that
// cooperative_groups counts in.
class GridWorkspace {
 public:
  GridWorkspace(Memory& memory, bool wanted) : memory_(memory) {
    if (!wanted) return;
    address_ = memory.allocate(8);
    const std::uint32_t words[] = {8, 0};
    std::memcpy(reinterpret_cast<void*>(address_), words, sizeof words);
  }
  ~GridWorkspace() {
    if (address_ != 0) memory_.release(address_);
  }
  GridWorkspace(const GridWorkspace&) = delete;
  GridWorkspace& operator=(const GridWorkspace&) = delete;
  std::uint64_t address() const { return address_; }

 private:
  Memory& memory_;
  std::uint64_t address_ = 0;
};

class Run final : public GridRun {
 public:
  Run(Memory& memory, bool cooperative, std::span<const std::byte> parameters)
      : workspace_(memory, cooperative), parameters_(parameters.size() / sizeof(Line) + 1) {
    if (!parameters.empty()) std::memcpy(parameters_.data(), parameters.data(), parameters.size());
    launch.parameters = reinterpret_cast<const std::byte*>(parameters_.data());
    launch.grid_workspace = workspace_.address();
  }

  bool begin_early() override {
    start_clock();
    launch.predecessor_ended = false;
    worker_.begin_early();
    launch.predecessor_ended = true;
    return launch.blocks_that_let_go == launch.blocks();
  }

  std::uint64_t finish() override {
    start_clock();
    run_grid(launch, worker_, host_threads());
    if (launch.fault) throw Fault(*launch.fault);
    return launch.warp_instructions;
  }

  Launch launch{};

 private:
  // Tensor maps among the parameters are aligned to 64 bytes.
  struct alignas(64) Line {
    std::byte bytes[64];
  };

  void start_clock() {
    const double timeout = std::min(environment("OCTAVO_EMULATOR_TIMEOUT", kDefaultTimeout), 1e8);
    launch.deadline = std::chrono::steady_clock::now().time_since_epoch().count() +
                      static_cast<std::int64_t>(timeout * 1e9);
  }

  const GridWorkspace workspace_;
  std::vector<Line> parameters_;
  Worker worker_{launch};
};

class LoadedProgram final : public Program {
 public:
  LoadedProgram(std::string_view ptx, const DeviceModel& device, Memory& memory)
      : ptx_(ptx), module_(ptx::parse(ptx_)), device_(device), memory_(memory) {
    for (const auto& function : module_.functions) {
      for (const auto& instruction : function.body) lower::check(instruction);
    }
    if (!module_.debug) std::ranges::for_each(module_.functions, lower::contract);
    place_variables();
  }

  ~LoadedProgram() override {
    for (const auto& global : globals_) memory_.release(global.address);
  }
  LoadedProgram(const LoadedProgram&) = delete;
  LoadedProgram& operator=(const LoadedProgram&) = delete;

  const KernelInfo* find_kernel(std::string_view name) const override {
    const std::lock_guard lock(mutex_);
    const auto known = kernels_.find(std::string(name));
    if (known != kernels_.end()) return &known->second->info;
    const ptx::Function* function = module_.find(name);
    if (function == nullptr || !function->entry || function->declared_only) return nullptr;
    auto kernel = load_kernel(*function);
    return &kernels_.emplace(name, std::move(kernel)).first->second->info;
  }

  const Global* find_global(std::string_view name) const override {
    const auto found = std::find_if(globals_.begin(), globals_.end(),
                                    [&](const Global& global) { return global.name == name; });
    return found == globals_.end() ? nullptr : &*found;
  }

  std::unique_ptr<GridRun> prepare(const KernelInfo& info, const LaunchShape& shape,
                                   std::span<const std::byte> parameters) override {
    const Kernel& kernel = find(info);
    check_shape(info, kernel, shape, parameters.size());
    auto run = std::make_unique<Run>(memory_, shape.cooperative, parameters);
    Launch& launch = run->launch;
    launch.info = &info;
    launch.code = {reinterpret_cast<KernelFunction>(kernel.code->function()),
                   kernel.code->summary().frame_bytes, kernel.code->summary().dynamic_offset,
                   kernel.code->summary().asynchronous != 0,
                   kernel.code->summary().uses_stack != 0 ? kThreadStackBytes : 0};
    launch.shape = shape;
    launch.symbols = symbols_.data();
    launch.constants = constants_;
    launch.memory = &memory_;
    launch.device = &device_;
    launch.order = order_from_environment();
    tensor_core::set_numerics(tensor_core::numerics_from_environment());
    launch.registers = info.launch_registers;
    launch.ptx = ptx_;
    launch.undefined_origin = [&](int line, const std::vector<int>& loads) {
      return lower::undefined_origin(module_, *module_.find(info.name), line, loads);
    };
    launch.id = ++launches;
    shuffle_turns(launch);
    return run;
  }

 private:
  struct Kernel {
    KernelInfo info;
    std::unique_ptr<lower::LoadedKernel> code;
  };

  void place_variables() {
    const auto placed = lower::placed_variables(module_);
    for (const ptx::Variable* variable : placed) {
      if (variable->external) {
        throw Fault(CUDA_ERROR_INVALID_PTX,
                    fmt::format("variable {} is defined in no module", variable->name));
      }
      const std::uint64_t address = memory_.allocate(std::max<std::uint64_t>(variable->bytes, 1));
      globals_.push_back({variable->name, address, variable->bytes});
      symbols_.push_back(address);
      if (variable->space == ptx::Space::constant) {
        constants_.push_back({address, address + variable->bytes});
      }
      auto* bytes = reinterpret_cast<std::byte*>(address);
      std::memset(bytes, 0, variable->bytes);
      if (!variable->initial.empty())
        std::memcpy(bytes, variable->initial.data(), variable->initial.size());
    }
    for (std::size_t i = 0; i < placed.size(); ++i) {
      for (const auto& relocation : placed[i]->relocations) {
        const Global* target = find_global(relocation.symbol);
        const auto function = lower::function_address(module_, relocation.symbol);
        if ((target == nullptr && !function) || relocation.offset + 8 > placed[i]->bytes) {
          throw Fault(CUDA_ERROR_NOT_SUPPORTED,
                      fmt::format("variable {}: the address of {} as its value is not supported",
                                  placed[i]->name, relocation.symbol));
        }
        const std::uint64_t value = (target != nullptr ? target->address : *function) +
                                    static_cast<std::uint64_t>(relocation.addend);
        std::memcpy(reinterpret_cast<std::byte*>(symbols_[i]) + relocation.offset, &value,
                    sizeof value);
      }
    }
  }

  std::unique_ptr<Kernel> load_kernel(const ptx::Function& function) const {
    const std::string key = fmt::format("{}\n{}\nsm_{}\n{}\n{}", build_name(), lower::host_name(),
                                        device_.compute_capability, function.name, ptx_);
    if (function.blocks_are_clusters) {
      throw Fault(CUDA_ERROR_NOT_SUPPORTED,
                  fmt::format("kernel {}: .blocksareclusters is not supported", function.name));
    }
    auto kernel = std::make_unique<Kernel>();
    if (const auto cached = find_code(key)) {
      kernel->code =
          std::make_unique<lower::LoadedKernel>(std::string(cached->begin(), cached->end()));
    } else {
      const std::string object =
          lower::compile_kernel(module_, function, device_.compute_capability);
      kernel->code = std::make_unique<lower::LoadedKernel>(object);
      store_code(key, object);
    }
    fill_info(function, kernel->code->summary(), kernel->info);
    return kernel;
  }

  static void fill_info(const ptx::Function& function, const lower::KernelSummary& summary,
                        KernelInfo& info) {
    info.name = function.name;
    const lower::ParameterLayout layout = lower::layout_parameters(function.parameters);
    for (std::size_t i = 0; i < function.parameters.size(); ++i) {
      info.parameters.push_back(
          {layout.offsets[i], static_cast<std::uint32_t>(function.parameters[i].bytes)});
    }
    info.parameter_bytes = layout.bytes;
    info.static_shared_bytes = summary.static_shared_bytes;
    info.local_bytes = summary.local_bytes;
    info.registers = summary.registers;
    info.required_block = dimensions(function.required_threads);
    info.required_cluster = dimensions(function.required_cluster);
    info.explicit_cluster = function.explicit_cluster;
    info.lets_dependents_begin =
        std::ranges::any_of(function.body, [](const ptx::Instruction& instruction) {
          return instruction.opcode == "griddepcontrol" && instruction.has("launch_dependents");
        });
    info.max_cluster_blocks = function.max_cluster_blocks;
    const std::uint32_t* limit =
        function.required_threads[0] != 0 ? function.required_threads : function.max_threads;
    if (limit[0] != 0) {
      info.max_threads =
          std::min(1024u, limit[0] * std::max(1u, limit[1]) * std::max(1u, limit[2]));
      info.launch_registers =
          registers_for(info.max_threads * std::clamp(function.min_blocks, 1u, 32u));
    }
    if (function.max_registers != 0) info.launch_registers = function.max_registers;
  }

  static Dim3 dimensions(const std::uint32_t (&of)[3]) { return {of[0], of[1], of[2]}; }

  // Of a thread, where so many share a multiprocessor's; they are given out eight at a time.
  static std::uint32_t registers_for(std::uint32_t threads) {
    constexpr std::uint32_t kOfMultiprocessor = 65536, kOfThread = 256;
    return std::min(kOfThread, kOfMultiprocessor / threads) / 8 * 8;
  }

  const Kernel& find(const KernelInfo& info) const {
    const std::lock_guard lock(mutex_);
    for (const auto& [name, kernel] : kernels_) {
      if (&kernel->info == &info) return *kernel;
    }
    throw Fault(CUDA_ERROR_INVALID_HANDLE, "kernel " + info.name + " is not of this module");
  }

  void check_shape(const KernelInfo& info, const Kernel& kernel, const LaunchShape& shape,
                   std::size_t parameter_bytes) const {
    const auto fail = [&](CUresult code, const std::string& what) {
      throw Fault(code, fmt::format("kernel {}: {}", info.name, what));
    };
    const auto& [grid, block, cluster] = std::tie(shape.grid, shape.block, shape.cluster);
    const std::uint32_t dynamic = shape.dynamic_shared_bytes;
    if (grid.x == 0 || grid.y == 0 || grid.z == 0 || block.x == 0 || block.y == 0 || block.z == 0) {
      fail(CUDA_ERROR_INVALID_VALUE, "a grid or block of no threads");
    }
    if (grid.x > 0x7FFFFFFF || grid.y > 65535 || grid.z > 65535 || block.x > 1024 ||
        block.y > 1024 || block.z > 64) {
      fail(CUDA_ERROR_INVALID_VALUE, "a grid or block beyond the device's limits");
    }
    const std::uint64_t threads = std::uint64_t{block.x} * block.y * block.z;
    if (threads > info.max_threads) {
      fail(threads > 1024 ? CUDA_ERROR_INVALID_VALUE : CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES,
           fmt::format("a block of {} threads; it allows {}", threads, info.max_threads));
    }
    const auto differs = [](const Dim3& a, const Dim3& b) {
      return a.x != b.x || a.y != b.y || a.z != b.z;
    };
    if (count(info.required_block) != 0 && differs(block, info.required_block)) {
      fail(CUDA_ERROR_INVALID_VALUE,
           fmt::format("a block of {}x{}x{}; its .reqntid is {}x{}x{}", block.x, block.y, block.z,
                       info.required_block.x, info.required_block.y, info.required_block.z));
    }
    if (count(cluster) == 0 || count(cluster) > kMostClusterBlocks || grid.x % cluster.x != 0 ||
        grid.y % cluster.y != 0 || grid.z % cluster.z != 0) {
      fail(
          CUDA_ERROR_INVALID_CLUSTER_SIZE,
          fmt::format("clusters of {}x{}x{} blocks in a grid of {}x{}x{}: expected at most {}, and "
                      "a grid of whole clusters",
                      cluster.x, cluster.y, cluster.z, grid.x, grid.y, grid.z, kMostClusterBlocks));
    }
    const std::uint64_t shared = std::uint64_t{kernel.code->summary().dynamic_offset} + dynamic;
    if (shared > static_cast<std::uint64_t>(device_.shared_per_block)) {
      fail(CUDA_ERROR_INVALID_VALUE,
           fmt::format("{} bytes of shared memory a block; the device has {}", shared,
                       device_.shared_per_block));
    }
    if (parameter_bytes != info.parameter_bytes) {
      fail(CUDA_ERROR_INVALID_VALUE,
           fmt::format("{} bytes of parameters, not {}", parameter_bytes, info.parameter_bytes));
    }
  }

  std::string ptx_;
  ptx::Module module_;
  const DeviceModel& device_;
  Memory& memory_;
  std::vector<Global> globals_;
  std::vector<std::uint64_t> symbols_;
  std::vector<Memory::Range> constants_;
  mutable std::mutex mutex_;  // of kernels_, which grows as kernels are asked for
  mutable std::unordered_map<std::string, std::unique_ptr<Kernel>> kernels_;
};

}  // namespace

std::unique_ptr<Program> Program::load(std::string_view ptx, const DeviceModel& device,
                                       Memory& memory) {
  return std::make_unique<LoadedProgram>(ptx, device, memory);
}

}  // namespace octavo::emulator
