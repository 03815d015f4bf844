// cp.async.bulk.tensor against a loop over every element of a box, written from the ISA's text and
// its tables of swizzled lines, on random tensors.
#include <doctest/doctest.h>
#include <fmt/core.h>

#include <algorithm>
#include <random>
#include <span>

#include "orders.hpp"

using namespace octavo::emulator;
using namespace octavo::emulator::test;

namespace {

constexpr std::uint32_t kSharedBytes = 24576;
constexpr std::size_t kTensorBytes = 1 << 18;
constexpr int kElementBytes[] = {1, 2, 4, 4, 8, 8, 2, 4, 8, 2, 4, 4, 4};

// Which 16 bytes lie at each place of a line of 128, line by line, until the pattern repeats.
struct Pattern {
  CUtensorMapSwizzle mode;
  std::uint32_t span;
  std::vector<const char*> lines;
};
const Pattern kPatterns[] = {
    {CU_TENSOR_MAP_SWIZZLE_NONE, 4096, {"01234567"}},
    {CU_TENSOR_MAP_SWIZZLE_32B, 32, {"01234567", "10325476"}},
    {CU_TENSOR_MAP_SWIZZLE_64B, 64, {"01234567", "10325476", "23016745", "32107654"}},
    {CU_TENSOR_MAP_SWIZZLE_128B,
     128,
     {"01234567", "10325476", "23016745", "32107654", "45670123", "54761032", "67452301",
      "76543210"}},
    {CU_TENSOR_MAP_SWIZZLE_128B_ATOM_32B, 128, {"01234567", "23016745", "45670123", "67452301"}},
    {CU_TENSOR_MAP_SWIZZLE_128B_ATOM_32B_FLIP_8B,
     128,
     {"01234567", "23016745", "45670123", "67452301"}},
    {CU_TENSOR_MAP_SWIZZLE_128B_ATOM_64B, 128, {"01234567", "45670123"}}};

// Where the byte at this address of the plain layout lies.
std::uint32_t place(const Pattern& pattern, std::uint32_t address) {
  const std::uint32_t line = address / 128;
  const std::string_view cells = pattern.lines[line % pattern.lines.size()];
  const char cell = static_cast<char>('0' + address % 128 / 16);
  std::uint32_t inner = address % 16;
  if (pattern.mode == CU_TENSOR_MAP_SWIZZLE_128B_ATOM_32B_FLIP_8B && line % 2 == 1) {
    inner = (inner + 8) % 16;
  }
  return line * 128 + static_cast<std::uint32_t>(cells.find(cell)) * 16 + inner;
}

struct Tensor {
  int type = 0;
  unsigned rank = 1;
  std::uint64_t offset = 0, sizes[5] = {1, 1, 1, 1, 1}, strides[4] = {};
  unsigned box[5] = {1, 1, 1, 1, 1}, steps[5] = {1, 1, 1, 1, 1};
  const Pattern* pattern = &kPatterns[0];
  bool nan = false;
  std::int32_t at[5] = {};
  std::uint32_t shared = 0;  // where the box lies
  std::uint32_t slice = 0;   // bytes of channels that an interleaved tensor has together
  bool stores = false;

  std::uint32_t element() const { return static_cast<std::uint32_t>(kElementBytes[type]); }
  std::uint32_t unit() const { return slice != 0 ? slice : element(); }
  // An interleaved tensor is W, H, ..., C/slice, N; a box of it is one slice deep.
  std::uint32_t count(unsigned d) const {
    if (slice != 0 && d == rank - 2) return 1;
    return d == 0 && slice == 0 ? box[0] : (box[d] + steps[d] - 1) / steps[d];
  }
  // A swizzled row of the box begins a span after the one before it.
  std::uint32_t row_gap() const {
    const std::uint32_t row = box[0] * element();
    return pattern->mode == CU_TENSOR_MAP_SWIZZLE_NONE || slice != 0 ? 0 : pattern->span - row;
  }
  std::uint32_t bytes() const {
    std::uint32_t all = unit();
    for (unsigned d = 0; d < rank; ++d) all *= count(d);
    return all;
  }
  bool fits() const {
    const std::uint32_t row = count(0) * unit();
    return bytes() / row * (row + row_gap()) <= kSharedBytes - 2048;
  }

