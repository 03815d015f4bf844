#include "ptx/body.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "ptx/constant.hpp"
#include "ptx/declaration.hpp"
#include "ptx/operand.hpp"
#include "ptx/scopes.hpp"
#include "ptx/types.hpp"

namespace octavo::emulator::ptx {
namespace {

class Body {
 public:
  Body(Lexer& lexer, const Names& module_names, Function& function,
       std::vector<ModuleReference>& references, std::uint64_t& budget)
      : lexer_(lexer),
        scopes_(module_names),
        module_names_(module_names),
        function_(function),
        references_(references),
        budget_(budget) {}

  void parse() {
    for (auto* variables : {&function_.results, &function_.parameters}) {
      for (Variable& variable : *variables) declare(variable, function_.line);
    }
    lexer_.expect("{");
    for (int depth = 1; depth > 0;) {
      if (lexer_.peek().kind == Token::Kind::end) lexer_.fail_expected("`}`");
      if (lexer_.at("{")) {
        if (!scopes_.open()) lexer_.fail_expected("less deeply nested scopes");
        lexer_.take();
        ++depth;
      } else if (lexer_.accept("}")) {
        scopes_.close();
        --depth;
      } else {
        statement();
      }
    }
    function_.registers = scopes_.take_registers();
    resolve();
  }

 private:
  using Id = Scopes::Id;

  void statement() {
    if (lexer_.accept(";") || skip_debug_directive(lexer_)) return;
    if (lexer_.peek().kind == Token::Kind::directive) return directive();
    const bool label =
        lexer_.peek().kind == Token::Kind::identifier && lexer_.peek_second().text == ":";
    if (!label) return instruction();
    const Token name = lexer_.take();
    lexer_.expect(":");
    const std::string unique = scopes_.declare_name(name.text);
    if (unique.empty()) redeclared(name.line, name.text);
    if (lexer_.accept_directive("branchtargets")) return branch_targets(unique);
    const bool prototype =
        lexer_.at_directive("callprototype") || lexer_.at_directive("calltargets");
    if (prototype) return skip_statement();
    function_.labels.push_back({unique, function_.body.size()});
    label_names_.insert(unique);
  }

  void directive() {
    const std::string_view name = lexer_.peek().text;
    const Space space = space_named(name);
    if (name == "reg") {
      lexer_.take();
      return registers();
    }
    if (name == "extern") lexer_.fail_expected("declarations of extern variables before functions");
    if (space == Space::generic) lexer_.fail_expected("an instruction or a declaration");
    lexer_.take();
    const DeclarationHead head = parse_head(lexer_, space, false);
    do {
      const int line = lexer_.peek().line;
      Variable variable = parse_declarator(lexer_, head, budget_);
      for (const Variable::Relocation& relocation : variable.relocations) {
        references_.push_back({line, relocation.symbol});
      }
      declare(variable, line);
      function_.variables.push_back(std::move(variable));
    } while (lexer_.accept(","));
    lexer_.expect(";");
  }

  void declare(Variable& variable, int line) {
    const std::string unique = scopes_.declare_name(variable.name);
    if (unique.empty()) redeclared(line, variable.name);
    variable.name = unique;
  }

  [[noreturn]] static void redeclared(int line, std::string_view name) {
    Lexer::fail(line, fmt::format("`{}`: expected a name not declared yet in this scope", name));
  }

