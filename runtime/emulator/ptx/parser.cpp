#include "ptx/parser.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <map>

#include "ptx/body.hpp"
#include "ptx/constant.hpp"
#include "ptx/declaration.hpp"
#include "ptx/lexer.hpp"

namespace octavo::emulator::ptx {
namespace {

// All initial values of a module together; rows that are padded could otherwise ask for any amount.
constexpr std::uint64_t kInitialiserBudget = std::uint64_t{256} << 20;

class Parser {
 public:
  explicit Parser(std::string_view text) : lexer_(text) {}

  Module parse() {
    header();
    while (lexer_.peek().kind != Token::Kind::end) top_level();
    for (const ModuleReference& reference : references_) {
      if (!names_.contains(reference.name)) {
        Lexer::fail(reference.line, fmt::format("`{}`: expected a declared name", reference.name));
      }
    }
    resolve_aliases();
    return std::move(module_);
  }

 private:
  void header() {
    if (!lexer_.accept_directive("version")) lexer_.fail_expected("`.version` first");
    const Token version = lexer_.take();
    const std::size_t point = version.text.find('.');
    if (version.kind != Token::Kind::real || point == std::string_view::npos) {
      Lexer::fail(version.line, ".version: expected a number such as 8.5");
    }
    module_.version_major = small_number(version.text.substr(0, point), version.line);
    module_.version_minor = small_number(version.text.substr(point + 1), version.line);
    while (skip_debug_directive(lexer_)) {
    }
    if (!lexer_.accept_directive("target")) lexer_.fail_expected("`.target` after `.version`");
    target();
  }

  static int small_number(std::string_view digits, int line) {
    int value = 0;
    for (const char c : digits) {
      if (c < '0' || c > '9' || value > 99) {
        Lexer::fail(line, ".version: expected a number such as 8.5");
      }
      value = value * 10 + (c - '0');
    }
    return value;
  }

  void target() {
    do {
      const int line = lexer_.peek().line;
      const std::string name = lexer_.expect_identifier("an architecture such as sm_90a");
      module_.debug = module_.debug || name == "debug";
      if (!name.starts_with("sm_")) continue;  // or "texmode_independent"
      if (!module_.target.empty()) Lexer::fail(line, ".target: expected one architecture");
      module_.target = name;
    } while (lexer_.accept(","));
    if (module_.target.empty()) lexer_.fail_expected("an architecture in .target");
  }

  void top_level() {
    if (lexer_.accept(";") || skip_debug_directive(lexer_)) return;
    if (lexer_.accept_directive("address_size")) {
      if (parse_count(lexer_, 64) != 64) lexer_.fail_expected(".address_size 64");
      return;
    }
    if (lexer_.accept_directive("alias")) return alias();
    bool external = false;
    while (lexer_.at_directive("extern") || lexer_.at_directive("visible") ||
           lexer_.at_directive("weak") || lexer_.at_directive("common")) {
      external = lexer_.take().text == "extern" || external;
    }
    if (lexer_.at_directive("entry") || lexer_.at_directive("func")) return function();
    if (lexer_.peek().kind != Token::Kind::directive) lexer_.fail_expected("a directive");
    const Space space = space_named(lexer_.peek().text);
    if (space == Space::generic || space == Space::param || space == Space::local) {
      lexer_.fail_expected("a variable of .global, .const or .shared, or a function");
    }
    lexer_.take();
    variables(space, external);
  }

  void variables(Space space, bool external) {
    const DeclarationHead head = parse_head(lexer_, space, external);
    do {
      const int line = lexer_.peek().line;
      Variable variable = parse_declarator(lexer_, head, budget_);
      for (const Variable::Relocation& relocation : variable.relocations) {
        references_.push_back({line, relocation.symbol});
      }
      add_variable(std::move(variable), line);
    } while (lexer_.accept(","));
    lexer_.expect(";");
  }

  // An extern declaration may stand beside the definition, in either order.
  void add_variable(Variable variable, int line) {
    const auto [known, fresh] =
        variable_index_.try_emplace(variable.name, module_.variables.size());
    if (fresh) {
      declare(variable.name, line);
      module_.variables.push_back(std::move(variable));
      return;
    }
    Variable& before = module_.variables[known->second];
    if (!before.external && !variable.external) already_declared(variable.name, line);
    if (before.external) before = std::move(variable);
  }

  void declare(const std::string& name, int line) {
    if (!names_.insert(name).second) already_declared(name, line);
  }

  [[noreturn]] static void already_declared(std::string_view name, int line) {
    Lexer::fail(line, fmt::format("`{}`: expected a name not declared yet", name));
  }

