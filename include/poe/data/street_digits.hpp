// SPDX-License-Identifier: MIT
// House numbers that need no download: digits in colour, printed on walls and signs.
#pragma once

#include <poe/core/error.hpp>
#include <poe/core/random.hpp>
#include <poe/data/digit_pen.hpp>
#include <poe/data/digit_set.hpp>
#include <poe/data/draws.hpp>
#include <poe/data/rgb.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numbers>
#include <span>
#include <vector>

namespace poe {
namespace detail::street {

using pen::Ink;
using pen::Path;
using pen::Point;

inline constexpr int side = 32;
using Photo = std::array<Rgb, std::size_t{side} * side>;  // channels from 0 to 1

/// A colour of this lightness with a tint: most are nearly grey, bluish or brownish, few vivid.
inline Rgb tinted(double lightness, Draws& draws) {
  const double kind = draws.uniform(0, 1);
  const double hue = kind < 0.45   ? draws.normal(3.85, 0.25)  // blue
                     : kind < 0.75 ? draws.normal(0.55, 0.25)  // brown, ochre
                                   : draws.angle();
  const double strength = draws.chance(0.2) ? draws.uniform(0.08, 0.24) : draws.uniform(0, 0.08);
  Rgb color;
  for (std::size_t c = 0; c < 3; ++c)
    color[c] = std::clamp(
        lightness + strength * std::cos(hue - 2 * std::numbers::pi / 3 * static_cast<double>(c)),
        0.0, 1.0);
  return color;
}

/// The face in which all digits of one house number are set. Some faces have thin horizontals.
struct Face {
  explicit Face(Draws& draws)
      : height(draws.uniform(15, 26)),
        width(height * draws.uniform(0.38, 0.75)),
        radius(height * draws.uniform(0.05, 0.11)),
        contrast(draws.chance(0.35) ? draws.uniform(0.3, 0.55) : draws.uniform(0, 0.12)),
        gap(2 * radius + height * draws.uniform(0.02, 0.2)),
        slant(draws.chance(0.15) ? draws.uniform(0.15, 0.4) : draws.normal(0, 0.05)),
        turn(draws.normal(0, 0.11)) {}

  /// The lines of one digit, upright, in pixels; the middle of its ink is the origin.
  std::vector<Path> set(int label, Draws& draws) const {
    const pen::Glyph& glyph = choose_glyph(pen::printed_glyphs(), label, draws);
    std::vector<Path> paths = trace_glyph(glyph, 2.5, draws);
    const auto [low, high] = pen::box_of(paths);
    const double middle = (low.x + high.x) / 2;
    for (Path& path : paths)
      for (Point& p : path) p = {width * (p.x - middle) / 100, height * (p.y - 50) / 100};
    return paths;
  }

  /// Inks lines whose origin lies `along` pixels from that of the number, which lies at `origin`.
  void print(const std::vector<Path>& paths, double along, Point origin, Ink& ink) const {
    const auto place = [&](Point p) {
      const double x = p.x + along - slant * p.y;
      return Point{origin.x + std::cos(turn) * x - std::sin(turn) * p.y,
                   origin.y + std::sin(turn) * x + std::cos(turn) * p.y};
    };
    for (const Path& path : paths)
      for (std::size_t i = 1; i < path.size(); ++i) {
        const double dx = path[i].x - path[i - 1].x, dy = path[i].y - path[i - 1].y;
        const double level = std::abs(dx) / std::max(std::hypot(dx, dy), 1e-9);
        pen::ink_segment(place(path[i - 1]), place(path[i]), radius * (1 - contrast * level), 1,
                         ink);
      }
  }

