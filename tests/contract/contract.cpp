// Which products end in an fma: the emulator and ptxas, of the same inline PTX, against one table.
#include "lower/contract.hpp"

#include <doctest/doctest.h>
#include <elf.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "lower/table.hpp"
#include "ptx/parser.hpp"
#include "runtime/compiler.hpp"
#include "runtime/error.hpp"

namespace octavo {
namespace {

struct Counts {
  int fused = 0, products = 0, sums = 0;
  bool operator==(const Counts&) const = default;
};

doctest::String toString(const Counts& counts) {
  return fmt::format("{} fma, {} mul, {} add", counts.fused, counts.products, counts.sums).c_str();
}

// Of f32 registers a to e, m, n and o, results x and y, an integer i and a predicate p.
struct Case {
  const char* ptx;
  Counts expected;
};

const std::vector<Case> kCases = {
    // neither may name a rounding, not even the usual one
    {"mul.f32 m,a,b; add.f32 x,m,c;", {1, 0, 0}},
    {"mul.f32 m,a,b; add.f32 x,c,m;", {1, 0, 0}},
    {"mul.f32 m,a,b; sub.f32 x,m,c;", {1, 0, 0}},
    {"mul.f32 m,a,b; sub.f32 x,c,m;", {1, 0, 0}},
    {"mul.rn.f32 m,a,b; add.f32 x,m,c;", {0, 1, 1}},
    {"mul.f32 m,a,b; add.rn.f32 x,m,c;", {0, 1, 1}},
    {"mul.rz.f32 m,a,b; add.f32 x,m,c;", {0, 1, 1}},
    {"mul.f32 m,a,b; add.rz.f32 x,m,c;", {0, 1, 1}},
    // .ftz on both or neither; .sat on the sum alone
    {"mul.ftz.f32 m,a,b; add.ftz.f32 x,m,c;", {1, 0, 0}},
    {"mul.ftz.f32 m,a,b; add.f32 x,m,c;", {0, 1, 1}},
    {"mul.f32 m,a,b; add.ftz.f32 x,m,c;", {0, 1, 1}},
    {"mul.f32 m,a,b; add.sat.f32 x,m,c;", {1, 0, 0}},
    {"mul.sat.f32 m,a,b; add.f32 x,m,c;", {0, 1, 1}},
    // every use must be such a sum
    {"mul.f32 m,a,b; add.f32 x,m,c; sub.f32 y,d,m;", {2, 0, 0}},
    {"mul.f32 m,a,b; add.f32 x,m,c; mov.f32 y,m;", {0, 1, 1}},
    {"mul.f32 m,a,b; add.f32 x,m,c; max.f32 y,m,d;", {0, 1, 1}},
    {"mul.f32 m,a,b; add.f32 x,m,c; fma.rn.f32 y,m,d,e;", {1, 1, 1}},
    {"mul.f32 m,a,b; add.f32 x,m,c; add.rn.f32 y,m,d;", {0, 1, 2}},
    {"mul.f32 m,a,b; add.f32 x,m,m;", {0, 1, 1}},
    {"mul.f32 m,a,b; add.f32 x,m,c; add.f32 y,m,m;", {0, 1, 2}},
    // by another name, or as its opposite
    {"mul.f32 m,a,b; mov.b32 n,m; add.f32 x,n,c;", {1, 0, 0}},
    {"mul.f32 m,a,b; neg.f32 n,m; add.f32 x,n,c;", {1, 0, 0}},
    {"mul.f32 m,a,b; neg.f32 n,m; add.f32 x,m,c; add.f32 y,n,d;", {2, 0, 0}},
    {"mul.f32 m,a,b; abs.f32 n,m; add.f32 x,n,c;", {0, 1, 1}},
    {"mul.f32 m,a,b; mov.f32 n,m; add.f32 x,n,m;", {0, 1, 1}},
    // of two products the one that is used less often, else the first
    {"mul.f32 m,a,b; mul.f32 n,c,d; add.f32 x,m,n;", {1, 1, 0}},
    {"mul.f32 m,a,b; mul.f32 n,c,d; add.f32 x,m,n; add.f32 y,m,e;", {1, 1, 1}},
    {"mul.f32 m,a,b; mul.f32 n,c,d; add.f32 y,m,e; add.f32 x,m,n;", {1, 1, 1}},
    {"mul.f32 m,a,b; mul.f32 n,c,d; add.f32 x,m,n; mov.f32 y,m;", {1, 1, 0}},
    {"mul.f32 m,a,b; mul.f32 n,c,d; add.f32 x,m,n; sub.f32 y,n,m;", {2, 1, 0}},
    {"mul.f32 m,a,b; mul.f32 n,c,d; mul.f32 o,e,a; add.f32 n,m,n; add.f32 x,o,n;", {2, 1, 0}},
    // the values at the product count
    {"mul.f32 m,a,b; mov.f32 a,d; add.f32 x,m,a;", {1, 0, 0}},
    {"mul.f32 m,a,b; add.f32 a,m,c; add.f32 y,m,d; mov.f32 x,a;", {2, 0, 0}},
    // guards: on the sum
    {"mul.f32 m,a,b; @p add.f32 x,m,c;", {1, 0, 0}},
    {"@p mul.f32 e,a,b; add.f32 x,e,c;", {0, 1, 1}},
    {"mul.f32 m,a,b; @p neg.f32 m,m; add.f32 x,m,c;", {0, 1, 1}},
    // basic blocks
    {"mul.f32 m,a,b; bar.sync 0; add.f32 x,m,c;", {1, 0, 0}},
    {"mul.f32 m,a,b; fence.proxy.async; add.f32 x,m,c;", {1, 0, 0}},
    {"mul.f32 m,a,b; mbarrier.arrive.shared.b64 _,[i]; add.f32 x,m,c;", {1, 0, 0}},
    {"mul.f32 m,a,b; bra.uni L; L: add.f32 x,m,c;", {1, 0, 0}},
    {"mul.f32 m,a,b; L: add.f32 x,m,c;", {1, 0, 0}},
    {"mul.f32 m,a,b; @!p bra L; add.f32 x,m,c; L:", {0, 1, 1}},
    {"mul.f32 m,a,b; @p exit; add.f32 x,m,c;", {0, 1, 1}},
    {"mul.f32 m,a,b; @p st.shared.f32 [i],d; add.f32 x,m,c;", {0, 1, 1}},
    {"mul.f32 m,a,b; @p min.f32 c,c,d; add.f32 x,m,c;", {1, 0, 0}},
    {"mul.f32 m,a,b; membar.gl; add.f32 x,m,c;", {0, 1, 1}},
    {"mul.f32 m,a,b; fence.acq_rel.cta; add.f32 x,m,c;", {0, 1, 1}},
    {"mul.f32 m,a,b; rem.s32 i,i,7; add.f32 x,m,c; st.shared.u32 [i],i;", {0, 1, 1}},
    {"mul.f32 m,a,b; add.f32 x,m,c; @p bra L; mov.f32 y,m; bar.sync 0; L:", {0, 1, 1}},
};

// With the PTX of the cases inside.
Source source_of_cases() {
  Source source{.text = {}, .entry = "k0"};
  for (std::size_t i = 0; i < kCases.size(); ++i) {
    source.text += fmt::format(
        R"(extern "C" __global__ void k{}(float* p, int* integer) {{
  float x = p[5], y = p[6];
  asm volatile("{{.reg .f32 a,b,c,d,e,m,n,o,x,y; .reg .b32 i; .reg .pred p;\n"
               "mov.f32 a,%2; mov.f32 b,%3; mov.f32 c,%4; mov.f32 d,%5; mov.f32 e,%6; mov.f32 x,%0;\n"
               "mov.f32 y,%1; mov.b32 i,%7; setp.ne.s32 p,i,0;\n"
               "{}\n"
               "mov.f32 %0,x; mov.f32 %1,y;}}"
               : "+f"(x), "+f"(y)
               : "f"(p[0]), "f"(p[1]), "f"(p[2]), "f"(p[3]), "f"(p[4]), "r"(*integer) : "memory");
  p[7] = x;
  p[8] = y;
}}
)",
        i, kCases[i].ptx);
  }
  return source;
}

