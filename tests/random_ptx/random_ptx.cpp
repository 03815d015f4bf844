// Random programs: the emulator against the interpreter, lane for lane.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "execute/program.hpp"
#include "fault.hpp"
#include "generator.hpp"
#include "interpreter.hpp"
#include "memory/memory.hpp"
#include "ptx/parser.hpp"

namespace octavo::emulator::random_ptx {
namespace {

constexpr unsigned kPrograms = 60;

// A word that instructions find hard, in each of the widths that read it.
std::uint64_t draw(std::mt19937& random) {
  static constexpr std::uint64_t kHard[] = {
      0,          1,          0xFFFFFFFF, 0x80000000, 0x7FFFFFFF, 0x3F800000, 0x7F800000,
      0xFF800000, 0x7FC00000, 0x00000001, 0x007FFFFF, 0x80000000, 0x4F000000, 0xCF000000,
      0x5F000000, 0x47FFE000, 0x33800000, 0x3F000000, 0xBFC00000, 0x7F7FFFFF,
  };
  const auto low = static_cast<std::uint64_t>(random());
  switch (random() % 4) {
    case 0:
      return kHard[low % std::size(kHard)];
    case 1:
      return std::bit_cast<std::uint32_t>(static_cast<float>(low % 2001) / 8 - 125);
    case 2:
      return low % 100;
    default:
      return low | static_cast<std::uint64_t>(random()) << 32;
  }
}

double draw_double(std::mt19937& random) {
  const double value = static_cast<double>(random()) / 65536 - 32768;
  return random() % 5 ? value : std::ldexp(value, static_cast<int>(random() % 600) - 300);
}

struct Buffers {
  std::vector<std::uint64_t> inputs, outputs, totals;

  Buffers(const RandomProgram& program, unsigned seed) {
    std::mt19937 random(seed);
    const std::size_t threads = program.grid.x * program.block.x;
    inputs.resize(threads * RandomProgram::kInputs);
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      // The last three are the doubles.
      const bool is_double = i % RandomProgram::kInputs >= RandomProgram::kInputs - 3;
      inputs[i] = is_double ? std::bit_cast<std::uint64_t>(draw_double(random)) : draw(random);
    }
    outputs.resize(threads * program.outputs.size());
    totals = {0, 0x80000000, 0xFFFFFFFF, 0xFFFFFFFF, 0, 0};
  }
};

bool same(RandomProgram::Slot slot, std::uint64_t x, std::uint64_t y) {
  if (x == y) return true;
  if (slot == RandomProgram::Slot::f32)
    return std::isnan(std::bit_cast<float>(static_cast<std::uint32_t>(x))) &&
           std::isnan(std::bit_cast<float>(static_cast<std::uint32_t>(y)));
  return slot == RandomProgram::Slot::f64 && std::isnan(std::bit_cast<double>(x)) &&
         std::isnan(std::bit_cast<double>(y));
}

std::vector<std::byte> parameters(std::initializer_list<const void*> pointers) {
  std::vector<std::byte> bytes(8 * pointers.size());
  std::size_t offset = 0;
  for (const void* pointer : pointers) {
    std::memcpy(&bytes[offset], &pointer, 8);
    offset += 8;
  }
  return bytes;
}

void run_interpreter(const RandomProgram& program, Buffers& buffers) {
  interpret(ptx::parse(program.ptx), "random", program.grid, program.block,
            parameters({buffers.inputs.data(), buffers.outputs.data(), buffers.totals.data()}));
}

void run_emulator(const RandomProgram& program, Buffers& buffers) {
  DeviceModel device{};
  device.compute_capability = 90;
  device.multiprocessors = 4;
  device.shared_per_block = device.shared_per_multiprocessor = 64 << 10;
  Memory memory(64 << 20);
  const auto loaded = Program::load(program.ptx, device, memory);
  const KernelInfo* kernel = loaded->find_kernel("random");
  if (!kernel) throw Fault(CUDA_ERROR_NOT_FOUND, "the program has no kernel");
  std::vector<void*> pointers;
  for (auto* buffer : {&buffers.inputs, &buffers.outputs, &buffers.totals}) {
    pointers.push_back(reinterpret_cast<void*>(memory.allocate(buffer->size() * 8)));
    std::memcpy(pointers.back(), buffer->data(), buffer->size() * 8);
  }
  loaded->launch(*kernel, {program.grid, program.block, 0},
                 parameters({pointers[0], pointers[1], pointers[2]}));
  std::memcpy(buffers.outputs.data(), pointers[1], buffers.outputs.size() * 8);
  std::memcpy(buffers.totals.data(), pointers[2], buffers.totals.size() * 8);
}

// What differs, or what went wrong; empty if nothing.
std::string difference(const RandomProgram& program, unsigned seed) {
  Buffers expected(program, seed), actual(program, seed);
  try {
    run_interpreter(program, expected);
    run_emulator(program, actual);
  } catch (const Fault& fault) {
    return fault.what();
  }
  const std::size_t slots = program.outputs.size();
  for (std::size_t i = 0; i < expected.outputs.size(); ++i)
    if (!same(program.outputs[i % slots], expected.outputs[i], actual.outputs[i]))
      return fmt::format("thread {}, output {}: {:x}, expected {:x}", i / slots, i % slots,
                         actual.outputs[i], expected.outputs[i]);
  for (std::size_t i = 0; i < expected.totals.size(); ++i)
    if (expected.totals[i] != actual.totals[i])
      return fmt::format("total {}: {:x}, expected {:x}", i, actual.totals[i], expected.totals[i]);
  return {};
}

TEST_CASE("random programs give what the interpreter gives") {
  for (unsigned seed = 0; seed < kPrograms; ++seed) {
    const RandomProgram program = generate(seed);
    const std::string found = difference(program, seed);
    CHECK_MESSAGE(found.empty(), fmt::format("seed {}: {}\n{}", seed, found, program.ptx));
  }
}

}  // namespace
}  // namespace octavo::emulator::random_ptx