  // Visits each element of the box, or slice: visit(shared address, offset in the tensor, or -1
  // outside). A store goes on to the end of the 16 bytes in which the tensor's row ends.
  template <typename Visit>
  void for_elements(Visit&& visit) const {
    std::uint32_t linear = shared;
    for (std::uint32_t e = 0; e < count(4); ++e) {
      for (std::uint32_t d = 0; d < count(3); ++d) {
        for (std::uint32_t c = 0; c < count(2); ++c) {
          for (std::uint32_t b = 0; b < count(1); ++b) {
            for (std::uint32_t a = 0; a < count(0); ++a) {
              const std::uint32_t index[] = {a, b, c, d, e};
              std::int64_t from = 0;
              bool inside = true;
              for (unsigned i = 0; i < rank; ++i) {
                const std::int64_t step = i == 0 && slice == 0 ? 1 : steps[i];
                const std::int64_t x = at[i] + index[i] * step;
                const std::int64_t last = stores && i == 0 ? x - x % (16 / unit()) : x;
                inside = inside && x >= 0 && last < static_cast<std::int64_t>(sizes[i]);
                from += x * static_cast<std::int64_t>(i == 0 ? unit() : strides[i - 1]);
              }
              visit(slice != 0 ? linear : place(*pattern, linear), inside ? from : -1);
              linear += unit();
            }
            linear += row_gap();
          }
        }
      }
    }
  }
};

Tensor draw(std::mt19937& random, unsigned rank, const Pattern& pattern, bool stores) {
  const auto below = [&](unsigned bound) { return static_cast<unsigned>(random() % bound); };
  Tensor tensor;
  tensor.type = static_cast<int>(below(10));
  tensor.rank = rank;
  tensor.stores = stores;
  tensor.pattern = &pattern;
  tensor.nan = tensor.type >= 6 && below(2) == 0;
  const unsigned unit = std::max(1u, 16 / tensor.element());
  tensor.box[0] = unit * (1 + below(std::min(pattern.span, 128u) / 16));
  tensor.sizes[0] = 1 + below(3 * tensor.box[0]);
  std::uint64_t stride = (tensor.sizes[0] * tensor.element() + 15) / 16 * 16 + 16 * below(2);
  tensor.offset = 16 * below(3);
  for (unsigned d = 1; d < rank; ++d) {
    tensor.sizes[d] = 1 + below(6);
    tensor.box[d] = 1 + below(rank > 3 ? 3 : 9);
    tensor.steps[d] = below(3) == 0 ? 1 + below(3) : 1;
    tensor.strides[d - 1] = stride;
    stride = stride * tensor.sizes[d] + 16 * below(2);
  }
  for (unsigned d = 0; d < rank; ++d) {
    const int low = stores ? 0 : -static_cast<int>(tensor.box[d]) - 1;
    tensor.at[d] =
        low +
        static_cast<int>(below(static_cast<unsigned>(static_cast<int>(tensor.sizes[d]) - low + 2)));
  }
  tensor.at[0] = tensor.at[0] / static_cast<int>(unit) * static_cast<int>(unit);
  tensor.shared = 128 * below(9);
  return tensor;
}

std::string kernel(unsigned rank, const char* copy) {
  std::string coordinates = "%r20";
  for (unsigned d = 1; d < rank; ++d) coordinates += fmt::format(", %r{}", 20 + d);
  // p0: the map; p1: coordinates, bytes, where in shared memory; p2: what shared memory holds, and
  // held.
  return module_of(
      fmt::format(R"(
    .shared .align 8 .b64 bar; .reg .b32 at, bars; ld.param.u64 %rd1, [p0]; ld.param.u64 %rd2, [p1]; ld.param.u64 %rd3, [p2];
    ld.global.u32 %r20, [%rd2]; ld.global.u32 %r21, [%rd2+4]; ld.global.u32 %r22, [%rd2+8]; ld.global.u32 %r23, [%rd2+12];
    ld.global.u32 %r24, [%rd2+16]; ld.global.u32 %r2, [%rd2+20]; ld.global.u32 %r3, [%rd2+24]; mov.u32 %r1, %tid.x;
    mov.u32 bars, bar; mov.u32 at, dynamic; mov.u32 %r4, {shared};
    setp.eq.u32 %p1, %r1, 0; @%p1 mbarrier.init.shared.b64 [bars], 1; @%p1 prefetch.tensormap [%rd1];
    shl.b32 %r6, %r1, 2;
    IN: cvt.u64.u32 %rd4, %r6; add.u64 %rd5, %rd3, %rd4; ld.global.u32 %r7, [%rd5]; add.u32 %r8, at, %r6;
    st.shared.u32 [%r8], %r7; add.u32 %r6, %r6, 1024; setp.lt.u32 %p2, %r6, %r4; @%p2 bra IN;
    fence.proxy.async; bar.sync 0; add.u32 %r9, at, %r3;
    {copy}
    bar.sync 0; shl.b32 %r6, %r1, 2;
    OUT: cvt.u64.u32 %rd4, %r6; add.u64 %rd5, %rd3, %rd4; add.u32 %r8, at, %r6; ld.shared.u32 %r7, [%r8];
    st.global.u32 [%rd5], %r7; add.u32 %r6, %r6, 1024; setp.lt.u32 %p2, %r6, %r4; @%p2 bra OUT;)",
                  fmt::arg("shared", kSharedBytes),
                  fmt::arg("copy", fmt::format(fmt::runtime(copy), fmt::arg("rank", rank),
                                               fmt::arg("at", "{" + coordinates + "}")))),
      ".extern .shared .align 1024 .b8 dynamic[];\n");
}

