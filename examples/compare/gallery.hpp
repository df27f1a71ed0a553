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

/// A link to a file of a run: "Reconstructions".
inline std::string link_html(const Plan& plan, const Run& run, const std::string& name) {
  const auto path = std::filesystem::relative(run.directory / name, plan.out);
  return fmt::format("<a href=\"{}\">{}</a>", url_of(path.generic_string()),
                     escaped(file_title(name)));
}

/// Links to all its files of one kind: "Reconstructions · Samples".
inline std::string links_html(const Plan& plan, const Run& run, const std::string& extension) {
  std::string html;
  for (const std::string& name : files_of(run, extension))
    html += (html.empty() ? "" : " · ") + link_html(plan, run, name);
  return html;
}

/// The first finished run of a model at the highest supervision level, or null.
inline const Run* example_of(const Plan& plan, const std::string& model) {
  for (const Run& run : plan.runs)
    if (run.model == model && run.supervision == plan.levels.back() && run.state == State::finished)
      return &run;
  return nullptr;
}

/// "svae, supervision 10 %, seed 1".
inline std::string run_html(const Run& run) {
  return fmt::format("{}, supervision {}, seed {}", escaped(run.model), percent(run.supervision),
                     run.seed);
}

/// One run's picture in the page.
inline std::string picture_html(const Run& run, const std::string& name) {
  return fmt::format(
      "<figure><img alt=\"{} of {}\" src=\"{}\">\n<figcaption>{}</figcaption></figure>\n",
      escaped(file_title(name)), escaped(run.model),
      data_uri("image/png", poe::read_file(run.directory / name)), run_html(run));
}

/// One run's page within the page, which stays one file, and where it is. It keeps its own style,
/// and may run no script.
inline std::string frame_html(const Plan& plan, const Run& run, const std::string& name) {
  return fmt::format(
      "<figure><iframe title=\"{} of {}\" sandbox loading=\"lazy\" srcdoc=\"{}\"></iframe>\n"
      "<figcaption>{} · {}</figcaption></figure>\n",
      escaped(file_title(name)), escaped(run.model), escaped(poe::read_file(run.directory / name)),
      run_html(run), link_html(plan, run, name));
}

/// Every kind of file with this ending, model beside model: html(run, name) of each.
template <class Html>
std::string files_html(const Plan& plan, const std::string& extension, const char* layout,
                       Html&& html) {
  std::set<std::string> names;
  for (const std::string& model : plan.models)
    if (const Run* run = example_of(plan, model))
      for (const std::string& name : files_of(*run, extension)) names.insert(name);
  std::string all;
  for (const std::string& name : names) {
    all += fmt::format("<h3>{}</h3>\n<div class=\"{}\">\n", escaped(file_title(name)), layout);
    for (const std::string& model : plan.models)
      if (const Run* run = example_of(plan, model);
          run != nullptr && std::filesystem::exists(run->directory / name))
        all += html(*run, name);
    all += "</div>\n";
  }
  return all;
}

/// What the models make: pictures side by side, pages one below the other.
inline std::string pictures_html(const Plan& plan) {
  const std::string html =
      files_html(plan, ".png", "pictures", picture_html) +
      files_html(plan, ".html", "pages", [&](const Run& run, const std::string& name) {
        return frame_html(plan, run, name);
      });
  return html.empty() ? "" : "<section>\n<h2>What the models make</h2>\n" + html + "</section>\n";
}

}  // namespace detail
}  // namespace compare
