// SPDX-License-Identifier: MIT
// What a chart shows, how it is lettered, and where everything in it is.
#pragma once

#include "axis.hpp"
#include "sheet.hpp"
#include "table.hpp"

namespace compare {

/// A figure that depends on no model: what the data themselves reach, or chance.
struct Reference {
  std::string name;
  double value;
  const Metric* metric;  // null: it is none of the runs' figures
};

/// Test figures of one kind: one panel each, over supervision, or by model where there is one
/// level.
struct Chart {
  std::string name;  // of the figures: "accuracy"
  std::string title, subtitle;
  std::vector<std::string> panels;     // titles
  std::vector<const Metric*> metrics;  // one a panel
  std::vector<Reference> references;   // in every panel
  const Plan* plan = nullptr;
  std::optional<Extent> range;  // shares or correlations: the panels share their axis

  bool by_model() const { return plan->levels.size() == 1; }
  double limited(double v) const { return range ? std::clamp(v, range->low, range->high) : v; }
};

namespace detail {

inline constexpr Ink dark{0.13, 0.13, 0.13}, quiet{0.35, 0.35, 0.35};
inline constexpr Ink gridline{0.90, 0.90, 0.90}, frame{0.55, 0.55, 0.55};
inline constexpr Lettering title_style{18, dark, true}, subtitle_style{13, quiet};
inline constexpr Lettering panel_style{14, dark, true}, legend_style{13, dark};
inline constexpr Lettering x_style{12, quiet, false, Align::centre};
inline constexpr Lettering y_style{12, quiet, false, Align::right};
inline constexpr Lettering axis_style{13, dark, false, Align::centre};
inline constexpr Lettering reference_style{11.5, quiet};
inline constexpr Lettering model_style{13, dark, false, Align::right};

inline void include(Extent& extent, const Chart& chart, const Metric& metric) {
  for (const auto& value : metric.published)
    if (value) extent.include(*value);
  for (const Reference& reference : chart.references) extent.include(reference.value);
  for (const Cell& cell : metric.cells) {
    if (cell.values.empty()) continue;
    const double sd = cell.deviation().value_or(0);
    extent.include(cell.mean() - sd);
    extent.include(cell.mean() + sd);
    if (chart.by_model())
      for (const double value : cell.values) extent.include(value);
  }
}

/// The numbers that a panel must show.
inline Extent extent_of(const Chart& chart, std::size_t panel) {
  Extent extent;
  for (std::size_t p = 0; p < chart.panels.size(); ++p)
    if (p == panel || chart.range) include(extent, chart, *chart.metrics[p]);
  return extent;
}

/// Places and lengths, in pixels.
struct Layout {
  Layout(const Chart& chart, const Sheet& sheet) : count(chart.panels.size()) {
    columns = std::min<std::size_t>(count, count == 4 ? 2 : 3);
    const std::size_t rows = (count + columns - 1) / columns;
    width = columns == 1 ? 700 : 1110;
    plot_height = columns == 1 ? 330 : columns == 2 ? 280 : 220;
    if (chart.by_model())
      plot_height = row * static_cast<double>(chart.plan->models.size()) + 10 +
                    label * static_cast<double>(chart.references.size());
    place_columns(chart, sheet);
    place_legend(chart, sheet);
    height = top + static_cast<double>(rows) * (plot_height + below) - below + 50 + margin;
  }

  /// The upper left corner of a plot.
  Spot corner(std::size_t panel) const {
    return {left + static_cast<double>(panel % columns) * (plot_width + gap),
            top + static_cast<double>(panel / columns) * (plot_height + below)};
  }
  /// The axis of a panel's figures: upwards, or to the right by model.
  Axis axis(const Chart& chart, std::size_t panel) const {
    const Spot o = corner(panel);
    const Extent extent = extent_of(chart, panel);
    return chart.by_model()
               ? nice_axis(extent, o.x + 8, o.x + plot_width - 8, columns == 1 ? 7 : 4, chart.range)
               : nice_axis(extent, o.y + plot_height, o.y, 5, chart.range);
  }

  static constexpr double margin = 24, below = 92, row = 30, label = 16;
  std::size_t count, columns;
  double width, height, plot_width = 0, plot_height, left = 0, gap = 0, top = 0;
  std::vector<Spot> legend = {};  // where each model's entry begins

 private:
  /// Leaves room for the names of models, or for the numbers of the axes and what they are.
  void place_columns(const Chart& chart, const Sheet& sheet) {
    double widest = 0;
    if (chart.by_model()) {
      for (const auto& model : chart.plan->models)
        widest = std::max(widest, sheet.text_width(model, model_style));
      left = margin + std::min(widest, 200.0) + 12;
      gap = 40;
    } else {
      for (std::size_t p = 0; p < count; ++p) {
        const Axis y = axis(chart, p);
        for (const double tick : y.ticks())
          widest = std::max(widest, sheet.text_width(y.label(tick), y_style));
      }
      left = margin + widest + 34;
      gap = widest + 36;
    }
    const double gaps = gap * static_cast<double>(columns - 1);
    plot_width = (width - left - gaps - margin) / static_cast<double>(columns);
  }

  /// Entries line by line; a chart by model has its names beside the dots.
  void place_legend(const Chart& chart, const Sheet& sheet) {
    top = margin + 84;
    if (chart.by_model()) return;
    Spot at{margin, margin + 68};
    for (const std::string& model : chart.plan->models) {
      const double entry = 36 + sheet.text_width(model, legend_style);
      if (at.x > margin && at.x + entry > width - margin) at = {margin, at.y + 22};
      legend.push_back(at);
      at.x += entry + 24;
    }
    top = at.y + 50;
  }
};

}  // namespace detail
}  // namespace compare
