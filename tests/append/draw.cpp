#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <span>

#include "append_case.hpp"
#include "tools/reference/formats.hpp"

namespace octavo::test {
namespace {

constexpr int kMostContext = 180;  // tokens of a sequence before the new ones
constexpr int kSparePages = 5;

class Draw {
 public:
  explicit Draw(std::uint32_t seed) : random_(seed) {}

  int between(int low, int high) {
    return low + static_cast<int>(random_() % static_cast<unsigned>(high - low + 1));
  }
  bool once_in(int times) { return between(1, times) == 1; }
  template <typename T>
  T one_of(std::span<const T> values) {
    return values[between(0, static_cast<int>(values.size()) - 1)];
  }
  double fraction() { return between(-65536, 65536) / 65536.0; }

  Bytes noise(std::size_t bytes) {
    Bytes result(bytes);
    std::ranges::generate(result, [&] { return static_cast<std::byte>(random_()); });
    return result;
  }
  std::vector<float> scales(std::size_t count) {
    std::vector<float> result(count);
    std::ranges::generate(result, [&] { return static_cast<float>(between(10, 1000)) * 0.001F; });
    return result;
  }
  PaddedRows rows(DataType type, int tokens, int heads, int dim);
  // Here and there a NaN that no conversion gives: every bit set, the sign too.
  void strew_nans(DataType type, Bytes& values) {
    const std::size_t bytes = bytes_of(type);
    for (std::size_t i = 0; i < values.size(); i += bytes) {
      if (once_in(500)) std::fill_n(values.begin() + i, bytes, std::byte{0xFF});
    }
  }

 private:
  std::mt19937 random_;
};

PaddedRows Draw::rows(DataType type, int tokens, int heads, int dim) {
  static constexpr double kMagnitudes[] = {1, 1, 1, 1e-3, 3e4, 1e-6, 1e-20, 1e-41, 1e38, 0};
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  // Beside the special ones: the largest of e4m3, what still rounds to it, ties, subnormals.
  static constexpr double kSpecial[] = {NAN,  kInfinity, -kInfinity, -0.0,    448,     464,
                                        -480, 1.75,      0x1.1p0,    0x1.3p0, 0x1p-10, 0x1p-17};
  PaddedRows result;
  result.stride = heads * dim + 8 * between(0, 2);
  const auto elements = static_cast<std::size_t>(tokens * result.stride);
  result.data.resize(elements * bytes_of(type));
  double magnitude = 1;
  for (std::size_t i = 0; i < elements; ++i) {
    if (i % dim == 0) magnitude = one_of<double>(kMagnitudes);
    const double value = std::ldexp(fraction(), -between(0, 6)) * magnitude;
    reference::store(type, result.data.data(), i, once_in(200) ? one_of<double>(kSpecial) : value);
  }
  return result;
}

void draw_batch(Draw& draw, const Shape& shape, AppendCase& drawn) {
  drawn.token_start.push_back(0);
  for (int sequence = 0; sequence < shape.sequences; ++sequence) {
    int tokens = draw.once_in(3) ? 0 : draw.between(0, shape.most_new_tokens);
    if (sequence == shape.sequences / 2) tokens = shape.most_new_tokens;
    drawn.token_start.push_back(drawn.token_start.back() + tokens);
    drawn.kv_length.push_back(tokens + draw.between(0, kMostContext));
  }
}

// Shuffled pages, some missing. Returns how many the cache has.
int draw_pages(Draw& draw, int sequences, int page_size, int longest, AppendCase& drawn) {
  drawn.page_table_stride = longest / page_size + 1;
  const int entries = sequences * drawn.page_table_stride;
  std::vector<int> pages(entries + kSparePages);
  std::iota(pages.begin(), pages.end(), 0);
  for (int i = 0; i < entries; ++i) {
    std::swap(pages[i], pages[draw.between(i, static_cast<int>(pages.size()) - 1)]);
    drawn.page_table.push_back(draw.once_in(20) ? -1 : pages[i]);
  }
  return static_cast<int>(pages.size());
}

void draw_cache(Draw& draw, std::size_t rows, AppendCase& drawn) {
  const Spec& spec = drawn.spec;
  const HeadDim& dim = spec.attention.head_dim;
  const int bytes = bytes_of(spec.kv_cache.format);
  drawn.before.k = draw.noise(rows * dim.qk * bytes);
  drawn.before.v = draw.noise(rows * dim.v * bytes);
  if (!is_fp8(spec.kv_cache.format)) return;
  const ScaleGranularity granularity = spec.kv_cache.scale.granularity;
  const std::size_t heads = granularity == ScaleGranularity::tensor ? 1 : spec.attention.kv_heads;
  const std::size_t scales = granularity == ScaleGranularity::token_head ? rows : heads;
  drawn.before.k_scale = draw.scales(scales);
  drawn.before.v_scale = draw.scales(scales);
}

void draw_queries(Draw& draw, int tokens, AppendCase& drawn) {
  const AttentionSpec& attention = drawn.spec.attention;
  drawn.q = draw.rows(drawn.spec.input, tokens, attention.query_heads, attention.head_dim.qk);
  drawn.before.q_rotated = drawn.in_place ? drawn.q.data : draw.noise(drawn.q.data.size());
}

void draw_angles(Draw& draw, int positions, AppendCase& drawn) {
  for (int i = 0; i < positions * drawn.spec.attention.rope.dims / 2; ++i) {
    const double angle = 4 * draw.fraction();
    drawn.rope.push_back(static_cast<float>(std::cos(angle)));
    drawn.rope.push_back(static_cast<float>(std::sin(angle)));
  }
}

}  // namespace

AppendCase draw_case(const Spec& spec, const Shape& shape, std::uint32_t seed) {
  Draw draw(seed);
  AppendCase drawn;
  drawn.spec = spec;
  drawn.in_place = shape.queries == Queries::rotated_in_place;
  draw_batch(draw, shape, drawn);
  const int longest = std::ranges::max(drawn.kv_length);
  const int tokens = drawn.token_start.back();

  const AttentionSpec& attention = spec.attention;
  int places = 0;  // of a KV head
  if (spec.kv_cache.layout == Layout::paged) {
    const int page_size = spec.kv_cache.page_size;
    places = page_size * draw_pages(draw, shape.sequences, page_size, longest, drawn);
  } else {
    drawn.capacity = longest + 3;
    places = shape.sequences * drawn.capacity;
  }
  draw_cache(draw, static_cast<std::size_t>(places) * attention.kv_heads, drawn);
  drawn.k = draw.rows(spec.input, tokens, attention.kv_heads, attention.head_dim.qk);
  drawn.v = draw.rows(spec.input, tokens, attention.kv_heads, attention.head_dim.v);
  for (PaddedRows* rows : {&drawn.k, &drawn.v}) draw.strew_nans(spec.input, rows->data);
  if (attention.rope.pairing == RopePairing::none) return drawn;
  if (shape.queries != Queries::not_given) draw_queries(draw, tokens, drawn);
  draw_angles(draw, longest, drawn);
  return drawn;
}

}  // namespace octavo::test
