#include "program.hpp"

#include <doctest/doctest.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "runtime/driver.hpp"
#include "runtime/nvrtc.hpp"

namespace octavo::test {

namespace {

std::string read_file(const std::string& path) {
  std::ifstream file(path);
  REQUIRE_MESSAGE(file, path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

std::string compile(const std::string& name, std::vector<std::string> options) {
  const Nvrtc& nvrtc = loaded_nvrtc();
  const std::string path = OCTAVO_SOURCE_DIR "/tests/programs/" + name + ".cu";
  const std::string source = read_file(path);
  std::string arch(device().architecture().name);
  options.push_back("--gpu-architecture=compute_" + arch.substr(arch.find('_') + 1));
  options.emplace_back("--std=c++20");
  std::vector<const char*> pointers;
  for (const std::string& option : options) pointers.push_back(option.c_str());
  nvrtcProgram program = nullptr;
  const std::string file = name + ".cu";
  REQUIRE(nvrtc.nvrtcCreateProgram(&program, source.c_str(), file.c_str(), 0, nullptr, nullptr) ==
          0);
  const int result =
      nvrtc.nvrtcCompileProgram(program, static_cast<int>(pointers.size()), pointers.data());
  std::size_t bytes = 0;
  nvrtc.nvrtcGetProgramLogSize(program, &bytes);
  std::string log(bytes, '\0');
  nvrtc.nvrtcGetProgramLog(program, log.data());
  REQUIRE_MESSAGE(result == 0, log);
  REQUIRE(nvrtc.nvrtcGetPTXSize(program, &bytes) == 0);
  std::string ptx(bytes, '\0');
  REQUIRE(nvrtc.nvrtcGetPTX(program, ptx.data()) == 0);
  nvrtc.nvrtcDestroyProgram(&program);
  return ptx;
}

}  // namespace

Program::Program(const std::string& name, const std::vector<std::string>& options) {
  static std::map<std::pair<std::string, std::vector<std::string>>, std::string> compiled;
  std::string& ptx = compiled[{name, options}];
  if (ptx.empty()) ptx = compile(name, options);
  device().make_current();
  require(device().driver().cuModuleLoadData(&module_, ptx.c_str()), name.c_str());
}

Program::~Program() { device().driver().cuModuleUnload(module_); }

void Program::require(CUresult result, const char* what) {
  if (result == CUDA_SUCCESS) return;
  FAIL(what << ": error " << static_cast<int>(result) << ": " << last_fault());
}

CUresult Program::launch_kernel(const char* kernel, Dim grid, Dim block, unsigned shared_bytes,
                                void** arguments) {
  const Driver& driver = device().driver();
  CUfunction function = nullptr;
  require(driver.cuModuleGetFunction(&function, module_, kernel), kernel);
  const CUresult launched =
      driver.cuLaunchKernel(function, grid.x, grid.y, grid.z, block.x, block.y, block.z,
                            shared_bytes, nullptr, arguments, nullptr);
  return launched == CUDA_SUCCESS ? driver.cuCtxSynchronize() : launched;
}

CUdeviceptr Program::global(const char* name) {
  CUdeviceptr address = 0;
  require(device().driver().cuModuleGetGlobal(&address, nullptr, module_, name), name);
  return address;
}

void each_schedule(const std::function<void()>& body) {
  for (const char* schedule : {"round-robin", "random:1", "random:2"}) {
    for (const char* threads : {"1", "3"}) {
      CAPTURE(std::string(schedule));
      CAPTURE(std::string(threads));
      setenv("OCTAVO_SCHEDULE", schedule, 1);
      setenv("OCTAVO_EMULATOR_THREADS", threads, 1);
      body();
    }
  }
  unsetenv("OCTAVO_SCHEDULE");
  unsetenv("OCTAVO_EMULATOR_THREADS");
}

std::string captured_output(const std::function<void()>& body) {
  std::fflush(stdout);
  const int before = dup(STDOUT_FILENO);
  std::FILE* file = std::tmpfile();
  REQUIRE(file != nullptr);
  dup2(fileno(file), STDOUT_FILENO);
  body();
  std::fflush(stdout);
  dup2(before, STDOUT_FILENO);
  close(before);
  std::string text(static_cast<std::size_t>(std::ftell(file)), '\0');
  std::fseek(file, 0, SEEK_SET);
  text.resize(std::fread(text.data(), 1, text.size(), file));
  std::fclose(file);
  return text;
}

std::string last_fault() {
  const char* text = "";
  if (device().driver().emulates()) device().driver().octavoEmulatorLastFault(&text);
  return text;
}

std::string cuda_headers() {
  for (const char* variable : {"CUDA_HOME", "CUDA_PATH"}) {
    const char* home = std::getenv(variable);
    if (home != nullptr && std::filesystem::exists(std::string(home) + "/include/cuda_fp16.h")) {
      return std::string(home) + "/include";
    }
  }
  const std::string usual = "/usr/local/cuda/include";
  return std::filesystem::exists(usual + "/cuda_fp16.h") ? usual : "";
}

}  // namespace octavo::test
