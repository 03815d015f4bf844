// The host API on a GPU that runs nothing: what is loaded, launched, and refused. The kernels are
// real and really compiled.
#include "runtime/attention.hpp"

#include <doctest/doctest.h>

#include <cstring>
#include <thread>

#include "fakes.hpp"
#include "generator/plan.hpp"
#include "support.hpp"

using namespace octavo;
using namespace octavo::test;

namespace {

constexpr std::string_view kLlama = R"(
octavo: 1
name: llama
attention: {query_heads: 32, kv_heads: 8, head_dim: 128}
)";

Spec spec_of(std::string_view more = "") {
  return parse_specs(std::string(kLlama) + std::string(more), "test").front();
}

// Nothing reads these: the fake runs no kernel.
constexpr DeviceAddress kSomewhere = 0x10000;

KvCache some_cache() {
  return {.k = kSomewhere,
          .v = kSomewhere,
          .k_scale = kSomewhere,
          .v_scale = kSomewhere,
          .page_table = kSomewhere,
          .page_table_stride = 64,
          .capacity = 0};
}

Batch some_batch(int sequences = 2, int tokens = 2) {
  return {
      .token_start = kSomewhere, .kv_length = kSomewhere, .sequences = sequences, .tokens = tokens};
}

AppendArguments some_append() {
  AppendArguments arguments = {};
  arguments.cache = some_cache();
  arguments.batch = some_batch();
  arguments.k = arguments.v = kSomewhere;
  arguments.k_stride = arguments.v_stride = 8 * 128;
  return arguments;
}

DecodeArguments some_decode() {
  DecodeArguments arguments = {};
  arguments.cache = some_cache();
  arguments.batch = some_batch();
  arguments.q = arguments.output = kSomewhere;
  arguments.q_stride = 32 * 128;
  return arguments;
}

template <typename Arguments>
Arguments arguments_of(const FakeLaunch& launch) {
  Arguments arguments;
  REQUIRE(launch.arguments.size() == sizeof arguments);
  std::memcpy(&arguments, launch.arguments.data(), sizeof arguments);
  return arguments;
}

struct Fixture {
  Fakes fakes;
  static const TemporaryFolder& folder() {
    static const TemporaryFolder shared;
    return shared;
  }
  Environment directory{"OCTAVO_CACHE_DIR", (folder().path() / "cache").string()};
  Device device = Device::open("cuda");
};

const CUstream kStream = reinterpret_cast<CUstream>(0x77);

}  // namespace

TEST_CASE_FIXTURE(Fixture, "an attention object has the spec's kernels, compiled once") {
  const TemporaryCache own;
  for (const bool hit : {false, true}) {
    const Attention attention(spec_of(), device);
    const std::vector<KernelReport> report = attention.report();
    REQUIRE(report.size() >= 2);
    CHECK(report[0].kernel == KernelKind::append);
    CHECK(report[1].kernel == KernelKind::decode);
    for (const KernelReport& kernel : report) {
      CHECK(kernel.arch == "sm_90a");
      CHECK(kernel.cache_hit == hit);
      CHECK(kernel.compile_ms > 0);
      CHECK(kernel.resources.registers > 0);
      CHECK(kernel.resources.spill_bytes == 0);
    }
    CHECK(attention.spec() == spec_of());
  }
}

TEST_CASE_FIXTURE(Fixture, "a cubin is loaded, or the PTX where the device takes no such cubin") {
  for (const CUresult refusal :
       {CUDA_SUCCESS, CUDA_ERROR_NO_BINARY_FOR_GPU, CUDA_ERROR_INVALID_IMAGE}) {
    fakes.gpu->images.clear();
    fakes.gpu->cubin_result = refusal;
    const Attention attention(spec_of("kernels: [append]"), device);
    CHECK(fakes.gpu->images == (refusal == CUDA_SUCCESS
                                    ? std::vector<std::string>{"cubin"}
                                    : std::vector<std::string>{"cubin", "ptx"}));
  }
  fakes.gpu->cubin_result = CUDA_ERROR_OUT_OF_MEMORY;
  const std::string message =
      message_of<EnvironmentError>([&] { Attention(spec_of("kernels: [append]"), device); });
  CHECK_MESSAGE(contains(message, "out of memory"), message);
}

