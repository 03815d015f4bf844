#include "generator.hpp"

#include <fmt/format.h>

#include <cstdint>
#include <random>
#include <span>
#include <string_view>

#include "templates.hpp"

namespace octavo::emulator::random_ptx {
namespace {

// A pool of registers that templates choose from.
struct Pool {
  char letter;
  std::string_view prefix, type;
  int count;
};
constexpr Pool kPools[] = {
    {'r', "%r", "b32", 8}, {'q', "%q", "b64", 4}, {'h', "%h", "b16", 4},
    {'f', "%f", "f32", 5}, {'d', "%d", "f64", 3}, {'p', "%p", "pred", 7},
};

constexpr int kMaxDepth = 3;

class Generator {
 public:
  explicit Generator(unsigned seed) : random_(seed) {}
  RandomProgram program();

 private:
  // Where in the flow of control a statement stands: of whole blocks, or of any lanes.
  enum class Flow { uniform, divergent };

  std::uint32_t below(std::size_t n) { return static_cast<std::uint32_t>(random_() % n); }
  bool one_in(std::size_t n) { return below(n) == 0; }
  std::string_view one_of(std::span<const std::string_view> choices) {
    return choices[below(choices.size())];
  }

  std::string reg(char letter);
  std::string immediate(char letter);
  std::string filled(std::string_view text);

  void line(const std::string& text) { text_ += "  " + text + ";\n"; }
  void label(const std::string& name) { text_ += name + ":\n"; }
  std::string new_label() { return fmt::format("L{}", ++labels_); }

  void header();
  void load_inputs();
  void store_outputs();
  void statements(int count, int depth, Flow flow);
  void statement(int depth, Flow flow);
  void operation(std::string_view chosen);
  void branch(int depth);
  void loop(int depth, Flow flow);
  void exchange_in_block();
  void members();

  std::mt19937 random_;
  std::string text_;
  int labels_ = 0;
  RandomProgram program_;
};

std::string Generator::reg(char letter) {
  for (const Pool& pool : kPools)
    if (pool.letter == letter) return fmt::format("{}{}", pool.prefix, below(pool.count));
  return {};
}

std::string Generator::immediate(char letter) {
  static constexpr std::string_view kFloats[] = {
      "0f00000000", "0f80000000", "0f3F800000", "0fBF000000", "0f7F800000", "0f00000001",
      "0f4B800001", "0f7F7FFFFF", "0f33800000", "0f7FFFFFFF", "0fC2F6E979", "0f3EAAAAAB",
  };
  static constexpr std::string_view kIntegers[] = {
      "0",  "1",  "-1",  "2",          "7",           "31",         "32",
      "33", "64", "255", "0x7FFFFFFF", "-2147483648", "0x55AA33CC", "-12345",
  };
  if (letter == 'F') return std::string(one_of(kFloats));
  return std::string(one_of(kIntegers));
}

std::string Generator::filled(std::string_view text) {
  static constexpr std::string_view kSigned[] = {"eq", "ne", "lt", "le", "gt", "ge"};
  static constexpr std::string_view kUnsigned[] = {"eq", "ne", "lt", "le", "gt",
                                                   "ge", "lo", "ls", "hi", "hs"};
  static constexpr std::string_view kFloat[] = {"eq",  "ne",  "lt",  "le",  "gt",  "ge",  "equ",
                                                "neu", "ltu", "leu", "gtu", "geu", "num", "nan"};
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '$' && text[i] != '@') {
      result += text[i];
      continue;
    }
    const char letter = text[i + 1];
    if (text[i] == '@') {
      result += letter == 'c'   ? one_of(kSigned)
                : letter == 'u' ? one_of(kUnsigned)
                                : one_of(kFloat);
    } else if (letter == 'n') {
      result += one_in(2) ? "!%p" : "%p";
      result += std::to_string(below(8));  // %p7, the second of pairs, too
    } else if (letter == 'k') {
      result += std::to_string(below(32));
    } else if (letter >= 'a') {
      result += reg(letter);
    } else {
      result += one_in(3) ? immediate(letter) : reg(static_cast<char>(letter - 'A' + 'a'));
    }
    ++i;
  }
  return result;
}

