// SPDX-License-Identifier: MIT
// Test figures of all runs: mean and standard deviation over the seeds, and the CSV files.
#pragma once

#include <poe/io/atomic_file.hpp>

#include <cmath>
#include <optional>
#include <string_view>
#include <utility>

#include "plan.hpp"

namespace compare {

/// One test figure of one model at one supervision level, over the seeds.
struct Cell {
  std::vector<double> values = {};  // of the finished runs, in the order of the seeds

  double mean() const {
    double sum = 0;
    for (const double v : values) sum += v;
    return sum / static_cast<double>(values.size());
  }
  /// Sample standard deviation; none of fewer than two values.
  std::optional<double> deviation() const {
    if (values.size() < 2) return std::nullopt;
    const double m = mean();
    double sum = 0;
    for (const double v : values) sum += (v - m) * (v - m);
    return std::sqrt(sum / static_cast<double>(values.size() - 1));
  }
};

/// A number that the runs report of their test data.
struct Metric {
  std::string name;         // members of nested objects are joined by dots
  bool measured;            // not a count or a setting, nor the error of another figure
  std::vector<Cell> cells;  // model * levels + level
  std::vector<std::optional<double>> published;  // by others; as cells
};

/// All figures of the finished runs.
struct Table {
  std::vector<Metric> metrics;  // in the order in which the runs report them
  std::vector<std::vector<std::optional<double>>> of_run;  // [run][metric]
};

namespace detail {

/// Calls number(name, value) for all numbers in nested objects.
template <class F>
void for_each_number(const poe::Json& object, const std::string& prefix, F&& number) {
  for (const auto& [key, value] : object.items()) {
    if (value.is_object())
      for_each_number(value, prefix + key + ".", number);
    else if (value.is_number())
      number(prefix + key, value);
  }
}

/// Whether a figure says how exact another one is.
inline bool is_error(std::string_view name) {
  return name.ends_with("standard_error") || name.ends_with("_se");
}

template <class T>
std::size_t position(const std::vector<T>& all, const T& value) {
  return static_cast<std::size_t>(std::find(all.begin(), all.end(), value) - all.begin());
}

/// A field of a CSV file (RFC 4180).
inline std::string field(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + '"';
}

inline std::size_t metric_named(Table& table, const std::string& name, const Plan& plan) {
  const auto found = std::find_if(table.metrics.begin(), table.metrics.end(),
                                  [&](const Metric& m) { return m.name == name; });
  if (found != table.metrics.end()) return static_cast<std::size_t>(found - table.metrics.begin());
  Metric metric{name, false, std::vector<Cell>(plan.models.size() * plan.levels.size()), {}};
  for (const std::string& model : plan.models)
    for (const double level : plan.levels)
      metric.published.push_back(plan.published.find(model, level, name));
  table.metrics.push_back(std::move(metric));
  return table.metrics.size() - 1;
}

}  // namespace detail

/// Collects the figures of the finished runs.
inline Table tabulate(const Plan& plan) {
  Table table;
  table.of_run.resize(plan.runs.size());
  for (std::size_t r = 0; r < plan.runs.size(); ++r) {
    const Run& run = plan.runs[r];
    if (run.state != State::finished) continue;
    const std::size_t cell = detail::position(plan.models, run.model) * plan.levels.size() +
                             detail::position(plan.levels, run.supervision);
    detail::for_each_number(run.summary["test"], "", [&](const auto& name, const auto& value) {
      const std::size_t m = detail::metric_named(table, name, plan);
      auto& row = table.of_run[r];
      row.resize(std::max(row.size(), m + 1));
      row[m] = value.template get<double>();
      table.metrics[m].cells[cell].values.push_back(*row[m]);
      if (value.is_number_float() && !detail::is_error(name)) table.metrics[m].measured = true;
    });
  }
  for (auto& row : table.of_run) row.resize(table.metrics.size());
  return table;
}

/// One row for each model, supervision level and figure of which there is a value.
inline std::string results_csv(const Plan& plan, const Table& table) {
  std::string text = "model,supervision,metric,seeds,mean,sd\n";
  for (std::size_t m = 0; m < plan.models.size(); ++m)
    for (std::size_t l = 0; l < plan.levels.size(); ++l)
      for (const Metric& metric : table.metrics) {
        const Cell& cell = metric.cells[m * plan.levels.size() + l];
        if (cell.values.empty()) continue;
        const auto sd = cell.deviation();
        text += fmt::format("{},{},{},{},{},{}\n", plan.models[m], plan.levels[l],
                            detail::field(metric.name), cell.values.size(), cell.mean(),
                            sd ? fmt::format("{}", *sd) : "");
      }
  return text;
}

inline std::string state_text(State state) {
  switch (state) {
    case State::finished:
      return "finished";
    case State::failed:
      return "failed";
    case State::interrupted:
      return "interrupted";
    case State::waiting:
      break;
  }
  return "not begun";
}

/// One row for each run, with its figures; empty fields where it has none.
inline std::string runs_csv(const Plan& plan, const Table& table) {
  std::string text = "model,supervision,seed,state";
  for (const Metric& metric : table.metrics) text += "," + detail::field(metric.name);
  text += "\n";
  for (std::size_t r = 0; r < plan.runs.size(); ++r) {
    const Run& run = plan.runs[r];
    text += fmt::format("{},{},{},{}", run.model, run.supervision, run.seed, state_text(run.state));
    for (const auto& value : table.of_run[r]) text += value ? fmt::format(",{}", *value) : ",";
    text += "\n";
  }
  return text;
}

}  // namespace compare