TEST_CASE_FIXTURE(Fixture, "modules are unloaded once, also when a kernel is not in its module") {
  {
    const Attention attention(spec_of("kernels: [append]"), device);
  }
  CHECK(fakes.gpu->calls["cuModuleUnload"] == 1);
  fakes.gpu->results["cuModuleGetFunction"] = CUDA_ERROR_NOT_FOUND;
  CHECK_THROWS_AS(Attention(spec_of("kernels: [append]"), device), EnvironmentError);
  CHECK(fakes.gpu->calls["cuModuleUnload"] == 2);
}

TEST_CASE_FIXTURE(Fixture, "shared memory beyond 48 KB is asked for") {
  const Attention attention(spec_of("kernels: [decode]"), device);
  const Plan decode = plan(spec_of(), KernelKind::decode, device.architecture());
  REQUIRE(decode.shared_bytes > 48 * 1024);
  CHECK(fakes.gpu->max_dynamic_shared == decode.shared_bytes);
}

TEST_CASE_FIXTURE(Fixture, "prefill is one launch of the plan's geometry, and takes any tokens") {
  fakes.gpu->argument_bytes = sizeof(PrefillKernelArguments);
  const Spec spec = spec_of("compute: {matmul: fp8}\nkernels: [prefill]");
  const Attention attention(spec, device);
  PrefillArguments arguments = some_decode();
  arguments.batch = some_batch(2, 3000);
  const Attention::PrefillSize size{.max_query_tokens = 2000, .max_kv_length = 4096};
  attention.prefill(arguments, size, kStream);
  REQUIRE(fakes.gpu->launches.size() == 1);
  const FakeLaunch& launch = fakes.gpu->launches[0];
  CHECK(launch.grid_x == 2000 * 4 / 128 * 8 + 8);  // 62.5 blocks of rows
  CHECK(launch.grid_z == 2);
  CHECK(launch.block_x == 384);
  CHECK(arguments_of<PrefillKernelArguments>(launch).q == kSomewhere);

  arguments.batch = some_batch(2, 0);
  attention.prefill(arguments, size, kStream);
  CHECK(fakes.gpu->launches.size() == 1);  // nothing to do

  arguments.batch = some_batch(2, 3000);
  attention.prefill(
      arguments,
      {.max_query_tokens = 2000, .max_kv_length = 4096, .short_blocks = 3, .short_rows = 64},
      kStream);
  CHECK(fakes.gpu->launches[1].grid_x == (3 + 61) * 8);
  CHECK(arguments_of<PrefillKernelArguments>(fakes.gpu->launches[1]).short_blocks == 3);
  CHECK(arguments_of<PrefillKernelArguments>(fakes.gpu->launches[1]).short_rows == 64);

  const auto refused = [&](Attention::PrefillSize of, std::string_view says) {
    arguments.batch = some_batch(2, 3000);
    const std::string message =
        message_of<UsageError>([&] { attention.prefill(arguments, of, kStream); });
    CHECK_MESSAGE(contains(message, says), message);
  };
  refused({.max_query_tokens = 0, .max_kv_length = 4096}, "max_query_tokens is 0");
  refused({.max_query_tokens = 1499, .max_kv_length = 4096}, "batch.tokens is 3000");
  refused({.max_query_tokens = 2000, .max_kv_length = 4097}, "max_kv_length is 4097");
  refused({.max_query_tokens = 2000, .max_kv_length = -1}, "max_kv_length is -1");
  refused({.max_query_tokens = 2000, .max_kv_length = 4096, .short_blocks = 1, .short_rows = 128},
          "short_rows is 128; expected a multiple of 64 below 128");
  refused({.max_query_tokens = 2000, .max_kv_length = 4096, .short_blocks = 1, .short_rows = 40},
          "short_rows is 40");
  refused({.max_query_tokens = 2000, .max_kv_length = 4096, .short_blocks = 126, .short_rows = 64},
          "short_blocks is 126; expected up to 125");
  CHECK_THROWS_AS(Attention(spec_of("kernels: [append]"), device).prefill(arguments, size, kStream),
                  UsageError);
}

