// SPDX-License-Identifier: MIT
// What all figures share: colours, lettering, distances, and the title above.
#pragma once

#include "poe/core/error.hpp"
#include "poe/io/image.hpp"
#include "poe/io/text.hpp"

#include <algorithm>
#include <string_view>

namespace poe::detail {

inline constexpr Color white{255, 255, 255}, dark{28, 32, 40}, muted{106, 114, 126};
inline constexpr Color pale{206, 211, 219};
inline constexpr Inks given_inks{{243, 244, 247}, {22, 25, 32}};
inline constexpr Inks generated_inks{{228, 238, 252}, {20, 84, 180}};

/// Distances and lettering, all multiples of the unit `u`, in pixels.
struct FigureLayout {
  /// `scale` is the side of an image's pixel. Lettering for a scale of 1 would not be legible.
  explicit FigureLayout(int scale) : u(std::max(scale, 2)) {
    if (scale < 1 || scale > 16) fail("figure: expected a scale of 1 to 16, got {}", scale);
  }

  int u;
  int margin = 12 * u, rule = u / 2;
  TextStyle title{7 * u, dark, 0.165F}, subtitle{5 * u, muted, 0.125F};
  TextStyle label{5 * u, dark, 0.14F}, small{4 * u, muted, 0.125F};
};

/// Title and subtitle; either may be empty.
struct FigureHeader {
  std::string_view title, subtitle;

  int width(const FigureLayout& at) const {
    return std::max(text_width(title, at.title), text_width(subtitle, at.subtitle));
  }
  /// With the space below.
  int height(const FigureLayout& at) const {
    const int lines = (title.empty() ? 0 : 14) + (subtitle.empty() ? 0 : 11);
    return lines == 0 ? 0 : (lines + 5) * at.u;
  }
};

/// A figure with frame and header around a content of the given extent, which is still to be drawn
/// with its top left corner at (margin, margin + header height).
inline Canvas begin_figure(const FigureLayout& at, const FigureHeader& header, int width,
                           int height) {
  Canvas canvas(2 * at.margin + std::max(width, header.width(at)),
                2 * at.margin + header.height(at) + height, white);
  frame(canvas, {0, 0, canvas.width, canvas.height}, at.rule, pale);
  draw_text(canvas, at.margin, at.margin + at.title.size, header.title, at.title);
  const int y = at.margin + (header.title.empty() ? 0 : 14 * at.u);
  draw_text(canvas, at.margin, y + at.subtitle.size, header.subtitle, at.subtitle);
  return canvas;
}

/// A line of text with its middle at x.
inline void draw_centred(Canvas& canvas, int x, int y, std::string_view text,
                         const TextStyle& style) {
  draw_text(canvas, x - text_width(text, style) / 2, y, text, style);
}

}  // namespace poe::detail
