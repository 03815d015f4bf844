// Names inside one function: nested {} scopes may declare a register, label or variable again.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "ptx/ast.hpp"

namespace octavo::emulator::ptx {

class Scopes {
 public:
  using Id = std::uint32_t;

  // Names of the module, which no name of the function may be confused with.
  explicit Scopes(const std::set<std::string, std::less<>>& taken);

  bool open();   // false if nested too deeply
  bool close();  // false if only the function's own scope is open
  Id current() const { return current_; }

  // `name` alone, or the `count` registers name0, name1, ...; width 2 or 4 for .v2 and .v4. False
  // if this scope has the name already. Registers get their number when first used, so that
  // declaring four thousand million costs nothing.
  bool declare_registers(std::string_view name, Type type, std::uint32_t count, bool range,
                         std::uint8_t width);

  // The numbers behind a name: one, or two or four for a vector register. Empty if not a register.
  std::vector<RegisterId> find_registers(std::string_view name);
  Type type_of(RegisterId reg) const { return registers_[reg].type; }
  std::vector<Register> take_registers() { return std::move(registers_); }

  // Declares a label or variable; returns the name it has in the whole function: its own, or one
  // with a suffix that no PTX name can have. Empty if this scope has it already.
  std::string declare_name(std::string_view name);

  // The function-wide name for what `name` means in that scope, if the function declares it at all.
  std::optional<std::string> find_name(std::string_view name, Id scope) const;

 private:
  struct Declared {
    Type type = Type::none;
    std::uint32_t count = 0;
    std::uint8_t width = 1;
  };
  struct Scope {
    Id parent = 0;
    int depth = 0;
    std::map<std::string, Declared, std::less<>> registers;  // one name each
    std::map<std::string, Declared, std::less<>> ranges;     // prefix of a numbered range
    std::map<std::string, std::vector<RegisterId>, std::less<>> used;
    std::map<std::string, std::string, std::less<>> names;  // as written -> function-wide
  };

  std::optional<Declared> declared(const Scope& scope, std::string_view name) const;

  const std::set<std::string, std::less<>>& taken_;
  std::set<std::string, std::less<>> unique_;
  std::map<std::string, std::uint32_t, std::less<>> repeats_;
  std::vector<Scope> scopes_;
  std::vector<Register> registers_;
  Id current_ = 0;
};

}  // namespace octavo::emulator::ptx
