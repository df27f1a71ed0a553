// SPDX-License-Identifier: MIT
// The lettering of figures: a stroke font for printable ASCII, so that no font file is needed.
#pragma once

#include "poe/io/image.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <string_view>
#include <vector>

namespace poe {

/// How text looks.
struct TextStyle {
  int size = 10;  ///< height of the capitals, in pixels
  Color color{};
  float weight = 0.13F;  ///< width of the pen, as a share of the size
};

namespace detail {

/// A letter as the path of a round pen. Points are pairs of letters, x then y, counted from a; y
/// grows upwards. A capital x marks a control point: the pen follows quadratic curves, and two
/// control points in a row meet halfway (as in TrueType). Spaces part the strokes; a stroke that
/// begins with a control point is closed.
struct FontGlyph {
  int width;
  std::string_view strokes;
};

/// Heights in the grid of the letters: the base line and the capitals.
inline constexpr int font_base = 4, font_cap = 18;

// clang-format off
/// From ' ' to '~'.
inline constexpr std::array<FontGlyph, 95> font{{
    {2, ""}, {0, "asai ae"}, {3, "asan dsdn"}, {9, "cees geis anjn ajjj"},
    {8, "ipHsesAsaoAmelIkihIeeeBeah euec"}, {10, "aeks AsEsEmAm GkKkKeGe"},
    {9, "jecoBsesHsHndlAjAeeeHejl"}, {0, "asan"}, {3, "duArAfdc"}, {3, "auDrDfac"},
    {6, "dsdl aqgn angq"}, {8, "ajij enef"}, {1, "bfab"}, {5, "ajfj"}, {1, "AeAfBfBe"}, {6, "acgu"},
    {8, "AsIsIeAe"}, {8, "bpfsfe"}, {8, "aoAsesIsioIlaeie"}, {8, "apBsesIsIlel clelIlIeeeBeah"},
    {8, "gegsaiii"}, {8, "hsbsalBnenInIeeeBeah"}, {8, "AnInIeAe gsApai"}, {8, "asisde"},
    {8, "BsHsHlBl AlIlIeAe"}, {8, "AsIsIjAj ioIhce"}, {1, "AeAfBfBe AmAnBnBm"},
    {1, "AmAnBnBm bfab"},
    {7, "hoajhe"}, {8, "amim agig"}, {7, "aohjae"}, {6, "apAsdsGsGndkdi de"},
    {12, "kfIegeAeAsMsmkMikiJijkjo EoJoJiEi"},
    {10, "aefske cjij"}, {8, "asesHsHlelal elIlIeeeaeas"}, {9, "jpIsfsAsAefeIejh"},
    {9, "aeasdsJsJedeae"}, {7, "hsasaehe algl"}, {7, "hsasae algl"}, {9, "jpIsfsAsAefeJejkgk"},
    {9, "aeas jejs aljl"}, {0, "aeas"}, {6, "gsgiGedeAeah"}, {8, "aeas isaj dmie"}, {7, "asaehe"},
    {12, "aeasgimsme"}, {9, "aeasjejs"}, {10, "AsKsKeAe"}, {8, "aeasesIsIkekak"},
    {10, "AsKsKeAe gikd"}, {8, "aeasesIsIkekak ekie"}, {8, "ipHsesAsaoAmelIkihIeeeBeah"},
    {8, "asis eees"}, {9, "asajAeJejjjs"}, {10, "asfeks"}, {12, "asdegqjems"}, {9, "asje aejs"},
    {10, "asflks flfe"}, {8, "asisaeie"},
    {3, "duauacdc"}, {6, "augc"}, {3, "aududcac"}, {6, "andsgn"}, {8, "acic"}, {3, "ascp"},
    {7, "amBoeoHohkhe hkdkAkAedeHehh"}, {7, "asae AoHoHeAe"}, {7, "hmGoeoAoAeeeGehg"},
    {7, "hshe AoHoHeAe"}, {7, "ajhjHoAoAeeeGehg"}, {5, "fsCscpce aofo"},
    {7, "hohdHaeaBaac AoHoHeAe"}, {7, "asae akAoeoHohkhe"}, {0, "aoae as"}, {2, "cocdCaaa cs"},
    {7, "asae hoai dkhe"}, {2, "asagAece"}, {10, "aoae akAocoFofkfe fkFoioKokkke"},
    {7, "aoae akAoeoHohkhe"}, {8, "AoIoIeAe"}, {7, "aoaa AoHoHeAe"}, {7, "hoha AoHoHeAe"},
    {4, "aoae ajAoeo"}, {6, "gmFodoAoamAkdjGiggGedeBeag"}, {5, "cscgCefe aofo"},
    {7, "aoaiAedeHehi hohe"}, {8, "aoeeio"}, {12, "aodegnjemo"}, {7, "aohe aeho"},
    {8, "aoee ioca"}, {7, "aohoaehe"},
    {4, "euCucrcnClalClcjcfCcec"}, {0, "auac"}, {4, "auCucrcnClelClcjcfCcac"}, {8, "ajBmekHiil"}}};
// clang-format on

inline const FontGlyph& glyph_of(char c) {
  const char known = c >= ' ' && c <= '~' ? c : '?';
  return font[static_cast<std::size_t>(known - ' ')];
}

struct FontPoint {
  float x, y;
};
inline FontPoint middle(FontPoint a, FontPoint b) { return {(a.x + b.x) / 2, (a.y + b.y) / 2}; }

struct FontSegment {
  FontPoint from, to;
};

/// Distance of p from the segment.
inline float distance(FontPoint p, FontSegment s) {
  const float dx = s.to.x - s.from.x, dy = s.to.y - s.from.y, square = dx * dx + dy * dy;
  const float along = (p.x - s.from.x) * dx + (p.y - s.from.y) * dy;
  const float t = square > 0 ? std::clamp(along / square, 0.0F, 1.0F) : 0.0F;
  return std::hypot(p.x - s.from.x - t * dx, p.y - s.from.y - t * dy);
}

/// Appends a quadratic curve as short segments.
inline void add_curve(std::vector<FontSegment>& out, FontPoint from, FontPoint control,
                      FontPoint to) {
  constexpr int steps = 8;
  FontPoint last = from;
  for (int k = 1; k <= steps; ++k) {
    const float t = static_cast<float>(k) / steps, u = 1 - t;
    const FontPoint next{u * u * from.x + 2 * u * t * control.x + t * t * to.x,
                         u * u * from.y + 2 * u * t * control.y + t * t * to.y};
    out.push_back({last, next});
    last = next;
  }
}

/// Appends one stroke; place(x, y) maps the grid to pixels.
template <class Place>
void add_stroke(std::vector<FontSegment>& out, std::string_view stroke, Place&& place) {
  const std::size_t count = stroke.size() / 2;
  const auto is_control = [&](std::size_t i) { return stroke[2 * i] < 'a'; };
  const auto point = [&](std::size_t i) {
    return place(stroke[2 * i] - (is_control(i) ? 'A' : 'a'), stroke[2 * i + 1] - 'a');
  };
  const bool closed = is_control(0);
  FontPoint pen = closed ? middle(point(count - 1), point(0)) : point(0);
  if (count == 1) out.push_back({pen, pen});
  for (std::size_t i = closed ? 0 : 1; i < count; ++i) {
    if (!is_control(i)) {
      if (!is_control(i - 1)) out.push_back({pen, point(i)});
      pen = point(i);  // where the curve before has ended
    } else {
      const std::size_t next = (i + 1) % count;
      const FontPoint end = is_control(next) ? middle(point(i), point(next)) : point(next);
      add_curve(out, pen, point(i), end);
      pen = end;
    }
  }
}

/// Lengths of a style in pixels: radius of the pen, unit of the grid, space between two letters.
struct FontPen {
  explicit FontPen(const TextStyle& style)
      : radius(static_cast<float>(style.size) * style.weight / 2),
        unit((static_cast<float>(style.size) - 2 * radius) / (font_cap - font_base)),
        gap(static_cast<int>(std::lround(2 * unit))) {}
  /// From one letter to the next, in whole pixels, so that equal letters look equal.
  int advance(const FontGlyph& glyph) const {
    return static_cast<int>(std::lround(static_cast<float>(glyph.width) * unit + 2 * radius)) + gap;
  }
  float radius, unit;
  int gap;
};

/// How much of the pixel (x, y) the pen covers along the path, below 0 or above 1 when it is clear.
inline float coverage(const std::vector<FontSegment>& path, int x, int y, float radius) {
  const FontPoint centre{static_cast<float>(x) + 0.5F, static_cast<float>(y) + 0.5F};
  float nearest = radius + 1;
  for (const FontSegment& segment : path) nearest = std::min(nearest, distance(centre, segment));
  return radius + 0.5F - nearest;
}

}  // namespace detail

/// Width of a line of text in pixels.
inline int text_width(std::string_view text, const TextStyle& style) {
  const detail::FontPen pen(style);
  int width = text.empty() ? 0 : -pen.gap;
  for (const char c : text) width += pen.advance(detail::glyph_of(c));
  return width;
}

/// Draws a line of printable ASCII from x to the right (other bytes appear as '?'). Row y is the
/// first below the capitals.
inline void draw_text(Canvas& canvas, int x, int y, std::string_view text, const TextStyle& style) {
  const detail::FontPen pen(style);
  std::vector<detail::FontSegment> path;
  for (const char c : text) {
    const detail::FontGlyph& glyph = detail::glyph_of(c);
    const auto place = [&](int column, int row) {
      return detail::FontPoint{
          static_cast<float>(x) + pen.radius + static_cast<float>(column) * pen.unit,
          static_cast<float>(y) - pen.radius -
              static_cast<float>(row - detail::font_base) * pen.unit};
    };
    path.clear();
    for (std::size_t begin = 0; begin < glyph.strokes.size();) {
      const std::size_t end = std::min(glyph.strokes.find(' ', begin), glyph.strokes.size());
      detail::add_stroke(path, glyph.strokes.substr(begin, end - begin), place);
      begin = end + 1;
    }
    const int next = x + pen.advance(glyph);
    for (int row = y - style.size * 5 / 4; row < y + style.size / 2; ++row) {
      for (int column = x - 1; column < next; ++column) {
        if (!canvas.contains(column, row)) continue;
        Color& pixel = canvas.at(column, row);
        pixel = mix(pixel, style.color, detail::coverage(path, column, row, pen.radius));
      }
    }
    x = next;
  }
}

}  // namespace poe