void Generator::header() {
  text_ = ".version 8.0\n.target sm_90\n.address_size 64\n\n";
  text_ +=
      ".visible .entry random(.param .u64 inputs, .param .u64 outputs, .param .u64 totals)\n{\n";
  for (const Pool& pool : kPools)
    text_ += fmt::format("  .reg .{} {}<8>;\n", pool.type, pool.prefix);
  text_ += "  .reg .b32 %t, %index, %lane, %thread, %m, %at, %counter<4>;\n";
  text_ += "  .reg .b64 %u, %inputs, %outputs, %totals;\n";
  text_ += "  .reg .b16 %v;\n  .reg .pred %guard;\n";
  text_ += fmt::format("  .shared .align 16 .b8 slots[{}];\n\n", 16 * program_.block.x);
}

void Generator::load_inputs() {
  line("ld.param.u64 %inputs, [inputs]");
  line("ld.param.u64 %outputs, [outputs]");
  line("ld.param.u64 %totals, [totals]");
  line("mov.u32 %index, %tid.x");
  line("mov.u32 %lane, %laneid");
  line("mov.u32 %t, %ctaid.x");
  line("mov.u32 %thread, %ntid.x");
  line("mad.lo.s32 %thread, %t, %thread, %index");
  line(fmt::format("mad.wide.u32 %inputs, %thread, {}, %inputs", 8 * RandomProgram::kInputs));
  int input = 0;
  for (const Pool& pool : kPools) {
    if (pool.letter == 'p') continue;
    for (int i = 0; i < pool.count; ++i)
      line(fmt::format("ld.global.{} {}{}, [%inputs+{}]", pool.type, pool.prefix, i, 8 * input++));
  }
  for (int i = 0; i < 8; ++i)
    line(fmt::format("setp.lt.s32 %p{}, %r{}, {}", i, i, i * 1000 - 4000));
}

void Generator::store_outputs() {
  using enum RandomProgram::Slot;
  std::vector<RandomProgram::Slot> slots;
  const auto store = [&](std::string_view type, const std::string& name, RandomProgram::Slot slot) {
    line(fmt::format("st.global.{} [%u+{}], {}", type, 8 * slots.size(), name));
    slots.push_back(slot);
  };
  text_ += "  mad.wide.u32 %u, %thread, OUTPUT_BYTES, %outputs;\n";
  for (const Pool& pool : kPools)
    for (int i = 0; i < pool.count; ++i) {
      const std::string name = fmt::format("{}{}", pool.prefix, i);
      if (pool.letter == 'p') {
        line(fmt::format("selp.u32 %t, 1, 0, {}", name));
        store("u32", "%t", integer);
      } else {
        store(pool.type, name, pool.letter == 'f' ? f32 : pool.letter == 'd' ? f64 : integer);
      }
    }
  program_.outputs = slots;
}

void Generator::operation(std::string_view chosen) {
  std::string guard;
  if (one_in(6)) guard = "@" + filled("$n ");
  while (!chosen.empty()) {
    const std::size_t end = chosen.find(';');
    line(guard + filled(chosen.substr(0, end)));
    chosen.remove_prefix(end == std::string_view::npos ? chosen.size() : end + 2);
  }
}

void Generator::branch(int depth) {
  const std::string otherwise = new_label(), end = new_label();
  const bool has_else = one_in(2);
  line("@" + filled("$n") + " bra " + (has_else ? otherwise : end));
  statements(1 + static_cast<int>(below(5)), depth + 1, Flow::divergent);
  if (has_else) {
    line("bra " + end);
    label(otherwise);
    statements(1 + static_cast<int>(below(5)), depth + 1, Flow::divergent);
  }
  label(end);
}

