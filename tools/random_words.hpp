// Words for Timing::fill to draw from, a megabit of them: enough that nothing repeats soon.
#pragma once

#include <vector>

#include "generator/spec.hpp"

namespace octavo {

std::vector<unsigned> random_bits();

// Numbers of a type, normally distributed around zero.
std::vector<unsigned> normal_numbers(DataType type, double deviation);

// Powers of two in fp32, from 2^least to 2^most.
std::vector<unsigned> powers_of_two(int least, int most);

}  // namespace octavo
