// SPDX-License-Identifier: MIT
// Pictures of one coloured shape each: which attributes there are, and how they look.
#pragma once

#include <poe/data/draws.hpp>
#include <poe/data/rgb.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numbers>
#include <span>

namespace poe {

/// What a picture shows, as indices into the tables below.
struct ShapeAttributes {
  std::uint8_t kind, color, size, pattern, background;
  friend bool operator==(const ShapeAttributes&, const ShapeAttributes&) = default;
};

inline constexpr std::array shape_kinds{"circle", "square", "triangle", "star",
                                        "ring",   "cross",  "diamond",  "heart"};
inline constexpr std::array shape_colors{"red",  "orange", "yellow", "green",
                                         "blue", "purple", "pink",   "turquoise"};
inline constexpr std::array shape_sizes{"small", "medium", "large"};
inline constexpr std::array shape_patterns{"plain", "striped", "dotted"};
inline constexpr std::array shape_backgrounds{"black", "white", "grey", "beige"};

namespace detail::shapes {

inline constexpr int side = 64;
inline constexpr std::size_t image_size = std::size_t{side} * side * 3;

// Channels from 0 to 255.
inline constexpr std::array<Rgb, shape_colors.size()> inks{{{214, 48, 49},
                                                            {236, 126, 32},
                                                            {245, 205, 60},
                                                            {58, 160, 80},
                                                            {44, 98, 204},
                                                            {126, 66, 170},
                                                            {242, 138, 180},
                                                            {52, 190, 196}}};
inline constexpr std::array<Rgb, shape_backgrounds.size()> grounds{
    {{34, 36, 42}, {246, 246, 244}, {140, 144, 150}, {222, 202, 168}}};
inline constexpr std::array<double, shape_sizes.size()> radii{9, 15, 23};  // pixels

/// Attributes of a picture, each value as likely as the others.
inline ShapeAttributes draw_attributes(Draws& draws) {
  const auto one_of = [&](const auto& names) {
    return static_cast<std::uint8_t>(draws.below(names.size()));
  };
  ShapeAttributes a{};
  a.kind = one_of(shape_kinds);
  a.color = one_of(shape_colors);
  a.size = one_of(shape_sizes);
  a.pattern = one_of(shape_patterns);
  a.background = one_of(shape_backgrounds);
  return a;
}

/// Whether a point lies in the shape of this kind, whose circumscribed circle is about the unit
/// circle; y grows downwards. The shapes have similar areas.
inline bool inside(std::size_t kind, double x, double y) {
  const double square = x * x + y * y, ax = std::abs(x), ay = std::abs(y);
  switch (kind) {
    case 0:  // circle
      return square < 0.81;
    case 1:  // square
      return std::max(ax, ay) < 0.78;
    case 2:  // triangle
      return y < 0.68 && 0.72 * ax - 0.42 * y < 0.4;
    case 3: {  // star: the edge from a tip to the next notch, in the sector between them
      constexpr double fifth = 2 * std::numbers::pi / 5;
      const double turn = std::atan2(x, -y) / fifth;
      const double angle = fifth * std::abs(turn - std::round(turn));
      const double radius = std::sqrt(square);
      const double notch = 0.46, cosine = std::cos(fifth / 2), sine = std::sin(fifth / 2);
      return notch * sine * (radius * std::cos(angle) - 1) +
                 (1 - notch * cosine) * radius * std::sin(angle) <
             0;
    }
    case 4:  // ring
      return square < 0.9 && square > 0.3;
    case 5:  // cross
      return std::max(ax, ay) < 0.92 && std::min(ax, ay) < 0.31;
    case 6:  // diamond
      return ax / 0.72 + ay < 1;
    default: {  // heart
      const double u = 1.24 * x, v = 0.13 - 1.24 * y, w = u * u + v * v - 1;
      return w * w * w < u * u * v * v * v;
    }
  }
}

/// Whether a point shows the second colour of the pattern: stripes, or dots in offset rows.
/// Distances are in periods of the pattern.
inline bool marked(std::size_t pattern, double x, double y) {
  const auto beside = [](double at) { return at - std::round(at); };
  const double row = std::round(y / 0.866), u = beside(x + 0.5 * row), v = y - 0.866 * row;
  if (pattern == 1) return std::abs(beside(y)) < 0.23;
  return pattern == 2 && u * u + v * v < 0.07;
}

/// A colour near this one: lighter or darker, with a slight tint.
inline Rgb toned(Rgb color, double lightness, double tint, Draws& draws) {
  const double lighter = draws.normal(0, lightness);
  for (double& channel : color) channel += lighter + draws.normal(0, tint);
  return color;
}

/// Draws the picture (side, side, 3). Within the attributes, place, turn, exact size, tone of the
/// colours and light vary; edges are smooth (4 x 4 points in a pixel).
inline void draw_picture(const ShapeAttributes& a, Draws& draws, std::span<std::uint8_t> pixels) {
  const double radius = radii[a.size] * draws.uniform(0.88, 1.12);
  const double free = side / 2 - radius - 4;
  const double x0 = side / 2 + free * draws.uniform(-0.8, 0.8);
  const double y0 = side / 2 + free * draws.uniform(-0.8, 0.8);
  const double turn = draws.normal(0, 0.13), c = std::cos(turn), s = std::sin(turn);
  const double period = 4.2 + radius / 8, shift = draws.uniform(0, 1);
  const double weave = draws.uniform(-0.9, 0.9);  // angle of the pattern
  const double along = std::cos(weave) / period, across = std::sin(weave) / period;
  const Rgb ground = toned(grounds[a.background], 7, 2, draws);
  const Rgb ink = toned(inks[a.color], 7, 5, draws);
  const bool dark = a.background == 0 || a.background == 2;
  const Rgb mark = blend(ink, dark ? Rgb{255, 255, 255} : Rgb{30, 30, 40}, dark ? 0.62 : 0.5);
  const double slope = draws.uniform(0, 0.22), light = draws.angle(), grain = draws.uniform(0, 2.5);
  const double lx = slope * std::cos(light) / side, ly = slope * std::sin(light) / side;

  for (int row = 0; row < side; ++row)
    for (int column = 0; column < side; ++column) {
      int inked = 0, marks = 0;
      for (int sample = 0; sample < 16; ++sample) {
        const double dx = column + (sample % 4 + 0.5) / 4 - x0;
        const double dy = row + (sample / 4 + 0.5) / 4 - y0;
        if (dx * dx + dy * dy > 1.7 * radius * radius) continue;
        const double x = c * dx + s * dy, y = c * dy - s * dx;
        if (!inside(a.kind, x / radius, y / radius)) continue;
        ++inked;
        marks += marked(a.pattern, along * x - across * y, across * x + along * y + shift);
      }
      const Rgb figure = blend(ink, mark, inked > 0 ? static_cast<double>(marks) / inked : 0);
      const Rgb color = blend(ground, figure, inked / 16.0);
      const double shade = 1 + lx * (column - side / 2) + ly * (row - side / 2);
      const auto at = static_cast<std::size_t>((row * side + column) * 3);
      const double noise = draws.uniform(-grain, grain);
      for (std::size_t k = 0; k < 3; ++k)
        pixels[at + k] = static_cast<std::uint8_t>(
            std::lround(std::clamp(color[k] * shade + noise, 0.0, 255.0)));
    }
}

}  // namespace detail::shapes
}  // namespace poe
