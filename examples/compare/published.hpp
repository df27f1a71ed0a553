// SPDX-License-Identifier: MIT
// Figures that others have published, to stand beside ours.
#pragma once

#include <poe/io/jsonl.hpp>

#include <charconv>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace compare {

/// Test figures by model, supervision level and name.
struct Published {
  std::string title;  // whose they are; empty where there are none
  std::map<std::string, std::map<double, std::map<std::string, double>>> figures = {};

  std::optional<double> find(const std::string& model, double level,
                             const std::string& metric) const {
    const auto of_model = figures.find(model);
    if (of_model == figures.end()) return std::nullopt;
    const auto at_level = of_model->second.find(level);
    if (at_level == of_model->second.end()) return std::nullopt;
    const auto found = at_level->second.find(metric);
    return found == at_level->second.end() ? std::nullopt : std::optional(found->second);
  }
};

/// Reads {"title": "Table 1", "figures": {"svae": {"1": {"accuracy_top": 0.872}}}}: models, their
/// supervision levels, their test figures. Models that are not compared may be among them.
inline Published read_published(const std::filesystem::path& path) {
  const poe::Json json = poe::read_json(path);
  constexpr std::string_view form =
      R"({"title": TEXT, "figures": {MODEL: {SUPERVISION: {FIGURE: NUMBER}}}})";
  const auto require = [&](bool right) {
    poe::expect(right, "'{}': expected {}", path.string(), form);
  };
  require(json.is_object() && json.contains("title") && json["title"].is_string() &&
          json.contains("figures") && json["figures"].is_object());
  Published published{.title = json["title"].get<std::string>()};
  for (const auto& [model, levels] : json["figures"].items()) {
    require(levels.is_object());
    for (const auto& [level, figures] : levels.items()) {
      require(figures.is_object());
      double share = 0;
      const char* const end = level.data() + level.size();
      require(std::from_chars(level.data(), end, share).ptr == end && !level.empty());
      for (const auto& [name, value] : figures.items()) {
        require(value.is_number());
        published.figures[model][share][name] = value.get<double>();
      }
    }
  }
  return published;
}

}  // namespace compare
