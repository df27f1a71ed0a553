// SPDX-License-Identifier: MIT
// Axes: which stretch of numbers they show, where their ticks are, and what stands at them.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <string>
#include <vector>

namespace compare {

/// The smallest stretch that holds all numbers it was given.
struct Extent {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();

  void include(double v) {
    low = std::min(low, v);
    high = std::max(high, v);
  }
  void include(const Extent& e) {
    low = std::min(low, e.low);
    high = std::max(high, e.high);
  }
  bool empty() const { return low > high; }
};

/// With so many decimals, and a minus sign that is as wide as a plus.
inline std::string number_text(double v, int decimals) {
  const std::string digits = fmt::format("{:.{}f}", std::abs(v), decimals);
  const bool zero = digits.find_first_not_of("0.") == std::string::npos;
  return v < 0 && !zero ? "−" + digits : digits;
}

/// Maps numbers to places on the sheet, linearly.
struct Axis {
  double low, high;  // numbers
  double from, to;   // places
  double step = 1;   // between ticks

  double operator()(double v) const { return from + (v - low) / (high - low) * (to - from); }

  std::vector<double> ticks() const {
    std::vector<double> all;
    const double slack = 1e-6 * step;
    for (double n = std::ceil((low - slack) / step); n * step <= high + slack; ++n)
      all.push_back(n * step);
    return all;
  }
  /// With as many decimals as the step needs.
  std::string label(double tick) const {
    return number_text(tick, std::max(0, -static_cast<int>(std::floor(std::log10(step) + 1e-9))));
  }
};

/// An axis with round numbers at about `count` ticks, a little longer than the extent but never
/// than the range.
inline Axis nice_axis(Extent extent, double from, double to, int count,
                      const std::optional<Extent>& range) {
  if (extent.empty()) extent = {0, 1};
  if (double width = extent.high - extent.low;
      width < 1e-9 * std::max(1.0, std::abs(extent.high))) {
    width = std::max(0.1 * std::abs(extent.high), 0.01);
    extent = {extent.low - width, extent.high + width};
  }
  const double margin = 0.06 * (extent.high - extent.low);
  Axis axis{extent.low - margin, extent.high + margin, from, to};
  if (range) {
    axis.low = std::max(axis.low, range->low);
    axis.high = std::min(axis.high, range->high);
    // From 0, where that leaves the numbers more than half of the axis.
    if (range->low == 0 && 2 * extent.low < extent.high) axis.low = 0;
  }
  const double raw = (axis.high - axis.low) / count;
  const double magnitude = std::pow(10.0, std::floor(std::log10(raw)));
  for (const double nice : {1.0, 2.0, 5.0, 10.0}) {
    axis.step = nice * magnitude;
    if (1.45 * axis.step >= raw) break;
  }
  return axis;
}

/// Shares as people say them: "0.1 %".
inline std::string percent(double share) { return fmt::format("{:g} %", 100 * share); }

}  // namespace compare
