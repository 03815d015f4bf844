// Errors that the environment or the device caused, as one clear line each.
#pragma once

#include <stdexcept>
#include <string>

namespace octavo {

// The environment lacks something (compiler, driver, device, disk) or refused something. The
// message says what, where it was looked for, and what to do. The command exits with 3.
class EnvironmentError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// A call was given what it cannot take. The command exits with 2.
class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace octavo
