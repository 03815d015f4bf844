#include "ptx/operand.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <iterator>

#include "ptx/constant.hpp"

namespace octavo::emulator::ptx {
namespace {

using namespace std::string_view_literals;
using namespace std::string_literals;

constexpr std::array kVectorSpecials = {"%tid"sv,           "%ntid"sv,          "%ctaid"sv,
                                        "%nctaid"sv,        "%clusterid"sv,     "%nclusterid"sv,
                                        "%cluster_ctaid"sv, "%cluster_nctaid"sv};
constexpr std::array kScalarSpecials = {"%laneid"sv,
                                        "%warpid"sv,
                                        "%nwarpid"sv,
                                        "%smid"sv,
                                        "%nsmid"sv,
                                        "%gridid"sv,
                                        "%is_explicit_cluster"sv,
                                        "%cluster_ctarank"sv,
                                        "%cluster_nctarank"sv,
                                        "%lanemask_eq"sv,
                                        "%lanemask_le"sv,
                                        "%lanemask_lt"sv,
                                        "%lanemask_ge"sv,
                                        "%lanemask_gt"sv,
                                        "%clock"sv,
                                        "%clock_hi"sv,
                                        "%clock64"sv,
                                        "%globaltimer"sv,
                                        "%globaltimer_lo"sv,
                                        "%globaltimer_hi"sv,
                                        "%reserved_smem_offset_begin"sv,
                                        "%reserved_smem_offset_end"sv,
                                        "%reserved_smem_offset_cap"sv,
                                        "%reserved_smem_offset_0"sv,
                                        "%reserved_smem_offset_1"sv,
                                        "%total_smem_size"sv,
                                        "%aggr_smem_size"sv,
                                        "%dynamic_smem_size"sv,
                                        "%current_graph_exec"sv};

// %envreg0 to 31, %pm0 to 7 and their _64 forms.
bool is_numbered_special(std::string_view name) {
  const bool environment = name.starts_with("%envreg");
  if (!environment && !name.starts_with("%pm")) return false;
  name.remove_prefix(environment ? 7 : 3);
  if (!environment && name.ends_with("_64")) name.remove_suffix(3);
  int index = -1;
  const auto [stop, error] = std::from_chars(name.data(), name.data() + name.size(), index);
  return error == std::errc() && stop == name.data() + name.size() && index >= 0 &&
         index < (environment ? 32 : 8);
}

bool is_scalar_special(std::string_view name) {
  return std::ranges::find(kScalarSpecials, name) != kScalarSpecials.end() ||
         is_numbered_special(name);
}

Operand register_operand(RegisterId reg) {
  Operand operand;
  operand.kind = Operand::Kind::reg;
  operand.reg = reg;
  return operand;
}

// 0 to 3 for a component that follows a name (".x"), or -1.
int accept_component(Lexer& lexer) {
  constexpr std::array kNames = {"x"sv, "y"sv, "z"sv, "w"sv};
  if (lexer.peek().kind != Token::Kind::directive) return -1;
  const auto name = std::ranges::find(kNames, lexer.peek().text);
  if (name == kNames.end()) return -1;
  lexer.take();
  return static_cast<int>(name - kNames.begin());
}

Operand parse_named(Lexer& lexer, Scopes& scopes) {
  const int line = lexer.peek().line;
  const std::string name = lexer.expect_identifier("an operand");
  if (const std::vector<RegisterId> registers = scopes.find_registers(name); !registers.empty()) {
    if (registers.size() == 1) return register_operand(registers[0]);
    const int component = accept_component(lexer);
    if (component >= static_cast<int>(registers.size())) {
      Lexer::fail(line, fmt::format("`{}` has {} components", name, registers.size()));
    }
    if (component >= 0) return register_operand(registers[static_cast<std::size_t>(component)]);
    Operand vector;
    vector.kind = Operand::Kind::vector;
    for (const RegisterId reg : registers) vector.elements.push_back(register_operand(reg));
    return vector;
  }
  Operand operand;
  operand.text = name;
  if (std::ranges::find(kVectorSpecials, name) != kVectorSpecials.end()) {
    operand.kind = Operand::Kind::special;
    const int component = accept_component(lexer);
    if (component >= 0) operand.text += "."s + "xyzw"[component];
    return operand;
  }
  if (is_scalar_special(name)) {
    operand.kind = Operand::Kind::special;
    return operand;
  }
  if (name[0] == '%') Lexer::fail(line, fmt::format("`{}`: expected a declared register", name));
  operand.kind = Operand::Kind::symbol;
  if (lexer.at("+") || lexer.at("-")) {
    operand.offset = static_cast<std::int64_t>(parse_constant(lexer).bits);
  }
  return operand;
}

// What may stand alone or inside braces: all but vectors and addresses.
Operand parse_scalar(Lexer& lexer, Scopes& scopes) {
  if (lexer.peek().text == "_") {
    lexer.take();
    return {};
  }
  if (lexer.at("!") && lexer.peek_second().kind == Token::Kind::identifier &&
      lexer.peek_second().text != "WARP_SZ") {
    lexer.take();
    const int line = lexer.peek().line;
    Operand operand = register_operand(parse_register(lexer, scopes));
    if (scopes.type_of(operand.reg) != Type::pred) Lexer::fail(line, "`!`: expected a predicate");
    operand.negated = true;
    return operand;
  }
  if (!at_constant(lexer)) return parse_named(lexer, scopes);
  const Constant value = parse_constant(lexer);
  Operand operand;
  operand.kind = Operand::Kind::immediate;
  operand.bits = value.bits;
  operand.float_bits = value.float_bits;
  return operand;
}

Operand parse_vector(Lexer& lexer, Scopes& scopes) {
  Operand vector;
  vector.kind = Operand::Kind::vector;
  lexer.expect("{");
  do {
    vector.elements.push_back(parse_scalar(lexer, scopes));
  } while (lexer.accept(","));
  lexer.expect("}");
  return vector;
}

// [base + offset], or [base, coordinates] where the coordinates become the address's elements.
Operand parse_address(Lexer& lexer, Scopes& scopes) {
  lexer.expect("[");
  const int line = lexer.peek().line;
  Operand base = parse_scalar(lexer, scopes);
  Operand address;
  address.kind = Operand::Kind::address;
  if (base.kind == Operand::Kind::reg && !base.negated) {
    address.has_reg = true;
    address.reg = base.reg;
    if (lexer.at("+") || lexer.at("-")) {
      address.offset = static_cast<std::int64_t>(parse_constant(lexer).bits);
    }
  } else if (base.kind == Operand::Kind::symbol) {
    address.text = std::move(base.text);
    address.offset = base.offset;
  } else if (base.kind == Operand::Kind::immediate && base.float_bits == 0) {
    address.offset = static_cast<std::int64_t>(base.bits);
  } else {
    Lexer::fail(line, "`[`: expected a register, a variable or an integer as address");
  }
  while (lexer.accept(",")) {
    if (!lexer.at("{")) {
      address.elements.push_back(parse_scalar(lexer, scopes));
      continue;
    }
    Operand coordinates = parse_vector(lexer, scopes);
    std::ranges::move(coordinates.elements, std::back_inserter(address.elements));
  }
  lexer.expect("]");
  return address;
}

}  // namespace

Operand parse_operand(Lexer& lexer, Scopes& scopes) {
  if (lexer.at("{")) return parse_vector(lexer, scopes);
  if (lexer.at("[")) return parse_address(lexer, scopes);
  return parse_scalar(lexer, scopes);
}

RegisterId parse_register(Lexer& lexer, Scopes& scopes) {
  const int line = lexer.peek().line;
  const Operand operand = parse_named(lexer, scopes);
  if (operand.kind != Operand::Kind::reg) {
    Lexer::fail(line, fmt::format("`{}`: expected a declared register", operand.text));
  }
  return operand.reg;
}

}  // namespace octavo::emulator::ptx
