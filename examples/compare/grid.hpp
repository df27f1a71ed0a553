// SPDX-License-Identifier: MIT
// The tables of a comparison as text, before they become HTML or Markdown.
#pragma once

#include "figures.hpp"

namespace compare {

/// A number of a table. `value` is empty where there is none.
struct GridCell {
  std::string value = {}, deviation = {};
  bool best = false;  // no model has a higher mean, and some a lower one, as far as is shown
};

enum class RowOf { model, others, data };

struct GridRow {
  std::string head;
  RowOf what;
  std::vector<GridCell> cells;
};

struct Grid {
  std::string caption;
  std::vector<std::string> heads;  // of the columns after the first
  std::vector<GridRow> rows;
};

namespace detail {

/// As many decimals as tell figures of this size apart.
inline int decimals_of(const Metric& metric) {
  double largest = 0;
  for (const Cell& cell : metric.cells)
    if (!cell.values.empty()) largest = std::max(largest, std::abs(cell.mean()));
  return largest < 10 ? 3 : largest < 1000 ? 2 : 1;
}

inline bool is_best(const Plan& plan, const Metric& metric, std::size_t model, std::size_t level,
                    int decimals) {
  const auto cell = [&](std::size_t m) -> const Cell& {
    return metric.cells[m * plan.levels.size() + level];
  };
  const double mine = cell(model).mean();
  bool higher = false;
  for (std::size_t m = 0; m < plan.models.size(); ++m) {
    if (cell(m).values.empty()) continue;
    const double other = cell(m).mean();
    if (number_text(other, decimals) == number_text(mine, decimals)) continue;
    if (other > mine) return false;
    higher = true;
  }
  return higher;
}

/// A column: a figure at a supervision level.
struct GridColumn {
  std::string head;
  const Metric* metric;
  std::size_t level;
};

inline GridCell cell_of(const Plan& plan, const GridColumn& column, std::size_t model) {
  const Cell& cell = column.metric->cells[model * plan.levels.size() + column.level];
  if (cell.values.empty()) return {};
  const int decimals = decimals_of(*column.metric);
  const auto sd = cell.deviation();
  return {number_text(cell.mean(), decimals), sd ? number_text(*sd, decimals) : "",
          is_best(plan, *column.metric, model, column.level, decimals)};
}

/// Models, each with what was published of it below, and last what depends on no model.
inline Grid make_grid(const Plan& plan, const Chart& chart, const std::string& caption,
                      const std::vector<GridColumn>& columns) {
  Grid g{.caption = caption, .heads = {}, .rows = {}};
  for (const GridColumn& column : columns) g.heads.push_back(column.head);
  for (std::size_t m = 0; m < plan.models.size(); ++m) {
    GridRow ours{plan.models[m], RowOf::model, {}}, theirs{plan.published.title, RowOf::others, {}};
    bool any = false;
    for (const GridColumn& column : columns) {
      ours.cells.push_back(cell_of(plan, column, m));
      const auto& value = column.metric->published[m * plan.levels.size() + column.level];
      any = any || value;
      theirs.cells.push_back(value ? GridCell{number_text(*value, decimals_of(*column.metric))}
                                   : GridCell{});
    }
    g.rows.push_back(std::move(ours));
    if (any) g.rows.push_back(std::move(theirs));
  }
  for (const Reference& reference : chart.references) {
    if (reference.metric == nullptr) continue;  // no figure of the runs
    const GridCell cell{number_text(reference.value, decimals_of(*reference.metric))};
    g.rows.push_back({reference.name, RowOf::data, std::vector<GridCell>(columns.size(), cell)});
  }
  return g;
}

}  // namespace detail

/// The tables of a chart: one for each figure with a column for each supervision level, or one with
/// a column for each figure where there is one level.
inline std::vector<Grid> grids_of(const Plan& plan, const Chart& chart) {
  using detail::GridColumn;
  std::vector<Grid> grids;
  std::vector<GridColumn> figures;
  for (std::size_t p = 0; p < chart.panels.size(); ++p) {
    figures.push_back({chart.panels[p], chart.metrics[p], 0});
    std::vector<GridColumn> levels;
    for (std::size_t l = 0; l < plan.levels.size(); ++l)
      levels.push_back({percent(plan.levels[l]), chart.metrics[p], l});
    const bool whole = chart.panels[p] == chart.name;
    if (!chart.by_model())
      grids.push_back(detail::make_grid(
          plan, chart, whole ? chart.name : chart.name + ", " + chart.panels[p], levels));
  }
  if (chart.by_model())
    grids.push_back(detail::make_grid(
        plan, chart, chart.name + ", supervision " + percent(plan.levels[0]), figures));
  return grids;
}

}  // namespace compare
