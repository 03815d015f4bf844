// Binary: what one NVRTC compile gave.
#pragma once

#include <string>
#include <vector>

namespace octavo {

// Read from ptxas' report.
struct Resources {
  int registers = 0;     // of a thread
  int spill_bytes = 0;   // stores and loads of a thread, together
  int shared_bytes = 0;  // static
  int stack_bytes = 0;   // of a thread
  int barriers = 0;
};

struct Binary {
  std::string entry;  // the kernel's name
  std::string arch;   // "sm_90a"
  std::string ptx;
  std::vector<char> cubin;
  std::string log;  // the compiler's, whole
  Resources resources;
};

}  // namespace octavo
