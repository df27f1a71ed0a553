// SPDX-License-Identifier: MIT
// What the runs leave beside their figures: pictures and pages.
#pragma once

#include <set>

#include "figures.hpp"
#include "html.hpp"

namespace compare {
namespace detail {

/// Names of the files of a finished run that end so, in order.
inline std::vector<std::string> files_of(const Run& run, const std::string& extension) {
  std::vector<std::string> names;
  std::error_code ignored;
  if (run.state == State::finished)
    for (const auto& entry : std::filesystem::directory_iterator(run.directory, ignored))
      if (entry.path().extension() == extension) names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

/// "Cross samples" of "cross_samples.png".
inline std::string file_title(const std::string& name) {
  std::string title = words(std::filesystem::path(name).stem().string());
  if (title[0] >= 'a' && title[0] <= 'z') title[0] = static_cast<char>(title[0] - 'a' + 'A');
  return title;
}

/// Links to a run's files of one kind: "Pairs", "Reconstructions · Samples".
inline std::string links_html(const Plan& plan, const Run& run, const std::string& extension) {
  std::string html;
  for (const std::string& name : files_of(run, extension)) {
    const auto path = std::filesystem::relative(run.directory / name, plan.out);
    html += fmt::format("{}<a href=\"{}\">{}</a>", html.empty() ? "" : " · ",
                        url_of(path.generic_string()), escaped(file_title(name)));
  }
  return html;
}

/// The first finished run of a model at the highest supervision level, or null.
inline const Run* example_of(const Plan& plan, const std::string& model) {
  for (const Run& run : plan.runs)
    if (run.model == model && run.supervision == plan.levels.back() && run.state == State::finished)
      return &run;
  return nullptr;
}

/// One run's picture in the page, and where its pages are.
inline std::string picture_html(const Plan& plan, const Run& run, const std::string& name) {
  const std::string pages = links_html(plan, run, ".html");
  return fmt::format(
      "<figure><img alt=\"{0} of {1}\" src=\"{2}\">\n<figcaption>{1}, supervision {3}, seed "
      "{4}{5}</figcaption></figure>\n",
      escaped(file_title(name)), escaped(run.model),
      data_uri("image/png", poe::read_file(run.directory / name)), percent(run.supervision),
      run.seed, pages.empty() ? "" : " · " + pages);
}

/// Every kind of picture, model beside model.
inline std::string pictures_html(const Plan& plan) {
  std::set<std::string> names;
  for (const std::string& model : plan.models)
    if (const Run* run = example_of(plan, model))
      for (const std::string& name : files_of(*run, ".png")) names.insert(name);
  std::string html;
  for (const std::string& name : names) {
    html += "<h3>" + escaped(file_title(name)) + "</h3>\n<div class=\"pictures\">\n";
    for (const std::string& model : plan.models)
      if (const Run* run = example_of(plan, model);
          run != nullptr && std::filesystem::exists(run->directory / name))
        html += picture_html(plan, *run, name);
    html += "</div>\n";
  }
  return html.empty() ? "" : "<section>\n<h2>What the models make</h2>\n" + html + "</section>\n";
}

}  // namespace detail
}  // namespace compare