  // .reg .v2 .b32 a, %r<12>;
  void registers() {
    std::uint8_t width = 1;
    if (lexer_.accept_directive("v2")) width = 2;
    if (lexer_.accept_directive("v4")) width = 4;
    if (lexer_.peek().kind != Token::Kind::directive ||
        type_named(lexer_.peek().text) == Type::none) {
      lexer_.fail_expected("a type");
    }
    const Type type = type_named(lexer_.take().text);
    do {
      const int line = lexer_.peek().line;
      const std::string name = lexer_.expect_identifier("a register's name");
      std::uint32_t count = 1;
      const bool range = lexer_.accept("<");
      if (range) {
        // Not a constant expression: its `>` would be a comparison.
        if (lexer_.peek().kind != Token::Kind::integer ||
            lexer_.peek().bits > std::numeric_limits<std::uint32_t>::max()) {
          lexer_.fail_expected("a number of registers below 2^32");
        }
        count = static_cast<std::uint32_t>(lexer_.take().bits);
        lexer_.expect(">");
      }
      if (!scopes_.declare_registers(name, type, count, range, width)) redeclared(line, name);
    } while (lexer_.accept(","));
    lexer_.expect(";");
  }

  void branch_targets(const std::string& name) {
    function_.branch_target_names.push_back(name);
    std::vector<std::string>& list = function_.branch_targets.emplace_back();
    target_scopes_.push_back({scopes_.current(), lexer_.peek().line});
    do {
      list.push_back(lexer_.expect_identifier("a label"));
    } while (lexer_.accept(","));
    lexer_.expect(";");
  }

  void skip_statement() {
    while (!lexer_.at(";")) {
      if (lexer_.peek().kind == Token::Kind::end) lexer_.fail_expected("`;`");
      lexer_.take();
    }
    lexer_.take();
  }

  void instruction() {
    Instruction instruction;
    instruction.line = lexer_.peek().line;
    if (lexer_.accept("@")) {
      instruction.guarded = true;
      instruction.guard_negated = lexer_.accept("!");
      instruction.guard = parse_register(lexer_, scopes_);
    }
    instruction.opcode = lexer_.expect_identifier("an instruction");
    while (lexer_.peek().kind == Token::Kind::directive) {
      instruction.modifiers.emplace_back(lexer_.take().text);
    }
    if (instruction.opcode == "call") {
      call(instruction);
    } else if (!lexer_.at(";")) {
      operands(instruction);
    }
    lexer_.expect(";");
    function_.body.push_back(std::move(instruction));
    instruction_scopes_.push_back(scopes_.current());
  }

  void operands(Instruction& instruction) {
    do {
      instruction.operands.push_back(parse_operand(lexer_, scopes_));
      if (instruction.operands.size() == 1 && lexer_.accept("|")) {
        instruction.pair = true;
        instruction.operands.push_back(parse_operand(lexer_, scopes_));
      }
    } while (lexer_.accept(","));
  }

  // call (result), callee, (arguments), prototype;
  void call(Instruction& instruction) {
    if (lexer_.at("(")) {
      names_in_parentheses(instruction.call_results);
      lexer_.expect(",");
    }
    Operand callee = parse_operand(lexer_, scopes_);
    if (callee.kind == Operand::Kind::symbol && callee.offset == 0) {
      instruction.callee = callee.text;
    } else if (callee.kind == Operand::Kind::reg && !callee.negated) {
      instruction.operands.push_back(std::move(callee));
    } else {
      Lexer::fail(instruction.line, "call: expected a function or a register with its address");
    }
    if (!lexer_.accept(",")) return;
    if (lexer_.at("(")) {
      names_in_parentheses(instruction.call_arguments);
      if (!lexer_.accept(",")) return;
    }
    Operand prototype = parse_operand(lexer_, scopes_);
    if (prototype.kind != Operand::Kind::symbol) {
      Lexer::fail(instruction.line, "call: expected the name of a .callprototype");
    }
    instruction.operands.push_back(std::move(prototype));
  }

  void names_in_parentheses(std::vector<std::string>& names) {
    lexer_.expect("(");
    if (lexer_.accept(")")) return;
    do {
      const Operand operand = parse_operand(lexer_, scopes_);
      if (operand.kind != Operand::Kind::symbol || operand.offset != 0) {
        lexer_.fail_expected("variables of the .param space between the parentheses");
      }
      names.push_back(operand.text);
    } while (lexer_.accept(","));
    lexer_.expect(")");
  }

