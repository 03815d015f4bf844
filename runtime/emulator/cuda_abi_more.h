// The rest of the Driver API that the emulator has: calls that other programs make and Octavo does
// not. Names, values and layouts are NVIDIA's, from the documented ABI.
#pragma once

#include "cuda_abi.h"

extern "C" {

using CUlibrary = struct CUlib_st*;
using CUkernel = struct CUkern_st*;
using CUmemoryPool = struct CUmemPoolHandle_st*;
using CUhostFn = void (*)(void* user_data);
using CUstreamCallback = void (*)(CUstream stream, CUresult status, void* user_data);
using CUoccupancyB2DSize = std::size_t (*)(int block_size);
using cuuint64_t = std::uint64_t;

struct CUuuid {
  char bytes[16];
};

enum CUjit_option : int {
  CU_JIT_WALL_TIME = 2,
  CU_JIT_INFO_LOG_BUFFER = 3,
  CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES = 4,
  CU_JIT_ERROR_LOG_BUFFER = 5,
  CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES = 6,
};

enum CUlaunchAttributeID : int {
  CU_LAUNCH_ATTRIBUTE_IGNORE = 0,
  CU_LAUNCH_ATTRIBUTE_ACCESS_POLICY_WINDOW = 1,
  CU_LAUNCH_ATTRIBUTE_COOPERATIVE = 2,
  CU_LAUNCH_ATTRIBUTE_SYNCHRONIZATION_POLICY = 3,
  CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION = 4,
  CU_LAUNCH_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE = 5,
  CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION = 6,
  CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_EVENT = 7,
  CU_LAUNCH_ATTRIBUTE_PRIORITY = 8,
  CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN_MAP = 9,
  CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN = 10,
  CU_LAUNCH_ATTRIBUTE_PREFERRED_CLUSTER_DIMENSION = 11,
  CU_LAUNCH_ATTRIBUTE_LAUNCH_COMPLETION_EVENT = 12,
  CU_LAUNCH_ATTRIBUTE_DEVICE_UPDATABLE_KERNEL_NODE = 13,
  CU_LAUNCH_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT = 14,
};

union CUlaunchAttributeValue {
  char pad[64];
  void* alignment;
  int cooperative;
  int programmaticStreamSerializationAllowed;
  struct {
    unsigned x, y, z;
  } clusterDim;
};

struct CUlaunchAttribute {
  CUlaunchAttributeID id;
  char pad[4];
  CUlaunchAttributeValue value;
};

struct CUlaunchConfig {
  unsigned gridDimX, gridDimY, gridDimZ;
  unsigned blockDimX, blockDimY, blockDimZ;
  unsigned sharedMemBytes;
  CUstream hStream;
  CUlaunchAttribute* attrs;
  unsigned numAttrs;
};

enum CUmemorytype : int {
  CU_MEMORYTYPE_HOST = 1,
  CU_MEMORYTYPE_DEVICE = 2,
  CU_MEMORYTYPE_ARRAY = 3,
  CU_MEMORYTYPE_UNIFIED = 4,
};

struct CUDA_MEMCPY2D {
  std::size_t srcXInBytes, srcY;
  CUmemorytype srcMemoryType;
  const void* srcHost;
  CUdeviceptr srcDevice;
  void* srcArray;
  std::size_t srcPitch;
  std::size_t dstXInBytes, dstY;
  CUmemorytype dstMemoryType;
  void* dstHost;
  CUdeviceptr dstDevice;
  void* dstArray;
  std::size_t dstPitch;
  std::size_t WidthInBytes, Height;
};

enum CUpointer_attribute : int {
  CU_POINTER_ATTRIBUTE_CONTEXT = 1,
  CU_POINTER_ATTRIBUTE_MEMORY_TYPE = 2,
  CU_POINTER_ATTRIBUTE_DEVICE_POINTER = 3,
  CU_POINTER_ATTRIBUTE_HOST_POINTER = 4,
  CU_POINTER_ATTRIBUTE_IS_MANAGED = 8,
  CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL = 9,
  CU_POINTER_ATTRIBUTE_RANGE_START_ADDR = 11,
  CU_POINTER_ATTRIBUTE_RANGE_SIZE = 12,
  CU_POINTER_ATTRIBUTE_MAPPED = 13,
};

enum CUdriverProcAddressQueryResult : int {
  CU_GET_PROC_ADDRESS_SUCCESS = 0,
  CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND = 1,
  CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT = 2,
};
}