Counts counts_of_emulator(emulator::ptx::Function function) {
  for (const auto& instruction : function.body) emulator::lower::check(instruction);
  emulator::lower::contract(function);
  Counts counts;
  for (const auto& instruction : function.body) {
    if (!instruction.has("f32")) continue;
    counts.fused += instruction.opcode == "fma";
    counts.products += instruction.opcode == "mul";
    counts.sums += instruction.opcode == "add" || instruction.opcode == "sub";
  }
  return counts;
}

// Of each kernel in the ELF file, by the opcodes of its instructions of 16 bytes.
std::map<std::string, Counts> counts_of_ptxas(const std::vector<char>& cubin) {
  const auto read = [&]<typename T>(T& to, std::size_t offset) {
    REQUIRE(offset + sizeof to <= cubin.size());
    std::memcpy(&to, cubin.data() + offset, sizeof to);
  };
  Elf64_Ehdr header;
  read(header, 0);
  std::vector<Elf64_Shdr> sections(header.e_shnum);
  for (std::size_t i = 0; i < sections.size(); ++i)
    read(sections[i], header.e_shoff + i * sizeof(Elf64_Shdr));
  std::map<std::string, Counts> found;
  for (const Elf64_Shdr& section : sections) {
    const std::string name = cubin.data() + sections[header.e_shstrndx].sh_offset + section.sh_name;
    if (!name.starts_with(".text.")) continue;
    Counts& counts = found[name.substr(6)];
    for (std::size_t at = 0; at < section.sh_size; at += 16) {
      std::uint64_t word = 0;
      read(word, section.sh_offset + at);
      counts.fused += (word & 0x1FF) == 0x23;
      counts.products += (word & 0x1FF) == 0x20;
      counts.sums += (word & 0x1FF) == 0x21;
    }
  }
  return found;
}

}  // namespace

TEST_CASE("products are fused where ptxas fuses them") {
  Binary binary;
  try {
    binary = compile(source_of_cases(), "sm_90");
  } catch (const EnvironmentError& error) {
    MESSAGE("skipped, no compiler: " << std::string(error.what()));
    return;
  }
  const auto module = emulator::ptx::parse(binary.ptx);
  const auto by_ptxas = counts_of_ptxas(binary.cubin);
  for (std::size_t i = 0; i < kCases.size(); ++i) {
    CAPTURE(std::string(kCases[i].ptx));
    const std::string name = fmt::format("k{}", i);
    CHECK(by_ptxas.at(name) == kCases[i].expected);
    CHECK(counts_of_emulator(*module.find(name)) == kCases[i].expected);
  }
}

}  // namespace octavo
