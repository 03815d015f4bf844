// Lines of a random program, from templates whose registers are drawn.
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace octavo::emulator::random_ptx {

// A pool of registers that templates choose from.
struct Pool {
  char letter;
  std::string_view prefix, type;
  int count;
};
inline constexpr Pool kPools[] = {
    {'r', "%r", "b32", 8}, {'q', "%q", "b64", 4}, {'h', "%h", "b16", 4},
    {'f', "%f", "f32", 5}, {'d', "%d", "f64", 3}, {'p', "%p", "pred", 7},
};

class Writer {
 public:
  explicit Writer(unsigned seed) : random_(seed) {}

  std::uint32_t below(std::size_t n) { return static_cast<std::uint32_t>(random_() % n); }
  bool one_in(std::size_t n) { return below(n) == 0; }
  std::string_view one_of(std::span<const std::string_view> choices) {
    return choices[below(choices.size())];
  }

  // A register of the pool with this letter; the template (templates.hpp) with its registers.
  std::string reg(char letter);
  std::string filled(std::string_view text);

  void line(const std::string& text) { text_ += "  " + text + ";\n"; }
  void label(const std::string& name) { text_ += name + ":\n"; }
  std::string new_label() { return "L" + std::to_string(++labels_); }
  // The lines of a template, all with the same guard or without one.
  void operation(std::string_view chosen);

  // What has been written since the last call.
  std::string take() { return std::exchange(text_, {}); }
  void raw(std::string_view text) { text_ += text; }

 private:
  std::string immediate(char letter);

  std::mt19937 random_;
  std::string text_;
  int labels_ = 0;
};

}  // namespace octavo::emulator::random_ptx
