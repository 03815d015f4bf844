// The subcommands of octavo. Each add_ function describes one to the parser and says what it does:
// it throws for what goes wrong (SpecError, UsageError, EnvironmentError) and sets `status` to 1
// where a check failed.
#pragma once

#include <CLI/CLI.hpp>

namespace octavo {

void add_generate(CLI::App& app, int& status);
void add_compile(CLI::App& app, int& status);
void add_run(CLI::App& app, int& status);
void add_emulate(CLI::App& app, int& status);
void add_doctor(CLI::App& app, int& status);

}  // namespace octavo
