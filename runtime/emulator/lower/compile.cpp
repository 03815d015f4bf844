#include "lower/compile.hpp"

#include <fmt/core.h>
#include <llvm/Analysis/CGSCCPassManager.h>
#include <llvm/Analysis/LoopAnalysisManager.h>
#include <llvm/CodeGen/MachineModuleInfo.h>
#include <llvm/CodeGen/Passes.h>
#include <llvm/CodeGen/TargetPassConfig.h>
#include <llvm/ExecutionEngine/Orc/JITTargetMachineBuilder.h>
#include <llvm/IR/LegacyPassManager.h>
#include <llvm/IR/Verifier.h>
#include <llvm/MC/TargetRegistry.h>
#include <llvm/Passes/PassBuilder.h>
#include <llvm/Support/TargetSelect.h>
#include <llvm/Support/raw_ostream.h>
#include <llvm/Target/TargetMachine.h>
#include <llvm/Transforms/Scalar/DCE.h>
#include <llvm/Transforms/Scalar/EarlyCSE.h>

#include "fault.hpp"
#include "lower/emitter.hpp"

namespace octavo::emulator::lower {
namespace {

llvm::orc::JITTargetMachineBuilder host_target() {
  static const bool initialised = [] {
    llvm::InitializeNativeTarget();
    llvm::InitializeNativeTargetAsmPrinter();
    return true;
  }();
  static_cast<void>(initialised);
  auto builder = llvm::cantFail(llvm::orc::JITTargetMachineBuilder::detectHost());
  builder.setRelocationModel(llvm::Reloc::PIC_);
  builder.setCodeGenOptLevel(llvm::CodeGenOptLevel::Less);
  // a * b + c stays two roundings where PTX has two instructions.
  builder.getOptions().AllowFPOpFusion = llvm::FPOpFusion::Strict;
  return builder;
}

// What repeats from instruction to instruction (masks, addresses) is computed once; PTX comes
// optimised, so that nothing else pays.
void optimise(llvm::Module& module, llvm::TargetMachine& machine) {
  llvm::LoopAnalysisManager loops;
  llvm::FunctionAnalysisManager functions;
  llvm::CGSCCAnalysisManager components;
  llvm::ModuleAnalysisManager modules;
  llvm::PassBuilder builder(&machine);
  builder.registerModuleAnalyses(modules);
  builder.registerCGSCCAnalyses(components);
  builder.registerFunctionAnalyses(functions);
  builder.registerLoopAnalyses(loops);
  builder.crossRegisterProxies(loops, functions, components, modules);
  llvm::FunctionPassManager passes;
  passes.addPass(llvm::EarlyCSEPass());
  passes.addPass(llvm::DCEPass());
  for (llvm::Function& function : module) {
    if (!function.isDeclaration()) passes.run(function, functions);
  }
}

void add_summary(llvm::Module& module, const KernelSummary& summary) {
  const std::uint32_t words[] = {summary.frame_bytes,         summary.local_bytes,
                                 summary.static_shared_bytes, summary.dynamic_offset,
                                 summary.registers,           summary.asynchronous,
                                 summary.uses_stack};
  auto* data = llvm::ConstantDataArray::get(module.getContext(), words);
  new llvm::GlobalVariable(module, data->getType(), true, llvm::GlobalValue::ExternalLinkage, data,
                           "octavo_summary");
}

// What addPassesToEmitFile does, without scheduling instructions before registers are allocated:
// that takes a sixth of the time, and PTX comes in a good order.
std::string emit_object(llvm::Module& module, llvm::TargetMachine& machine) {
  auto& target = static_cast<llvm::LLVMTargetMachine&>(machine);
  llvm::SmallString<0> object;
  llvm::raw_svector_ostream stream(object);
  llvm::legacy::PassManager passes;
  llvm::TargetPassConfig* config = target.createPassConfig(passes);
  auto* information = new llvm::MachineModuleInfoWrapperPass(&target);
  config->disablePass(&llvm::MachineSchedulerID);
  passes.add(config);
  passes.add(information);
  bool failed = config->addISelPasses();
  config->addMachinePasses();
  config->setInitialized();
  failed =
      failed || target.addAsmPrinter(passes, stream, nullptr, llvm::CodeGenFileType::ObjectFile,
                                     information->getMMI().getContext());
  if (failed) throw Fault(CUDA_ERROR_UNKNOWN, "LLVM cannot emit code for this host");
  passes.add(llvm::createFreeMachineFunctionPass());
  passes.run(module);
  return std::string(object.str());
}

}  // namespace

std::string host_name() {
  const auto target = host_target();
  return target.getTargetTriple().str() + " " + target.getCPU() + " " +
         target.getFeatures().getString();
}

std::string compile_kernel(const ptx::Module& module, const ptx::Function& kernel,
                           int compute_capability) {
  Graph graph = build_graph(module, kernel);
  assign_slots(graph);
  find_in_flight(graph);
  find_undefined(graph);
  find_convergence(graph);
  auto machine = llvm::cantFail(host_target().createTargetMachine());
  llvm::LLVMContext context;
  llvm::Module code(kernel.name, context);
  code.setDataLayout(machine->createDataLayout());
  code.setTargetTriple(machine->getTargetTriple().str());
  Emitter emitter(code, graph, compute_capability);
  emitter.emit("octavo_kernel");
  add_summary(
      code,
      {emitter.frame_bytes(), graph.local_bytes, graph.static_shared_bytes, graph.dynamic_offset,
       std::min<std::uint32_t>(std::max<std::uint32_t>(graph.live_registers, 16), 255),
       graph.asynchronous, graph.uses_stack ? 1u : 0u});
  std::string problem;
  llvm::raw_string_ostream report(problem);
  if (llvm::verifyModule(code, &report)) {
    throw Fault(CUDA_ERROR_INVALID_PTX,
                fmt::format("kernel {}: operand types do not fit together: {}", kernel.name,
                            problem.substr(0, problem.find('\n'))));
  }
  optimise(code, *machine);
  return emit_object(code, *machine);
}

}  // namespace octavo::emulator::lower
