// %tid.x, %laneid and the like.
#pragma once

#include <string_view>

namespace llvm {
class Value;
}

namespace octavo::emulator::lower {

class Emitter;

// The special register's value as <32 x i32> or <32 x i64>; nullptr for one that is not supported.
llvm::Value* read_special_register(Emitter& emitter, std::string_view name);

}  // namespace octavo::emulator::lower
