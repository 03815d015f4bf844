// The part of the CUDA Driver API that Octavo speaks, declared from its documented ABI so that no
// CUDA header is needed. The emulator exports these functions; the runtime finds them by name in
// libcuda.so.1 or in the emulator. Names, values and argument orders are NVIDIA's.
#pragma once

#include <cstddef>
#include <cstdint>

extern "C" {

using CUdevice = int;
using CUdeviceptr = unsigned long long;
using CUcontext = struct CUctx_st*;
using CUmodule = struct CUmod_st*;
using CUfunction = struct CUfunc_st*;
using CUstream = struct CUstream_st*;
using CUevent = struct CUevent_st*;
struct CUlaunchConfig;  // cuda_abi_more.h

enum CUresult : int {
  CUDA_SUCCESS = 0,
  CUDA_ERROR_INVALID_VALUE = 1,
  CUDA_ERROR_OUT_OF_MEMORY = 2,
  CUDA_ERROR_NOT_INITIALIZED = 3,
  CUDA_ERROR_NO_DEVICE = 100,
  CUDA_ERROR_INVALID_DEVICE = 101,
  CUDA_ERROR_INVALID_IMAGE = 200,
  CUDA_ERROR_INVALID_CONTEXT = 201,
  CUDA_ERROR_NO_BINARY_FOR_GPU = 209,
  CUDA_ERROR_INVALID_PTX = 218,
  CUDA_ERROR_UNSUPPORTED_PTX_VERSION = 222,
  CUDA_ERROR_FILE_NOT_FOUND = 301,
  CUDA_ERROR_INVALID_HANDLE = 400,
  CUDA_ERROR_NOT_FOUND = 500,
  CUDA_ERROR_NOT_READY = 600,
  CUDA_ERROR_ILLEGAL_ADDRESS = 700,
  CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES = 701,
  CUDA_ERROR_CONTEXT_IS_DESTROYED = 709,
  CUDA_ERROR_ASSERT = 710,
  CUDA_ERROR_HARDWARE_STACK_ERROR = 714,
  CUDA_ERROR_ILLEGAL_INSTRUCTION = 715,
  CUDA_ERROR_MISALIGNED_ADDRESS = 716,
  CUDA_ERROR_INVALID_PC = 718,
  CUDA_ERROR_LAUNCH_FAILED = 719,
  CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE = 720,
  CUDA_ERROR_NOT_PERMITTED = 800,
  CUDA_ERROR_NOT_SUPPORTED = 801,
  CUDA_ERROR_INVALID_CLUSTER_SIZE = 912,
  CUDA_ERROR_UNKNOWN = 999,
};

enum CUdevice_attribute : int {
  CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK = 1,
  CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X = 2,
  CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Y = 3,
  CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z = 4,
  CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X = 5,
  CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y = 6,
  CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z = 7,
  CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK = 8,
  CU_DEVICE_ATTRIBUTE_TOTAL_CONSTANT_MEMORY = 9,
  CU_DEVICE_ATTRIBUTE_WARP_SIZE = 10,
  CU_DEVICE_ATTRIBUTE_MAX_PITCH = 11,
  CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_BLOCK = 12,
  CU_DEVICE_ATTRIBUTE_CLOCK_RATE = 13,
  CU_DEVICE_ATTRIBUTE_GPU_OVERLAP = 15,
  CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT = 16,
  CU_DEVICE_ATTRIBUTE_KERNEL_EXEC_TIMEOUT = 17,
  CU_DEVICE_ATTRIBUTE_INTEGRATED = 18,
  CU_DEVICE_ATTRIBUTE_CAN_MAP_HOST_MEMORY = 19,
  CU_DEVICE_ATTRIBUTE_COMPUTE_MODE = 20,
  CU_DEVICE_ATTRIBUTE_CONCURRENT_KERNELS = 31,
  CU_DEVICE_ATTRIBUTE_ECC_ENABLED = 32,
  CU_DEVICE_ATTRIBUTE_PCI_BUS_ID = 33,
  CU_DEVICE_ATTRIBUTE_PCI_DEVICE_ID = 34,
  CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE = 36,
  CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH = 37,
  CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE = 38,
  CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR = 39,
  CU_DEVICE_ATTRIBUTE_ASYNC_ENGINE_COUNT = 40,
  CU_DEVICE_ATTRIBUTE_UNIFIED_ADDRESSING = 41,
  CU_DEVICE_ATTRIBUTE_PCI_DOMAIN_ID = 50,
  CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR = 75,
  CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR = 76,
  CU_DEVICE_ATTRIBUTE_STREAM_PRIORITIES_SUPPORTED = 78,
  CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR = 81,
  CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_MULTIPROCESSOR = 82,
  CU_DEVICE_ATTRIBUTE_MANAGED_MEMORY = 83,
  CU_DEVICE_ATTRIBUTE_PAGEABLE_MEMORY_ACCESS = 88,
  CU_DEVICE_ATTRIBUTE_CONCURRENT_MANAGED_ACCESS = 89,
  CU_DEVICE_ATTRIBUTE_COOPERATIVE_LAUNCH = 95,
  CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN = 97,
  CU_DEVICE_ATTRIBUTE_MAX_BLOCKS_PER_MULTIPROCESSOR = 106,
  CU_DEVICE_ATTRIBUTE_RESERVED_SHARED_MEMORY_PER_BLOCK = 111,
  CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED = 115,
  CU_DEVICE_ATTRIBUTE_CLUSTER_LAUNCH = 120,
};

enum CUfunction_attribute : int {
  CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK = 0,
  CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES = 1,
  CU_FUNC_ATTRIBUTE_CONST_SIZE_BYTES = 2,
  CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES = 3,
  CU_FUNC_ATTRIBUTE_NUM_REGS = 4,
  CU_FUNC_ATTRIBUTE_PTX_VERSION = 5,
  CU_FUNC_ATTRIBUTE_BINARY_VERSION = 6,
  CU_FUNC_ATTRIBUTE_CACHE_MODE_CA = 7,
  CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES = 8,
  CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT = 9,
  CU_FUNC_ATTRIBUTE_CLUSTER_SIZE_MUST_BE_SET = 10,
  CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_WIDTH = 11,
  CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_HEIGHT = 12,
  CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_DEPTH = 13,
  CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED = 14,
  CU_FUNC_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE = 15,
};

struct alignas(64) CUtensorMap {
  std::uint64_t opaque[16];
};

enum CUtensorMapDataType : int {
  CU_TENSOR_MAP_DATA_TYPE_UINT8 = 0,
  CU_TENSOR_MAP_DATA_TYPE_UINT16,
  CU_TENSOR_MAP_DATA_TYPE_UINT32,
  CU_TENSOR_MAP_DATA_TYPE_INT32,
  CU_TENSOR_MAP_DATA_TYPE_UINT64,
  CU_TENSOR_MAP_DATA_TYPE_INT64,
  CU_TENSOR_MAP_DATA_TYPE_FLOAT16,
  CU_TENSOR_MAP_DATA_TYPE_FLOAT32,
  CU_TENSOR_MAP_DATA_TYPE_FLOAT64,
  CU_TENSOR_MAP_DATA_TYPE_BFLOAT16,
  CU_TENSOR_MAP_DATA_TYPE_FLOAT32_FTZ,
  CU_TENSOR_MAP_DATA_TYPE_TFLOAT32,
  CU_TENSOR_MAP_DATA_TYPE_TFLOAT32_FTZ,
  CU_TENSOR_MAP_DATA_TYPE_16U4_ALIGN8B,
  CU_TENSOR_MAP_DATA_TYPE_16U4_ALIGN16B,
  CU_TENSOR_MAP_DATA_TYPE_16U6_ALIGN16B,
};

enum CUtensorMapInterleave : int {
  CU_TENSOR_MAP_INTERLEAVE_NONE = 0,
  CU_TENSOR_MAP_INTERLEAVE_16B,
  CU_TENSOR_MAP_INTERLEAVE_32B,
};

enum CUtensorMapSwizzle : int {
  CU_TENSOR_MAP_SWIZZLE_NONE = 0,
  CU_TENSOR_MAP_SWIZZLE_32B,
  CU_TENSOR_MAP_SWIZZLE_64B,
  CU_TENSOR_MAP_SWIZZLE_128B,
  CU_TENSOR_MAP_SWIZZLE_128B_ATOM_32B,
  CU_TENSOR_MAP_SWIZZLE_128B_ATOM_32B_FLIP_8B,
  CU_TENSOR_MAP_SWIZZLE_128B_ATOM_64B,
};

enum CUtensorMapL2promotion : int {
  CU_TENSOR_MAP_L2_PROMOTION_NONE = 0,
  CU_TENSOR_MAP_L2_PROMOTION_L2_64B,
  CU_TENSOR_MAP_L2_PROMOTION_L2_128B,
  CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
};

enum CUtensorMapFloatOOBfill : int {
  CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE = 0,
  CU_TENSOR_MAP_FLOAT_OOB_FILL_NAN_REQUEST_ZERO_FMA,
};
}

