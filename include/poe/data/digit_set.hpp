// SPDX-License-Identifier: MIT
// Digits: grey images of handwritten digits with their labels, wherever they come from.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "poe/core/error.hpp"

namespace poe {

struct Digits {
  int rows = 0, height = 28, width = 28;
  std::vector<std::uint8_t> pixels;  ///< (rows, height, width); 0 is paper, 255 is ink
  std::vector<std::uint8_t> labels;  ///< (rows), 0 to 9
  std::string source;                ///< for reports
};

/// Throws Error unless the arrays have the sizes that the extents say.
inline void check_sizes(const Digits& digits) {
  const auto rows = static_cast<std::size_t>(digits.rows);
  const auto area =
      static_cast<std::size_t>(digits.height) * static_cast<std::size_t>(digits.width);
  expect(digits.rows >= 0 && digits.height == 28 && digits.width == 28,
         "digits from {}: expected images of 28 x 28, got {} of {} x {}", digits.source,
         digits.rows, digits.height, digits.width);
  expect(digits.pixels.size() == rows * area && digits.labels.size() == rows,
         "digits from {}: expected {} pixels and {} labels, got {} and {}", digits.source,
         rows * area, rows, digits.pixels.size(), digits.labels.size());
}

}  // namespace poe
