// What opcodes that integers and floats share do with integers.
#pragma once

#include "lower/emitter.hpp"

namespace octavo::emulator::lower {

void add_integers(Emitter& e, ptx::Type type, bool subtract);  // u16x2 and s16x2 too
void multiply_integers(Emitter& e, ptx::Type type);
void multiply_add_integers(Emitter& e, ptx::Type type);
void divide_integers(Emitter& e, ptx::Type type, const char* operation);  // div or rem
void integer_extremum(Emitter& e, ptx::Type type, bool least);            // of pairs too

}  // namespace octavo::emulator::lower
