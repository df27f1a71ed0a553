// SPDX-License-Identifier: MIT
// How the ten digits are written and printed: strokes through a few points, in the usual forms.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace poe::detail::pen {

struct Point {
  double x, y;
};

/// A point that the pen passes, in per cent of a box; y grows downwards. At a corner the direction
/// may change at once, elsewhere the curve is smooth.
struct Knot {
  double x, y;
  bool corner = false;
};

using Stroke = std::vector<Knot>;

/// One form of a digit and how often it is used, relative to the other forms of that digit.
struct Glyph {
  int label;
  double share;
  std::vector<Stroke> strokes;
};

inline constexpr bool corner = true;

/// Digits as people write them.
inline const std::vector<Glyph>& written_glyphs() {
  // clang-format off
  static const std::vector<Glyph> all = {
      {0, 3, {{{54, 3}, {31, 12}, {17, 45}, {27, 82}, {51, 97}, {75, 82}, {84, 46}, {73, 12},
               {50, 4}}}},
      {0, 1, {{{70, 14}, {47, 3}, {24, 20}, {16, 56}, {32, 91}, {58, 96}, {80, 70}, {83, 34},
               {66, 9}, {42, 7}}}},
      {1, 6, {{{51, 2}, {50, 34}, {49, 67}, {48, 98}}}},
      {1, 1, {{{32, 24}, {54, 3, corner}, {53, 50}, {51, 98}}}},
      {1, 0.6, {{{32, 24}, {54, 3, corner}, {53, 50}, {52, 96}}, {{30, 97}, {75, 96}}}},
      {2, 3, {{{20, 25}, {36, 6}, {60, 4}, {75, 22}, {67, 48}, {42, 74}, {17, 95, corner}, {50, 92},
               {85, 95}}}},
      {2, 2, {{{21, 22}, {41, 4}, {66, 6}, {75, 28}, {62, 57}, {38, 84}, {18, 95}, {12, 84},
               {28, 79}, {55, 92}, {88, 93}}}},
      {3, 3, {{{21, 14}, {45, 2}, {69, 12}, {67, 33}, {42, 47, corner}, {71, 56}, {77, 78},
               {54, 97}, {18, 89}}}},
      {3, 1, {{{22, 6}, {74, 5, corner}, {45, 41, corner}, {73, 54}, {78, 77}, {53, 98},
               {18, 90}}}},
      {3, 2, {{{20, 24}, {37, 6}, {60, 4}, {74, 20}, {64, 40}, {48, 48, corner}, {72, 58}, {76, 80},
               {52, 97}, {18, 90}}}},
      {4, 3, {{{29, 6}, {23, 30}, {19, 53, corner}, {50, 55}, {86, 50}},
               {{73, 4}, {68, 50}, {63, 98}}}},
      {4, 1, {{{62, 3}, {40, 31}, {14, 62, corner}, {50, 62}, {88, 60}},
               {{62, 3}, {62, 50}, {60, 98}}}},
      {4, 2, {{{26, 6}, {20, 34}, {36, 52}, {70, 44}}, {{76, 4}, {71, 50}, {66, 98}}}},
      {4, 0.7, {{{73, 12}, {44, 20}, {22, 45}, {44, 53}, {73, 17, corner}, {69, 60}, {63, 98}}}},
      {5, 3, {{{32, 6}, {26, 44, corner}, {50, 38}, {75, 53}, {75, 80}, {50, 97}, {18, 90}},
               {{31, 6}, {82, 3}}}},
      {5, 2, {{{78, 5}, {34, 6, corner}, {28, 44, corner}, {52, 38}, {76, 54}, {73, 82}, {47, 97},
               {18, 87}}}},
      {5, 1, {{{77, 8}, {46, 6}, {29, 26}, {45, 45}, {71, 60}, {70, 84}, {45, 97}, {18, 88}}}},
      {6, 3, {{{68, 3}, {39, 22}, {22, 54}, {25, 86}, {49, 97}, {73, 84}, {70, 61}, {48, 53},
               {25, 70}}}},
      {6, 1, {{{48, 2}, {31, 38}, {22, 72}, {36, 96}, {62, 94}, {74, 74}, {58, 59}, {34, 67},
               {25, 84}}}},
      {7, 4, {{{16, 9}, {48, 7}, {80, 6, corner}, {60, 48}, {45, 98}}}},
      {7, 1, {{{16, 9}, {48, 7}, {80, 6, corner}, {59, 48}, {44, 98}}, {{32, 51}, {78, 46}}}},
      {7, 1, {{{17, 24}, {19, 6, corner}, {80, 5, corner}, {62, 40}, {48, 98}}}},
      {7, 1.5, {{{18, 20}, {36, 6}, {61, 5}, {76, 17}, {66, 48}, {48, 98}}}},
      {8, 3, {{{74, 13}, {50, 3}, {27, 17}, {41, 42}, {67, 62}, {73, 85}, {48, 97}, {23, 83},
               {33, 58}, {62, 38}, {74, 12}}}},
      {8, 1, {{{50, 3}, {29, 13}, {32, 39}, {52, 47}, {71, 36}, {69, 12}, {48, 3}},
               {{52, 47}, {28, 60}, {26, 86}, {50, 97}, {73, 85}, {71, 60}, {48, 48}}}},
      {9, 3, {{{75, 20}, {50, 4}, {25, 22}, {30, 46}, {56, 47}, {75, 20, corner}, {71, 60},
               {64, 98}}}},
      {9, 1, {{{76, 24}, {53, 3}, {27, 18}, {29, 43}, {55, 47}, {75, 24, corner}, {75, 64},
               {59, 92}, {31, 96}}}},
  };
  // clang-format on
  return all;
}

