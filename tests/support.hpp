// SPDX-License-Identifier: MIT
// The one file of the tests that includes Catch2, and the comparisons that say how much was used.
#pragma once

#include <catch2/catch.hpp>

#include <cmath>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include <poe/core/random.hpp>

namespace poe::test {

/// Numbers of N(0, 1), a function of `stream`.
template <class T>
std::vector<T> normals(std::size_t n, std::uint32_t stream, double scale = 1) {
  std::vector<double> numbers(n);
  fill_normal<double>({42, stream, 0}, 0, numbers);
  std::vector<T> x(n);
  for (std::size_t i = 0; i < n; ++i) x[i] = static_cast<T>(scale * numbers[i]);
  return x;
}

/// |got - want| <= tolerance * (1 + |want|) for every element; the message names the worst one.
template <class A, class B>
void require_close(const A& got, const B& want, double tolerance, const std::string& what = "") {
  REQUIRE(std::size(got) == std::size(want));
  double worst = -1;
  std::size_t at = 0;
  for (std::size_t i = 0; i < std::size(got); ++i) {
    const auto g = static_cast<double>(got[i]);
    const auto w = static_cast<double>(want[i]);
    const double error = std::abs(g - w) / (1 + std::abs(w));
    if (!(error <= worst)) worst = error, at = i;
    if (std::isnan(error)) break;
  }
  if (std::size(got) == 0) return;
  INFO(what << ": worst at element " << at << ": got " << static_cast<double>(got[at]) << ", want "
            << static_cast<double>(want[at]) << ", error " << worst << " of " << tolerance);
  REQUIRE(worst <= tolerance);
}

/// Rounding of a sum of `terms` products in T: each costs at most one unit; a factor 4 covers the
/// order of summation of the reference.
template <class T>
double sum_tolerance(double terms) {
  return 4 * static_cast<double>(std::numeric_limits<T>::epsilon()) * std::sqrt(terms) + 1e-15;
}

}  // namespace poe::test
