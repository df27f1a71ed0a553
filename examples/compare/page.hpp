// SPDX-License-Identifier: MIT
// The page of a comparison: one file that shows figures, tables, pictures and how to repeat it.
#pragma once

#include <poe/core/version.hpp>

#include <set>

#include "figures.hpp"
#include "html.hpp"

namespace compare {
namespace detail {

/// As many decimals as tell figures of this size apart.
inline int decimals_of(const Metric& metric) {
  double largest = 0;
  for (const Cell& cell : metric.cells)
    if (!cell.values.empty()) largest = std::max(largest, std::abs(cell.mean()));
  return largest < 10 ? 3 : largest < 1000 ? 2 : 1;
}

/// What is not finished, and why.
inline std::string missing_html(const Plan& plan) {
  const std::size_t failed = plan.count(State::failed), all = plan.runs.size();
  const std::size_t open = all - plan.count(State::finished) - failed;
  if (open + failed == 0) return "";
  std::string html = fmt::format(
      "<div class=\"missing\"><strong>Incomplete:</strong> {} of {} "
      "finished, {} failed, {} still to be made.",
      all - open - failed, plural(all, "run"), failed, open);
  if (failed > 0) {
    html += "\n<ul>\n";
    for (const Run& run : plan.runs)
      if (run.state == State::failed)
        html += fmt::format("<li>{}: {}</li>\n", escaped(run.name()), escaped(run.reason));
    html += "</ul>";
  }
  return html + "</div>\n";
}

/// Whether no model has a higher mean at the level, and some a lower one, as far as is shown.
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

/// Models by supervision levels; the highest mean of a level is bold.
inline std::string metric_html(const Plan& plan, const Metric& metric, const std::string& caption) {
  const std::size_t levels = plan.levels.size();
  const int decimals = decimals_of(metric);
  const auto shown = [&](double v) { return number_text(v, decimals); };
  std::string html = fmt::format(
      "<div class=\"scroll\"><table>\n<caption>{}</caption>\n"
      "<thead><tr><th scope=\"col\">model</th>",
      escaped(caption));
  for (const double level : plan.levels)
    html += fmt::format("<th scope=\"col\">{}</th>", percent(level));
  html += "</tr></thead>\n<tbody>\n";
  for (std::size_t m = 0; m < plan.models.size(); ++m) {
    html += fmt::format("<tr><th scope=\"row\">{}</th>", escaped(plan.models[m]));
    for (std::size_t l = 0; l < levels; ++l) {
      const Cell& cell = metric.cells[m * levels + l];
      if (cell.values.empty()) {
        html += "<td>–</td>";
        continue;
      }
      const auto sd = cell.deviation();
      const std::string text =
          shown(cell.mean()) + (sd ? " <span class=\"sd\">± " + shown(*sd) + "</span>" : "");
      html += is_best(plan, metric, m, l, decimals) ? "<td><strong>" + text + "</strong></td>"
                                                    : "<td>" + text + "</td>";
    }
    html += "</tr>\n";
  }
  return html + "</tbody></table></div>\n";
}

inline std::string figure_html(const Plan& plan, const Figure& figure, std::size_t number) {
  const Chart& chart = figure.chart;
  const std::string file = file_name(chart);
  std::string html = fmt::format(
      "<section>\n<figure><div role=\"img\" aria-label=\"{0}; the numbers are in the "
      "table "
      "below\">\n{1}</div>\n<figcaption class=\"screen\"><a download=\"{2}.svg\" "
      "href=\"{3}\">SVG</a> · "
      "<a download=\"{2}.png\" href=\"{4}\">PNG</a></figcaption>\n</figure>\n",
      escaped(chart.title), inline_svg(figure.drawing.svg, fmt::format("f{}-", number)),
      escaped(file), data_uri("image/svg+xml", figure.drawing.svg),
      data_uri("image/png", figure.drawing.png));
  html += "<div class=\"tables\">\n";
  for (std::size_t p = 0; p < chart.panels.size(); ++p)
    html += metric_html(
        plan, *chart.metrics[p],
        chart.panels[p] == chart.name ? chart.name : chart.name + ", " + chart.panels[p]);
  return html + "</div>\n</section>\n";
}

/// Pictures of the first finished run of every model at the highest supervision level.
inline std::string pictures_html(const Plan& plan) {
  std::string html;
  for (const std::string& model : plan.models)
    for (const Run& run : plan.runs) {
      const auto path = run.directory / "reconstructions.png";
      std::error_code ignored;
      if (run.model != model || run.supervision != plan.levels.back() ||
          run.state != State::finished || !std::filesystem::exists(path, ignored))
        continue;
      html += fmt::format(
          "<figure><img alt=\"Reconstructions of {0}\" src=\"{1}\">\n"
          "<figcaption>{0}, supervision {2}, seed {3}</figcaption></figure>\n",
          escaped(model), data_uri("image/png", poe::read_file(path)), percent(run.supervision),
          run.seed);
      break;
    }
  return html.empty() ? ""
                      : "<section>\n<h2>What the models make</h2>\n<div class=\"pictures\">\n" +
                            html + "</div>\n</section>\n";
}

inline std::string runs_html(const Plan& plan, const Table& table) {
  std::string html =
      "<section>\n<h2>All runs</h2>\n<details><summary>Test figures of each run</summary>\n"
      "<div class=\"scroll\"><table>\n<thead><tr><th>model</th><th>supervision</th><th>seed</th>"
      "<th>state</th>";
  for (const Metric& metric : table.metrics)
    if (metric.measured) html += "<th>" + escaped(metric.name) + "</th>";
  html += "</tr></thead>\n<tbody>\n";
  for (std::size_t r = 0; r < plan.runs.size(); ++r) {
    const Run& run = plan.runs[r];
    html += fmt::format("<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td>", escaped(run.model),
                        percent(run.supervision), run.seed, state_text(run.state));
    for (std::size_t m = 0; m < table.metrics.size(); ++m) {
      if (!table.metrics[m].measured) continue;
      const auto& value = table.of_run[r][m];
      html += value ? "<td>" + number_text(*value, decimals_of(table.metrics[m])) + "</td>"
                    : std::string("<td>–</td>");
    }
    html += "</tr>\n";
  }
  return html + "</tbody></table></div></details>\n</section>\n";
}

/// The command, the options of the runs, and the versions that made them.
inline std::string repeat_html(const Plan& plan, const std::string& command) {
  std::set<std::string> versions;
  for (const Run& run : plan.runs)
    if (const auto v = run.summary.find("version"); v != run.summary.end() && v->is_string())
      versions.insert(v->get<std::string>());
  std::string made;
  for (const std::string& version : versions) made += (made.empty() ? "" : ", ") + version;
  std::vector<std::string> shared{plan.program.filename().string()};
  shared.insert(shared.end(), plan.options.begin(), plan.options.end());
  return fmt::format(
      "<section>\n<h2>To repeat it</h2>\n<pre>{}</pre>\n"
      "<p class=\"note\">Each run is <code>{}</code> with its own --model, --supervision, --seed, "
      "--out, and what --for adds. {}The page was made by compare {} with cairo "
      "{}.</p>\n</section>\n",
      escaped(command), escaped(shell_text(shared)),
      made.empty() ? "" : "The runs were made by version " + escaped(made) + ". ", poe::version,
      cairo_version_string());
}

}  // namespace detail

/// The whole page. `command`: what repeats the comparison.
inline std::string page(const Plan& plan, const Table& table, const std::vector<Figure>& figures,
                        const std::string& command) {
  const std::string title =
      plan.program.filename().string() + ": " + plural(plan.models.size(), "model") + " compared";
  std::string html = fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta "
      "name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{0}</title>\n"
      "<style>{1}</style>\n</head>\n<body>\n<h1>{0}</h1>\n<p class=\"lead\">{2}{3} at {4} with "
      "{5}.</p>\n{6}",
      escaped(title), page_style, escaped(fmt::format("{}", fmt::join(plan.models, ", "))),
      escaped(detail::on_data(plan)), plural(plan.levels.size(), "supervision level"),
      plural(plan.seeds.size(), "seed"), detail::missing_html(plan));
  for (std::size_t f = 0; f < figures.size(); ++f)
    html += detail::figure_html(plan, figures[f], f + 1);
  if (!figures.empty())
    html +=
        "<p class=\"note\">Tables: mean ± sample standard deviation over the seeds; bold: the "
        "highest mean of a supervision level.</p>\n";
  html += detail::pictures_html(plan) + detail::repeat_html(plan, command) +
          detail::runs_html(plan, table);
  return html + "</body>\n</html>\n";
}

}  // namespace compare