constexpr const char* kLoad = R"(@%p1 mbarrier.arrive.expect_tx.shared.b64 _, [bars], %r2;
    @%p1 cp.async.bulk.tensor.{rank}d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%r9], [%rd1, {at}], [bars];
    @%p1 cp.async.bulk.prefetch.tensor.{rank}d.L2.global.tile [%rd1, {at}];
    WAIT: mbarrier.try_wait.parity.shared.b64 %p3, [bars], 0; @!%p3 bra WAIT;)";
constexpr const char* kStore = R"(
    @%p1 cp.async.bulk.tensor.{rank}d.global.shared::cta.tile.bulk_group [%rd1, {at}], [%r9];
    cp.async.bulk.commit_group; cp.async.bulk.wait_group 0;)";
constexpr const char* kAdd = R"(
    @%p1 cp.reduce.async.bulk.tensor.{rank}d.global.shared::cta.add.tile.bulk_group [%rd1, {at}], [%r9];
    cp.async.bulk.commit_group; cp.async.bulk.wait_group.read 0;)";

struct Outcome {
  std::vector<std::uint8_t> tensor, shared;
};

// Hopper has the first four.
std::span<const Pattern> patterns() {
  int major = 0;
  REQUIRE(cuDeviceGetAttribute(&major, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, 0) ==
          CUDA_SUCCESS);
  return std::span(kPatterns).first(major < 10 ? 4 : std::size(kPatterns));
}

// A byte of an element that lies outside: zeros, or NaNs of 16 bits, as an H100 gave them.
std::uint8_t outside(const Tensor& tensor, std::uint32_t byte) {
  return static_cast<std::uint8_t>(!tensor.nan ? 0 : byte % 2 == 0 ? 0xF7 : 0x7F);
}

