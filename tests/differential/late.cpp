// From sm_90 on decode's blocks take their places before the work before has ended, and look at
// lengths and pages as they are then. Nothing may depend on that: neither the output nor whether an
// address is read that nobody owns. With history_ready they read the cache, too, but for what the
// work before may write: the batch's own tokens, and its queries. On the emulator a grid that may
// begin early does, before the one before writes anything.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "runtime/attention.hpp"
#include "support.hpp"
#include "tools/probe.hpp"

using namespace octavo;
using namespace octavo::test;

namespace {

constexpr int kHeadDim = 64, kKvHeads = 2, kHeads = 8;
constexpr int kLongest = 1100;  // it has warps whose first tiles are all history, and more
const std::vector<int> kLengths = {kLongest, 90, 333};

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

// Entries of a sequence in the page table, and pages.
template <int kPageSize>
constexpr int kStride = kLongest / kPageSize + 1;
template <int kPageSize>
constexpr int kPages = 3 * kStride<kPageSize> + 1;

// token_start, kv_length and the page table, one after the other; no page is of two sequences.
template <int kPageSize>
std::vector<unsigned> lengths_and_pages() {
  static_assert(kPages<kPageSize> % 7 != 0, "pages come in steps of 7");
  std::vector<unsigned> words = {0, 1, 2, 3};
  words.insert(words.end(), kLengths.begin(), kLengths.end());
  for (unsigned i = 0; i < kLengths.size() * kStride<kPageSize>; ++i) {
    words.push_back(i * 7 % kPages<kPageSize>);
  }
  return words;
}

template <int kPageSize>
class LateCase {
 public:
  explicit LateCase(bool history_ready, const char* mask = "causal")
      : spec_(spec_of(fmt::format("attention: {{query_heads: {}, kv_heads: {}, head_dim: {},\n"
                                  "            mask: {}}}\n"
                                  "kv_cache: {{page_size: {}, history_ready: {}}}\n"
                                  "kernels: [append, decode]\n",
                                  kHeads, kKvHeads, kHeadDim, mask, kPageSize, history_ready))),
        attention_(spec_, device()),
        stream_(device()),
        late_(device(), kLate, "late"),
        right_(upload(lengths_and_pages<kPageSize>())) {
    std::mt19937 random(1);
    for (unsigned& word : tokens_) word = random() & 0xBFBFBFBF;  // e4m3, no NaN
    for (std::size_t i = kScale; i < kQuery; ++i) tokens_[i] = 0x3F000000;
    for (std::size_t i = kQuery; i < kEnd; ++i) tokens_[i] = (random() & 0x83FF83FF) | 0x3C003C00;
    right_tokens_ = upload(tokens_);
    memory_ = upload(tokens_);
    output_ = Buffer(device(), 4 * (kEnd - kQuery));
    workspace_ = Buffer(device(), attention_.workspace_bytes(arguments(right_).batch, size()));
    workspace_.fill(0);
  }

  std::vector<std::byte> decode() { return decode(right_); }

  // The same where its lengths and pages are `words` until the work before ends.
  std::vector<std::byte> decode_late(const std::vector<unsigned>& words) {
    const Buffer memory = upload(words);
    write_late(memory, right_, 32);
    return decode(memory);
  }

  // The same behind an append of the batch's tokens: the work before that is what ends late.
  std::vector<std::byte> append_and_decode() { return append_and_decode(right_); }
  std::vector<std::byte> append_and_decode_late(const std::vector<unsigned>& words) {
    const Buffer memory = upload(words);
    write_late(memory, right_, 32);
    return append_and_decode(memory);
  }

  // The same where the queries, and K, V and scales of the batch's own tokens, are `garbage` until
  // the work before ends.
  std::vector<std::byte> decode_late_tokens(unsigned garbage) {
    write_tokens_late(garbage);
    return decode(right_);
  }
  std::vector<std::byte> append_and_decode_late_tokens(unsigned garbage) {
    write_tokens_late(garbage);
    return append_and_decode(right_);
  }

 private:
  // Words of the memory that has K, V, the scales of each, and the queries in bf16.
  static constexpr std::size_t kRows = kPages<kPageSize> * kKvHeads * kPageSize,
                               kRowWords = kHeadDim / 4, kValues = kRows * kRowWords,
                               kScale = 2 * kValues, kValueScale = kScale + kRows,
                               kQuery = kValueScale + kRows,
                               kEnd = kQuery + 3 * kHeads * kHeadDim / 2;

  static Attention::DecodeSize size() { return {.max_kv_length = kLongest, .splits = 2}; }

