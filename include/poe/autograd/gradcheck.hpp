// SPDX-License-Identifier: MIT
// Gradients against finite differences, for the tests of this library and of whatever is built on
// it.
#pragma once

#include <cmath>
#include <span>
#include <string>

#include <poe/core/error.hpp>

namespace poe {

/// The worst disagreement that gradcheck() found.
struct GradientError {
  double relative = 0;  // |analytic - numeric| / (1 + |numeric|)
  std::size_t element = 0;
  double analytic = 0, numeric = 0;

  bool ok(double tolerance = 1e-6) const { return relative <= tolerance; }
  std::string message() const {
    return fmt::format("element {}: backward pass {:.10g}, central difference {:.10g}", element,
                       analytic, numeric);
  }
};

/// Compares `analytic`, the gradient of `value()` with respect to the numbers `at`, with central
/// differences. Each number is moved by +-step and put back. `stride` > 1 checks every stride-th
/// element. Works in double; step 1e-5 leaves some 1e-10 of truncation for functions of curvature
/// about 1.
template <class F>
GradientError gradcheck(std::span<double> at, std::span<const double> analytic, F&& value,
                        double step = 1e-5, std::size_t stride = 1) {
  expect(at.size() == analytic.size(), "gradcheck: {} numbers but {} gradients", at.size(),
         analytic.size());
  GradientError worst{.relative = -1};
  for (std::size_t i = 0; i < at.size(); i += stride) {
    const double x = at[i];
    at[i] = x + step;
    const double above = value();
    at[i] = x - step;
    const double below = value();
    at[i] = x;
    const double numeric = (above - below) / (2 * step);
    const double error = std::abs(analytic[i] - numeric) / (1 + std::abs(numeric));
    // NaN compares false with everything and must not pass.
    if (!(error <= worst.relative)) worst = {error, i, analytic[i], numeric};
    if (std::isnan(error)) return worst;
  }
  return worst;
}

}  // namespace poe