TEST_CASE_FIXTURE(Fixture,
                  "prefill's kernel is given maps of the cache's rows, if it copies by them") {
  fakes.gpu->argument_bytes = sizeof(PrefillKernelArguments);
  const auto prefill = [&](std::string_view more) {
    fakes.gpu->launches.clear();
    fakes.gpu->tensor_maps.clear();
    const Spec spec = parse_specs(
                          "octavo: 1\nkernels: [prefill]\nattention: {query_heads: 8, "
                          "kv_heads: 2, head_dim: {qk: 192, v: 160}}\n" +
                              std::string(more),
                          "test")
                          .front();
    PrefillArguments arguments = some_decode();
    arguments.q_stride = 8 * 192;
    arguments.cache.v = 2 * kSomewhere;
    arguments.cache.capacity = 500;
    Attention(spec, device)
        .prefill(arguments, {.max_query_tokens = 1, .max_kv_length = 100}, kStream);
    REQUIRE(fakes.gpu->launches.size() == 1);
    return arguments_of<PrefillKernelArguments>(fakes.gpu->launches[0]);
  };
  const auto check_map = [&](std::size_t i, CUdeviceptr address, std::uint64_t row_bytes,
                             std::uint64_t rows, unsigned box_bytes, CUtensorMapSwizzle swizzle) {
    const FakeTensorMap& map = fakes.gpu->tensor_maps.at(i);
    CHECK(map.address == address);
    CHECK(map.sizes[0] == row_bytes);
    CHECK(map.sizes[1] == rows);
    CHECK(map.stride == row_bytes);
    CHECK(map.box[0] == box_bytes);
    CHECK(map.box[1] == 32);
    CHECK(map.swizzle == swizzle);
  };
  const PrefillKernelArguments paged = prefill("compute: {matmul: fp8}");
  CHECK(paged.k_map.words[0] == 1);
  CHECK(paged.v_map.words[0] == 2);
  check_map(0, kSomewhere, 192, std::uint64_t{1} << 31, 64, CU_TENSOR_MAP_SWIZZLE_64B);
  check_map(1, 2 * kSomewhere, 160, std::uint64_t{1} << 31, 32, CU_TENSOR_MAP_SWIZZLE_32B);

  prefill("kv_cache: {layout: contiguous, format: bf16}");
  check_map(0, kSomewhere, 384, 2 * 2 * 500, 128, CU_TENSOR_MAP_SWIZZLE_128B);
  check_map(1, 2 * kSomewhere, 320, 2 * 2 * 500, 64, CU_TENSOR_MAP_SWIZZLE_64B);

  CHECK(prefill("kv_cache: {page_size: 24}\ncompute: {matmul: fp8}").k_map.words[0] == 0);
  CHECK(fakes.gpu->tensor_maps.empty());

  fakes.gpu->results["cuTensorMapEncodeTiled"] = CUDA_ERROR_OUT_OF_MEMORY;
  CHECK_THROWS_AS(prefill("compute: {matmul: fp8}"), EnvironmentError);
}

