// SPDX-License-Identifier: MIT
// Draws charts: lines with bands over supervision, or dots by model.
#pragma once

#include "layout.hpp"

namespace compare {
namespace detail {

/// Okabe and Ito's colours, which the colour-blind tell apart, those with most contrast first; a
/// second round is dashed.
inline constexpr Ink inks[] = {{0.00, 0.45, 0.70}, {0.84, 0.37, 0.00}, {0.00, 0.62, 0.45},
                               {0.80, 0.47, 0.65}, {0.90, 0.62, 0.00}, {0.34, 0.71, 0.91},
                               {0.00, 0.00, 0.00}};
inline constexpr double dashes[] = {6, 3}, dots[] = {1.5, 3};
inline Ink ink_of(std::size_t model) { return inks[model % std::size(inks)]; }
inline std::span<const double> dash_of(std::size_t model) {
  return model < std::size(inks) ? std::span<const double>{} : std::span<const double>{dashes};
}

inline void draw_legend(Sheet& sheet, const Chart& chart, const Layout& at) {
  for (std::size_t m = 0; m < at.legend.size(); ++m) {
    const auto [x, y] = at.legend[m];
    sheet.line({x, y - 4.5}, {x + 28, y - 4.5}, ink_of(m), 2.2, dash_of(m));
    sheet.marker(m, {x + 14, y - 4.5}, ink_of(m));
    const double room = at.width - Layout::margin - x - 36;
    sheet.text({x + 36, y}, sheet.fitted(chart.plan->models[m], legend_style, room), legend_style);
  }
}

/// A model's figures at a row of levels without a gap.
struct Stretch {
  std::vector<Spot> means, upper, lower;  // one standard deviation to either side

