// SPDX-License-Identifier: MIT
// Which figures a comparison shows: charts of related test figures, made from their names alone.
#pragma once

#include "chart.hpp"

namespace compare {

/// A chart, and its drawing in both formats.
struct Figure {
  Chart chart;
  Drawing drawing;
};

namespace detail {

/// Group and rest of a name: "accuracy" and "top" of accuracy_top, "log_likelihood" and
/// "log_p(top)" of log_likelihood.log_p(top).mean.
inline std::pair<std::string, std::string> parts_of(std::string name) {
  if (name.ends_with(".mean")) name.resize(name.size() - 5);
  std::size_t cut = name.find('.', 1);
  if (cut == std::string::npos) cut = name.find('_', 1);
  if (cut == std::string::npos) return {name, name};
  return {name.substr(0, cut), name.substr(cut + 1)};
}

inline std::string words(std::string name) {
  std::replace(name.begin(), name.end(), '_', ' ');
  return name;
}

/// What the runs call their data: " on MNIST"; empty where they say nothing.
inline std::string on_data(const Plan& plan) {
  for (const Run& run : plan.runs)
    if (const auto data = run.summary.find("data"); data != run.summary.end() &&
                                                    data->is_object() && data->contains("title") &&
                                                    data->at("title").is_string())
      return " on " + data->at("title").get<std::string>();
  return "";
}

/// What all finished runs say of a setting; null where they differ or say nothing. `of` is "" or an
/// object of the summary.
inline poe::Json common(const Plan& plan, const std::string& of, const std::string& key) {
  poe::Json found;
  for (const Run& run : plan.runs) {
    if (run.state != State::finished) continue;
    const poe::Json& place = of.empty() ? run.summary : run.summary.value(of, poe::Json::object());
    const poe::Json value = place.is_object() ? place.value(key, poe::Json()) : poe::Json();
    if (value.is_null() || (!found.is_null() && found != value)) return {};
    found = value;
  }
  return found;
}

/// What the subtitle says of the data, of the mean and of the band.
inline std::string explanation(const Plan& plan) {
  const bool by_model = plan.levels.size() == 1;
  std::string text = plan.program.filename().string() + on_data(plan);
  if (by_model) text += fmt::format(", supervision {}", percent(plan.levels[0]));
  if (plan.seeds.size() == 1) return text + fmt::format("; seed {}", plan.seeds[0]);
  const bool complete = plan.count(State::finished) == plan.runs.size();
  text += fmt::format("; mean of {}{} seeds", complete ? "" : "up to ", plan.seeds.size());
  return text + (by_model ? ", bar: ± one standard deviation, small dots: the seeds"
                          : ", band: ± one standard deviation");
}

/// All figures of the runs.
inline Extent seen_in(const Chart& chart) {
  Extent seen;
  for (const Metric* metric : chart.metrics)
    for (const Cell& cell : metric->cells)
      for (const double v : cell.values) seen.include(v);
  return seen;
}

/// Adds what chance reaches, where the runs say so and the axis that it takes would not hide how
/// the models differ.
inline void add_chance(const Plan& plan, Chart& chart) {
  const poe::Json chance = common(plan, "chance", chart.name);
  const Extent seen = seen_in(chart);
  if (!chance.is_number() || seen.empty()) return;
  const auto value = chance.get<double>();
  if (4 * (seen.high - seen.low) >= seen.high - value)
    chart.references.push_back({"chance", value, nullptr});
}

/// Shares are in [0, 1], correlations in [-1, 1].
inline std::optional<Extent> range_of(const Chart& chart) {
  Extent seen = seen_in(chart);
  for (const Reference& reference : chart.references) seen.include(reference.value);
  if (seen.low >= 0 && seen.high <= 1) return Extent{0, 1};
  if (seen.low >= -1 && seen.high <= 1) return Extent{-1, 1};
  return std::nullopt;
}

/// Whether a figure says something of the data alone: correlation_shuffled does, and
/// correlation_joint_shuffled is a model's.
inline bool is_reference(std::string_view rest) {
  return rest == "ground_truth" || rest == "shuffled";
}

/// The mean over all runs; they differ by rounding at most.
inline Reference reference_of(const Metric& metric, const std::string& name) {
  Cell all;
  for (const Cell& cell : metric.cells)
    all.values.insert(all.values.end(), cell.values.begin(), cell.values.end());
  return {name, all.mean(), &metric};
}

inline bool any_published(const Metric& metric) {
  return std::any_of(metric.published.begin(), metric.published.end(),
                     [](const auto& value) { return value.has_value(); });
}

}  // namespace detail

/// One chart for each group of measured figures; both must outlive it.
inline std::vector<Chart> charts_of(const Plan& plan, const Table& table) {
  std::vector<Chart> charts;
  for (const Metric& metric : table.metrics) {
    if (!metric.measured) continue;
    const auto [group, rest] = detail::parts_of(metric.name);
    const std::string name = detail::words(group);
    auto chart =
        std::find_if(charts.begin(), charts.end(), [&](const Chart& c) { return c.name == name; });
    if (chart == charts.end()) {
      const std::string by = plan.levels.size() == 1 ? "model" : "supervision";
      chart = charts.insert(chart, {.name = name,
                                    .title = name + " by " + by,
                                    .subtitle = detail::explanation(plan),
                                    .panels = {},
                                    .metrics = {},
                                    .references = {},
                                    .plan = &plan,
                                    .range = {}});
      if (chart->title[0] >= 'a' && chart->title[0] <= 'z')
        chart->title[0] = static_cast<char>(chart->title[0] - 'a' + 'A');
    }
    if (detail::is_reference(rest)) {
      chart->references.push_back(detail::reference_of(metric, detail::words(rest)));
      continue;
    }
    chart->panels.push_back(detail::words(rest));
    chart->metrics.push_back(&metric);
  }
  std::erase_if(charts, [](const Chart& chart) { return chart.panels.empty(); });
  for (Chart& chart : charts) {
    detail::add_chance(plan, chart);
    chart.range = detail::range_of(chart);
    if (std::any_of(chart.metrics.begin(), chart.metrics.end(),
                    [](const Metric* metric) { return detail::any_published(*metric); }))
      chart.subtitle += "; open markers: " + plan.published.title;
  }
  return charts;
}

/// The name of a chart's files, without their ending.
inline std::string file_name(const Chart& chart) {
  std::string name = chart.name;
  for (char& c : name)
    if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))) c = '_';
  return name;
}

inline std::vector<Figure> figures_of(const Plan& plan, const Table& table) {
  std::vector<Figure> figures;
  for (Chart& chart : charts_of(plan, table)) {
    Drawing drawing = draw(chart);
    figures.push_back({std::move(chart), std::move(drawing)});
  }
  return figures;
}

}  // namespace compare
