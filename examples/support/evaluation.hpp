// SPDX-License-Identifier: MIT
// --eval: a model's file brings the settings that it was trained with.
#pragma once

#include <poe/io/safetensors.hpp>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

namespace examples {

/// The file that --eval names: of a run's directory, the parameters of its best epoch.
inline std::filesystem::path evaluated_file(const std::filesystem::path& named) {
  std::error_code error;
  const auto file =
      std::filesystem::is_directory(named, error) ? named / "best.safetensors" : named;
  poe::expect(std::filesystem::exists(file, error), "--eval: there is no file '{}'", file.string());
  return file;
}

/// What the metadata of a model's file say of its training, as options, but for what stands on the
/// command line.
inline std::vector<std::string> settings_of(const poe::Metadata& file, const CLI::App& app) {
  std::vector<std::string> words;
  for (const auto& [key, value] : file) {
    if (key == "data" || key == "vocabulary" || value.empty())
      continue;  // options of these names are paths
    const std::string flag = key == "learning_rate" ? "--lr" : "--" + key;
    const CLI::Option* const option = app.get_option_no_throw(flag);
    if (option == nullptr || option->count() > 0) continue;
    const bool is_list = value.front() == '[' && value.back() == ']';
    words.push_back(flag + "=" + (is_list ? value.substr(1, value.size() - 2) : value));
  }
  return words;
}

/// Parses the command line once more, with the settings in the metadata of `path`. What the command
/// line itself says may contradict them only where load_for_evaluation() lets it. `model`: where
/// --model is stored.
inline void take_settings(CLI::App& app, int argc, char** argv, const std::filesystem::path& path,
                          const std::string& model) {
  const poe::Metadata file = poe::SafetensorsFile::open(path).metadata();
  // Before an option of the file's model is refused as one of another.
  if (const auto trained = file.find("model"); trained != file.end() && app.count("--model") > 0)
    poe::expect(model == trained->second, "'{}': trained with --model {}, not {}", path.string(),
                trained->second, model);
  std::vector<std::string> words(argv + 1, argv + argc);
  for (std::string& word : settings_of(file, app)) words.push_back(std::move(word));
  std::reverse(words.begin(), words.end());  // as CLI11 has them
  try {
    app.parse(words);
  } catch (const CLI::ParseError& e) {
    poe::fail("'{}': its settings are not those of this program: {}", path.string(), e.what());
  }
}

}  // namespace examples
