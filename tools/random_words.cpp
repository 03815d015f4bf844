#include "tools/random_words.hpp"

#include <cmath>
#include <random>
#include <span>

#include "tools/reference/formats.hpp"

namespace octavo {
namespace {

constexpr std::size_t kWords = 1 << 15;

// Elements drawn one by one.
template <class Draw>
std::vector<unsigned> words_of(DataType type, const Draw& draw) {
  std::vector<unsigned> words(kWords);
  std::byte* const bytes = std::as_writable_bytes(std::span(words)).data();
  for (std::size_t i = 0; i < kWords * sizeof(unsigned) / bytes_of(type); ++i) {
    reference::store(type, bytes, i, draw());
  }
  return words;
}

}  // namespace

std::vector<unsigned> random_bits() {
  std::mt19937 random(1);
  std::vector<unsigned> words(kWords);
  for (unsigned& word : words) word = static_cast<unsigned>(random());
  return words;
}

std::vector<unsigned> normal_numbers(DataType type, double deviation) {
  std::mt19937 random(2);
  std::normal_distribution<double> normal(0, deviation);
  return words_of(type, [&] { return normal(random); });
}

std::vector<unsigned> powers_of_two(int least, int most) {
  std::mt19937 random(3);
  std::uniform_int_distribution exponent(least, most);
  return words_of(DataType::fp32, [&] { return std::ldexp(1.0, exponent(random)); });
}

}  // namespace octavo