Outcome run(Machine& machine, const Tensor& tensor, const std::vector<std::uint8_t>& data,
            const std::vector<std::uint8_t>& shared) {
  const std::uint64_t base = machine.upload(data), held = machine.upload(shared);
  CUtensorMap map;
  REQUIRE(cuTensorMapEncodeTiled(&map, static_cast<CUtensorMapDataType>(tensor.type), tensor.rank,
                                 reinterpret_cast<void*>(base + tensor.offset), tensor.sizes,
                                 tensor.strides, tensor.box, tensor.steps,
                                 CUtensorMapInterleave{static_cast<int>(tensor.slice / 16)},
                                 tensor.pattern->mode, CU_TENSOR_MAP_L2_PROMOTION_L2_128B,
                                 tensor.nan ? CU_TENSOR_MAP_FLOAT_OOB_FILL_NAN_REQUEST_ZERO_FMA
                                            : CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) == CUDA_SUCCESS);
  std::vector<std::uint32_t> numbers(7);
  for (std::size_t d = 0; d < 5; ++d) numbers[d] = static_cast<std::uint32_t>(tensor.at[d]);
  numbers[5] = tensor.bytes();
  numbers[6] = tensor.shared;
  machine.launch({}, {256, 1, 1},
                 {machine.upload(std::vector<CUtensorMap>{map}), machine.upload(numbers), held},
                 kSharedBytes);
  return {machine.download<std::uint8_t>(base, data.size()),
          machine.download<std::uint8_t>(held, shared.size())};
}

std::vector<std::uint8_t> bytes(std::mt19937& random, std::size_t count) {
  std::vector<std::uint8_t> all(count);
  for (auto& byte : all) byte = static_cast<std::uint8_t>(random());
  return all;
}

std::string name(const Tensor& t) {
  std::string text = fmt::format("type {} rank {} swizzle {} shared {}", t.type, t.rank,
                                 static_cast<int>(t.pattern->mode), t.shared);
  for (unsigned d = 0; d < t.rank; ++d) {
    text += fmt::format(", {}: size {} box {} step {} at {}", d, t.sizes[d], t.box[d], t.steps[d],
                        t.at[d]);
  }
  return text;
}

constexpr int kDraws = 6;

}  // namespace

TEST_CASE("boxes of tensors are loaded element by element, whatever lies outside") {
  use_device();
  std::mt19937 random(1);
  for (unsigned rank = 1; rank <= 5; ++rank) {
    for (const Pattern& pattern : patterns()) {
      Machine machine(kernel(rank, kLoad));
      for (int i = 0; i < kDraws; ++i) {
        const Tensor tensor = draw(random, rank, pattern, false);
        if (!tensor.fits()) continue;
        const InOrder in_order(kOrders[static_cast<std::size_t>(i) % std::size(kOrders)]);
        const auto data = bytes(random, kTensorBytes), before = bytes(random, kSharedBytes);
        std::vector<std::uint8_t> expected = before;
        tensor.for_elements([&](std::uint32_t at, std::int64_t from) {
          for (std::uint32_t b = 0; b < tensor.unit(); ++b) {
            expected[at + b] = from >= 0
                                   ? data[tensor.offset + static_cast<std::uint64_t>(from) + b]
                                   : outside(tensor, b);
          }
        });
        const Outcome outcome = run(machine, tensor, data, before);
        CHECK_MESSAGE(outcome.shared == expected, name(tensor));
        CHECK(outcome.tensor == data);
      }
    }
  }
}

TEST_CASE("boxes are stored element by element, but for what lies outside") {
  use_device();
  std::mt19937 random(2);
  for (unsigned rank = 1; rank <= 5; ++rank) {
    for (const Pattern& pattern : patterns()) {
      Machine machine(kernel(rank, kStore));
      for (int i = 0; i < kDraws; ++i) {
        Tensor tensor = draw(random, rank, pattern, true);
        std::fill_n(tensor.steps, 5, 1u);
        if (!tensor.fits()) continue;
        const InOrder in_order(kOrders[static_cast<std::size_t>(i) % std::size(kOrders)]);
        const auto data = bytes(random, kTensorBytes), shared = bytes(random, kSharedBytes);
        std::vector<std::uint8_t> expected = data;
        tensor.for_elements([&](std::uint32_t at, std::int64_t to) {
          for (std::uint32_t b = 0; to >= 0 && b < tensor.element(); ++b) {
            expected[tensor.offset + static_cast<std::uint64_t>(to) + b] = shared[at + b];
          }
        });
        const Outcome outcome = run(machine, tensor, data, shared);
        CHECK_MESSAGE(outcome.tensor == expected, name(tensor));
        CHECK(outcome.shared == shared);
      }
    }
  }
}

