#include "runtime/kernel.hpp"

#include <fmt/format.h>

#include <bit>

#include "runtime/driver.hpp"
#include "runtime/emulator/cuda_abi_more.h"
#include "runtime/handle.hpp"

namespace octavo {
namespace {

// What a kernel may have without asking for more.
constexpr int kSharedBytesByDefault = 48 * 1024;
// The most blocks of a grid in y and in z.
constexpr unsigned kMaxGridYZ = 65535;

// Rows of `row_bytes` bytes, of which boxes of so many bytes and rows are copied.
TensorMap map_rows(const Driver& driver, DeviceAddress first, int row_bytes, std::uint64_t rows,
                   int box_bytes, int box_rows) {
  const std::uint64_t sizes[] = {static_cast<std::uint64_t>(row_bytes), rows};
  const std::uint64_t strides[] = {sizes[0]};
  const unsigned box[] = {static_cast<unsigned>(box_bytes), static_cast<unsigned>(box_rows)};
  const unsigned every[] = {1, 1};
  const CUtensorMapSwizzle swizzle = box_bytes == 128  ? CU_TENSOR_MAP_SWIZZLE_128B
                                     : box_bytes == 64 ? CU_TENSOR_MAP_SWIZZLE_64B
                                                       : CU_TENSOR_MAP_SWIZZLE_32B;
  CUtensorMap map;
  driver.check(driver.cuTensorMapEncodeTiled(
                   &map, CU_TENSOR_MAP_DATA_TYPE_UINT8, 2, reinterpret_cast<void*>(first), sizes,
                   strides, box, every, CU_TENSOR_MAP_INTERLEAVE_NONE, swizzle,
                   CU_TENSOR_MAP_L2_PROMOTION_L2_128B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE),
               fmt::format("making a tensor map of rows of {} bytes at {:#x}", row_bytes, first));
  return std::bit_cast<TensorMap>(map);
}

// As templates/arguments.cuh says.
PrefillKernelArguments with_maps(const Driver& driver, const Plan& plan,
                                 const PrefillArguments& arguments) {
  PrefillKernelArguments all{arguments, {}, {}};
  const Boxes& boxes = plan.boxes;
  if (boxes.rows == 0) return all;
  const Spec& spec = plan.spec;
  const KvCache& cache = arguments.cache;
  std::uint64_t rows = std::uint64_t{1} << 31;
  if (spec.kv_cache.layout == Layout::contiguous) {
    rows = static_cast<std::uint64_t>(arguments.batch.sequences) *
           static_cast<std::uint64_t>(spec.attention.kv_heads) *
           static_cast<std::uint64_t>(cache.capacity);
  }
  const int bytes = bytes_of(spec.kv_cache.format);
  const HeadDim& dim = spec.attention.head_dim;
  all.k_map = map_rows(driver, cache.k, dim.qk * bytes, rows, boxes.k_bytes, boxes.rows);
  all.v_map = map_rows(driver, cache.v, dim.v * bytes, rows, boxes.v_bytes, boxes.rows);
  return all;
}

}  // namespace

struct Kernel::State {
  Handle<CUmodule, &Driver::cuModuleUnload> module;
  Plan plan;
  Resources resources;
  CUfunction function;

  State(const Device& device, Plan of, const Binary& binary)
      : module(device,
               [&](const Driver& driver, CUmodule* made) { load(driver, device, binary, made); }),
        plan(std::move(of)),
        resources(binary.resources),
        function(find(module, binary.entry)) {
    allow_shared_memory();
  }

  static void load(const Driver& driver, const Device& device, const Binary& binary,
                   CUmodule* module) {
    const CUresult result = driver.cuModuleLoadData(module, binary.cubin.data());
    if (result != CUDA_ERROR_NO_BINARY_FOR_GPU && result != CUDA_ERROR_INVALID_IMAGE) {
      driver.check(result, fmt::format("loading {} for {}", binary.entry, binary.arch));
      return;
    }
    driver.check(driver.cuModuleLoadData(module, binary.ptx.c_str()),
                 fmt::format("loading the PTX of {} for {} on {}", binary.entry, binary.arch,
                             device.name()));
  }

  static CUfunction find(const Handle<CUmodule, &Driver::cuModuleUnload>& module,
                         const std::string& entry) {
    CUfunction function = nullptr;
    const Driver& driver = module.current();
    driver.check(driver.cuModuleGetFunction(&function, module.value(), entry.c_str()),
                 fmt::format("finding kernel {}", entry));
    return function;
  }

  void allow_shared_memory() const {
    if (plan.shared_bytes + resources.shared_bytes <= kSharedBytesByDefault) return;
    const Driver& driver = module.current();
    driver.check(driver.cuFuncSetAttribute(
                     function, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, plan.shared_bytes),
                 fmt::format("giving {} {} bytes of shared memory a block on {}", plan.entry,
                             plan.shared_bytes, module.device().name()));
  }

  // `arguments` is the kernel's one parameter, a struct by value.
  void launch(const LaunchShape& shape, const void* arguments, CUstream stream) const {
    if (shape.tokens == 0) return;
    const Grid blocks = grid(plan, shape);
    if (blocks.y > kMaxGridYZ || blocks.z > kMaxGridYZ) {
      throw UsageError(fmt::format("{} of {} tokens in {} sequences is too large for one launch",
                                   plan.entry, shape.tokens, shape.sequences));
    }
    const Driver& driver = module.current();
    CUlaunchAttribute dependent{};
    dependent.id = CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION;
    dependent.value.programmaticStreamSerializationAllowed = 1;
    CUlaunchConfig config{};
    config.gridDimX = blocks.x, config.gridDimY = blocks.y, config.gridDimZ = blocks.z;
    config.blockDimX = static_cast<unsigned>(plan.threads);
    config.blockDimY = config.blockDimZ = 1;
    config.sharedMemBytes = static_cast<unsigned>(plan.shared_bytes);
    config.hStream = stream;
    config.attrs = &dependent;
    config.numAttrs = plan.arch.dependent_launch ? 1 : 0;
    void* parameters[] = {const_cast<void*>(arguments)};
    driver.check(driver.cuLaunchKernelEx(&config, function, parameters, nullptr),
                 fmt::format("launching {} on a grid of {} x {} x {}", plan.entry, blocks.x,
                             blocks.y, blocks.z));
  }
};

Kernel::Kernel(const Device& device, Plan plan, const Binary& binary)
    : state_(std::make_shared<State>(device, std::move(plan), binary)) {}

const Plan& Kernel::plan() const { return state_->plan; }
const Resources& Kernel::resources() const { return state_->resources; }

void Kernel::launch(const LaunchShape& shape, const AppendArguments& arguments,
                    CUstream stream) const {
  state_->launch(shape, &arguments, stream);
}

void Kernel::launch(const LaunchShape& shape, const DecodeArguments& arguments,
                    CUstream stream) const {
  state_->launch(shape, &arguments, stream);
}

void Kernel::launch(const LaunchShape& shape, const PrefillArguments& arguments,
                    CUstream stream) const {
  if (shape.tokens == 0) return;
  const PrefillKernelArguments all = with_maps(state_->module.current(), state_->plan, arguments);
  state_->launch(shape, &all, stream);
}

}  // namespace octavo
