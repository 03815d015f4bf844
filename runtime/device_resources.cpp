// Buffer, Stream and Event of runtime/device.hpp.
#include <fmt/format.h>

#include "runtime/device.hpp"
#include "runtime/driver.hpp"
#include "runtime/handle.hpp"

namespace octavo {

struct Buffer::State : Handle<CUdeviceptr, &Driver::cuMemFree> {
  std::size_t bytes;

  State(const Device& owner, std::size_t size)
      : Handle(owner,
               [&](const Driver& driver, CUdeviceptr* address) {
                 driver.check(driver.cuMemAlloc(address, size),
                              fmt::format("allocating {} bytes on {}", size, owner.name()));
               }),
        bytes(size) {}
};

Buffer::Buffer(const Device& device, std::size_t bytes)
    : state_(bytes == 0 ? nullptr : std::make_shared<State>(device, bytes)) {}

CUdeviceptr Buffer::address() const { return state_ ? state_->value() : 0; }
std::size_t Buffer::bytes() const { return state_ ? state_->bytes : 0; }

void Buffer::require(std::size_t offset, std::size_t count) const {
  if (offset <= bytes() && count <= bytes() - offset) return;
  throw UsageError(fmt::format("a copy of {} bytes at offset {} of a buffer of {} bytes", count,
                               offset, bytes()));
}

void Buffer::upload(const void* from, std::size_t bytes, std::size_t offset) {
  require(offset, bytes);
  if (bytes == 0) return;
  const Driver& driver = state_->current();
  driver.check(driver.cuMemcpyHtoD(address() + offset, from, bytes), "copying to the device");
}

void Buffer::download(void* to, std::size_t bytes, std::size_t offset) const {
  require(offset, bytes);
  if (bytes == 0) return;
  const Driver& driver = state_->current();
  driver.check(driver.cuMemcpyDtoH(to, address() + offset, bytes), "copying from the device");
}

void Buffer::fill(unsigned char value) {
  if (!state_) return;
  const Driver& driver = state_->current();
  driver.check(driver.cuMemsetD8(address(), value, bytes()), "filling device memory");
}

struct Stream::State : Handle<CUstream, &Driver::cuStreamDestroy> {
  explicit State(const Device& owner)
      : Handle(owner, [](const Driver& driver, CUstream* stream) {
          driver.check(driver.cuStreamCreate(stream, 0), "cuStreamCreate");
        }) {}
};

Stream::Stream(const Device& device) : state_(std::make_shared<State>(device)) {}
CUstream Stream::handle() const { return state_->value(); }

void Stream::synchronize() const {
  const Driver& driver = state_->current();
  driver.check(driver.cuStreamSynchronize(handle()), "waiting for a stream");
}

struct Event::State : Handle<CUevent, &Driver::cuEventDestroy> {
  explicit State(const Device& owner)
      : Handle(owner, [](const Driver& driver, CUevent* event) {
          driver.check(driver.cuEventCreate(event, 0), "cuEventCreate");
        }) {}
};

Event::Event(const Device& device) : state_(std::make_shared<State>(device)) {}

void Event::record(CUstream stream) {
  const Driver& driver = state_->current();
  driver.check(driver.cuEventRecord(state_->value(), stream), "cuEventRecord");
}

float Event::milliseconds_since(const Event& start) const {
  const Driver& driver = state_->current();
  const CUevent from = start.state_->value(), to = state_->value();
  driver.check(driver.cuEventSynchronize(from), "waiting for an event");
  driver.check(driver.cuEventSynchronize(to), "waiting for an event");
  float milliseconds = 0;
  driver.check(driver.cuEventElapsedTime(&milliseconds, from, to), "cuEventElapsedTime");
  return milliseconds;
}

}  // namespace octavo
