#include "generator.hpp"

#include <fmt/format.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "templates.hpp"
#include "writer.hpp"

namespace octavo::emulator::random_ptx {
namespace {

constexpr int kMaxDepth = 3;

// What a function takes and gives back; a kernel's call of it looks the same for all.
constexpr std::string_view kSignature =
    "(.param .b32 result) {}(.param .align 16 .b8 words[16], .param .b16 half, .param .b32 depth)";

class Generator : Writer {
 public:
  explicit Generator(unsigned seed) : Writer(seed) {}
  RandomProgram program();

 private:
  // Where in the flow of control a statement stands: of whole blocks, or of any lanes.
  enum class Flow { uniform, divergent };

  void registers();
  void local_arrays();
  void load_inputs();
  void store_outputs();
  void statements(int count, int depth, Flow flow);
  void statement(int depth, Flow flow);
  void branch(int depth);
  void loop(int depth, Flow flow);
  void exchange_in_block();
  void members();
  void call(const std::string& callee, const std::string& depth);
  void call_one();
  void function(int number);

  RandomProgram program_;
  int functions_ = 0;
  int inside_ = -1;  // the function under way; -1 for the kernel
};

void Generator::registers() {
  for (const Pool& pool : kPools) raw(fmt::format("  .reg .{} {}<8>;\n", pool.type, pool.prefix));
  raw("  .reg .b32 %t, %index, %lane, %thread, %m, %at, %depth, %counter<4>;\n"
      "  .reg .b64 %u, %w, %own, %reals, %generic, %inputs, %outputs, %totals;\n"
      "  .reg .b16 %v;\n  .reg .pred %guard;\n"
      "  .local .align 16 .b8 own[64];\n  .local .align 8 .f32 reals[4];\n");
}

// Nothing of them is undefined.
void Generator::local_arrays() {
  line("mov.u64 %own, own");
  line("mov.u64 %reals, reals");
  line("cvta.local.u64 %generic, %own");
  for (int i = 0; i < 4; ++i) {
    line(fmt::format("st.local.v2.b64 [own+{}], {{%q{}, %q{}}}", 16 * i, i, 3 - i));
    line(fmt::format("st.local.f32 [reals+{}], %f{}", 4 * i, i));
  }
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
  local_arrays();
}

void Generator::store_outputs() {
  using enum RandomProgram::Slot;
  std::vector<RandomProgram::Slot> slots;
  const auto store = [&](std::string_view type, const std::string& name, RandomProgram::Slot slot) {
    line(fmt::format("st.global.{} [%u+{}], {}", type, 8 * slots.size(), name));
    slots.push_back(slot);
  };
  line("mad.wide.u32 %u, %thread, OUTPUT_BYTES, %outputs");
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

// The result and what is passed are in parameters of this call alone.
void Generator::call(const std::string& callee, const std::string& depth) {
  raw("  {\n  .param .b32 result;\n  .param .align 16 .b8 words[16];\n"
      "  .param .b16 half;\n  .param .b32 depth;\n");
  line(filled("st.param.v2.b32 [words], {$r, $r}"));
  line(filled("st.param.b64 [words+8], $q"));
  line(filled("st.param.b16 [half], $h"));
  line(fmt::format("st.param.b32 [depth], {}", depth));
  line(fmt::format("call (result), {}, (words, half, depth){}", callee,
                   callee[0] == '%' ? ", prototype" : ""));
  line(filled("ld.param.b32 $r, [result]"));
  raw("  }\n");
}

// Of a function after this one, so that calls end; or of this one, less deep; or of one of two, by
// its address.
void Generator::call_one() {
  const auto after = static_cast<std::uint32_t>(functions_ - 1 - inside_);
  if (inside_ >= 0 && (after == 0 || one_in(3))) {
    const std::string end = new_label();
    line("setp.eq.u32 %guard, %depth, 0");
    line("@%guard bra " + end);
    line("sub.u32 %depth, %depth, 1");
    call(fmt::format("f{}", inside_), "%depth");
    return label(end);
  }
  const auto one = [&] { return fmt::format("f{}", inside_ + 1 + static_cast<int>(below(after))); };
  const std::string depth = std::to_string(below(4));
  if (one_in(3)) {
    line("mov.u64 %w, " + one());
    line("@" + filled("$n") + " mov.u64 %w, " + one());
    return call("%w", depth);
  }
  call(one(), depth);
}

void Generator::statement(int depth, Flow flow) {
  const std::uint32_t choice = below(100);
  const bool in_kernel = inside_ < 0;
  if (choice < 8 && depth < kMaxDepth) return branch(depth);
  if (choice < 12 && depth < kMaxDepth) return loop(depth, one_in(2) ? flow : Flow::divergent);
  if (choice < 14 && in_kernel) return line(filled(one_of(kTotalTemplates)));
  if (flow == Flow::uniform) {
    if (choice < 18) return exchange_in_block();
    if (choice < 24) return line(filled(one_of(kWarpTemplates)));
    if (choice < 27) return members();
  }
  if (choice < 35) return operation(one_of(kLocalTemplates));
  if (choice < 38 && functions_ > 0) return call_one();
  operation(one_of(kTemplates));
}

void Generator::statements(int count, int depth, Flow flow) {
  for (int i = 0; i < count; ++i) statement(depth, flow);
}

// Every register of a function is made of what it is passed.
void Generator::function(int number) {
  inside_ = number;
  raw(fmt::format(".func {}\n{{\n",
                  fmt::format(fmt::runtime(kSignature), fmt::format("f{}", number))));
  registers();
  raw("  prototype: .callprototype " + fmt::format(fmt::runtime(kSignature), "_") + ";\n");
  line("ld.param.v4.b32 {%r0, %r1, %r2, %r3}, [words]");
  line("ld.param.b16 %h0, [half]");
  line("ld.param.b32 %depth, [depth]");
  for (int i = 4; i < 8; ++i) line(fmt::format("mad.lo.s32 %r{}, %r{}, {}, %r1", i, i - 4, i));
  for (int i = 1; i < 4; ++i) line(fmt::format("cvt.u16.u32 %h{}, %r{}", i, i));
  for (int i = 0; i < 4; ++i) line(fmt::format("mul.wide.s32 %q{}, %r{}, %r{}", i, i, i + 4));
  for (int i = 0; i < 5; ++i) line(fmt::format("cvt.rn.f32.s32 %f{}, %r{}", i, i));
  for (int i = 0; i < 3; ++i) line(fmt::format("cvt.rn.f64.s32 %d{}, %r{}", i, i));
  for (int i = 0; i < 8; ++i) line(fmt::format("setp.gt.s32 %p{}, %r{}, 0", i, i));
  local_arrays();
  statements(4 + static_cast<int>(below(10)), 1, Flow::divergent);
  line(filled("st.param.b32 [result], $r"));
  if (one_in(2)) {
    line("@" + filled("$n") + " ret");
    statements(3, 1, Flow::divergent);
    line(filled("st.param.b32 [result], $r"));
  }
  raw("  ret;\n}\n\n");
}

RandomProgram Generator::program() {
  program_.grid.x = 1 + below(3);
  program_.block.x = 32 * (1 + below(3));
  raw(".version 8.0\n.target sm_90\n.address_size 64\n\n");
  functions_ = static_cast<int>(below(4));
  for (int i = functions_ - 1; i >= 0; --i) function(i);
  inside_ = -1;
  raw(".visible .entry random(.param .u64 inputs, .param .u64 outputs, .param .u64 totals)\n{\n");
  registers();
  raw(fmt::format("  .shared .align 16 .b8 slots[{}];\n\n", 16 * program_.block.x));
  raw("  prototype: .callprototype " + fmt::format(fmt::runtime(kSignature), "_") + ";\n");
  load_inputs();
  statements(10 + static_cast<int>(below(60)), 0, Flow::uniform);
  store_outputs();
  // Some threads end early: from here on nobody waits for anybody.
  if (one_in(2)) {
    line("@" + filled("$n") + " exit");
    statements(6, 1, Flow::divergent);
    store_outputs();
  }
  raw("  ret;\n}\n");
  program_.ptx = take();
  const std::string bytes = std::to_string(8 * program_.outputs.size());
  for (std::size_t at; (at = program_.ptx.find("OUTPUT_BYTES")) != std::string::npos;)
    program_.ptx.replace(at, std::string_view("OUTPUT_BYTES").size(), bytes);
  return program_;
}

}  // namespace

RandomProgram generate(unsigned seed) { return Generator(seed).program(); }

}  // namespace octavo::emulator::random_ptx