  double height, width, radius, contrast, gap, slant, turn;
};

/// The digit near the middle and, in many images, what the crop left of its neighbours.
inline Ink print_number(int label, Draws& draws) {
  Ink ink(side, side);
  const Face face(draws);
  const Point origin{draws.normal(16, 1.6), draws.normal(16, 1.4)};
  const auto paths = face.set(label, draws);
  face.print(paths, 0, origin, ink);
  const double half = pen::box_of(paths).high.x;
  for (const double direction : {-1.0, 1.0}) {
    if (!draws.chance(0.45)) continue;
    const auto neighbour = face.set(static_cast<int>(draws.below(10)), draws);
    const double advance = half + face.gap + pen::box_of(neighbour).high.x;
    face.print(neighbour, direction * advance, origin, ink);
  }
  return ink;
}

/// The wall or sign: one colour, in part of the images another one beyond an edge near the border.
inline void paint_background(const Rgb& color, Draws& draws, Photo& photo) {
  const bool edge = draws.chance(0.35);
  const Rgb beyond = tinted(draws.uniform(0.05, 0.95), draws);
  const double tilt = draws.normal(0, 0.06);
  const double direction = std::numbers::pi / 2 * static_cast<double>(draws.below(4)) + tilt;
  const double distance = draws.uniform(11, 16);
  for (int row = 0; row < side; ++row)
    for (int column = 0; column < side; ++column) {
      const double along = (column + 0.5 - side / 2) * std::cos(direction) +
                           (row + 0.5 - side / 2) * std::sin(direction);
      photo[static_cast<std::size_t>(row * side + column)] =
          blend(color, beyond, edge ? std::clamp(along - distance + 0.5, 0.0, 1.0) : 0.0);
    }
}

/// Light falls unevenly, the surface has a grain.
inline void shade(Draws& draws, std::span<const float> grain, Photo& photo) {
  const double slope = draws.uniform(0, 0.35), direction = draws.angle();
  const double roughness = draws.uniform(0, 0.06);
  for (int row = 0; row < side; ++row)
    for (int column = 0; column < side; ++column) {
      const auto p = static_cast<std::size_t>(row * side + column);
      const double along = ((column + 0.5) / side - 0.5) * std::cos(direction) +
                           ((row + 0.5) / side - 0.5) * std::sin(direction);
      for (double& c : photo[p]) c = c * (1 + slope * along) + roughness * grain[p];
    }
}

/// Averages every pixel with its neighbours in the row (step 1) or column (step `side`) by the
/// weights 1/4, 1/2, 1/4; the border is continued.
inline void smooth(int step, Photo& photo) {
  const Photo sharp = photo;
  const int place = step == 1 ? 1 : side;
  for (int p = 0; p < side * side; ++p) {
    const int at = p / place % side;
    const auto& before = sharp[static_cast<std::size_t>(at == 0 ? p : p - step)];
    const auto& after = sharp[static_cast<std::size_t>(at == side - 1 ? p : p + step)];
    auto& here = photo[static_cast<std::size_t>(p)];
    for (std::size_t c = 0; c < 3; ++c) here[c] = (before[c] + 2 * here[c] + after[c]) / 4;
  }
}

inline void draw_street_digit(int label, const Random& random, std::uint64_t first,
                              std::span<std::uint8_t> pixels) {
  Draws draws(random, first);
  std::array<float, 4 * std::size_t{side} * side> noise;
  fill_normal<float>(random, first + (std::uint64_t{1} << 31), noise);

  const double wall = draws.uniform(0.1, 0.9), contrast = draws.uniform(0.1, 0.6);
  const bool darker = wall > 0.65 || (wall > 0.35 && draws.chance(0.5));
  Photo photo;
  paint_background(tinted(wall, draws), draws, photo);
  const Rgb paint = tinted(wall + (darker ? -contrast : contrast), draws);
  const Ink ink = print_number(label, draws);
  for (std::size_t p = 0; p < photo.size(); ++p) photo[p] = blend(photo[p], paint, ink.coverage[p]);
  shade(draws, std::span(noise).first(photo.size()), photo);
  for (std::size_t pass = draws.below(7); pass > 0; --pass) smooth(1, photo), smooth(side, photo);

  const double sensor = draws.uniform(0.002, 0.02);
  for (std::size_t i = 0; i < pixels.size(); ++i) {
    const double value = photo[i / 3][i % 3] + sensor * noise[photo.size() + i];
    pixels[i] = static_cast<std::uint8_t>(std::lround(255 * std::clamp(value, 0.0, 1.0)));
  }
}

}  // namespace detail::street

/// `rows` images of 32 x 32 x 3 with as many of each digit as possible, in random order: a coloured
/// digit on a wall or sign, lighter or darker than it, more or less sharp, at times with parts of
/// its neighbours or an edge. Every image is a function of (random, its number, its label). A
/// stand-in for SVHN where there is no network; do not compare numbers with those on SVHN.
inline Digits make_street_digits(int rows, const Random& random) {
  expect(rows >= 0, "make_street_digits: expected 0 rows or more, got {}", rows);
  constexpr int side = detail::street::side;
  return detail::pen::draw_digits(
      {rows, side, side, 3, {}, {}, "procedural house numbers (embedded generator)"}, random,
      detail::street::draw_street_digit);
}

}  // namespace poe