  void function() {
    Function function;
    function.entry = lexer_.take().text == "entry";
    function.line = lexer_.peek().line;
    if (lexer_.accept_directive("attribute")) {
      lexer_.fail_expected("a function without .attribute");
    }
    if (lexer_.at("(")) parameters(function.results);
    function.name = lexer_.expect_identifier("a function's name");
    if (lexer_.at("(")) parameters(function.parameters);
    while (lexer_.peek().kind == Token::Kind::directive) function_directive(function);
    function.declared_only = lexer_.accept(";");
    Function* place = function_place(function);
    if (function.declared_only) {
      if (place->declared_only) *place = std::move(function);
      return;
    }
    parse_body(lexer_, names_, function, references_, budget_);
    *place = std::move(function);
  }

  // Where this function goes: over its own earlier declaration, or at the end.
  Function* function_place(const Function& function) {
    const auto [known, fresh] =
        function_index_.try_emplace(function.name, module_.functions.size());
    if (fresh) {
      declare(function.name, function.line);
      module_.functions.emplace_back().declared_only = true;
      return &module_.functions.back();
    }
    Function& before = module_.functions[known->second];
    if (!before.declared_only && !function.declared_only) {
      already_declared(function.name, function.line);
    }
    return &before;
  }

  void parameters(std::vector<Variable>& list) {
    lexer_.expect("(");
    if (lexer_.accept(")")) return;
    do {
      if (!lexer_.accept_directive("param")) lexer_.fail_expected("`.param`");
      const DeclarationHead head = parse_head(lexer_, Space::param, false);
      list.push_back(parse_declarator(lexer_, head, budget_));
      if (!list.back().initial.empty()) lexer_.fail_expected("a parameter without a value");
    } while (lexer_.accept(","));
    lexer_.expect(")");
  }

  void function_directive(Function& function) {
    if (skip_debug_directive(lexer_)) return;
    const std::string_view name = lexer_.peek().text;
    if (name == "noreturn") {
      lexer_.take();
    } else if (name == "explicitcluster" || name == "blocksareclusters") {
      (name == "explicitcluster" ? function.explicit_cluster : function.blocks_are_clusters) = true;
      lexer_.take();
    } else if (name == "maxntid") {
      dimensions(function.max_threads);
    } else if (name == "reqntid") {
      dimensions(function.required_threads);
    } else if (name == "reqnctapercluster") {
      dimensions(function.required_cluster);
    } else if (name == "minnctapersm") {
      lexer_.take();
      function.min_blocks = count();
    } else if (name == "maxclusterrank") {
      lexer_.take();
      function.max_cluster_blocks = count();
    } else if (name == "maxnreg") {
      lexer_.take();
      function.max_registers = count();
    } else if (name == "maxnctapersm" || name == "abi_preserve" || name == "abi_preserve_control") {
      lexer_.take();
      count();
    } else {
      lexer_.fail_expected("a function's directive or its body");
    }
  }

  std::uint32_t count() {
    return static_cast<std::uint32_t>(
        parse_count(lexer_, std::numeric_limits<std::uint32_t>::max()));
  }

  // x, y, z where y and z are 1 if left out.
  void dimensions(std::uint32_t (&values)[3]) {
    lexer_.take();
    std::fill_n(values, 3, 1U);
    values[0] = count();
    for (int i = 1; i < 3 && lexer_.accept(","); ++i) values[i] = count();
  }

  // .alias NAME, FUNCTION; the name was declared, and means that function.
  void alias() {
    const int line = lexer_.peek().line;
    const std::string name = lexer_.expect_identifier("a declared function");
    lexer_.expect(",");
    const std::string target = lexer_.expect_identifier("a function");
    lexer_.expect(";");
    aliases_[name] = {target, line};
  }

  // Calls and addresses of an alias become those of its function.
  void resolve_aliases() {
    for (const auto& [name, alias] : aliases_) {
      const Function* from = module_.find(name);
      const Function* to = module_.find(alias.target);
      if (from == nullptr || to == nullptr || !from->declared_only || to->declared_only) {
        Lexer::fail(alias.line,
                    fmt::format("`.alias {}, {}`: expected a declared and a defined function", name,
                                alias.target));
      }
    }
    if (aliases_.empty()) return;
    for (Function& function : module_.functions) {
      for (Instruction& instruction : function.body) {
        replace_alias(instruction.callee);
        for (Operand& operand : instruction.operands) replace_alias(operand.text);
      }
    }
    for (Variable& variable : module_.variables) {
      for (Variable::Relocation& relocation : variable.relocations)
        replace_alias(relocation.symbol);
    }
  }

  void replace_alias(std::string& name) const {
    const auto alias = aliases_.find(name);
    if (alias != aliases_.end()) name = alias->second.target;
  }

  struct Alias {
    std::string target;
    int line = 0;
  };

  Lexer lexer_;
  Module module_;
  Names names_;  // of variables and functions
  std::map<std::string, std::size_t, std::less<>> variable_index_, function_index_;
  std::map<std::string, Alias, std::less<>> aliases_;
  std::vector<ModuleReference> references_;
  std::uint64_t budget_ = kInitialiserBudget;
};

}  // namespace

Module parse(std::string_view text) { return Parser(text).parse(); }

}  // namespace octavo::emulator::ptx