  void draw_band(Sheet& sheet, Ink ink, double alpha) const {
    if (means.size() == 1) sheet.line(upper[0], lower[0], ink, 1.4);
    std::vector<Spot> outline = upper;
    outline.insert(outline.end(), lower.rbegin(), lower.rend());
    sheet.area(outline, ink.faded(alpha));
  }
  void draw_line(Sheet& sheet, std::size_t model) const {
    sheet.line(means, ink_of(model), 2.2, dash_of(model));
    for (const Spot& spot : means) sheet.marker(model, spot, ink_of(model));
  }
};

template <class Place>
std::vector<Stretch> stretches(const Chart& chart, const Metric& metric, std::size_t model,
                               const Axis& y, Place&& x) {
  const std::size_t levels = chart.plan->levels.size();
  std::vector<Stretch> all;
  bool gap = true;
  for (std::size_t l = 0; l < levels; ++l) {
    const Cell& cell = metric.cells[model * levels + l];
    if (!cell.values.empty()) {
      if (gap) all.emplace_back();
      const double mean = cell.mean(), sd = cell.deviation().value_or(0);
      all.back().means.push_back({x(l), y(mean)});
      all.back().upper.push_back({x(l), y(chart.limited(mean + sd))});
      all.back().lower.push_back({x(l), y(chart.limited(mean - sd))});
    }
    gap = cell.values.empty();
  }
  return all;
}

/// Writes the levels below the axis, powers of ten first, where they do not touch others.
template <class Place>
void draw_levels(Sheet& sheet, const std::vector<double>& levels, double y, Place&& x) {
  std::vector<Extent> taken;
  for (const bool decades : {true, false})
    for (std::size_t l = levels.size(); l-- > 0;) {
      const double power = std::log10(levels[l]);
      if ((std::abs(power - std::round(power)) < 1e-6) != decades) continue;
      const double half = sheet.text_width(percent(levels[l]), x_style) / 2 + 4;
      const Extent mine{x(l) - half, x(l) + half};
      if (std::any_of(taken.begin(), taken.end(), [&](const Extent& other) {
            return mine.low < other.high && other.low < mine.high;
          }))
        continue;
      sheet.text({x(l), y}, percent(levels[l]), x_style);
      taken.push_back(mine);
    }
}

/// What no model changes: a dotted line with its name above it, or below where another is near.
inline void draw_references(Sheet& sheet, const Chart& chart, double left, double right,
                            const Axis& y) {
  Lettering style = reference_style;
  style.align = Align::right;
  for (const Reference& reference : chart.references) {
    const double at = y(reference.value);
    const bool crowded =
        std::any_of(chart.references.begin(), chart.references.end(), [&](const Reference& other) {
          return other.value > reference.value && at - y(other.value) < 2 * Layout::label;
        });
    sheet.line({left, at}, {right, at}, quiet, 1.2, dots);
    sheet.text({right - 4, crowded ? at + 13 : at - 5}, reference.name, style);
  }
}

/// The same across a chart by model, with the names below the models.
inline void draw_upright_references(Sheet& sheet, const Chart& chart, double top, double bottom,
                                    const Axis& x) {
  Lettering style = reference_style;
  double label = bottom - 6;
  for (const Reference& reference : chart.references) {
    const double at = x(reference.value);
    const bool left = at > (x.from + x.to) / 2;  // where there is room
    sheet.line({at, top}, {at, bottom}, quiet, 1.2, dots);
    style.align = left ? Align::right : Align::left;
    sheet.text({left ? at - 5 : at + 5, label}, reference.name, style);
    label -= Layout::label;
  }
}

/// Figures over supervision, on a logarithmic axis.
inline void draw_lines(Sheet& sheet, const Chart& chart, const Layout& at, std::size_t panel) {
  const auto& levels = chart.plan->levels;
  const Spot o = at.corner(panel);
  const double bottom = o.y + at.plot_height, right = o.x + at.plot_width;
  const Axis y = at.axis(chart, panel);
  const Axis log_x{std::log10(levels.front()), std::log10(levels.back()), o.x + 16, right - 16};
  const auto x = [&](std::size_t l) { return log_x(std::log10(levels[l])); };

  for (const double tick : y.ticks()) {
    sheet.line({o.x, y(tick)}, {right, y(tick)}, gridline, 1);
    sheet.text({o.x - 8, y(tick) + 4}, y.label(tick), y_style);
  }
  for (std::size_t l = 0; l < levels.size(); ++l) {
    sheet.line({x(l), o.y}, {x(l), bottom}, gridline, 1);
    sheet.line({x(l), bottom}, {x(l), bottom + 5}, frame, 1);
  }
  draw_levels(sheet, levels, bottom + 19, x);
  sheet.line({o.x, bottom}, {right, bottom}, frame, 1);
  draw_references(sheet, chart, o.x, right, y);

  const std::size_t models = chart.plan->models.size();
  // Many bands on top of each other must not become mud.
  const double alpha = std::clamp(0.5 / static_cast<double>(models), 0.05, 0.16);
  std::vector<std::vector<Stretch>> of_model;
  // Each model a little beside the one before: equal figures are then all seen.
  const double spread = models > 1 ? std::min(7.0, 16.0 / static_cast<double>(models - 1)) : 0;
  const auto beside = [&](std::size_t m) {
    const double first = -0.5 * spread * static_cast<double>(models - 1);
    return [=](std::size_t l) { return x(l) + first + spread * static_cast<double>(m); };
  };
  for (std::size_t m = 0; m < models; ++m)
    of_model.push_back(stretches(chart, *chart.metrics[panel], m, y, beside(m)));
  for (std::size_t m = 0; m < models; ++m)
    for (const Stretch& s : of_model[m]) s.draw_band(sheet, ink_of(m), alpha);
  for (std::size_t m = 0; m < models; ++m)
    for (const Stretch& s : of_model[m]) s.draw_line(sheet, m);
  for (std::size_t m = 0; m < models; ++m)
    for (std::size_t l = 0; l < levels.size(); ++l)
      if (const auto value = chart.metrics[panel]->published[m * levels.size() + l])
        sheet.marker(m, {beside(m)(l), y(*value)}, ink_of(m), true);
}

/// Figures by model, for one supervision level: mean, standard deviation and each seed.
inline void draw_dots(Sheet& sheet, const Chart& chart, const Layout& at, std::size_t panel) {
  const auto& models = chart.plan->models;
  const Spot o = at.corner(panel);
  const double bottom = o.y + at.plot_height, right = o.x + at.plot_width;
  const Axis x = at.axis(chart, panel);
  for (const double tick : x.ticks()) {
    sheet.line({x(tick), o.y}, {x(tick), bottom}, gridline, 1);
    sheet.text({x(tick), bottom + 19}, x.label(tick), x_style);
  }
  sheet.line({o.x, bottom}, {right, bottom}, frame, 1);
  draw_upright_references(sheet, chart, o.y, bottom, x);
  for (std::size_t m = 0; m < models.size(); ++m) {
    const double y = o.y + 20 + Layout::row * static_cast<double>(m);
    if (panel % at.columns == 0) {
      const double room = at.left - Layout::margin - 12;
      sheet.text({o.x - 10, y + 4.5}, sheet.fitted(models[m], model_style, room), model_style);
    }
    if (const auto value = chart.metrics[panel]->published[m])
      sheet.marker(m, {x(*value), y}, ink_of(m), true);
    const Cell& cell = chart.metrics[panel]->cells[m];
    if (cell.values.empty()) continue;
    const double mean = cell.mean();
    if (const auto sd = cell.deviation())
      sheet.line({x(chart.limited(mean - *sd)), y}, {x(chart.limited(mean + *sd)), y}, ink_of(m),
                 2.2);
    if (chart.plan->seeds.size() > 1)
      for (const double value : cell.values)
        sheet.disc({x(value), y - 9}, 2.2, ink_of(m).faded(0.6));
    sheet.marker(m, {x(mean), y}, ink_of(m));
  }
}

/// Title, legend, and panels with what their axes are.
inline void draw_on(Sheet& sheet, const Chart& chart, const Layout& at) {
  const double inner = at.width - 2 * Layout::margin, x = Layout::margin, y = Layout::margin;
  sheet.text({x, y + 16}, sheet.fitted(chart.title, title_style, inner), title_style);
  sheet.text({x, y + 38}, sheet.fitted(chart.subtitle, subtitle_style, inner), subtitle_style);
  draw_legend(sheet, chart, at);
  for (std::size_t p = 0; p < at.count; ++p) {
    const Spot o = at.corner(p);
    const Spot below{o.x + at.plot_width / 2, o.y + at.plot_height + 42};
    sheet.text({o.x, o.y - 12}, sheet.fitted(chart.panels[p], panel_style, at.plot_width),
               panel_style);
    if (chart.by_model()) {
      draw_dots(sheet, chart, at, p);
      sheet.text(below, sheet.fitted(chart.name, axis_style, at.plot_width), axis_style);
      continue;
    }
    draw_lines(sheet, chart, at, p);
    sheet.text(below, "supervision (share of paired samples)", axis_style);
    if (p % at.columns == 0)
      sheet.text({x + 11, o.y + at.plot_height / 2},
                 sheet.fitted(chart.name, axis_style, at.plot_height), axis_style,
                 -std::numbers::pi / 2);
  }
}

}  // namespace detail

/// Draws a chart.
inline Drawing draw(const Chart& chart) {
  std::optional<detail::Layout> at;
  // Places depend on the widths of words, which only a sheet knows.
  render(1, 1, [&](const Sheet& sheet) { at.emplace(chart, sheet); });
  return render(at->width, at->height, [&](Sheet& sheet) { detail::draw_on(sheet, chart, *at); });
}

}  // namespace compare