// As often for every thread if uniform, else as often as a register says.
void Generator::loop(int depth, Flow flow) {
  const std::string begin = new_label(), end = new_label();
  const std::string counter = fmt::format("%counter{}", depth);
  if (flow == Flow::uniform) {
    line(fmt::format("mov.u32 {}, {}", counter, 1 + below(3)));
  } else {
    line(fmt::format("and.b32 {}, {}, 3", counter, reg('r')));
  }
  label(begin);
  line(fmt::format("setp.eq.s32 %guard, {}, 0", counter));
  line("@%guard bra " + end);
  statements(1 + static_cast<int>(below(4)), depth + 1, flow);
  if (flow == Flow::divergent && one_in(3)) line("@" + reg('p') + " bra " + end);
  line(fmt::format("sub.s32 {0}, {0}, 1", counter));
  line("bra " + begin);
  label(end);
}

// Every thread writes its slot, and after a barrier reads another's.
void Generator::exchange_in_block() {
  const bool wide = one_in(2);
  line("mov.u32 %at, slots");
  line(fmt::format("mad.lo.u32 %t, %index, {}, %at", wide ? 16 : 4));
  line(filled(wide ? "st.shared.v4.b32 [%t], {$r, $r, $r, $r}" : "st.shared.b32 [%t], $r"));
  line("bar.sync 0");
  line(fmt::format("add.u32 %t, %index, {}", below(64)));
  line(fmt::format("rem.u32 %t, %t, {}", program_.block.x));
  line(fmt::format("mad.lo.u32 %t, %t, {}, %at", wide ? 16 : 4));
  if (wide) {
    line("ld.shared.v2.b32 {%r0, %r3}, [%t+8]");
  } else {
    line(filled("ld.shared.b32 $r, [%t]"));
  }
  line("bar.sync 0");
}

// Some groups of four lanes work together while the others wait or do not.
void Generator::members() {
  const std::string end = new_label();
  line(fmt::format("and.b32 %t, %lane, {}", 4u << below(3)));
  line("setp.ne.s32 %guard, %t, 0");
  line("vote.sync.ballot.b32 %m, %guard, -1");
  line("@!%guard bra " + end);
  for (int i = 0; i < 2; ++i) {
    line(filled(one_of(kMemberTemplates)));
    operation(one_of(kTemplates));
  }
  label(end);
}

void Generator::statement(int depth, Flow flow) {
  const std::uint32_t choice = below(100);
  if (choice < 8 && depth < kMaxDepth) return branch(depth);
  if (choice < 12 && depth < kMaxDepth) return loop(depth, one_in(2) ? flow : Flow::divergent);
  if (choice < 14) return line(filled(one_of(kTotalTemplates)));
  if (flow == Flow::uniform) {
    if (choice < 18) return exchange_in_block();
    if (choice < 24) return line(filled(one_of(kWarpTemplates)));
    if (choice < 27) return members();
  }
  operation(one_of(kTemplates));
}

void Generator::statements(int count, int depth, Flow flow) {
  for (int i = 0; i < count; ++i) statement(depth, flow);
}

RandomProgram Generator::program() {
  program_.grid.x = 1 + below(3);
  program_.block.x = 32 * (1 + below(3));
  header();
  load_inputs();
  statements(10 + static_cast<int>(below(60)), 0, Flow::uniform);
  store_outputs();
  // Some threads end early: from here on nobody waits for anybody.
  if (one_in(2)) {
    line("@" + filled("$n") + " exit");
    statements(6, 1, Flow::divergent);
    store_outputs();
  }
  line("ret");
  text_ += "}\n";
  const std::string bytes = std::to_string(8 * program_.outputs.size());
  for (std::size_t at; (at = text_.find("OUTPUT_BYTES")) != std::string::npos;)
    text_.replace(at, std::string_view("OUTPUT_BYTES").size(), bytes);
  program_.ptx = text_;
  return program_;
}

}  // namespace

RandomProgram generate(unsigned seed) { return Generator(seed).program(); }

}  // namespace octavo::emulator::random_ptx