TEST_CASE("boxes are added to a tensor, also when only their reading was waited for") {
  use_device();
  std::mt19937 random(3);
  for (unsigned rank = 1; rank <= 5; ++rank) {
    Machine machine(kernel(rank, kAdd));
    for (int i = 0; i < kDraws; ++i) {
      Tensor tensor = draw(random, rank, kPatterns[3], true);
      std::fill_n(tensor.steps, 5, 1u);
      tensor.box[0] = 4;
      tensor.type = CU_TENSOR_MAP_DATA_TYPE_UINT32;
      tensor.nan = false;
      tensor.at[0] = tensor.at[0] / 4 * 4;
      const InOrder in_order(kOrders[static_cast<std::size_t>(i) % std::size(kOrders)]);
      for (unsigned d = 1; d < rank; ++d)
        tensor.strides[d - 1] = (d == 1 ? 1024u : 6u) * (d == 1 ? 1 : tensor.strides[d - 2]);
      if (tensor.strides[3] * 6 > kTensorBytes) tensor.sizes[4] = 1, tensor.strides[3] = 16;
      const auto data = bytes(random, kTensorBytes), shared = bytes(random, kSharedBytes);
      std::vector<std::uint8_t> expected = data;
      tensor.for_elements([&](std::uint32_t at, std::int64_t to) {
        if (to < 0) return;
        std::uint32_t sum = 0, term = 0;
        std::uint8_t* element = &expected[tensor.offset + static_cast<std::uint64_t>(to)];
        std::memcpy(&sum, element, 4);
        std::memcpy(&term, &shared[at], 4);
        sum += term;
        std::memcpy(element, &sum, 4);
      });
      const Outcome outcome = run(machine, tensor, data, shared);
      CHECK_MESSAGE(outcome.tensor == expected, name(tensor));
    }
  }
}

TEST_CASE("boxes of interleaved tensors are one slice of channels deep") {
  use_device();
  std::mt19937 random(4);
  for (unsigned rank = 3; rank <= 5; ++rank) {
    for (const Pattern& pattern : patterns()) {
      Machine machine(kernel(rank, kLoad));
      for (int i = 0; i < kDraws; ++i) {
        Tensor tensor = draw(random, rank, pattern, false);
        tensor.slice = i % 2 == 0 ? 16 : 32;
        tensor.offset = tensor.offset / 32 * 32;
        tensor.steps[0] = 1 + static_cast<unsigned>(i) / 4;
        tensor.sizes[0] = 1 + random() % 20;
        tensor.at[0] = static_cast<int>(random() % 24) - 3;
        std::uint64_t stride = tensor.sizes[0] * tensor.slice;
        for (unsigned d = 1; d < rank; ++d) {
          tensor.strides[d - 1] = stride;
          stride *= tensor.sizes[d];
        }
        if (!tensor.fits() || stride > kTensorBytes / 2) continue;
        const auto data = bytes(random, kTensorBytes), before = bytes(random, kSharedBytes);
        std::vector<std::uint8_t> expected = before;
        tensor.for_elements([&](std::uint32_t at, std::int64_t from) {
          for (std::uint32_t b = 0; b < tensor.slice; ++b) {
            expected[place(pattern, at + b)] =
                from >= 0 ? data[tensor.offset + static_cast<std::uint64_t>(from) + b]
                          : outside(tensor, b);
          }
        });
        const Outcome outcome = run(machine, tensor, data, before);
        CHECK_MESSAGE(outcome.shared == expected, name(tensor));
      }
    }
  }
}

