// SPDX-License-Identifier: MIT
// The page of a comparison: one file that shows figures, tables, pictures and how to repeat it.
#pragma once

#include <poe/core/version.hpp>

#include "gallery.hpp"
#include "grid.hpp"

namespace compare {
namespace detail {

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

inline std::string class_of(RowOf what) {
  return what == RowOf::model    ? ""
         : what == RowOf::others ? " class=\"others\""
                                 : " class=\"data\"";
}

/// A table; the highest mean of a column is bold.
inline std::string grid_html(const Grid& grid) {
  std::string html = fmt::format(
      "<div class=\"scroll\"><table{}>\n<caption>{}</caption>\n"
      "<thead><tr><th scope=\"col\">model</th>",
      grid.heads.size() > 6 ? " class=\"dense\"" : "", escaped(grid.caption));
  for (const std::string& head : grid.heads) html += "<th scope=\"col\">" + escaped(head) + "</th>";
  html += "</tr></thead>\n<tbody>\n";
  for (const GridRow& row : grid.rows) {
    html += fmt::format("<tr{}><th scope=\"row\">{}</th>", class_of(row.what), escaped(row.head));
    for (const GridCell& cell : row.cells) {
      std::string text = cell.value.empty() && row.what == RowOf::model ? "–" : cell.value;
      if (!cell.deviation.empty()) text += " <span class=\"sd\">± " + cell.deviation + "</span>";
      html += cell.best ? "<td><strong>" + text + "</strong></td>" : "<td>" + text + "</td>";
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
  for (const Grid& grid : grids_of(plan, chart)) html += grid_html(grid);
  return html + "</div>\n</section>\n";
}

/// ": 200 training samples, 1 epoch", where all runs are of so many.
inline std::string extent_of_training(const Plan& plan) {
  std::vector<std::string> parts;
  if (const poe::Json n = common(plan, "data", "train"); n.is_number_unsigned())
    parts.push_back(plural(n.get<std::size_t>(), "training sample"));
  if (const poe::Json n = common(plan, "", "epochs"); n.is_number_unsigned())
    parts.push_back(plural(n.get<std::size_t>(), "epoch"));
  return parts.empty() ? "" : fmt::format(": {}", fmt::join(parts, ", "));
}

/// Every run with its test figures, pictures and pages.
inline std::string runs_html(const Plan& plan, const Table& table) {
  std::string html =
      "<section>\n<h2>All runs</h2>\n<details><summary>Test figures of each run</summary>\n"
      "<div class=\"scroll\"><table>\n<thead><tr><th>model</th><th>supervision</th><th>seed</th>"
      "<th>state</th>";
  for (const Metric& metric : table.metrics)
    if (metric.measured) html += "<th>" + escaped(metric.name) + "</th>";
  html += "<th>pictures</th><th>pages</th></tr></thead>\n<tbody>\n";
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
    html += "<td>" + links_html(plan, run, ".png") + "</td><td>" + links_html(plan, run, ".html") +
            "</td></tr>\n";
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
  const std::string title = plan.title.empty()
                                ? plan.program.filename().string() + ": " +
                                      plural(plan.models.size(), "model") + " compared"
                                : plan.title;
  std::string html = fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta "
      "name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{0}</title>\n"
      "<style>{1}</style>\n</head>\n<body>\n<h1>{0}</h1>\n<p class=\"lead\">{2}{3} at {4} with "
      "{5}{6}.</p>\n{7}",
      escaped(title), page_style, escaped(fmt::format("{}", fmt::join(plan.models, ", "))),
      escaped(detail::on_data(plan)), plural(plan.levels.size(), "supervision level"),
      plural(plan.seeds.size(), "seed"), detail::extent_of_training(plan),
      detail::missing_html(plan));
  for (std::size_t f = 0; f < figures.size(); ++f)
    html += detail::figure_html(plan, figures[f], f + 1);
  if (!figures.empty())
    html +=
        "<p class=\"note\">Tables: mean ± sample standard deviation over the seeds; bold: the "
        "highest mean of a column.</p>\n";
  html += detail::pictures_html(plan) + detail::repeat_html(plan, command) +
          detail::runs_html(plan, table);
  return html + "</body>\n</html>\n";
}

}  // namespace compare