// As OCTAVO_CUDA_FUNCTIONS. A name with several symbols has the oldest first.
#define OCTAVO_MORE_CUDA_FUNCTIONS(X)                                                              \
  X(cuGetProcAddress, cuGetProcAddress,                                                            \
    (const char* name, void** function, int version, cuuint64_t flags))                            \
  X(cuGetProcAddress, cuGetProcAddress_v2,                                                         \
    (const char* name, void** function, int version, cuuint64_t flags,                             \
     CUdriverProcAddressQueryResult* status))                                                      \
  X(cuDeviceGetUuid, cuDeviceGetUuid, (CUuuid * uuid, CUdevice device))                            \
  X(cuDeviceGetUuid, cuDeviceGetUuid_v2, (CUuuid * uuid, CUdevice device))                         \
  X(cuDeviceComputeCapability, cuDeviceComputeCapability,                                          \
    (int* major, int* minor, CUdevice device))                                                     \
  X(cuDeviceGetPCIBusId, cuDeviceGetPCIBusId, (char* id, int length, CUdevice device))             \
  X(cuDevicePrimaryCtxGetState, cuDevicePrimaryCtxGetState,                                        \
    (CUdevice device, unsigned* flags, int* active))                                               \
  X(cuDevicePrimaryCtxSetFlags, cuDevicePrimaryCtxSetFlags_v2, (CUdevice device, unsigned flags))  \
  X(cuDeviceGetDefaultMemPool, cuDeviceGetDefaultMemPool, (CUmemoryPool * pool, CUdevice device))  \
  X(cuDeviceGetMemPool, cuDeviceGetMemPool, (CUmemoryPool * pool, CUdevice device))                \
  X(cuMemPoolTrimTo, cuMemPoolTrimTo, (CUmemoryPool pool, std::size_t keep))                       \
  X(cuProfilerStart, cuProfilerStart, ())                                                          \
  X(cuProfilerStop, cuProfilerStop, ())                                                            \
  X(cuCtxCreate, cuCtxCreate_v2, (CUcontext * context, unsigned flags, CUdevice device))           \
  X(cuCtxCreate, cuCtxCreate_v3,                                                                   \
    (CUcontext * context, void* affinity, int count, unsigned flags, CUdevice device))             \
  X(cuCtxCreate, cuCtxCreate_v4,                                                                   \
    (CUcontext * context, void* params, unsigned flags, CUdevice device))                          \
  X(cuCtxDestroy, cuCtxDestroy_v2, (CUcontext context))                                            \
  X(cuCtxPushCurrent, cuCtxPushCurrent_v2, (CUcontext context))                                    \
  X(cuCtxPopCurrent, cuCtxPopCurrent_v2, (CUcontext * context))                                    \
  X(cuCtxGetDevice, cuCtxGetDevice, (CUdevice * device))                                           \
  X(cuCtxGetFlags, cuCtxGetFlags, (unsigned* flags))                                               \
  X(cuCtxGetApiVersion, cuCtxGetApiVersion, (CUcontext context, unsigned* version))                \
  X(cuCtxGetStreamPriorityRange, cuCtxGetStreamPriorityRange, (int* least, int* greatest))         \
  X(cuModuleLoad, cuModuleLoad, (CUmodule * module, const char* path))                             \
  X(cuModuleLoadDataEx, cuModuleLoadDataEx,                                                        \
    (CUmodule * module, const void* image, unsigned count, CUjit_option* options, void** values))  \
  X(cuLibraryLoadData, cuLibraryLoadData,                                                          \
    (CUlibrary * library, const void* image, CUjit_option* options, void** values, unsigned count, \
     int* library_options, void** library_values, unsigned library_count))                         \
  X(cuLibraryUnload, cuLibraryUnload, (CUlibrary library))                                         \
  X(cuLibraryGetModule, cuLibraryGetModule, (CUmodule * module, CUlibrary library))                \
  X(cuLibraryGetKernel, cuLibraryGetKernel,                                                        \
    (CUkernel * kernel, CUlibrary library, const char* name))                                      \
  X(cuLibraryGetGlobal, cuLibraryGetGlobal,                                                        \
    (CUdeviceptr * address, std::size_t* bytes, CUlibrary library, const char* name))              \
  X(cuKernelGetFunction, cuKernelGetFunction, (CUfunction * function, CUkernel kernel))            \
  X(cuKernelGetAttribute, cuKernelGetAttribute,                                                    \
    (int* value, CUfunction_attribute attribute, CUkernel kernel, CUdevice device))                \
  X(cuKernelSetAttribute, cuKernelSetAttribute,                                                    \
    (CUfunction_attribute attribute, int value, CUkernel kernel, CUdevice device))                 \
  X(cuFuncGetModule, cuFuncGetModule, (CUmodule * module, CUfunction function))                    \
  X(cuFuncGetName, cuFuncGetName, (const char** name, CUfunction function))                        \
  X(cuFuncSetCacheConfig, cuFuncSetCacheConfig, (CUfunction function, int preference))             \
  X(cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags,                                          \
    cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags,                                          \
    (int* blocks, CUfunction function, int threads, std::size_t shared_bytes, unsigned flags))     \
  X(cuOccupancyMaxPotentialBlockSize, cuOccupancyMaxPotentialBlockSize,                            \
    (int* grid, int* block, CUfunction function, CUoccupancyB2DSize shared_of_block,               \
     std::size_t shared_bytes, int limit))                                                         \
  X(cuOccupancyMaxActiveClusters, cuOccupancyMaxActiveClusters,                                    \
    (int* clusters, CUfunction function, const CUlaunchConfig* config))                            \
  X(cuOccupancyMaxPotentialClusterSize, cuOccupancyMaxPotentialClusterSize,                        \
    (int* size, CUfunction function, const CUlaunchConfig* config))                                \
  X(cuLaunchCooperativeKernel, cuLaunchCooperativeKernel,                                          \
    (CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,     \
     unsigned block_y, unsigned block_z, unsigned shared_bytes, CUstream stream, void** params))   \
  X(cuLaunchHostFunc, cuLaunchHostFunc, (CUstream stream, CUhostFn function, void* user_data))     \
  X(cuMemAllocPitch, cuMemAllocPitch_v2,                                                           \
    (CUdeviceptr * address, std::size_t* pitch, std::size_t width, std::size_t height,             \
     unsigned element))                                                                            \
  X(cuMemAllocManaged, cuMemAllocManaged,                                                          \
    (CUdeviceptr * address, std::size_t bytes, unsigned flags))                                    \
  X(cuMemAllocAsync, cuMemAllocAsync, (CUdeviceptr * address, std::size_t bytes, CUstream stream)) \
  X(cuMemFreeAsync, cuMemFreeAsync, (CUdeviceptr address, CUstream stream))                        \
  X(cuMemAllocHost, cuMemAllocHost_v2, (void** host, std::size_t bytes))                           \
  X(cuMemHostAlloc, cuMemHostAlloc, (void** host, std::size_t bytes, unsigned flags))              \
  X(cuMemFreeHost, cuMemFreeHost, (void* host))                                                    \
  X(cuMemHostGetDevicePointer, cuMemHostGetDevicePointer_v2,                                       \
    (CUdeviceptr * address, void* host, unsigned flags))                                           \
  X(cuMemGetAddressRange, cuMemGetAddressRange_v2,                                                 \
    (CUdeviceptr * begin, std::size_t* bytes, CUdeviceptr address))                                \
  X(cuPointerGetAttribute, cuPointerGetAttribute,                                                  \
    (void* value, CUpointer_attribute attribute, CUdeviceptr address))                             \
  X(cuPointerGetAttributes, cuPointerGetAttributes,                                                \
    (unsigned count, CUpointer_attribute* attributes, void** values, CUdeviceptr address))         \
  X(cuMemcpy, cuMemcpy, (CUdeviceptr to, CUdeviceptr from, std::size_t bytes))                     \
  X(cuMemcpyAsync, cuMemcpyAsync,                                                                  \
    (CUdeviceptr to, CUdeviceptr from, std::size_t bytes, CUstream stream))                        \
  X(cuMemcpy2D, cuMemcpy2D_v2, (const CUDA_MEMCPY2D* copy))                                        \
  X(cuMemcpy2DUnaligned, cuMemcpy2DUnaligned_v2, (const CUDA_MEMCPY2D* copy))                      \
  X(cuMemcpy2DAsync, cuMemcpy2DAsync_v2, (const CUDA_MEMCPY2D* copy, CUstream stream))             \
  X(cuMemsetD16, cuMemsetD16_v2, (CUdeviceptr to, unsigned short value, std::size_t count))        \
  X(cuMemsetD16Async, cuMemsetD16Async,                                                            \
    (CUdeviceptr to, unsigned short value, std::size_t count, CUstream stream))                    \
  X(cuMemsetD2D8, cuMemsetD2D8_v2,                                                                 \
    (CUdeviceptr to, std::size_t pitch, unsigned char value, std::size_t width,                    \
     std::size_t height))                                                                          \
  X(cuMemsetD2D16, cuMemsetD2D16_v2,                                                               \
    (CUdeviceptr to, std::size_t pitch, unsigned short value, std::size_t width,                   \
     std::size_t height))                                                                          \
  X(cuMemsetD2D32, cuMemsetD2D32_v2,                                                               \
    (CUdeviceptr to, std::size_t pitch, unsigned value, std::size_t width, std::size_t height))    \
  X(cuStreamCreateWithPriority, cuStreamCreateWithPriority,                                        \
    (CUstream * stream, unsigned flags, int priority))                                             \
  X(cuStreamQuery, cuStreamQuery, (CUstream stream))                                               \
  X(cuStreamGetPriority, cuStreamGetPriority, (CUstream stream, int* priority))                    \
  X(cuStreamGetFlags, cuStreamGetFlags, (CUstream stream, unsigned* flags))                        \
  X(cuStreamGetCtx, cuStreamGetCtx, (CUstream stream, CUcontext * context))                        \
  X(cuStreamAddCallback, cuStreamAddCallback,                                                      \
    (CUstream stream, CUstreamCallback callback, void* user_data, unsigned flags))                 \
  X(cuEventQuery, cuEventQuery, (CUevent event))                                                   \
  X(cuEventRecordWithFlags, cuEventRecordWithFlags,                                                \
    (CUevent event, CUstream stream, unsigned flags))
