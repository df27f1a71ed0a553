// SPDX-License-Identifier: MIT
// The pen that draws digits: strokes become lines, and lines become ink on a raster of any size.
#pragma once

#include <poe/core/random.hpp>
#include <poe/data/digit_set.hpp>
#include <poe/data/digit_strokes.hpp>
#include <poe/data/draws.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace poe::detail::pen {

using Path = std::vector<Point>;

/// One of the forms of a digit, by their shares.
inline const Glyph& choose_glyph(std::span<const Glyph> glyphs, int label, Draws& draws) {
  double total = 0;
  for (const Glyph& g : glyphs) total += g.label == label ? g.share : 0;
  double left = draws.uniform(0, total);
  const Glyph* chosen = nullptr;
  for (const Glyph& g : glyphs) {
    if (g.label != label || (chosen != nullptr && left < 0)) continue;
    chosen = &g;
    left -= g.share;
  }
  return *chosen;
}

/// The lines of a glyph, in per cent of its box, its knots shaken with this standard deviation.
inline std::vector<Path> trace_glyph(const Glyph& glyph, double shake, Draws& draws) {
  std::vector<Path> paths;
  for (Stroke stroke : glyph.strokes) {
    for (Knot& knot : stroke) {
      knot.x += draws.normal(0, shake);
      knot.y += draws.normal(0, shake);
    }
    paths.push_back(trace(stroke, 6));
  }
  return paths;
}

/// How much of each pixel is covered with ink, 0 to 1.
struct Ink {
  Ink(int w, int h)
      : width(w), height(h), coverage(static_cast<std::size_t>(w) * static_cast<std::size_t>(h)) {}

  int width, height;
  std::vector<double> coverage;  ///< (height, width)
};

/// Lays one segment of pen down: coverage falls from 1 to 0 over `soft` pixels around `radius`.
inline void ink_segment(Point a, Point b, double radius, double soft, Ink& ink) {
  const double reach = radius + soft / 2;
  const auto pixel = [](double at, int extent) {
    return std::clamp(static_cast<int>(std::floor(at)), 0, extent - 1);
  };
  const int left = pixel(std::min(a.x, b.x) - reach, ink.width);
  const int right = pixel(std::max(a.x, b.x) + reach, ink.width);
  const int top = pixel(std::min(a.y, b.y) - reach, ink.height);
  const int bottom = pixel(std::max(a.y, b.y) + reach, ink.height);
  const double dx = b.x - a.x, dy = b.y - a.y, squared = dx * dx + dy * dy;
  for (int row = top; row <= bottom; ++row)
    for (int column = left; column <= right; ++column) {
      const double x = column + 0.5 - a.x, y = row + 0.5 - a.y;
      const double t = squared > 0 ? std::clamp((x * dx + y * dy) / squared, 0.0, 1.0) : 0.0;
      const double ox = x - t * dx, oy = y - t * dy;
      const double distance = std::sqrt(ox * ox + oy * oy);
      const double c = std::clamp((reach - distance) / soft, 0.0, 1.0);
      double& at = ink.coverage[static_cast<std::size_t>(row * ink.width + column)];
      at = std::max(at, c * c * (3 - 2 * c));
    }
}

/// The smallest box that holds the lines.
struct Box {
  Point low{1e9, 1e9}, high{-1e9, -1e9};
};

inline Box box_of(std::span<const Path> paths) {
  Box box;
  for (const Path& path : paths)
    for (const Point p : path) {
      box.low = {std::min(box.low.x, p.x), std::min(box.low.y, p.y)};
      box.high = {std::max(box.high.x, p.x), std::max(box.high.y, p.y)};
    }
  return box;
}

/// Fills a set of digits of which everything but pixels and labels is given: as many of each as
/// possible, in random order; image i by draw(label, random, first element of its own, pixels).
template <class Draw>
Digits draw_digits(Digits set, const Random& random, Draw draw) {
  const auto rows = static_cast<std::size_t>(set.rows);
  const auto size = static_cast<std::size_t>(set.height * set.width * set.channels);
  set.pixels.resize(rows * size);
  set.labels.resize(rows);
  const auto order = permutation(static_cast<std::uint32_t>(set.rows), random);
  for (std::size_t i = 0; i < rows; ++i) {
    const std::uint32_t label = order[i] % 10;
    set.labels[i] = static_cast<std::uint8_t>(label);
    // The permutation uses the elements below 2^32; image i has 2^32 elements of its own above.
    draw(static_cast<int>(label), random, (std::uint64_t{i} + 1) << 32,
         std::span(set.pixels).subspan(i * size, size));
  }
  return set;
}

}  // namespace poe::detail::pen
