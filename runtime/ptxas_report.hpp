// What ptxas reports of a kernel. Private to the runtime.
#pragma once

#include <string_view>

#include "runtime/binary.hpp"

namespace octavo {

// The resources of the kernel `entry` in the log of a compile with --ptxas-options=-v. Spills of
// the functions that it calls are counted in. Throws EnvironmentError if the log has no such
// report.
Resources read_ptxas_report(std::string_view log, std::string_view entry);

}  // namespace octavo
