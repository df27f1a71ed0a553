// SPDX-License-Identifier: MIT
// Digits that need no download: drawn stroke by stroke, every one in its own hand.
#pragma once

#include <poe/core/error.hpp>
#include <poe/core/random.hpp>
#include <poe/data/digit_pen.hpp>
#include <poe/data/digit_set.hpp>
#include <poe/data/draws.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numbers>
#include <span>
#include <vector>

namespace poe {
namespace detail::pen {

/// What a hand does to every point: a slow wave and a higher or lower waist, then width, slant and
/// rotation. The deviations are tuned so that one half of a digit leaves about as much doubt as in
/// MNIST (nearest of 20,000 images: 92 % right by tops, 84 % by bottoms; there 86 % and 78 %).
struct Hand {
  explicit Hand(Draws& draws)
      : width(std::exp(draws.normal(-0.1, 0.24))),
        slant(draws.normal(0.16, 0.27)),
        turn(draws.normal(0, 0.11)),
        waist(draws.normal(0, 8)),
        wave_x{draws.normal(0, 8), draws.angle(), draws.uniform(0.02, 0.06)},
        wave_y{draws.normal(0, 8), draws.angle(), draws.uniform(0.02, 0.06)} {}

  Point operator()(Point p) const {
    const double x = p.x - 50 + wave_x[0] * std::sin(wave_x[2] * p.y + wave_x[1]);
    const double y = p.y - 50 + wave_y[0] * std::sin(wave_y[2] * p.x + wave_y[1]) +
                     waist * std::cos(std::numbers::pi / 100 * (p.y - 50));
    const double u = width * x - slant * y;
    return {std::cos(turn) * u - std::sin(turn) * y, std::sin(turn) * u + std::cos(turn) * y};
  }

  double width, slant, turn, waist;
  std::array<double, 3> wave_x, wave_y;  // amplitude, phase, frequency
};

/// The lines of one written digit, in the coordinates of its hand.
inline std::vector<Path> write_digit(int label, Draws& draws) {
  const Glyph& glyph = choose_glyph(written_glyphs(), label, draws);
  const Hand hand(draws);
  std::vector<Path> paths = trace_glyph(glyph, draws.uniform(1, 5), draws);
  for (Path& path : paths)
    for (Point& p : path) p = hand(p);
  return paths;
}

/// As in MNIST: the larger side of the ink's bounding box becomes about 20 pixels, and the centre
/// of mass (of the line) comes to the middle of the image, as far as the ink stays inside.
inline void place_digit(std::vector<Path>& paths, double radius, Draws& draws) {
  const auto [low, high] = box_of(paths);
  Point mass{0, 0};
  double length = 0;
  for (const Path& path : paths)
    for (std::size_t i = 1; i < path.size(); ++i) {
      const Point p = path[i], q = path[i - 1];
      const double step = std::hypot(p.x - q.x, p.y - q.y);
      mass = {mass.x + step * (p.x + q.x) / 2, mass.y + step * (p.y + q.y) / 2};
      length += step;
    }
  const double side = std::max(high.x - low.x, high.y - low.y);
  const double scale = (draws.normal(19.6, 0.5) - 2 * radius) / side;
  const double middle = 14, border = radius + 1;
  const auto shift = [&](double centre, double from, double to) {
    return std::clamp(middle - scale * centre, border - scale * from, 28 - border - scale * to);
  };
  const Point by{shift(mass.x / length, low.x, high.x), shift(mass.y / length, low.y, high.y)};
  for (Path& path : paths)
    for (Point& p : path) p = {scale * p.x + by.x, scale * p.y + by.y};
}

inline void draw_digit(int label, const Random& random, std::uint64_t first,
                       std::span<std::uint8_t> pixels) {
  Draws draws(random, first);
  const double radius = draws.normal(1.28, 0.3);
  const double soft = draws.uniform(1.1, 1.7);  // width of the edge, as a scanner blurs it
  const double pressure = draws.uniform(0, 0.2), phase = draws.angle();
  std::vector<Path> paths = write_digit(label, draws);
  place_digit(paths, radius, draws);

  Ink ink(28, 28);
  for (const Path& path : paths)
    for (std::size_t i = 1; i < path.size(); ++i) {
      const double along = static_cast<double>(i) / static_cast<double>(path.size());
      const double swell = 1 + pressure * std::sin(phase + 5 * along);
      ink_segment(path[i - 1], path[i], radius * swell, soft, ink);
    }
  for (std::size_t p = 0; p < pixels.size(); ++p)
    pixels[p] = static_cast<std::uint8_t>(std::lround(255 * ink.coverage[p]));
}

}  // namespace detail::pen

/// `rows` images of 28 x 28 with as many of each digit as possible, in random order. Every image is
/// a function of (random, its number, its label): polylines through shaken points, in one of the
/// usual forms of the digit, with its own pen, slant, width and turn. A stand-in for MNIST where
/// there is no network: written more regularly, so do not compare numbers with those on MNIST.
inline Digits make_digits(int rows, const Random& random) {
  expect(rows >= 0, "make_digits: expected 0 rows or more, got {}", rows);
  return detail::pen::draw_digits(
      {rows, 28, 28, 1, {}, {}, "procedural digits (embedded generator)"}, random,
      detail::pen::draw_digit);
}

}  // namespace poe
