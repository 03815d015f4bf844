#include "execute/order.hpp"

#include <fmt/core.h>

#include <charconv>
#include <cstdlib>
#include <optional>
#include <string_view>

#include "fault.hpp"

namespace octavo::emulator {
namespace {

// The seed of "random:SEED".
std::optional<std::uint64_t> random_seed(std::string_view text) {
  constexpr std::string_view kPrefix = "random:";
  if (!text.starts_with(kPrefix)) return std::nullopt;
  std::uint64_t seed = 0;
  const char* const end = text.data() + text.size();
  const auto read = std::from_chars(text.data() + kPrefix.size(), end, seed);
  if (read.ec != std::errc{} || read.ptr != end) return std::nullopt;
  return seed;
}

[[noreturn]] void refuse(const char* variable, std::string_view text, const char* allowed) {
  throw Fault(CUDA_ERROR_INVALID_VALUE, fmt::format("{}={}: must be {}", variable, text, allowed));
}

}  // namespace

Order order_from_environment() {
  Order order;
  if (const char* text = std::getenv("OCTAVO_ASYNC")) {
    const auto seed = random_seed(text);
    if (seed) {
      order.completion = Completion::random;
      order.completion_seed = *seed;
    } else if (std::string_view(text) == "eager") {
      order.completion = Completion::eager;
    } else if (std::string_view(text) != "latest") {
      refuse("OCTAVO_ASYNC", text, "eager, latest or random:SEED");
    }
  }
  if (const char* text = std::getenv("OCTAVO_SCHEDULE")) {
    const auto seed = random_seed(text);
    order.random_schedule = seed.has_value();
    if (seed) {
      order.schedule_seed = *seed;
    } else if (std::string_view(text) != "round-robin") {
      refuse("OCTAVO_SCHEDULE", text, "round-robin or random:SEED");
    }
  }
  if (const char* text = std::getenv("OCTAVO_DEPENDENTS")) {
    order.early_dependents = std::string_view(text) == "early";
    if (!order.early_dependents && std::string_view(text) != "late") {
      refuse("OCTAVO_DEPENDENTS", text, "late or early");
    }
  }
  return order;
}

}  // namespace octavo::emulator
