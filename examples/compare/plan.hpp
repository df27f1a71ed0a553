// SPDX-License-Identifier: MIT
// What a comparison consists of: its runs, where each is kept, and which are finished.
#pragma once

#include <fmt/format.h>
#include <poe/io/jsonl.hpp>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <map>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "../support/numbers.hpp"
#include "published.hpp"

namespace compare {

enum class State { waiting, interrupted, finished, failed };

/// One training run: a model at a supervision level with a seed.
struct Run {
  std::string model;
  double supervision;
  std::uint64_t seed;
  std::filesystem::path directory, log, record;  // record: the options that the run was made with
  State state = State::waiting;
  std::string reason = {};  // why it failed
  poe::Json summary = {};   // of a finished run

  std::string name() const {
    return fmt::format("{}, supervision {}, seed {}", model, supervision, seed);
  }
};

/// All runs of models x supervision levels x seeds, ordered so that the comparison is complete for
/// the first seed before the second begins.
struct Plan {
  std::filesystem::path program, out;
  std::filesystem::path store = {};  // of the runs; the same as out unless comparisons share them
  std::string title = {};            // of the page
  std::vector<std::string> models;
  std::vector<double> levels;  // shares in (0, 1], ascending
  std::vector<std::uint64_t> seeds;
  std::vector<std::string> options = {};                     // given to every run
  std::map<std::string, std::vector<std::string>> own = {};  // by model: given to its runs
  Published published = {};
  std::vector<Run> runs = {};