// Every Driver API function in use: OCTAVO_CUDA_FUNCTION(name, exported symbol, parameters). The
// symbol differs from the name where the ABI was versioned. All return CUresult.
#define OCTAVO_CUDA_FUNCTIONS(X)                                                                  \
  X(cuInit, cuInit, (unsigned flags))                                                             \
  X(cuDriverGetVersion, cuDriverGetVersion, (int* version))                                       \
  X(cuGetErrorName, cuGetErrorName, (CUresult error, const char** name))                          \
  X(cuGetErrorString, cuGetErrorString, (CUresult error, const char** text))                      \
  X(cuDeviceGetCount, cuDeviceGetCount, (int* count))                                             \
  X(cuDeviceGet, cuDeviceGet, (CUdevice * device, int ordinal))                                   \
  X(cuDeviceGetName, cuDeviceGetName, (char* name, int length, CUdevice device))                  \
  X(cuDeviceTotalMem, cuDeviceTotalMem_v2, (std::size_t* bytes, CUdevice device))                 \
  X(cuDeviceGetAttribute, cuDeviceGetAttribute,                                                   \
    (int* value, CUdevice_attribute attribute, CUdevice device))                                  \
  X(cuDevicePrimaryCtxRetain, cuDevicePrimaryCtxRetain, (CUcontext * context, CUdevice device))   \
  X(cuDevicePrimaryCtxRelease, cuDevicePrimaryCtxRelease_v2, (CUdevice device))                   \
  X(cuCtxSetCurrent, cuCtxSetCurrent, (CUcontext context))                                        \
  X(cuCtxGetCurrent, cuCtxGetCurrent, (CUcontext * context))                                      \
  X(cuCtxSynchronize, cuCtxSynchronize, ())                                                       \
  X(cuModuleLoadData, cuModuleLoadData, (CUmodule * module, const void* image))                   \
  X(cuModuleUnload, cuModuleUnload, (CUmodule module))                                            \
  X(cuModuleGetFunction, cuModuleGetFunction,                                                     \
    (CUfunction * function, CUmodule module, const char* name))                                   \
  X(cuModuleGetGlobal, cuModuleGetGlobal_v2,                                                      \
    (CUdeviceptr * address, std::size_t* bytes, CUmodule module, const char* name))               \
  X(cuFuncGetAttribute, cuFuncGetAttribute,                                                       \
    (int* value, CUfunction_attribute attribute, CUfunction function))                            \
  X(cuFuncSetAttribute, cuFuncSetAttribute,                                                       \
    (CUfunction function, CUfunction_attribute attribute, int value))                             \
  X(cuOccupancyMaxActiveBlocksPerMultiprocessor, cuOccupancyMaxActiveBlocksPerMultiprocessor,     \
    (int* blocks, CUfunction function, int threads, std::size_t shared_bytes))                    \
  X(cuMemGetInfo, cuMemGetInfo_v2, (std::size_t* free, std::size_t* total))                       \
  X(cuMemAlloc, cuMemAlloc_v2, (CUdeviceptr * address, std::size_t bytes))                        \
  X(cuMemFree, cuMemFree_v2, (CUdeviceptr address))                                               \
  X(cuMemcpyHtoD, cuMemcpyHtoD_v2, (CUdeviceptr to, const void* from, std::size_t bytes))         \
  X(cuMemcpyDtoH, cuMemcpyDtoH_v2, (void* to, CUdeviceptr from, std::size_t bytes))               \
  X(cuMemcpyDtoD, cuMemcpyDtoD_v2, (CUdeviceptr to, CUdeviceptr from, std::size_t bytes))         \
  X(cuMemcpyHtoDAsync, cuMemcpyHtoDAsync_v2,                                                      \
    (CUdeviceptr to, const void* from, std::size_t bytes, CUstream stream))                       \
  X(cuMemcpyDtoHAsync, cuMemcpyDtoHAsync_v2,                                                      \
    (void* to, CUdeviceptr from, std::size_t bytes, CUstream stream))                             \
  X(cuMemcpyDtoDAsync, cuMemcpyDtoDAsync_v2,                                                      \
    (CUdeviceptr to, CUdeviceptr from, std::size_t bytes, CUstream stream))                       \
  X(cuMemsetD8, cuMemsetD8_v2, (CUdeviceptr to, unsigned char value, std::size_t count))          \
  X(cuMemsetD8Async, cuMemsetD8Async,                                                             \
    (CUdeviceptr to, unsigned char value, std::size_t count, CUstream stream))                    \
  X(cuMemsetD32, cuMemsetD32_v2, (CUdeviceptr to, unsigned value, std::size_t count))             \
  X(cuMemsetD32Async, cuMemsetD32Async,                                                           \
    (CUdeviceptr to, unsigned value, std::size_t count, CUstream stream))                         \
  X(cuStreamCreate, cuStreamCreate, (CUstream * stream, unsigned flags))                          \
  X(cuStreamDestroy, cuStreamDestroy_v2, (CUstream stream))                                       \
  X(cuStreamSynchronize, cuStreamSynchronize, (CUstream stream))                                  \
  X(cuStreamWaitEvent, cuStreamWaitEvent, (CUstream stream, CUevent event, unsigned flags))       \
  X(cuEventCreate, cuEventCreate, (CUevent * event, unsigned flags))                              \
  X(cuEventDestroy, cuEventDestroy_v2, (CUevent event))                                           \
  X(cuEventRecord, cuEventRecord, (CUevent event, CUstream stream))                               \
  X(cuEventSynchronize, cuEventSynchronize, (CUevent event))                                      \
  X(cuEventElapsedTime, cuEventElapsedTime, (float* milliseconds, CUevent start, CUevent end))    \
  X(cuTensorMapEncodeTiled, cuTensorMapEncodeTiled,                                               \
    (CUtensorMap * map, CUtensorMapDataType type, unsigned rank, void* address,                   \
     const std::uint64_t* sizes, const std::uint64_t* strides, const unsigned* box,               \
     const unsigned* element_strides, CUtensorMapInterleave interleave,                           \
     CUtensorMapSwizzle swizzle, CUtensorMapL2promotion promotion, CUtensorMapFloatOOBfill fill)) \
  X(cuTensorMapReplaceAddress, cuTensorMapReplaceAddress, (CUtensorMap * map, void* address))     \
  X(cuLaunchKernel, cuLaunchKernel,                                                               \
    (CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,    \
     unsigned block_y, unsigned block_z, unsigned shared_bytes, CUstream stream, void** params,   \
     void** extra))                                                                               \
  X(cuLaunchKernelEx, cuLaunchKernelEx,                                                           \
    (const CUlaunchConfig* config, CUfunction function, void** params, void** extra))

// What Octavo asks of the emulator alone; found the same way, and nullptr where the library is a
// GPU's driver that lacks it.
//   octavoEmulatorLastFault: the message of the calling thread's last failed call, "" if none: one
//   line that names kernel, PTX line, block, warp and lane. Valid until the thread's next call.
//   octavoEmulatorWarpInstructions: how many instructions the warps of the calling thread's last
//   launch issued, if that ended without a fault.
//   cuFuncGetParamInfo is NVIDIA's, since CUDA 12.4.
#define OCTAVO_EMULATOR_FUNCTIONS(X)                                                        \
  X(octavoEmulatorLastFault, octavoEmulatorLastFault, (const char** text))                  \
  X(octavoEmulatorWarpInstructions, octavoEmulatorWarpInstructions, (std::uint64_t* count)) \
  X(cuFuncGetParamInfo, cuFuncGetParamInfo,                                                 \
    (CUfunction function, std::size_t index, std::size_t* offset, std::size_t* bytes))
