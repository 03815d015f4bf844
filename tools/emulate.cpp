// octavo emulate: a kernel of any PTX or CUDA file on the emulator.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <memory>
#include <optional>

#include "tools/commands.hpp"
#include "tools/emulation.hpp"
#include "tools/file.hpp"
#include "tools/report.hpp"
#include "tools/terminal.hpp"

namespace octavo {
namespace {

using json = nlohmann::ordered_json;

struct Options {
  std::string file, entry, device;
  std::vector<unsigned> grid, block;
  unsigned shared_bytes = 0, cluster = 0;
  std::vector<std::string> arguments, outputs;
  bool print_json = false;
};

struct Output {
  std::size_t argument;
  std::string file;
};

// Three sizes of those that are given, the others being 1.
std::vector<unsigned> dimensions(const char* option, std::vector<unsigned> given) {
  if (given.size() > 3)
    throw UsageError(fmt::format("{} {}: expected X, X,Y or X,Y,Z", option, fmt::join(given, ",")));
  given.resize(3, 1);
  return given;
}

// "2=out.npy": an argument that is a buffer, and where it goes.
Output parse_output(const std::string& text, const std::vector<KernelArgument>& arguments) {
  const std::size_t equals = text.find('=');
  Output output{0, equals == std::string::npos ? "" : text.substr(equals + 1)};
  const char* end = text.data() + std::min(equals, text.size());
  const auto [read, error] = std::from_chars(text.data(), end, output.argument);
  if (error != std::errc() || read != end || !output.file.ends_with(".npy"))
    throw UsageError(fmt::format("--out {}: expected INDEX=FILE.npy, such as 2=out.npy", text));
  if (output.argument >= arguments.size() || !arguments[output.argument].buffer) {
    throw UsageError(fmt::format("--out {}: argument {} is not a buffer of the {} given, from 0 on",
                                 text, output.argument, arguments.size()));
  }
  return output;
}

json to_json(const Device& device, const Emulation& emulation, const Outcome& outcome,
             const std::vector<Output>& outputs) {
  json object = {{"device", device.name()},      {"file", emulation.file},
                 {"kernel", outcome.kernel},     {"grid", emulation.grid},
                 {"block", emulation.block},     {"shared_bytes", emulation.shared_bytes},
                 {"ok", outcome.fault.empty()},  {"compile_ms", outcome.compile_ms},
                 {"load_ms", outcome.load_ms},   {"launch_ms", outcome.launch_ms},
                 {"warp_instructions", nullptr}, {"fault", nullptr},
                 {"outputs", json::array()}};
  if (!outcome.fault.empty()) {
    object["fault"] = outcome.fault;
    return object;
  }
  object["warp_instructions"] = outcome.warp_instructions;
  for (const Output& output : outputs) {
    const Array& array = *emulation.arguments[output.argument].buffer;
    object["outputs"].push_back({{"argument", output.argument},
                                 {"file", output.file},
                                 {"type", array.type->name},
                                 {"shape", array.shape}});
  }
  return object;
}

void print(const Device& device, const Emulation& emulation, const Outcome& outcome,
           const std::vector<Output>& outputs) {
  const auto size = [](const std::vector<unsigned>& d) {
    return fmt::format("{}", fmt::join(d, "x"));
  };
  const auto time = [](double ms) { return fmt::format("{:.3f} ms", ms); };
  fmt::print("{} of {} on {}\n\n{}", outcome.kernel, emulation.file, device.name(),
             table({{"grid", "block", "shared", "compile", "load", "launch", "warp instructions"},
                    {size(emulation.grid), size(emulation.block),
                     fmt::format("{} B", emulation.shared_bytes), time(outcome.compile_ms),
                     time(outcome.load_ms), time(outcome.launch_ms),
                     outcome.fault.empty() ? fmt::format("{}", outcome.warp_instructions) : "-"}}));
  if (!outcome.fault.empty()) return;
  for (const Output& output : outputs) {
    const Array& array = *emulation.arguments[output.argument].buffer;
    fmt::print("argument {}: {} [{}] in {}\n", output.argument, array.type->name,
               fmt::join(array.shape, ", "), output.file);
  }
}

// What kernels print goes to stderr while this lives, so that stdout is one JSON object.
class StdoutToStderr {
 public:
  StdoutToStderr() : saved_(dup(STDOUT_FILENO)) { dup2(STDERR_FILENO, STDOUT_FILENO); }
  StdoutToStderr(const StdoutToStderr&) = delete;
  StdoutToStderr& operator=(const StdoutToStderr&) = delete;
  ~StdoutToStderr() {
    dup2(saved_, STDOUT_FILENO);
    close(saved_);
  }

