// SPDX-License-Identifier: MIT
// Digits: images of single digits with their labels, wherever they come from.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "poe/core/error.hpp"

namespace poe {

struct Digits {
  int rows = 0, height = 28, width = 28, channels = 1;
  std::vector<std::uint8_t> pixels;  ///< (rows, height, width, channels); grey: 255 is ink
  std::vector<std::uint8_t> labels;  ///< (rows), 0 to 9
  std::string source;                ///< for reports
};

/// Throws Error unless the images have this shape and the arrays the sizes that the extents say.
inline void check_sizes(const Digits& digits, int height = 28, int width = 28, int channels = 1) {
  expect(digits.rows >= 0 && digits.height == height && digits.width == width &&
             digits.channels == channels,
         "digits from {}: expected images of {} x {} x {}, got {} of {} x {} x {}", digits.source,
         height, width, channels, digits.rows, digits.height, digits.width, digits.channels);
  const auto rows = static_cast<std::size_t>(digits.rows);
  const std::size_t image = static_cast<std::size_t>(height) * static_cast<std::size_t>(width) *
                            static_cast<std::size_t>(channels);
  expect(digits.pixels.size() == rows * image && digits.labels.size() == rows,
         "digits from {}: expected {} pixels and {} labels, got {} and {}", digits.source,
         rows * image, rows, digits.pixels.size(), digits.labels.size());
}

}  // namespace poe
