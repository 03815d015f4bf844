// What was recorded on real GPUs. It is not part of the repository: OCTAVO_TEST_VECTORS names its
// folder, by default shared/vectors beside it, whose README says what the files hold.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace octavo::emulator::tensor_core {

std::filesystem::path vectors_folder();

// A special function over all fp32 of one binade.
struct Recording {
  std::string name;      // "ex2_m-3"
  std::string function;  // ex2, lg2, rcp, rsqrt, sqrt
  std::uint32_t first;   // the bits of the binade's first fp32 in increasing magnitude
  // Of each fp32, in order: the hardware's result minus the correctly rounded one, as differences
  // of their bits, within +-127.
  std::vector<std::int8_t> differences;
};

// The files of a .tar.gz with the extension, by their stems, in the archive's order. Throws
// std::runtime_error where it cannot be read.
void for_each_file(
    const std::filesystem::path& archive, const std::string& extension,
    const std::function<void(const std::string& stem, std::vector<std::int8_t> bytes)>& visit);

// Likewise, its recordings.
void for_each_recording(const std::filesystem::path& archive,
                        const std::function<void(const Recording&)>& visit);

// The bits of the correctly rounded result.
std::uint32_t correctly_rounded(const std::string& function, std::uint32_t x);

}  // namespace octavo::emulator::tensor_core