 private:
  int saved_;
};

void emulate(const Options& options, int& status) {
  Emulation emulation{.file = options.file,
                      .entry = options.entry,
                      .grid = dimensions("--grid", options.grid),
                      .block = dimensions("--block", options.block),
                      .shared_bytes = options.shared_bytes,
                      .cluster = options.cluster,
                      .arguments = {}};
  for (const std::string& spec : options.arguments)
    emulation.arguments.push_back(parse_kernel_argument(spec));
  std::vector<Output> outputs;
  for (const std::string& text : options.outputs)
    outputs.push_back(parse_output(text, emulation.arguments));

  const Device device =
      Device::open(options.device.empty() ? "emulator" : "emulator:" + options.device);
  std::optional<StdoutToStderr> aside;
  if (options.print_json) aside.emplace();
  const Outcome outcome = run_kernel(device, emulation);
  aside.reset();
  if (outcome.fault.empty()) {
    for (const Output& output : outputs)
      write_file(output.file, to_npy(*emulation.arguments[output.argument].buffer));
  }
  if (options.print_json) {
    print_json({to_json(device, emulation, outcome, outputs)});
  } else {
    print(device, emulation, outcome, outputs);
  }
  if (outcome.fault.empty()) return;
  fmt::print(stderr, "octavo: {}\n", outcome.fault);
  status = 1;
}

}  // namespace

void add_emulate(CLI::App& app, int& status) {
  const auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "emulate", "Run a kernel of any PTX or CUDA file on the emulator, every access checked");
  command->add_option("FILE", options->file, "A .ptx file, or a .cu file, which NVRTC compiles")
      ->required();
  command->add_option("--entry", options->entry, "The kernel, by its name in the PTX or in C++")
      ->required();
  for (const auto& [name, sizes, what] :
       {std::tuple("--grid", &options->grid, "Blocks: X, X,Y or X,Y,Z"),
        std::tuple("--block", &options->block, "Threads of a block, likewise")}) {
    command->add_option(name, *sizes, what)
        ->required()
        ->delimiter(',')
        ->allow_extra_args(false)
        ->type_name("X,Y,Z");
  }
  command->add_option("--shared", options->shared_bytes, "Bytes of dynamic shared memory")
      ->check(CLI::Range(0, 1 << 20))
      ->capture_default_str();
  command
      ->add_option("--cluster", options->cluster,
                   "Blocks of a cluster, along x; without it, as the kernel says")
      ->check(CLI::Range(1, 16));
  command->add_option("--device", options->device,
                      "The GPU to stand for: h100, h200, a100, l40s, b200 or rtx5090");
  command
      ->add_option("--arg", options->arguments,
                   "The kernel's next argument: i32:5, f32:1.5; buf:f32:1024 (zeros), "
                   "buf:f32:1024:uniform(SEED), buf:FILE.npy; bytes:FILE for a struct")
      ->allow_extra_args(false)
      ->type_name("SPEC");
  command
      ->add_option("--out", options->outputs,
                   "Write a buffer when the kernel is done: INDEX=FILE.npy, the first argument "
                   "being 0")
      ->allow_extra_args(false)
      ->type_name("INDEX=FILE");
  command->add_flag("--json", options->print_json,
                    "Print a JSON object; what the kernel prints goes to stderr");
  command->footer(
      "Exits with 1 if the kernel faults: the line says where. OCTAVO_SCHEDULE and OCTAVO_ASYNC\n"
      "choose the order of warps and of asynchronous work.\n\n"
      "Example:\n  octavo emulate saxpy.cu --entry saxpy --grid 4 --block 256 --arg i32:1000 \\\n"
      "    --arg f32:2.5 --arg 'buf:f32:1000:uniform(1)' --arg buf:f32:1000 --out 3=y.npy");
  command->callback([options, &status] { emulate(*options, status); });
}

}  // namespace octavo
