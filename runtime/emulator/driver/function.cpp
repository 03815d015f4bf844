// What a kernel needs and may have.
#include <algorithm>

#include "driver/api.hpp"

namespace octavo::emulator::driver {
namespace {

int most_shared_per_block(const Context& context) {
  return device_attribute(context.model, CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN);
}

// What cuFuncSetAttribute keeps for later launches; nullptr for other attributes.
std::atomic<int>* setting_of(Function& function, CUfunction_attribute attribute) {
  switch (attribute) {
    case CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES:
      return &function.most_dynamic_shared;
    case CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT:
      return &function.shared_carveout;
    case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_WIDTH:
      return &function.cluster_width;
    case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_HEIGHT:
      return &function.cluster_height;
    case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_DEPTH:
      return &function.cluster_depth;
    case CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED:
      return &function.non_portable_cluster;
    case CU_FUNC_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE:
      return &function.cluster_scheduling;
    default:
      return nullptr;
  }
}

bool is_cluster_dimension(CUfunction_attribute attribute) {
  return attribute >= CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_WIDTH &&
         attribute <= CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_DEPTH;
}

int attribute_of(const Context& context, Function& function, CUfunction_attribute attribute) {
  switch (attribute) {
    case CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK:
      return static_cast<int>(function.info->max_threads);
    case CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES:
      return static_cast<int>(function.info->static_shared_bytes);
    case CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES:
      return static_cast<int>(function.info->local_bytes);
    case CU_FUNC_ATTRIBUTE_NUM_REGS:
      return static_cast<int>(function.info->registers);
    case CU_FUNC_ATTRIBUTE_PTX_VERSION:
      return function.module->ptx_version;
    case CU_FUNC_ATTRIBUTE_BINARY_VERSION:
      return context.model.compute_capability;
    case CU_FUNC_ATTRIBUTE_CONST_SIZE_BYTES:
    case CU_FUNC_ATTRIBUTE_CACHE_MODE_CA:
      return 0;
    case CU_FUNC_ATTRIBUTE_CLUSTER_SIZE_MUST_BE_SET:
      return function.info->explicit_cluster ? 1 : 0;
    default:
      break;
  }
  const Dim3 required = function.info->required_cluster;
  const std::atomic<int>* setting = setting_of(function, attribute);
  if (setting == nullptr) {
    throw Fault(CUDA_ERROR_INVALID_VALUE,
                fmt::format("function attribute {} is not known", static_cast<int>(attribute)));
  }
  if (!is_cluster_dimension(attribute) || count(required) == 0) return *setting;
  return static_cast<int>(attribute == CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_WIDTH    ? required.x
                          : attribute == CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_HEIGHT ? required.y
                                                                                   : required.z);
}

void check_setting(const Context& context, const Function& function, CUfunction_attribute attribute,
                   int value) {
  const auto expect = [&](int least, int most, const char* what) {
    if (value >= least && value <= most) return;
    throw Fault(CUDA_ERROR_INVALID_VALUE,
                fmt::format("{} {}: {} allows {}, from {} to {}", value, what, context.model.name,
                            function.info->name, least, most));
  };
  const int shared =
      most_shared_per_block(context) - static_cast<int>(function.info->static_shared_bytes);
  switch (attribute) {
    case CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES:
      return expect(0, shared, "bytes of dynamic shared memory");
    case CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT:
      return expect(-1, 100, "percent of shared memory");
    case CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED:
      return expect(0, 1, "as a flag");
    case CU_FUNC_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE:
      return expect(0, 2, "as a cluster scheduling policy");
    default:
      expect(0, 16, "blocks along a cluster's dimension");
  }
  if (count(function.info->required_cluster) != 0) {
    throw Fault(CUDA_ERROR_NOT_PERMITTED,
                fmt::format("{}: .reqnctapercluster says its cluster", function.info->name));
  }
}

}  // namespace
}  // namespace octavo::emulator::driver

using namespace octavo::emulator;
using namespace octavo::emulator::driver;

CUresult cuFuncGetAttribute(int* value, CUfunction_attribute attribute, CUfunction function) {
  return with_context(__func__, [&](Context& context) {
    require(value != nullptr, "value: expected a place for the result");
    *value = attribute_of(context, *context.functions.find(function, "function"), attribute);
  });
}

CUresult cuFuncSetAttribute(CUfunction function, CUfunction_attribute attribute, int value) {
  return with_context(__func__, [&](Context& context) {
    const std::shared_ptr<Function> found = context.functions.find(function, "function");
    std::atomic<int>* setting = setting_of(*found, attribute);
    if (setting == nullptr) {
      throw Fault(CUDA_ERROR_INVALID_VALUE,
                  fmt::format("function attribute {} cannot be set", static_cast<int>(attribute)));
    }
    check_setting(context, *found, attribute, value);
    *setting = value;
  });
}

CUresult cuFuncGetParamInfo(CUfunction function, std::size_t index, std::size_t* offset,
                            std::size_t* bytes) {
  return with_context(__func__, [&](Context& context) {
    require(offset != nullptr, "offset: expected a place for the result");
    const auto& parameters = context.functions.find(function, "function")->info->parameters;
    if (index >= parameters.size()) {
      throw Fault(CUDA_ERROR_INVALID_VALUE,
                  fmt::format("parameter {}: there are {}", index, parameters.size()));
    }
    *offset = parameters[index].offset;
    if (bytes != nullptr) *bytes = parameters[index].bytes;
  });
}

// Which memory a multiprocessor prefers changes nothing that a program can see.
CUresult cuFuncSetCacheConfig(CUfunction function, int preference) {
  return with_context(__func__, [&](Context& context) {
    require(preference >= 0 && preference <= 3, "preference: expected CU_FUNC_CACHE values");
    context.functions.find(function, "function");
  });
}

CUresult cuFuncGetName(const char** name, CUfunction function) {
  return with_context(__func__, [&](Context& context) {
    require(name != nullptr, "name: expected a place for the result");
    *name = context.functions.find(function, "function")->info->name.c_str();
  });
}

CUresult cuFuncGetModule(CUmodule* module, CUfunction function) {
  return with_context(__func__, [&](Context& context) {
    require(module != nullptr, "module: expected a place for the result");
    *module = context.functions.find(function, "function")->module_handle;
  });
}