TEST_CASE_FIXTURE(Fixture, "append is one launch of the plan's geometry, on the stream given") {
  fakes.gpu->argument_bytes = sizeof(AppendArguments);
  const Attention attention(spec_of("kernels: [append]"), device);
  attention.append(some_append(), kStream);
  REQUIRE(fakes.gpu->launches.size() == 1);
  const FakeLaunch& launch = fakes.gpu->launches[0];
  const Plan append = plan(spec_of(), KernelKind::append, device.architecture());
  const Grid blocks = grid(append, {.sequences = 2, .tokens = 2});
  CHECK(launch.grid_x == blocks.x);
  CHECK(launch.grid_y == blocks.y);
  CHECK(launch.grid_z == blocks.z);
  CHECK(launch.block_x == append.threads);
  CHECK(launch.shared_bytes == append.shared_bytes);
  CHECK(launch.stream == kStream);
  CHECK(arguments_of<AppendArguments>(launch).k_stride == 8 * 128);
}

TEST_CASE_FIXTURE(Fixture, "an empty batch launches nothing and needs no memory") {
  const Attention attention(spec_of(), device);
  attention.append({}, kStream);
  attention.decode({}, {}, 0, kStream);
  CHECK(attention.workspace_bytes({}, {}) == 0);
  CHECK(fakes.gpu->launches.empty());
}

TEST_CASE_FIXTURE(Fixture, "splits are chosen to fill the device, unless given") {
  fakes.gpu->argument_bytes = sizeof(DecodeArguments);
  const Attention attention(spec_of(), device);
  const Attention::DecodeSize large{.max_query_tokens = 1, .max_kv_length = 4096, .splits = 0};
  attention.decode(some_decode(), large, kSomewhere, kStream);
  const int chosen = arguments_of<DecodeArguments>(fakes.gpu->launches.at(0)).splits;
  CHECK(chosen > 1);
  fakes.gpu->launches.clear();
  attention.decode(some_decode(), {1, 4096, 3}, kSomewhere, kStream);
  CHECK(arguments_of<DecodeArguments>(fakes.gpu->launches.at(0)).splits == 3);
  fakes.gpu->launches.clear();
  attention.decode(some_decode(), {1, 4096, 1}, 0, kStream);
  CHECK(arguments_of<DecodeArguments>(fakes.gpu->launches.at(0)).splits == 1);
  CHECK(attention.workspace_bytes(some_batch(), {1, 4096, 1}) == 0);
}

TEST_CASE_FIXTURE(Fixture, "the workspace holds every part, aligned and apart") {
  fakes.gpu->argument_bytes = sizeof(DecodeArguments);
  const Attention attention(spec_of(), device);
  for (const int tokens : {1, 7, 2000}) {
    CAPTURE(tokens);
    const Attention::DecodeSize size{.max_query_tokens = 1, .max_kv_length = 4096, .splits = 5};
    DecodeArguments arguments = some_decode();
    arguments.batch = some_batch(tokens, tokens);
    const std::size_t bytes = attention.workspace_bytes(arguments.batch, size);
    fakes.gpu->launches.clear();
    attention.decode(arguments, size, kSomewhere, kStream);
    const auto given = arguments_of<DecodeArguments>(fakes.gpu->launches.at(0));
    const std::size_t rows = 5ull * static_cast<std::size_t>(tokens) * 32;
    // Always at the same place and never anything else's, so that what was zero stays zero.
    CHECK(given.arrivals == kSomewhere);
    CHECK(given.partial_output == kSomewhere + 65536);
    CHECK(given.partial_sums >= given.partial_output + rows * 128 * 4);
    CHECK(kSomewhere + bytes >= given.partial_sums + rows * 4 * 4);
    CHECK(bytes < 65536 + rows * 132 * 4 + 512);
    CHECK(given.partial_sums % 256 == 0);
    CHECK(given.partial_output % 256 == 0);
  }
  CHECK_THROWS_AS(attention.decode(some_decode(), {1, 4096, 5}, 0, kStream), UsageError);
  CHECK_THROWS_AS(attention.decode(some_decode(), {1, 4096, 5}, kSomewhere + 16, kStream),
                  UsageError);
}