  // Labels may stand after their uses, so names become function-wide ones only now.
  void resolve() {
    for (std::size_t i = 0; i < function_.body.size(); ++i) {
      Instruction& instruction = function_.body[i];
      const Id scope = instruction_scopes_[i];
      for (Operand& operand : instruction.operands) resolve(operand, scope, instruction.line);
      if (!instruction.callee.empty()) resolve(instruction.callee, scope, instruction.line);
      for (auto* names : {&instruction.call_results, &instruction.call_arguments}) {
        for (std::string& name : *names) resolve_local(name, scope, instruction.line);
      }
      const bool branches = instruction.opcode == "bra" && instruction.operands.size() == 1 &&
                            instruction.operands[0].kind == Operand::Kind::symbol;
      if (branches && !label_names_.contains(instruction.operands[0].text)) {
        Lexer::fail(instruction.line, fmt::format("`{}`: expected a label of this function",
                                                  instruction.operands[0].text));
      }
    }
    for (std::size_t i = 0; i < function_.branch_targets.size(); ++i) {
      for (std::string& name : function_.branch_targets[i]) {
        resolve_local(name, target_scopes_[i].scope, target_scopes_[i].line);
        if (!label_names_.contains(name)) {
          Lexer::fail(target_scopes_[i].line, fmt::format("`{}`: expected a label", name));
        }
      }
    }
  }

  void resolve(Operand& operand, Id scope, int line) {
    const bool named = operand.kind == Operand::Kind::symbol ||
                       (operand.kind == Operand::Kind::address && !operand.text.empty());
    if (named) resolve(operand.text, scope, line);
    for (Operand& element : operand.elements) resolve(element, scope, line);
  }

  void resolve(std::string& name, Id scope, int line) {
    if (auto unique = scopes_.find_name(name, scope)) {
      name = std::move(*unique);
    } else if (!module_names_.contains(name) && name != function_.name) {
      references_.push_back({line, name});
    }
  }

  void resolve_local(std::string& name, Id scope, int line) {
    auto unique = scopes_.find_name(name, scope);
    if (!unique) {
      Lexer::fail(line, fmt::format("`{}`: expected a name that this function declares", name));
    }
    name = std::move(*unique);
  }

  struct Place {
    Id scope;
    int line;
  };

  Lexer& lexer_;
  Scopes scopes_;
  const Names& module_names_;
  Function& function_;
  std::vector<ModuleReference>& references_;
  std::uint64_t& budget_;
  Names label_names_;
  std::vector<Id> instruction_scopes_;
  std::vector<Place> target_scopes_;
};

void skip_braces(Lexer& lexer) {
  lexer.expect("{");
  for (int depth = 1; depth > 0;) {
    if (lexer.peek().kind == Token::Kind::end) lexer.fail_expected("`}`");
    depth += lexer.at("{") ? 1 : lexer.at("}") ? -1 : 0;
    lexer.take();
  }
}

}  // namespace

bool skip_debug_directive(Lexer& lexer) {
  if (lexer.accept_directive("loc") || lexer.accept_directive("file")) {
    lexer.skip_line();
    return true;
  }
  if (lexer.accept_directive("section")) {
    lexer.take();  // its name, a directive or an identifier
    skip_braces(lexer);
    return true;
  }
  if (lexer.accept_directive("pragma")) {
    do {
      if (lexer.peek().kind != Token::Kind::text) lexer.fail_expected("a quoted pragma");
      lexer.take();
    } while (lexer.accept(","));
    lexer.expect(";");
    return true;
  }
  return false;
}

void parse_body(Lexer& lexer, const Names& module_names, Function& function,
                std::vector<ModuleReference>& references, std::uint64_t& budget) {
  Body(lexer, module_names, function, references, budget).parse();
}

}  // namespace octavo::emulator::ptx
