// SPDX-License-Identifier: MIT
// Checks of numbers on a command line that CLI11 lets pass.
#pragma once

#include <fmt/format.h>

#include <cmath>
#include <cstdlib>
#include <string>

namespace examples {

/// For numbers that cannot be negative: CLI11 reads "-1" as 2^64 - 1, or writes out all digits of
/// the largest number.
inline std::string not_negative(const std::string& text) {
  return std::strtod(text.c_str(), nullptr) >= 0 ? "" : "expected no negative number, got " + text;
}

/// For numbers above zero.
inline std::string positive(const std::string& text) {
  return std::strtod(text.c_str(), nullptr) > 0 ? "" : "expected a number above 0, got " + text;
}

/// For numbers in a range: none of its bounds keeps NaN out.
inline std::string finite(const std::string& text) {
  return std::isfinite(std::strtod(text.c_str(), nullptr))
             ? ""
             : "expected a finite number, got " + text;
}

/// What a number that is no share in (0, 1] is answered with: "got 10; 10 % is 0.1".
inline std::string not_a_share(double value) {
  const std::string got = fmt::format("got {}", value);
  return value > 1 && value <= 100 ? fmt::format("{}; {} % is {}", got, value, value / 100) : got;
}

}  // namespace examples