TEST_CASE_FIXTURE(Fixture, "a batch with more blocks than counters is not split") {
  fakes.gpu->argument_bytes = sizeof(DecodeArguments);
  const Attention attention(spec_of(), device);
  DecodeArguments arguments = some_decode();
  arguments.batch = some_batch(3000, 3000);  // 24000 groups
  attention.decode(arguments, {1, 4096, 0}, 0, kStream);
  CHECK(arguments_of<DecodeArguments>(fakes.gpu->launches.at(0)).splits == 1);
  const std::string message = message_of<UsageError>(
      [&] { attention.decode(arguments, {1, 4096, 2}, kSomewhere, kStream); });
  CHECK_MESSAGE(contains(message, "2 splits"), message);
}

TEST_CASE_FIXTURE(Fixture, "a kernel that the spec does not list is a usage error that names it") {
  const Attention append(spec_of("kernels: [append]"), device);
  CHECK(contains(message_of<UsageError>([&] { append.decode(some_decode(), {}, 0, kStream); }),
                 "decode"));
  const Attention decode(spec_of("kernels: [decode]"), device);
  CHECK(contains(message_of<UsageError>([&] { decode.append(some_append(), kStream); }), "append"));
}

TEST_CASE_FIXTURE(Fixture, "what a kernel cannot take is refused by the field's name, unlaunched") {
  const Attention attention(spec_of(), device);
  const auto append = [&](auto change) {
    AppendArguments arguments = some_append();
    change(arguments);
    return message_of<UsageError>([&] { attention.append(arguments, kStream); });
  };
  const auto decode = [&](auto change) {
    DecodeArguments arguments = some_decode();
    Attention::DecodeSize size{.max_query_tokens = 1, .max_kv_length = 4096, .splits = 2};
    change(arguments, size);
    return message_of<UsageError>([&] { attention.decode(arguments, size, kSomewhere, kStream); });
  };
  using A = AppendArguments;
  CHECK(append([](A& a) { a.batch.tokens = -1; }).starts_with("batch.tokens is -1"));
  CHECK(append([](A& a) { a.batch.sequences = 0; }).starts_with("batch.sequences is 0"));
  CHECK(append([](A& a) { a.batch.token_start = 0; }).starts_with("batch.token_start is 0"));
  CHECK(append([](A& a) { a.batch.kv_length += 2; }).starts_with("batch.kv_length is 0x10002"));
  CHECK(append([](A& a) { a.cache.k = 0; }).starts_with("cache.k is 0"));
  CHECK(append([](A& a) { a.cache.v += 8; }).starts_with("cache.v is 0x10008"));
  CHECK(append([](A& a) { a.cache.k_scale = 0; }).starts_with("cache.k_scale is 0"));
  CHECK(append([](A& a) { a.cache.v_scale = 0; }).starts_with("cache.v_scale is 0"));
  CHECK(append([](A& a) { a.cache.page_table = 0; }).starts_with("cache.page_table is 0"));
  CHECK(append([](A& a) { a.cache.page_table_stride = 0; }).starts_with("cache.page_table_stride"));
  CHECK(append([](A& a) { a.k = 0; }).starts_with("k is 0"));
  CHECK(append([](A& a) { a.v = 0; }).starts_with("v is 0"));
  CHECK(append([](A& a) { a.k_stride = 1023; }).starts_with("k_stride is 1023"));
  CHECK(append([](A& a) { a.v_stride = 1025; }).starts_with("v_stride is 1025"));

  using D = DecodeArguments;
  using S = Attention::DecodeSize;
  CHECK(decode([](D&, S& s) { s.max_query_tokens = 0; }).starts_with("max_query_tokens is 0"));
  CHECK(decode([](D&, S& s) { s.max_query_tokens = 17; }).starts_with("max_query_tokens is 17"));
  CHECK(decode([](D&, S& s) { s.max_kv_length = -1; }).starts_with("max_kv_length is -1"));
  CHECK(decode([](D&, S& s) { s.max_kv_length = 4097; }).starts_with("max_kv_length is 4097"));
  CHECK(decode([](D&, S& s) { s.splits = -1; }).starts_with("splits is -1"));
  CHECK(decode([](D& d, S&) { d.batch.tokens = 3; }).starts_with("batch.tokens is 3"));
  CHECK(decode([](D& d, S&) { d.q = 0; }).starts_with("q is 0"));
  CHECK(decode([](D& d, S&) { d.q_stride = 4095; }).starts_with("q_stride is 4095"));
  CHECK(decode([](D& d, S&) { d.output = 0; }).starts_with("output is 0"));
  CHECK(decode([](D& d, S&) { d.lse = 2; }).starts_with("lse is 0x2"));
  CHECK(fakes.gpu->launches.empty());
  CHECK(append([](A&) {}).empty());
  CHECK(decode([](D&, S&) {}).empty());
}

