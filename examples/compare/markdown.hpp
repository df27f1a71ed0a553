// SPDX-License-Identifier: MIT
// The tables of a comparison as Markdown, to paste into notes.
#pragma once

#include "grid.hpp"

namespace compare {
namespace detail {

/// A model's name may hold an underscore, a figure's a bar: neither may become markup.
inline std::string marked(const std::string& text) {
  std::string safe;
  for (const char c : text) {
    if (std::string_view("\\|*_`<[").find(c) != std::string_view::npos) safe += '\\';
    safe += c;
  }
  return safe;
}

inline std::string markdown(const Grid& grid) {
  std::string text = "**" + marked(grid.caption) + "**\n\n| model |";
  for (const std::string& head : grid.heads) text += " " + marked(head) + " |";
  text += "\n| --- |";
  for (std::size_t c = 0; c < grid.heads.size(); ++c) text += " ---: |";
  text += "\n";
  for (const GridRow& row : grid.rows) {
    text += row.what == RowOf::model ? "| " + marked(row.head) + " |"
                                     : "| *" + marked(row.head) + "* |";
    for (const GridCell& cell : row.cells) {
      text += cell.best ? " **" + cell.value + "**" : " " + cell.value;
      text += cell.deviation.empty() ? " |" : " ± " + cell.deviation + " |";
    }
    text += "\n";
  }
  return text + "\n";
}

}  // namespace detail

/// All tables, one below the other.
inline std::string results_markdown(const Plan& plan, const std::vector<Figure>& figures) {
  std::string text;
  for (const Figure& figure : figures)
    for (const Grid& grid : grids_of(plan, figure.chart)) text += detail::markdown(grid);
  return text;
}

}  // namespace compare