  std::size_t count(State state) const {
    return static_cast<std::size_t>(
        std::count_if(runs.begin(), runs.end(), [&](const Run& r) { return r.state == state; }));
  }
};

/// "1 run", "2 runs".
inline std::string plural(std::size_t count, const std::string& noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

/// Words as a shell reads them back.
inline std::string shell_text(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) {
    if (!text.empty()) text += ' ';
    const bool plain = !word.empty() && word.find_first_not_of(
                                            "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                            "0123456789_-+=.,:/%@") == std::string::npos;
    if (plain) {
      text += word;
      continue;
    }
    text += '\'';
    for (const char c : word) {
      if (c == '\'')
        text += "'\\''";
      else
        text += c;
    }
    text += '\'';
  }
  return text;
}

/// "--lr" of "--lr=1e-3" and of "--lr"; empty where the word is no option but the value of one.
inline std::string option_name(const std::string& word) {
  return word.starts_with("--") ? word.substr(0, word.find('=')) : "";
}

/// The options of a run that it does not share with all runs of its model: those given to every
/// run, but for what its model has of its own.
inline std::vector<std::string> options_of(const Plan& plan, const Run& run) {
  const auto own = plan.own.find(run.model);
  if (own == plan.own.end()) return plan.options;
  std::vector<std::string> words;
  bool replaced = false;
  for (const std::string& word : plan.options) {
    if (const std::string name = option_name(word); !name.empty())
      replaced = std::any_of(own->second.begin(), own->second.end(),
                             [&](const std::string& w) { return option_name(w) == name; });
    if (!replaced) words.push_back(word);
  }
  words.insert(words.end(), own->second.begin(), own->second.end());
  return words;
}

/// The program and the options of a run, on one line: runs are compared only if it is the same. How
/// many threads made a run is no difference.
inline std::string record_of(const Plan& plan, const Run& run) {
  std::vector<std::string> words{plan.program.filename().string()};
  bool of_threads = false;
  for (const std::string& word : options_of(plan, run)) {
    if (const std::string name = option_name(word); !name.empty()) of_threads = name == "--threads";
    if (!of_threads) words.push_back(word);
  }
  return shell_text(words);
}

/// The command line of a run. It goes on from its checkpoint where there is a directory.
inline std::vector<std::string> command_of(const Plan& plan, const Run& run) {
  std::vector<std::string> words{plan.program.string(),
                                 "--supervision",
                                 fmt::format("{}", run.supervision),
                                 "--seed",
                                 fmt::format("{}", run.seed),
                                 "--out",
                                 run.directory.string()};
  const auto options = options_of(plan, run);
  words.insert(words.end(), options.begin(), options.end());
  if (std::find(options.begin(), options.end(), "--model") == options.end())
    words.insert(words.begin() + 1, {"--model", run.model});
  if (std::error_code ignored; std::filesystem::exists(run.directory, ignored))
    words.emplace_back("--resume");
  return words;
}

/// Takes what a run wrote at its end; throws poe::Error when these are no test figures.
inline void read_summary(Run& run) {
  const auto path = run.directory / "summary.json";
  poe::Json summary = poe::read_json(path);
  poe::expect(summary.is_object() && summary.contains("test") && summary["test"].is_object(),
              "'{}': expected an object with the member \"test\", got: {}", path.string(),
              poe::to_text(summary).substr(0, 80));
  run.summary = std::move(summary);
  run.state = State::finished;
}

namespace detail {

/// Model names become names of directories.
inline void check_name(const std::string& model) {
  poe::expect(!model.empty() && model.front() != '.' && model.front() != '-' &&
                  model.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                          "0123456789_-+.") == std::string::npos,
              "--models: expected names of letters, digits, '-', '+', '_' and '.', got '{}'",
              model);
}

template <class T>
void check_distinct(std::vector<T> values, std::string_view flag) {
  std::sort(values.begin(), values.end());
  const auto twice = std::adjacent_find(values.begin(), values.end());
  if (twice != values.end()) poe::fail("{}: {} is there twice", flag, *twice);
}

/// The options that tell the runs apart are not for all of them.
inline void check_options(const std::vector<std::string>& options, std::string_view where,
                          bool may_name_model) {
  for (const std::string& option : options)
    for (const std::string_view own :
         {"--model", "--supervision", "--seed", "--out", "--resume", "--eval"})
      poe::expect(
          option.substr(0, option.find('=')) != own || (may_name_model && option == "--model"),
          "{} stands {}, but every run gets its own", own, where);
}

/// State of a run from what is on disk.
inline void inspect(const Plan& plan, Run& run) {
  std::error_code ignored;
  if (!std::filesystem::exists(run.directory, ignored)) return;
  poe::expect(std::filesystem::exists(run.record, ignored),
              "'{}' holds something that compare did not make; choose another directory",
              run.directory.string());
  std::string record = poe::read_file(run.record);
  while (!record.empty() && record.back() == '\n') record.pop_back();
  poe::expect(record == record_of(plan, run),
              "'{}' was made by '{}', this comparison is of '{}'; choose another directory",
              run.directory.string(), record, record_of(plan, run));
  if (std::filesystem::exists(run.directory / "summary.json", ignored))
    read_summary(run);
  else
    run.state = State::interrupted;
}

}  // namespace detail

/// "mmvae=--lr 1e-3 --particles 20": options of the runs of one model. With --model among them,
/// what stands before the = is only a name, so that a model can be compared with itself.
inline void add_own_options(Plan& plan, const std::string& text) {
  const std::size_t sign = text.find('=');
  poe::expect(sign != std::string::npos && sign > 0,
              "--for: expected MODEL=OPTIONS, as in 'mmvae=--lr 1e-3', got '{}'", text);
  std::istringstream words(text.substr(sign + 1));
  auto& own = plan.own[text.substr(0, sign)];
  for (std::string word; words >> word;) own.push_back(word);
}

/// Lists the runs; throws poe::Error when what the command line says of them is wrong.
inline void list_runs(Plan& plan) {
  for (const std::string& model : plan.models) detail::check_name(model);
  for (const double level : plan.levels)
    poe::expect(level > 0 && level <= 1, "--supervision: expected shares in (0, 1], {}",
                examples::not_a_share(level));
  detail::check_distinct(plan.models, "--models");
  detail::check_distinct(plan.levels, "--supervision");
  detail::check_distinct(plan.seeds, "--seeds");
  detail::check_options(plan.options, "after --", false);
  for (const auto& [model, options] : plan.own) {
    poe::expect(std::find(plan.models.begin(), plan.models.end(), model) != plan.models.end(),
                "--for {}: it is not among --models", model);
    detail::check_options(options, "in --for", true);
  }
  std::sort(plan.levels.begin(), plan.levels.end());
  for (const std::uint64_t seed : plan.seeds)
    for (auto level = plan.levels.rbegin(); level != plan.levels.rend(); ++level)
      for (const std::string& model : plan.models) {
        const auto base = plan.store / model / fmt::format("{}", *level) / fmt::format("{}", seed);
        plan.runs.push_back({.model = model,
                             .supervision = *level,
                             .seed = seed,
                             .directory = base,
                             .log = base.string() + ".log",
                             .record = base.string() + ".options"});
      }
}

/// Looks up which runs are finished; throws poe::Error when some were made with other options.
inline void inspect_runs(Plan& plan) {
  for (Run& run : plan.runs) detail::inspect(plan, run);
}

}  // namespace compare