TEST_CASE_FIXTURE(Fixture, "what only some specs need is required of these alone") {
  const auto decode = [&](std::string_view more) {
    const Attention attention(spec_of(more), device);
    DecodeArguments arguments = some_decode();
    arguments.cache.k_scale = arguments.cache.v_scale = 0;
    return message_of<UsageError>([&] { attention.decode(arguments, {1, 4096, 1}, 0, kStream); });
  };
  CHECK(decode("kernels: [decode]").starts_with("cache.k_scale"));
  CHECK(decode("kernels: [decode]\nkv_cache: {format: bf16}\ncompute: {matmul: bf16}").empty());
  CHECK(decode("kernels: [decode]\nkv_cache: {format: bf16}\ncompute: {matmul: bf16}\noutput: e4m3")
            .starts_with("output_scale is 0"));
  CHECK(decode("kernels: [decode]\nkv_cache: {format: bf16, layout: contiguous}\n"
               "compute: {matmul: bf16}")
            .starts_with("cache.capacity is 0"));

  Spec rope = spec_of("kernels: [append]");
  rope.attention.rope = {RopePairing::half, 128, 500000};
  const auto append = [&](DeviceAddress q, DeviceAddress rotated) {
    const Attention attention(rope, device);
    AppendArguments arguments = some_append();
    arguments.rope = kSomewhere;
    arguments.q = q, arguments.q_rotated = rotated, arguments.q_stride = 32 * 128;
    return message_of<UsageError>([&] { attention.append(arguments, kStream); });
  };
  CHECK(append(kSomewhere, 0).starts_with("q_rotated is 0"));
  CHECK(append(0, kSomewhere).starts_with("q is 0"));
  CHECK(append(0, 0).empty());
  const unsigned without_queries = fakes.gpu->launches.back().grid_x;
  CHECK(append(kSomewhere, kSomewhere).empty());
  CHECK(fakes.gpu->launches.back().grid_x > without_queries);
}

TEST_CASE_FIXTURE(Fixture, "a launch that fails says which kernel and grid") {
  const Attention attention(spec_of("kernels: [append]"), device);
  fakes.gpu->results["cuLaunchKernelEx"] = CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES;
  const std::string message =
      message_of<EnvironmentError>([&] { attention.append(some_append(), kStream); });
  CHECK_MESSAGE(contains(message, "launching append on a grid of 2 x"), message);
}

TEST_CASE_FIXTURE(Fixture, "a batch larger than a grid is a usage error") {
  const Attention attention(spec_of("kernels: [decode]"), device);
  DecodeArguments arguments = some_decode();
  arguments.batch = some_batch(70000, 70000);
  const std::string message =
      message_of<UsageError>([&] { attention.decode(arguments, {1, 4096, 0}, 0, kStream); });
  CHECK_MESSAGE(contains(message, "70000 sequences"), message);
  CHECK(fakes.gpu->launches.empty());
}
