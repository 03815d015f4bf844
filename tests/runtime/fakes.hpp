// The two fake drivers, as new, in the place of libcuda.so.1 and of the emulator.
#pragma once

#include <dlfcn.h>
#include <doctest/doctest.h>

#include "fake_driver/fake_driver.hpp"
#include "support.hpp"

namespace octavo::test {

struct Fakes {
  FakeDriver* gpu = load(OCTAVO_FAKE_GPU);
  FakeDriver* emulator = load(OCTAVO_FAKE_EMULATOR);

  // The libraries stay loaded, so that each test starts by making them as new.
  static FakeDriver* load(const char* file) {
    void* library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    REQUIRE_MESSAGE(library != nullptr, dlerror());
    FakeDriver* fake = reinterpret_cast<GetFakeDriver>(dlsym(library, "octavo_fake_driver"))();
    *fake = FakeDriver();
    return fake;
  }

 private:
  Environment emulator_library_{"OCTAVO_EMULATOR_LIBRARY", OCTAVO_FAKE_EMULATOR};
};

}  // namespace octavo::test
