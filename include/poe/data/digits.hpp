// SPDX-License-Identifier: MIT
// Digits that need no download: drawn stroke by stroke, every one in its own hand.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numbers>
#include <span>
#include <vector>

#include "poe/core/error.hpp"
#include "poe/core/random.hpp"
#include "poe/data/digit_set.hpp"
#include "poe/data/digit_strokes.hpp"

namespace poe {
namespace detail::pen {

/// Random numbers one after the other, from one element of the source on. Each takes a block (four
/// elements): the words of a normal number must not serve a uniform one too.
class Draws {
 public:
  Draws(const Random& random, std::uint64_t first) : random_(random), next_(first) {}
  double uniform(double low, double high) {
    return low + (high - low) * random_.uniform<double>(take());
  }
  double angle() { return uniform(0, 2 * std::numbers::pi); }
  /// Normal, cut at 2.2 standard deviations: no hand is stranger than that.
  double normal(double mean, double deviation) {
    return mean + deviation * std::clamp(random_.normal<double>(take()), -2.2, 2.2);
  }

 private:
  std::uint64_t take() {
    next_ += 4;
    return next_ - 4;
  }

  Random random_;
  std::uint64_t next_;
};

inline const Glyph& choose_glyph(int label, Draws& draws) {
  double total = 0;
  for (const Glyph& g : glyphs()) total += g.label == label ? g.share : 0;
  double left = draws.uniform(0, total);
  const Glyph* chosen = nullptr;
  for (const Glyph& g : glyphs()) {
    if (g.label != label || (chosen != nullptr && left < 0)) continue;
    chosen = &g;
    left -= g.share;
  }
  return *chosen;
}

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

/// The polylines of one written digit, its knots shaken, in the coordinates of its hand.
inline std::vector<std::vector<Point>> write_strokes(int label, Draws& draws) {
  const Glyph& glyph = choose_glyph(label, draws);
  const Hand hand(draws);
  const double shake = draws.uniform(1, 5);
  std::vector<std::vector<Point>> paths;
  for (Stroke stroke : glyph.strokes) {
    for (Knot& knot : stroke) {
      knot.x += draws.normal(0, shake);
      knot.y += draws.normal(0, shake);
    }
    paths.push_back(trace(stroke, 6));
    for (Point& p : paths.back()) p = hand(p);
  }
  return paths;
}

/// As in MNIST: the larger side of the ink's bounding box becomes about 20 pixels, and the centre
/// of mass (of the line) comes to the middle of the image, as far as the ink stays inside.
inline void place_strokes(std::vector<std::vector<Point>>& paths, double radius, Draws& draws) {
  Point low{1e9, 1e9}, high{-1e9, -1e9}, mass{0, 0};
  double length = 0;
  for (const auto& path : paths)
    for (std::size_t i = 0; i < path.size(); ++i) {
      const Point p = path[i], q = path[i == 0 ? 0 : i - 1];
      const double step = std::hypot(p.x - q.x, p.y - q.y);
      low = {std::min(low.x, p.x), std::min(low.y, p.y)};
      high = {std::max(high.x, p.x), std::max(high.y, p.y)};
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
  for (auto& path : paths)
    for (Point& p : path) p = {scale * p.x + by.x, scale * p.y + by.y};
}

/// Lays one segment of pen down: coverage falls from 1 to 0 over `soft` pixels around `radius`.
inline void ink_segment(Point a, Point b, double radius, double soft, std::span<double> coverage) {
  const double reach = radius + soft / 2;
  const auto pixel = [](double at) { return std::clamp(static_cast<int>(std::floor(at)), 0, 27); };
  const double dx = b.x - a.x, dy = b.y - a.y, squared = dx * dx + dy * dy;
  for (int row = pixel(std::min(a.y, b.y) - reach); row <= pixel(std::max(a.y, b.y) + reach); ++row)
    for (int column = pixel(std::min(a.x, b.x) - reach);
         column <= pixel(std::max(a.x, b.x) + reach); ++column) {
      const double x = column + 0.5 - a.x, y = row + 0.5 - a.y;
      const double t = squared > 0 ? std::clamp((x * dx + y * dy) / squared, 0.0, 1.0) : 0.0;
      const double ox = x - t * dx, oy = y - t * dy;
      const double distance = std::sqrt(ox * ox + oy * oy);
      const double c = std::clamp((reach - distance) / soft, 0.0, 1.0);
      const int index = row * 28 + column;
      double& at = coverage[static_cast<std::size_t>(index)];
      at = std::max(at, c * c * (3 - 2 * c));
    }
}

inline void draw_digit(int label, Draws draws, std::span<std::uint8_t> pixels) {
  const double radius = draws.normal(1.28, 0.3);
  const double soft = draws.uniform(1.1, 1.7);  // width of the edge, as a scanner blurs it
  const double pressure = draws.uniform(0, 0.2), phase = draws.angle();
  auto paths = write_strokes(label, draws);
  place_strokes(paths, radius, draws);

  std::array<double, 784> coverage{};
  for (const auto& path : paths)
    for (std::size_t i = 1; i < path.size(); ++i) {
      const double along = static_cast<double>(i) / static_cast<double>(path.size());
      const double swell = 1 + pressure * std::sin(phase + 5 * along);
      ink_segment(path[i - 1], path[i], radius * swell, soft, coverage);
    }
  for (std::size_t p = 0; p < pixels.size(); ++p)
    pixels[p] = static_cast<std::uint8_t>(std::lround(255 * coverage[p]));
}

}  // namespace detail::pen

/// `rows` images of 28 x 28 with as many of each digit as possible, in random order. Every image is
/// a function of (random, its number, its label): polylines through shaken points, in one of the
/// usual forms of the digit, with its own pen, slant, width and turn. A stand-in for MNIST where
/// there is no network: written more regularly, so do not compare numbers with those on MNIST.
inline Digits make_digits(int rows, const Random& random) {
  expect(rows >= 0, "make_digits: expected 0 rows or more, got {}", rows);
  constexpr std::size_t area = 28 * 28;
  const auto n = static_cast<std::size_t>(rows);
  Digits digits;
  digits.rows = rows;
  digits.pixels.resize(n * area);
  digits.labels.resize(n);
  digits.source = "procedural digits (embedded generator)";
  const auto order = permutation(static_cast<std::uint32_t>(rows), random);
  for (std::size_t i = 0; i < n; ++i) {
    const std::uint32_t label = order[i] % 10;
    digits.labels[i] = static_cast<std::uint8_t>(label);
    // The permutation uses the elements below 2^32; image i has 2^32 elements of its own above.
    detail::pen::draw_digit(static_cast<int>(label), {random, (std::uint64_t{i} + 1) << 32},
                            std::span(digits.pixels).subspan(i * area, area));
  }
  return digits;
}

}  // namespace poe
