// Links compiled kernels into this process.
#include <fmt/core.h>
#include <llvm/ExecutionEngine/Orc/ExecutionUtils.h>
#include <llvm/ExecutionEngine/Orc/LLJIT.h>
#include <llvm/Support/MemoryBuffer.h>
#include <llvm/Support/TargetSelect.h>

#include <cstring>

#include "execute/warp.hpp"
#include "fault.hpp"
#include "lower/compile.hpp"
#include "tensor_core/mma.hpp"
#include "tensor_core/special.hpp"

namespace octavo::emulator::lower {
namespace {

namespace orc = llvm::orc;

template <typename T>
T check(llvm::Expected<T> result) {
  if (!result) {
    throw Fault(CUDA_ERROR_UNKNOWN, fmt::format("cannot link a compiled kernel: {}",
                                                llvm::toString(result.takeError())));
  }
  return std::move(*result);
}

void check(llvm::Error error) {
  if (error)
    throw Fault(CUDA_ERROR_UNKNOWN,
                fmt::format("cannot link a compiled kernel: {}", llvm::toString(std::move(error))));
}

// Every function that a kernel may call, by the name that it calls.
orc::SymbolMap symbols(orc::LLJIT& jit) {
  orc::SymbolMap map;
  const auto add = [&](std::string_view name, void* address) {
    map[jit.mangleAndIntern(llvm::StringRef(name.data(), name.size()))] = {
        orc::ExecutorAddr::fromPtr(address),
        llvm::JITSymbolFlags::Exported | llvm::JITSymbolFlags::Callable};
  };
  for (const Helper& helper : all_helpers()) add(helper.name, helper.function);
  for (const auto& mma : tensor_core::mma_table())
    add(mma.symbol, reinterpret_cast<void*>(mma.function));
  for (const auto& special : tensor_core::special_table()) {
    add(special.opcode, reinterpret_cast<void*>(special.function));
  }
  return map;
}

}  // namespace

struct LoadedKernel::Linker {
  std::unique_ptr<orc::LLJIT> jit;
};

LoadedKernel::LoadedKernel(const std::string& object) : linker_(std::make_unique<Linker>()) {
  llvm::InitializeNativeTarget();
  llvm::InitializeNativeTargetAsmPrinter();
  linker_->jit = check(orc::LLJITBuilder().create());
  orc::LLJIT& jit = *linker_->jit;
  orc::JITDylib& library = jit.getMainJITDylib();
  check(library.define(orc::absoluteSymbols(symbols(jit))));
  // memcpy and what else the host's code generator calls.
  library.addGenerator(check(orc::DynamicLibrarySearchGenerator::GetForCurrentProcess(
      jit.getDataLayout().getGlobalPrefix())));
  check(jit.addObjectFile(llvm::MemoryBuffer::getMemBufferCopy(object, "kernel")));
  function_ = check(jit.lookup("octavo_kernel")).toPtr<void*>();
  std::memcpy(&summary_, check(jit.lookup("octavo_summary")).toPtr<const void*>(), sizeof summary_);
}

LoadedKernel::~LoadedKernel() = default;

}  // namespace octavo::emulator::lower