TEST_CASE("elements of tf32 are rounded to nearest even on their way into shared memory") {
  use_device();
  // As an H100 gave them, but for the last two, which are its rule.
  const std::pair<std::uint32_t, std::uint32_t> cases[] = {
      {0x00805001, 0x00806000}, {0x00804FFF, 0x00804000}, {0x00805000, 0x00804000},
      {0x00807000, 0x00808000}, {0x00005001, 0x00006000}, {0x00001000, 0x00000000},
      {0x7F7FFFFF, 0x7F800000}, {0x7F800000, 0x7F800000}, {0x7FFFF000, 0x7FFFE000},
      {0x7F805000, 0x7FFFE000}, {0xBF801000, 0xBF800000}, {0xBF803000, 0xBF804000}};
  for (const int type : {CU_TENSOR_MAP_DATA_TYPE_TFLOAT32, CU_TENSOR_MAP_DATA_TYPE_TFLOAT32_FTZ}) {
    Machine machine(kernel(1, kLoad));
    Tensor tensor;
    tensor.type = type;
    tensor.sizes[0] = tensor.box[0] = 12;
    std::vector<std::uint8_t> data(48), shared(kSharedBytes);
    for (std::size_t i = 0; i < 12; ++i) std::memcpy(&data[4 * i], &cases[i].first, 4);
    const Outcome outcome = run(machine, tensor, data, shared);
    for (std::size_t i = 0; i < 12; ++i) {
      std::uint32_t value = 0;
      std::memcpy(&value, &outcome.shared[4 * i], 4);
      CHECK(value == cases[i].second);
    }
  }
}

TEST_CASE("what is wrong with a tensor copy is said") {
  use_device();
  const auto ending = [](unsigned rank, const char* copy, Tensor tensor, std::size_t data_bytes,
                         bool garbage = false) -> std::string {
    Machine machine(kernel(rank, copy));
    std::vector<std::uint8_t> data(data_bytes), shared(kSharedBytes);
    try {
      if (garbage) {
        machine.launch({}, {256, 1, 1},
                       {machine.upload(std::vector<std::uint64_t>(16)),
                        machine.upload(std::vector<std::uint32_t>(7)), machine.upload(shared)},
                       kSharedBytes);
      } else {
        run(machine, tensor, data, shared);
      }
    } catch (const Fault& fault) {
      return fault.what();
    }
    return "";
  };
  const auto says = [](const std::string& message, const char* part) {
    CHECK_MESSAGE(message.find(part) != std::string::npos,
                  message << " lacks " << std::string(part));
  };
  Tensor tensor;
  tensor.type = CU_TENSOR_MAP_DATA_TYPE_UINT32;
  tensor.rank = 2;
  tensor.sizes[0] = 16, tensor.sizes[1] = 16, tensor.strides[0] = 64;
  tensor.box[0] = 16, tensor.box[1] = 16;
  CHECK(ending(2, kLoad, tensor, 1024).empty());
  says(ending(2, kLoad, tensor, 1000), "the box of the tensor is 1024 bytes at 0x");
  says(ending(3, kLoad, tensor, 1024), "has 2 dimensions");
  says(ending(2, kLoad, tensor, 1024, true), "no tensor map at 0x");
  Tensor moved = tensor;
  moved.shared = 64;
  says(ending(2, kLoad, moved, 1024), "not a multiple of 128");
  moved = tensor;
  moved.at[0] = 3;
  says(ending(2, kLoad, moved, 1024), "the box begins 12 bytes into the innermost dimension");
  moved = tensor;
  moved.at[1] = -1;
  says(ending(2, kStore, moved, 1024), "coordinate -1 of a store");
  moved = tensor;
  moved.type = CU_TENSOR_MAP_DATA_TYPE_UINT16;
  says(ending(2, kAdd, moved, 1024), "no such reduction");
}
