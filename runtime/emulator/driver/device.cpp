// cuInit, versions, and what can be asked of the device.
#include <algorithm>
#include <cstring>

#include "driver/api.hpp"

namespace {

// CUDA 13.0, whose compilers print PTX ISA 9.0.
constexpr int kDriverVersion = 13000;

}  // namespace

using namespace octavo::emulator;
using namespace octavo::emulator::driver;

CUresult cuInit(unsigned flags) {
  return guarded(__func__, [&] {
    require(flags == 0, "flags: expected 0");
    Session::get().initialise();
  });
}

CUresult cuDriverGetVersion(int* version) {
  return guarded(__func__, [&] {
    require(version != nullptr, "version: expected a place for the result");
    *version = kDriverVersion;
  });
}

CUresult cuDeviceGetCount(int* count) {
  return with_device(__func__, [&](const DeviceModel&) {
    require(count != nullptr, "count: expected a place for the result");
    *count = 1;
  });
}

CUresult cuDeviceGet(CUdevice* device, int ordinal) {
  return guarded(__func__, [&] {
    Session::get().check_device(ordinal);
    require(device != nullptr, "device: expected a place for the result");
    *device = 0;
  });
}

CUresult cuDeviceGetName(char* name, int length, CUdevice device) {
  return with_device(__func__, [&](const DeviceModel& model) {
    require(name != nullptr && length > 0, "name: expected room for the result");
    Session::get().check_device(device);
    const std::size_t bytes = std::min(model.name.size(), static_cast<std::size_t>(length) - 1);
    std::memcpy(name, model.name.data(), bytes);
    name[bytes] = '\0';
  });
}

CUresult cuDeviceTotalMem_v2(std::size_t* bytes, CUdevice device) {
  return with_device("cuDeviceTotalMem", [&](const DeviceModel& model) {
    require(bytes != nullptr, "bytes: expected a place for the result");
    Session::get().check_device(device);
    *bytes = model.memory_bytes;
  });
}

CUresult cuDeviceGetAttribute(int* value, CUdevice_attribute attribute, CUdevice device) {
  return with_device(__func__, [&](const DeviceModel& model) {
    require(value != nullptr, "value: expected a place for the result");
    Session::get().check_device(device);
    *value = device_attribute(model, attribute);
  });
}

// The same for all processes: of the model, and of no real GPU.
CUresult cuDeviceGetUuid_v2(CUuuid* uuid, CUdevice device) {
  return with_device("cuDeviceGetUuid", [&](const DeviceModel& model) {
    require(uuid != nullptr, "uuid: expected a place for the result");
    Session::get().check_device(device);
    const std::string text = fmt::format("octavo emulated {}", model.id);
    std::memset(uuid, 0, sizeof *uuid);
    for (std::size_t i = 0; i < text.size(); ++i) uuid->bytes[i % sizeof *uuid] ^= text[i];
  });
}

CUresult cuDeviceGetUuid(CUuuid* uuid, CUdevice device) { return cuDeviceGetUuid_v2(uuid, device); }

CUresult cuDeviceComputeCapability(int* major, int* minor, CUdevice device) {
  return with_device(__func__, [&](const DeviceModel& model) {
    require(major != nullptr && minor != nullptr, "major, minor: expected places for the results");
    Session::get().check_device(device);
    *major = model.compute_capability / 10;
    *minor = model.compute_capability % 10;
  });
}

CUresult cuDeviceGetPCIBusId(char* id, int length, CUdevice device) {
  return with_device(__func__, [&](const DeviceModel&) {
    static constexpr char kId[] = "0000:01:00.0";
    require(id != nullptr && length >= static_cast<int>(sizeof kId),
            "id: expected room for 13 characters");
    Session::get().check_device(device);
    std::memcpy(id, kId, sizeof kId);
  });
}

// Nothing is profiled, which the driver allows at any time.
CUresult cuProfilerStart() {
  return with_context(__func__, [](Context&) {});
}

CUresult cuProfilerStop() {
  return with_context(__func__, [](Context&) {});
}