/// Digits as they are printed on signs: even, upright, filling their box. A closed curve passes its
/// first points twice, which hides where it starts.
inline const std::vector<Glyph>& printed_glyphs() {
  // clang-format off
  static const std::vector<Glyph> all = {
      {0, 1, {{{50, 0}, {18, 14}, {6, 50}, {18, 86}, {50, 100}, {82, 86}, {94, 50}, {82, 14},
               {50, 0}, {18, 14}}}},
      {1, 3, {{{22, 22}, {58, 0, corner}, {58, 100}}}},
      {1, 2, {{{50, 0}, {50, 100}}}},
      {1, 2, {{{22, 20}, {54, 0, corner}, {54, 100}}, {{22, 100}, {86, 100}}}},
      {2, 2, {{{10, 27}, {20, 8}, {50, 0}, {80, 9}, {88, 30}, {74, 54}, {38, 78}, {8, 100, corner},
               {92, 100}}}},
      {2, 1, {{{14, 22}, {48, 0}, {84, 12}, {84, 38}, {50, 68}, {10, 100, corner},
               {90, 100, corner}, {92, 86}}}},
      {3, 3, {{{12, 22}, {26, 5}, {52, 0}, {82, 11}, {82, 36}, {46, 47, corner}, {82, 58}, {90, 80},
               {60, 99}, {28, 95}, {8, 78}}}},
      {3, 1, {{{12, 0}, {86, 0, corner}, {44, 40, corner}, {80, 52}, {88, 76}, {58, 100},
               {10, 86}}}},
      {4, 3, {{{70, 100}, {70, 0, corner}, {4, 70, corner}, {96, 70}}}},
      {4, 1, {{{30, 0}, {12, 62, corner}, {92, 62}}, {{70, 30}, {70, 100}}}},
      {5, 3, {{{84, 0}, {24, 0, corner}, {16, 47, corner}, {50, 36}, {84, 48}, {90, 74}, {58, 99},
               {26, 96}, {8, 80}}}},
      {6, 3, {{{84, 16}, {58, 0}, {24, 16}, {8, 58}, {20, 90}, {52, 100}, {84, 88}, {90, 66},
               {76, 46}, {48, 40}, {18, 52}, {9, 68}}}},
      {6, 1, {{{72, 0}, {30, 34}, {8, 70}, {24, 94}, {54, 100}, {86, 86}, {88, 60}, {54, 44},
               {18, 56}, {9, 72}}}},
      {7, 3, {{{8, 0}, {92, 0, corner}, {60, 46}, {42, 100}}}},
      {7, 1, {{{10, 16}, {10, 0, corner}, {92, 0, corner}, {46, 100}}}},
      {8, 1, {{{50, 0}, {20, 9}, {16, 34}, {50, 46}, {84, 34}, {80, 9}, {50, 0}, {20, 9}},
              {{50, 46}, {12, 60}, {10, 86}, {50, 100}, {90, 86}, {88, 60}, {50, 46}, {12, 60}}}},
      {9, 3, {{{16, 84}, {42, 100}, {76, 84}, {92, 42}, {80, 10}, {48, 0}, {16, 12}, {10, 34},
               {24, 54}, {52, 60}, {82, 48}, {91, 32}}}},
      {9, 1, {{{28, 100}, {70, 66}, {92, 30}, {76, 6}, {46, 0}, {14, 14}, {12, 40}, {46, 56},
               {82, 44}, {91, 28}}}},
  };
  // clang-format on
  return all;
}

/// The curve through the knots as a polyline: cubic Hermite pieces whose direction at a knot is
/// that of the line between its neighbours (Catmull-Rom), one-sided at corners and ends.
inline std::vector<Point> trace(std::span<const Knot> knots, int pieces) {
  std::vector<Point> path{{knots[0].x, knots[0].y}};
  const std::size_t last = knots.size() - 1;
  const auto slope = [&](std::size_t from, std::size_t to) {
    const double steps = static_cast<double>(to - from);
    return Point{(knots[to].x - knots[from].x) / steps, (knots[to].y - knots[from].y) / steps};
  };
  for (std::size_t i = 0; i < last; ++i) {
    const Knot a = knots[i], b = knots[i + 1];
    const Point leave = slope(i == 0 || a.corner ? i : i - 1, i + 1);
    const Point arrive = slope(i, i + 1 == last || b.corner ? i + 1 : i + 2);
    for (int k = 1; k <= pieces; ++k) {
      const double t = static_cast<double>(k) / pieces, u = 1 - t;
      const double pa = u * u * (1 + 2 * t), pb = t * t * (3 - 2 * t);
      const double ma = t * u * u, mb = -t * t * u;
      path.push_back({pa * a.x + pb * b.x + ma * leave.x + mb * arrive.x,
                      pa * a.y + pb * b.y + ma * leave.y + mb * arrive.y});
    }
  }
  return path;
}

}  // namespace poe::detail::pen
