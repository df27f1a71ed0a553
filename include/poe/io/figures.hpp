// SPDX-License-Identifier: MIT
// Figures of a report: what a model completes from what it is given, and what it draws by itself.
#pragma once

#include "poe/core/error.hpp"
#include "poe/io/figure_layout.hpp"
#include "poe/io/image.hpp"
#include "poe/io/text.hpp"

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

namespace poe {

/// A horizontal strip of a band, with one image per column.
struct GridPart {
  Images images{};
  bool generated = false;  ///< draws grey images in the second ink
};

/// Parts one below the other. They touch, so that the halves of a digit are seen as one digit.
struct GridBand {
  std::string label{};  ///< at the left
  std::string note{};   ///< smaller, below the label
  std::vector<GridPart> parts{};
};

/// Neighbouring columns under one heading.
struct GridGroup {
  std::string label{};
  int columns = 1;
};

/// A table of images: a column per sample, a band per way of looking at it.
struct GridFigure {
  std::string title{}, subtitle{};
  std::vector<GridBand> bands{};
  std::vector<GridGroup> groups{};
  int groups_per_line = 0;  ///< the table goes on in a new line after so many groups; 0: never
  int scale = 2;            ///< side of an image's pixel in the figure
  std::string given = "given", generated = "generated";  ///< legend, if both inks occur
};

/// Images in reading order, each with its caption below.
struct SamplesFigure {
  std::string title{}, subtitle{};
  Images images{};
  std::vector<std::string> captions{};  ///< one per image, or none
  int columns = 10;
  int scale = 2;  ///< side of an image's pixel in the figure
};

namespace detail {

inline int band_height(const GridBand& band, int scale) {
  int height = 0;
  for (const GridPart& part : band.parts) height += part.images.height * scale;
  return height;
}

/// Extents of a grid figure in pixels, and its division into lines.
struct GridMeasure {
  explicit GridMeasure(const GridFigure& figure) : at(figure.scale) {
    if (figure.groups.empty() || figure.bands.empty())
      fail("figure: expected groups and bands, got {} and {}", figure.groups.size(),
           figure.bands.size());
    int columns = 0;
    for (const GridGroup& group : figure.groups) {
      if (group.columns < 1)
        fail("figure: group '{}': expected columns, got {}", group.label, group.columns);
      columns += group.columns;
    }
    bool given = false, generated = false;
    line_height = heading;
    for (const GridBand& band : figure.bands) {
      for (const GridPart& part : band.parts) {
        if (part.images.count() != columns)
          fail("figure: band '{}': expected an image for each of {} columns, got {}", band.label,
               columns, part.images.count());
        cell = std::max(cell, part.images.width * figure.scale);
        (part.generated ? generated : given) = true;
      }
      label = std::max({label, text_width(band.label, at.label), text_width(band.note, at.small)});
      line_height += band_height(band, figure.scale) + band_gap;
    }
    if (label > 0) label += label_gap;
    if (given && generated)
      legend =
          text_width(figure.given, at.small) + text_width(figure.generated, at.small) + 24 * at.u;

    const auto groups = static_cast<int>(figure.groups.size());
    per_line = figure.groups_per_line > 0 ? std::min(figure.groups_per_line, groups) : groups;
    lines = (groups + per_line - 1) / per_line;
    for (int first = 0; first < groups; first += per_line) {
      int width = -group_gap;
      for (int g = first; g < std::min(first + per_line, groups); ++g)
        width += group_width(figure.groups[static_cast<std::size_t>(g)]) + group_gap;
      line_width = std::max(line_width, width);
    }
  }
  int group_width(const GridGroup& group) const { return group.columns * (cell + gap) - gap; }

