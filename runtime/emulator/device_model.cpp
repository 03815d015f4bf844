#include "device_model.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "fault.hpp"

namespace octavo::emulator {
namespace {

constexpr int kKiB = 1024;
constexpr int kMiB = 1024 * kKiB;
constexpr std::size_t kMiBytes = kMiB;

// id, name, compute capability, multiprocessors, shared memory of a block and of a multiprocessor,
// clock and memory clock in kHz, bus in bits, L2, memory: as the GPUs' own drivers report them.
constexpr std::array kModels = {
    DeviceModel{"h100", "NVIDIA H100 80GB HBM3 (emulated)", 90, 132, 227 * kKiB, 228 * kKiB,
                1980000, 2619000, 5120, 50 * kMiB, 81079 * kMiBytes},
    DeviceModel{"h200", "NVIDIA H200 (emulated)", 90, 132, 227 * kKiB, 228 * kKiB, 1980000, 3201000,
                6016, 60 * kMiB, 150109880320},
    DeviceModel{"a100", "NVIDIA A100-SXM4-80GB (emulated)", 80, 108, 163 * kKiB, 164 * kKiB,
                1410000, 1593000, 5120, 40 * kMiB, 81153 * kMiBytes},
    DeviceModel{"l40s", "NVIDIA L40S (emulated)", 89, 142, 99 * kKiB, 100 * kKiB, 2520000, 9001000,
                384, 96 * kMiB, 45487 * kMiBytes},
    DeviceModel{"b200", "NVIDIA B200 (emulated)", 100, 148, 227 * kKiB, 228 * kKiB, 1965000,
                3996000, 7680, 126 * kMiB, 182642 * kMiBytes},
    DeviceModel{"rtx5090", "NVIDIA GeForce RTX 5090 (emulated)", 120, 170, 99 * kKiB, 100 * kKiB,
                2407000, 14001000, 512, 96 * kMiB, 32119 * kMiBytes},
};

// What follows from the compute capability (CUDA C++ Programming Guide, technical specifications).
int threads_per_multiprocessor(const DeviceModel& model) {
  const bool small = model.compute_capability == 89 || model.compute_capability == 120;
  return small ? 1536 : 2048;
}

int blocks_per_multiprocessor(const DeviceModel& model) {
  const bool small = model.compute_capability == 89 || model.compute_capability == 120;
  return small ? 24 : 32;
}

struct AttributeRow {
  CUdevice_attribute attribute;
  int (*value)(const DeviceModel&);
};

template <int value>
int constant(const DeviceModel&) {
  return value;
}

template <int DeviceModel::* member>
int of_model(const DeviceModel& model) {
  return model.*member;
}

constexpr AttributeRow kAttributes[] = {
    {CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK, constant<1024>},
    {CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X, constant<1024>},
    {CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Y, constant<1024>},
    {CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z, constant<64>},
    {CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X, constant<2147483647>},
    {CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y, constant<65535>},
    {CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z, constant<65535>},
    {CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK, constant<48 * kKiB>},
    {CU_DEVICE_ATTRIBUTE_WARP_SIZE, constant<32>},
    {CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_BLOCK, constant<65536>},
    {CU_DEVICE_ATTRIBUTE_CLOCK_RATE, of_model<&DeviceModel::clock_khz>},
    {CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, of_model<&DeviceModel::multiprocessors>},
    {CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE, of_model<&DeviceModel::memory_clock_khz>},
    {CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH, of_model<&DeviceModel::memory_bus_bits>},
    {CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE, of_model<&DeviceModel::l2_bytes>},
    {CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR, threads_per_multiprocessor},
    {CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR,
     [](const DeviceModel& model) { return model.compute_capability / 10; }},
    {CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR,
     [](const DeviceModel& model) { return model.compute_capability % 10; }},
    {CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR,
     of_model<&DeviceModel::shared_per_multiprocessor>},
    {CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_MULTIPROCESSOR, constant<65536>},
    {CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN,
     of_model<&DeviceModel::shared_per_block>},
    {CU_DEVICE_ATTRIBUTE_MAX_BLOCKS_PER_MULTIPROCESSOR, blocks_per_multiprocessor},
    {CU_DEVICE_ATTRIBUTE_RESERVED_SHARED_MEMORY_PER_BLOCK, constant<kKiB>},
    {CU_DEVICE_ATTRIBUTE_TOTAL_CONSTANT_MEMORY, constant<64 * kKiB>},
    {CU_DEVICE_ATTRIBUTE_MAX_PITCH, constant<2147483647>},
    {CU_DEVICE_ATTRIBUTE_GPU_OVERLAP, constant<1>},
    {CU_DEVICE_ATTRIBUTE_KERNEL_EXEC_TIMEOUT, constant<0>},
    {CU_DEVICE_ATTRIBUTE_INTEGRATED, constant<0>},
    {CU_DEVICE_ATTRIBUTE_CAN_MAP_HOST_MEMORY, constant<1>},
    {CU_DEVICE_ATTRIBUTE_COMPUTE_MODE, constant<0>},
    {CU_DEVICE_ATTRIBUTE_CONCURRENT_KERNELS, constant<1>},
    {CU_DEVICE_ATTRIBUTE_ECC_ENABLED, constant<1>},
    {CU_DEVICE_ATTRIBUTE_PCI_BUS_ID, constant<1>},
    {CU_DEVICE_ATTRIBUTE_PCI_DEVICE_ID, constant<0>},
    {CU_DEVICE_ATTRIBUTE_PCI_DOMAIN_ID, constant<0>},
    {CU_DEVICE_ATTRIBUTE_ASYNC_ENGINE_COUNT, constant<3>},
    {CU_DEVICE_ATTRIBUTE_UNIFIED_ADDRESSING, constant<1>},
    {CU_DEVICE_ATTRIBUTE_STREAM_PRIORITIES_SUPPORTED, constant<1>},
    {CU_DEVICE_ATTRIBUTE_MANAGED_MEMORY, constant<1>},
    {CU_DEVICE_ATTRIBUTE_PAGEABLE_MEMORY_ACCESS, constant<0>},
    {CU_DEVICE_ATTRIBUTE_CONCURRENT_MANAGED_ACCESS, constant<1>},
    {CU_DEVICE_ATTRIBUTE_COOPERATIVE_LAUNCH, constant<1>},
    {CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED, constant<1>},
    {CU_DEVICE_ATTRIBUTE_CLUSTER_LAUNCH,
     [](const DeviceModel& model) { return model.compute_capability >= 90 ? 1 : 0; }},
};

}  // namespace

std::span<const DeviceModel> device_models() { return kModels; }

const DeviceModel* find_device_model(std::string_view id) {
  const auto model = std::ranges::find(kModels, id, &DeviceModel::id);
  return model == kModels.end() ? nullptr : &*model;
}

int device_attribute(const DeviceModel& model, CUdevice_attribute attribute) {
  const auto row = std::ranges::find(kAttributes, attribute, &AttributeRow::attribute);
  if (row == std::end(kAttributes)) {
    throw Fault(CUDA_ERROR_INVALID_VALUE,
                fmt::format("device attribute {} is not known", static_cast<int>(attribute)));
  }
  return row->value(model);
}

}  // namespace octavo::emulator
