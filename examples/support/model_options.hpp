// SPDX-License-Identifier: MIT
// The options that only some models have: their flags, and what is refused for the other models.
#pragma once

#include <fmt/core.h>
#include <fmt/ranges.h>
#include <poe/io/jsonl.hpp>
#include <poe/models/by_name.hpp>
#include <poe/particles/estimator.hpp>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "numbers.hpp"

namespace examples {

/// Settings of single models, with their defaults.
struct ModelOptions {
  double alpha = 0.1;
  int random_subsets = 0;
  std::string objective = "dreg-looser", expert = "gaussian";
  int particles = 10;
  bool learn_prior = false;
};

namespace detail {

/// Calls f(name, value, models, text) for every one of them: --name is an option of `models`.
template <class Values, class F>
void each_model_option(Values& o, F&& f) {
  using Models = std::vector<std::string_view>;
  f("alpha", o.alpha, Models{"jmvae", "mvtcae"},
    "weight of the divergences from single modalities (mvtcae: their share)");
  f("random-subsets", o.random_subsets, Models{"mvae"}, "bounds of so many random subsets a step");
  f("objective", o.objective, Models{"mmvae"}, "the bound, and how its gradient is estimated");
  f("particles", o.particles, Models{"mmvae"}, "K of the bound");
  f("expert", o.expert, Models{"mmvae"}, "distribution of the experts and of the prior");
  f("learn-prior", o.learn_prior, Models{"mmvae"}, "the prior's scales are parameters");
}

inline bool is_one_of(const std::vector<std::string_view>& models, std::string_view name) {
  return std::find(models.begin(), models.end(), name) != models.end();
}

inline void add_model_options(CLI::App& app, ModelOptions& o) {
  each_model_option(o, [&](const std::string& name, auto& value,
                           const std::vector<std::string_view>& models, const std::string& text) {
    const std::string help = fmt::format("{}: {}", fmt::join(models, ", "), text);
    if constexpr (std::is_same_v<std::remove_reference_t<decltype(value)>, bool>)
      app.add_flag("--" + name, value, help);
    else
      app.add_option("--" + name, value, help);
  });
  app.get_option("--alpha")->check(CLI::Range(0.0, 1e6))->check(finite);
  app.get_option("--random-subsets")->check(CLI::Range(0, 25));
  app.get_option("--particles")->check(CLI::Range(1, 1000));
  app.get_option("--expert")->check(CLI::IsMember({"gaussian", "laplace"}));
  std::vector<std::string> estimators;
  for (const auto& [name, estimator] : poe::particles::estimator_names)
    estimators.emplace_back(name);
  app.get_option("--objective")->check(CLI::IsMember(estimators));
}

/// Fails if two of a program's models have one name: only the first would ever be trained.
inline void check_names(const std::vector<std::string_view>& models) {
  for (const std::string_view name : models)
    poe::expect(std::count(models.begin(), models.end(), name) == 1,
                "this program has two models of the name '{}'", name);
}

/// A model that is not there, or an option of another one, is refused.
inline void check_model_options(const CLI::App& app, const std::string& model,
                                const ModelOptions& o,
                                const std::vector<std::string_view>& models) {
  poe::expect(is_one_of(models, model), "--model: expected one of {}; got '{}'",
              fmt::join(models, ", "), model);
  each_model_option(o, [&](const std::string& name, const auto&,
                           const std::vector<std::string_view>& owners, const std::string&) {
    poe::expect(app.count("--" + name) == 0 || is_one_of(owners, model),
                "--{} is an option of --model {}; {} has none", name, fmt::join(owners, " and "),
                model);
  });
  poe::expect(model != "mvtcae" || o.alpha <= 1, "--alpha: mvtcae expects a share up to 1, got {}",
              o.alpha);
}

/// The official preset is that of the models which the published program trains.
inline void check_preset(const std::string& model, const std::string& preset) {
  const std::vector<std::string_view> published{"svae", "svae-star", "vaevae", "vaevae-star",
                                                "vaevae-a"};
  poe::expect(
      preset != "official" || is_one_of(published, model),
      "--preset official: there is no published program of {} in these settings, only of {}{}",
      model, fmt::join(published, ", "),
      model == "mmvae" ? "; for mmvae use --objective elbo-published --expert laplace" : "");
}

/// Whether the objective of mmvae weighs particles: it then has no divergences.
inline bool is_importance_weighted(const ModelOptions& o) {
  return poe::particles::rule_of(poe::particles::estimator_named(o.objective)).importance;
}

/// Fails where --random-subsets asks for more than so many modalities have.
inline void check_random_subsets(const ModelOptions& o, int modalities) {
  const int between = (1 << modalities) - 2 - modalities;
  poe::expect(
      o.random_subsets <= between,
      "--random-subsets: {} modalities have {} subsets between a single one and all, got {}",
      modalities, between, o.random_subsets);
}

}  // namespace detail

/// The options that this model has, by name.
inline poe::Json to_json(const std::string& model, const ModelOptions& o) {
  poe::Json json = poe::Json::object();
  detail::each_model_option(o,
                            [&](const std::string& name, const auto& value,
                                const std::vector<std::string_view>& models, const std::string&) {
                              if (detail::is_one_of(models, model)) json[name] = value;
                            });
  return json;
}

}  // namespace examples