  FigureLayout at;
  int gap = 2 * at.u, group_gap = 9 * at.u, band_gap = 5 * at.u, line_gap = 9 * at.u;
  int label_gap = 6 * at.u, heading = 13 * at.u;
  int cell = 0, label = 0, legend = 0, line_width = 0, line_height = 0, per_line = 0, lines = 0;
};

/// Two inks and their meaning, at the right of the title.
inline void draw_legend(Canvas& canvas, const GridFigure& figure, const GridMeasure& m) {
  const int u = m.at.u, y = m.at.margin + u;
  int x = canvas.width - m.at.margin - m.legend;
  const auto item = [&](const std::string& text, const Inks& inks) {
    fill(canvas, {x, y, 5 * u, 5 * u}, inks.ink);
    draw_text(canvas, x + 8 * u, y + 5 * u - u / 2, text, m.at.small);
    x += 16 * u + text_width(text, m.at.small);
  };
  item(figure.given, given_inks);
  item(figure.generated, generated_inks);
}

/// The names of the bands, each beside the middle of its band, ending at `right`.
inline void draw_labels(Canvas& canvas, const GridFigure& figure, const GridMeasure& m, int right,
                        int y) {
  const int u = m.at.u;
  for (const GridBand& band : figure.bands) {
    const int height = band_height(band, figure.scale);
    const int base = y + (height - (band.note.empty() ? 5 : 12) * u) / 2 + 5 * u;
    draw_text(canvas, right - text_width(band.label, m.at.label), base, band.label, m.at.label);
    draw_text(canvas, right - text_width(band.note, m.at.small), base + 7 * u, band.note,
              m.at.small);
    y += height + m.band_gap;
  }
}

/// One group: heading, rule, and images; its columns start at column `first` of the figure.
inline void draw_group(Canvas& canvas, const GridFigure& figure, const GridMeasure& m,
                       const GridGroup& group, int first, int x, int y) {
  const int width = m.group_width(group);
  draw_centred(canvas, x + width / 2, y + m.at.label.size, group.label, m.at.label);
  fill(canvas, {x, y + 9 * m.at.u, width, m.at.rule}, muted);
  y += m.heading;
  for (const GridBand& band : figure.bands) {
    for (const GridPart& part : band.parts) {
      const int inset = (m.cell - part.images.width * figure.scale) / 2;
      for (int k = 0; k < group.columns; ++k)
        draw_image(canvas, x + inset + k * (m.cell + m.gap), y, part.images[first + k],
                   figure.scale, part.generated ? generated_inks : given_inks);
      y += part.images.height * figure.scale;
    }
    y += m.band_gap;
  }
}

}  // namespace detail

/// Draws a table of images; throws Error when their number does not fit the columns.
inline Canvas draw(const GridFigure& figure) {
  const detail::GridMeasure m(figure);
  const detail::FigureHeader header{figure.title, figure.subtitle};
  const int legend_end = text_width(figure.title, m.at.title) + m.legend;
  const int line = m.line_height - m.band_gap, line_step = m.line_height + m.line_gap;
  Canvas canvas = detail::begin_figure(m.at, header, std::max(m.label + m.line_width, legend_end),
                                       (m.lines - 1) * line_step + line);
  if (m.legend > 0) detail::draw_legend(canvas, figure, m);

  int x = 0, y = m.at.margin + header.height(m.at), column = 0;
  for (int g = 0; g < static_cast<int>(figure.groups.size()); ++g) {
    const GridGroup& group = figure.groups[static_cast<std::size_t>(g)];
    if (g % m.per_line == 0) {
      if (g > 0) y += line_step;
      x = m.at.margin + m.label;
      detail::draw_labels(canvas, figure, m, x - m.label_gap, y + m.heading);
    }
    detail::draw_group(canvas, figure, m, group, column, x, y);
    x += m.group_width(group) + m.group_gap;
    column += group.columns;
  }
  return canvas;
}

/// Draws the samples; throws Error when there are captions but not one per image.
inline Canvas draw(const SamplesFigure& figure) {
  const detail::FigureLayout at(figure.scale);
  const detail::FigureHeader header{figure.title, figure.subtitle};
  const int count = figure.images.count(), columns = std::min(figure.columns, count);
  if (columns < 1)
    fail("figure: expected images and columns, got {} and {}", count, figure.columns);
  if (!figure.captions.empty() && figure.captions.size() != static_cast<std::size_t>(count))
    fail("figure: expected {} captions, got {}", count, figure.captions.size());

  const int gap = 4 * at.u, caption = figure.captions.empty() ? 0 : 9 * at.u;
  const int width = figure.images.width * figure.scale;
  const int height = figure.images.height * figure.scale;
  const int x_step = width + gap, y_step = height + caption + gap;
  const int rows = (count + columns - 1) / columns;
  Canvas canvas = detail::begin_figure(at, header, columns * x_step - gap, rows * y_step - gap);
  for (int k = 0; k < count; ++k) {
    const int x = at.margin + k % columns * x_step;
    const int y = at.margin + header.height(at) + k / columns * y_step;
    draw_image(canvas, x, y, figure.images[k], figure.scale, detail::generated_inks);
    if (caption > 0)
      detail::draw_centred(canvas, x + width / 2, y + height + 7 * at.u,
                           figure.captions[static_cast<std::size_t>(k)], at.small);
  }
  return canvas;
}

}  // namespace poe
