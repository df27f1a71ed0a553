// SPDX-License-Identifier: MIT
// Colours of the pictures that are drawn here.
#pragma once

#include <array>
#include <cmath>

namespace poe::detail {

using Rgb = std::array<double, 3>;

/// The colour at t on the way from a (0) to b (1).
inline Rgb blend(const Rgb& a, const Rgb& b, double t) {
  return {std::lerp(a[0], b[0], t), std::lerp(a[1], b[1], t), std::lerp(a[2], b[2], t)};
}

}  // namespace poe::detail
