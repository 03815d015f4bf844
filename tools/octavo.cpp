// The octavo command.
#include <fmt/format.h>

#include <algorithm>
#include <new>
#include <numeric>

#include "generator/spec.hpp"
#include "runtime/error.hpp"
#include "tools/commands.hpp"

namespace octavo {
namespace {

enum Status { kOk = 0, kCheckFailed = 1, kUsage = 2, kEnvironment = 3 };

// Insertions, deletions and replacements from one word to the other.
std::size_t edits(std::string_view from, std::string_view to) {
  std::vector<std::size_t> row(to.size() + 1);
  std::iota(row.begin(), row.end(), 0);
  for (std::size_t i = 1; i <= from.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= to.size(); ++j) {
      const std::size_t replaced = diagonal + (from[i - 1] != to[j - 1]);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
    }
  }
  return row.back();
}

// "; did you mean X?" for the word that is nearest, "" if none is near.
std::string suggestion(std::string_view word, const std::vector<std::string>& known) {
  const auto nearest =
      std::ranges::min_element(known, {}, [&](const auto& k) { return edits(word, k); });
  const bool near =
      nearest != known.end() && edits(word, *nearest) <= std::max<std::size_t>(2, word.size() / 3);
  return near ? fmt::format("; did you mean {}?", *nearest) : "";
}

// What the parser did not expect, with the nearest thing that it would have.
std::string explain_extras(const CLI::App& app) {
  const CLI::App* command = app.get_subcommands().empty() ? &app : app.get_subcommands().front();
  const std::vector<std::string> extras = app.remaining(true);
  const std::string word = extras.empty() ? "" : extras.front();
  std::vector<std::string> known;
  for (const CLI::Option* option : command->get_options()) {
    for (const std::string& name : option->get_lnames()) known.push_back("--" + name);
  }
  for (const CLI::App* subcommand :
       command->get_subcommands([](const CLI::App*) { return true; })) {
    known.push_back(subcommand->get_name());
  }
  const std::string where = command == &app ? "octavo" : "octavo " + command->get_name();
  const char* kind = command == &app && !word.starts_with('-') ? "command"
                     : word.starts_with('-')                   ? "option"
                                                               : "argument";
  return fmt::format("{} has no {} {}{}; see {} --help", where, kind, word, suggestion(word, known),
                     where);
}

int fail(std::string_view message, Status status) {
  fmt::print(stderr, "octavo: {}\n", message);
  return status;
}

int run_command(CLI::App& app, int argc, char** argv, int& status) {
  try {
    app.parse(argc, argv);
    return status;
  } catch (const CLI::Success& help) {
    return app.exit(help);
  } catch (const CLI::ExtrasError&) {
    return fail(explain_extras(app), kUsage);
  } catch (const CLI::ParseError& error) {
    // A first word that is no command leaves the parser asking for one.
    const bool word = app.get_subcommands().empty() && !app.remaining().empty();
    return fail(word ? explain_extras(app) : error.what(), kUsage);
  } catch (const SpecError& error) {
    for (const std::string& line : error.lines()) fail(line, kUsage);
    return kUsage;
  } catch (const UsageError& error) {
    return fail(error.what(), kUsage);
  } catch (const std::bad_alloc&) {
    return fail("out of memory; use a smaller job", kEnvironment);
  } catch (const std::exception& error) {
    return fail(error.what(), kEnvironment);
  }
}

}  // namespace
}  // namespace octavo

int main(int argc, char** argv) {
  CLI::App app{
      "Octavo turns specs of attention over an FP8 KV cache into specialised CUDA kernels."};
  app.name("octavo");
  app.require_subcommand(1);
  app.failure_message(CLI::FailureMessage::simple);
  int status = octavo::kOk;
  octavo::add_generate(app, status);
  octavo::add_compile(app, status);
  octavo::add_run(app, status);
  octavo::add_emulate(app, status);
  octavo::add_doctor(app, status);
  app.footer("Example:\n  octavo run specs/llama-3.1-8b.yaml --context 4096 --check");
  return octavo::run_command(app, argc, argv, status);
}
