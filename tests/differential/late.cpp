// From sm_90 on decode's blocks take their places before the work before has ended, and look at
// lengths and pages as they are then. Nothing may depend on that: neither the output nor whether an
// address is read that nobody owns. On the emulator one grid follows the other, so that this says
// most on a GPU.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "runtime/attention.hpp"
#include "support.hpp"
#include "tools/probe.hpp"

using namespace octavo;
using namespace octavo::test;

namespace {

constexpr int kPageSize = 64, kPages = 24, kStride = 11, kHeadDim = 64, kKvHeads = 2, kHeads = 8;
const std::vector<int> kLengths = {700, 90, 333};

// Lets the next grid begin, and some time later writes what that needs.
const char* const kLate = R"(
extern "C" __global__ void late(unsigned* to, const unsigned* from, unsigned words,
                                unsigned nanoseconds) {
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
  unsigned long long begin, now;
  asm volatile("mov.u64 %0, %globaltimer;" : "=l"(begin));
  do asm volatile("mov.u64 %0, %globaltimer;" : "=l"(now)); while (now - begin < nanoseconds);
  for (unsigned i = threadIdx.x; i < words; i += blockDim.x) to[i] = from[i];
}
)";

template <class T>
Buffer upload(const std::vector<T>& values) {
  Buffer buffer(device(), values.size() * sizeof(T));
  buffer.upload(values.data(), buffer.bytes());
  return buffer;
}

// token_start, kv_length and the page table, one after the other.
std::vector<unsigned> lengths_and_pages() {
  std::vector<unsigned> words = {0, 1, 2, 3};
  words.insert(words.end(), kLengths.begin(), kLengths.end());
  for (unsigned i = 0; i < kLengths.size() * kStride; ++i) words.push_back(i * 7 % kPages);
  return words;
}

class LateCase {
 public:
  LateCase()
      : spec_(spec_of(fmt::format("attention: {{query_heads: {}, kv_heads: {}, head_dim: {}}}\n"
                                  "kv_cache: {{page_size: {}}}\n"
                                  "kernels: [decode]\n",
                                  kHeads, kKvHeads, kHeadDim, kPageSize))),
        attention_(spec_, device()),
        stream_(device()),
        late_(device(), kLate, "late"),
        right_(upload(lengths_and_pages())) {
    std::mt19937 random(1);
    const std::size_t rows = kPages * kKvHeads * kPageSize;
    std::vector<unsigned char> values(rows * kHeadDim);  // e4m3, no NaN
    for (unsigned char& value : values) value = static_cast<unsigned char>(random() & 0xBF);
    k_ = upload(values), v_ = upload(values);
    scale_ = upload(std::vector<float>(rows, 0.5f));
    std::vector<unsigned short> queries(kLengths.size() * kHeads * kHeadDim);  // bf16
    for (unsigned short& query : queries) {
      query = static_cast<unsigned short>((random() & 0x83FF) | 0x3C00);
    }
    q_ = upload(queries);
    output_ = Buffer(device(), q_.bytes());
    workspace_ = Buffer(device(), attention_.workspace_bytes(arguments(right_).batch, size()));
    workspace_.fill(0);
  }

  std::vector<std::byte> decode() { return decode(right_); }

  // The same where its lengths and pages are `words` until the work before ends.
  std::vector<std::byte> decode_late(const std::vector<unsigned>& words) {
    const Buffer memory = upload(words);
    const auto count = static_cast<unsigned>(words.size());
    late_.launch(1, 32, stream_.handle(), memory.address(), right_.address(), count,
                 device().emulated() ? 0u : 50'000u);
    return decode(memory);
  }

 private:
  static Attention::DecodeSize size() { return {.max_kv_length = kLengths[0], .splits = 3}; }

  std::vector<std::byte> decode(const Buffer& lengths) {
    attention_.decode(arguments(lengths), size(), workspace_.address(), stream_.handle());
    stream_.synchronize();
    std::vector<std::byte> output(output_.bytes());
    output_.download(output.data(), output.size());
    output_.fill(0xFF);
    return output;
  }

  DecodeArguments arguments(const Buffer& lengths) const {
    constexpr int kSequences = 3;
    DecodeArguments arguments{};
    arguments.batch = {.token_start = lengths.address(),
                       .kv_length = lengths.address() + 4 * (kSequences + 1),
                       .sequences = kSequences,
                       .tokens = kSequences};
    arguments.cache = {.k = k_.address(),
                       .v = v_.address(),
                       .k_scale = scale_.address(),
                       .v_scale = scale_.address(),
                       .page_table = arguments.batch.kv_length + 4 * kSequences,
                       .page_table_stride = kStride,
                       .capacity = 0};
    arguments.q = q_.address();
    arguments.output = output_.address();
    arguments.q_stride = kHeads * kHeadDim;
    arguments.output_scale = 1;
    return arguments;
  }

  Spec spec_;
  Attention attention_;
  Stream stream_;
  Probe late_;
  Buffer right_, k_, v_, scale_, q_, output_, workspace_;
};

}  // namespace

TEST_CASE("decode takes lengths and pages as the work before leaves them") {
  if (!device().architecture().dependent_launch) {
    MESSAGE("skipped: " << device().name() << " begins no grid before the one before has ended");
    return;
  }
  LateCase late;
  const std::vector<std::byte> expected = late.decode();
  CHECK(std::ranges::count(expected, std::byte{0xFF}) < std::ssize(expected) / 2);
  const std::vector<unsigned> right = lengths_and_pages();
  std::mt19937 random(2);
  for (const unsigned garbage : {0u, ~0u, 0x7FFFFFFFu, 0x80000000u, 0x55555556u, 0xAAAAAAABu}) {
    CAPTURE(garbage);
    CHECK(late.decode_late(std::vector<unsigned>(right.size(), garbage)) == expected);
    std::vector<unsigned> pages_late = right, lengths_late = right;
    const auto pages = static_cast<std::ptrdiff_t>(2 * kLengths.size() + 1);
    std::fill(pages_late.begin() + pages, pages_late.end(), garbage);
    CHECK(late.decode_late(pages_late) == expected);
    std::fill(lengths_late.begin(), lengths_late.begin() + pages, garbage);
    CHECK(late.decode_late(lengths_late) == expected);
    std::vector<unsigned> any(right.size());
    for (unsigned& word : any) word = static_cast<unsigned>(random());
    CHECK(late.decode_late(any) == expected);
  }
}