  void write_late(const Buffer& to, const Buffer& from, unsigned threads) {
    late_.launch(1, threads, stream_.handle(), to.address(), from.address(),
                 static_cast<unsigned>(to.bytes() / 4), device().emulated() ? 0u : 50'000u);
  }

  void write_tokens_late(unsigned garbage) {
    std::vector<unsigned> early = tokens_;
    const std::vector<unsigned> words = lengths_and_pages<kPageSize>();
    for (std::size_t sequence = 0; sequence < kLengths.size(); ++sequence) {
      const int token = kLengths[sequence] - 1;
      const unsigned page =
          words[7 + sequence * kStride<kPageSize> + static_cast<unsigned>(token) / kPageSize];
      for (unsigned head = 0; head < kKvHeads; ++head) {
        const unsigned row = (page * kKvHeads + head) * kPageSize + token % kPageSize;
        std::fill_n(early.begin() + row * kRowWords, kRowWords, garbage);
        std::fill_n(early.begin() + kValues + row * kRowWords, kRowWords, garbage);
        early[kScale + row] = early[kValueScale + row] = garbage;
      }
    }
    std::fill(early.begin() + kQuery, early.end(), garbage);
    memory_.upload(early.data(), memory_.bytes());
    write_late(memory_, right_tokens_, 1024);
  }

  // Heads of the queries serve as the new tokens' K and V.
  std::vector<std::byte> append_and_decode(const Buffer& lengths) {
    const DecodeArguments of_decode = arguments(lengths);
    AppendArguments append{};
    append.cache = of_decode.cache;
    append.batch = of_decode.batch;
    append.k = of_decode.q;
    append.v = of_decode.q + 2 * kKvHeads * kHeadDim;
    append.k_stride = append.v_stride = of_decode.q_stride;
    attention_.append(append, stream_.handle());
    return decode(lengths);
  }

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
    arguments.cache = {.k = memory_.address(),
                       .v = memory_.address() + 4 * kValues,
                       .k_scale = memory_.address() + 4 * kScale,
                       .v_scale = memory_.address() + 4 * kValueScale,
                       .page_table = arguments.batch.kv_length + 4 * kSequences,
                       .page_table_stride = kStride<kPageSize>,
                       .capacity = 0};
    arguments.q = memory_.address() + 4 * kQuery;
    arguments.output = output_.address();
    arguments.q_stride = kHeads * kHeadDim;
    arguments.output_scale = 1;
    return arguments;
  }

  Spec spec_;
  Attention attention_;
  Stream stream_;
  Probe late_;
  std::vector<unsigned> tokens_ = std::vector<unsigned>(kEnd);
  Buffer right_, right_tokens_, memory_, output_, workspace_;
};

// A grid that may begin early does, and what is asynchronous completes in this order.
class EarlyDependents {
 public:
  explicit EarlyDependents(const char* order) {
    setenv("OCTAVO_DEPENDENTS", "early", 1);
    setenv("OCTAVO_ASYNC", order, 1);
  }
  ~EarlyDependents() {
    unsetenv("OCTAVO_DEPENDENTS");
    unsetenv("OCTAVO_ASYNC");
  }
  EarlyDependents(const EarlyDependents&) = delete;
  EarlyDependents& operator=(const EarlyDependents&) = delete;
};

// Runs the test where grids overlap.
template <class Test>
void where_grids_overlap(const Test& test) {
  if (!device().architecture().dependent_launch) {
    MESSAGE("skipped: " << device().name() << " begins no grid before the one before has ended");
    return;
  }
  if (!device().emulated()) return test();
  for (const char* order : {"latest", "eager", "random:1"}) {
    CAPTURE(std::string(order));
    const EarlyDependents environment(order);
    test();
  }
}

template <int kPageSize>
void takes_late_lengths_and_pages(const char* mask) {
  LateCase<kPageSize> late(false, mask);
  const std::vector<std::byte> expected = late.decode();
  CHECK(std::ranges::count(expected, std::byte{0xFF}) < std::ssize(expected) / 2);
  const std::vector<unsigned> right = lengths_and_pages<kPageSize>();
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
    // Lengths alone: where a window begins follows from them.
    std::vector<unsigned> kv_lengths_late = right;
    std::fill_n(kv_lengths_late.begin() + 4, kLengths.size(), garbage);
    CHECK(late.decode_late(kv_lengths_late) == expected);
    std::vector<unsigned> any(right.size());
    for (unsigned& word : any) word = static_cast<unsigned>(random());
    CHECK(late.decode_late(any) == expected);
  }
}

}  // namespace

TEST_CASE("decode takes lengths and pages as the work before leaves them") {
  where_grids_overlap([] {
    takes_late_lengths_and_pages<64>("causal");
    // Pages in which tiles do not lie, and a window that is wider than any sequence.
    takes_late_lengths_and_pages<24>("{sliding_window: 2000}");
  });
}

TEST_CASE("decode takes queries and the batch's own tokens as the work before leaves them") {
  where_grids_overlap([] {
    for (const bool history_ready : {false, true}) {
      CAPTURE(history_ready);
      LateCase<64> late(history_ready);
      const std::vector<std::byte> expected = late.decode();
      CHECK(std::ranges::count(expected, std::byte{0xFF}) < std::ssize(expected) / 2);
      for (const unsigned garbage : {0u, ~0u, 0x3F3F3F3Fu}) {
        CAPTURE(garbage);
        CHECK(late.decode_late_tokens(garbage) == expected);
      }
    }
  });
}

TEST_CASE("behind append decode takes what append, and the work before that, leave") {
  where_grids_overlap([] {
    for (const bool history_ready : {false, true}) {
      CAPTURE(history_ready);
      LateCase<64> late(history_ready);
      const std::vector<std::byte> expected = late.append_and_decode();
      CHECK(std::ranges::count(expected, std::byte{0xFF}) < std::ssize(expected) / 2);
      for (const unsigned garbage : {0u, ~0u, 0x3F3F3F3Fu}) {
        CAPTURE(garbage);
        CHECK(late.append_and_decode_late_tokens(garbage) == expected);
      }
    }
  });
}

TEST_CASE("behind append decode takes lengths and pages as the work before append leaves them") {
  where_grids_overlap([] {
    LateCase<64> late(false);
    const std::vector<std::byte> expected = late.append_and_decode();
    CHECK(std::ranges::count(expected, std::byte{0xFF}) < std::ssize(expected) / 2);
    const std::vector<unsigned> right = lengths_and_pages<64>();
    for (const unsigned garbage : {0u, ~0u}) {
      CAPTURE(garbage);
      CHECK(late.append_and_decode_late(std::vector<unsigned>(right.size(), garbage)) == expected);
    }
  });
}
