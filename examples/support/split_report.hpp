// SPDX-License-Identifier: MIT
// What the programs on MNIST-Split say of a model: accuracies, log-likelihoods, pictures.
#pragma once

#include <poe/data/split_digits.hpp>
#include <poe/eval/report_figures.hpp>
#include <poe/train/trainer.hpp>

#include "log_likelihoods.hpp"
#include "oracles.hpp"

namespace examples {

/// A program on MNIST-Split, in words.
struct SplitProgram {
  std::string name, title;     // in checkpoints; of --help
  std::string part;            // "half"
  std::string all, all_parts;  // of a digit: "both" in metrics, "both halves" in sentences
};

using DigitOracle = ImageOracle<poe::DigitImage>;

/// What a digit is completed from: all its parts; each single one; then the other sets of parts.
template <class M>
std::vector<poe::Subset> sets_of_parts() {
  const poe::Subset all = poe::all_of(M::count);
  std::vector<poe::Subset> sets{all};
  for (int size = 1; size < M::count; ++size)
    for (poe::Subset s = 1; s < all; ++s)
      if (poe::size_of(s) == size) sets.push_back(s);
  return sets;
}

/// All digits of a split, every part observed.
template <class Model>
typename Model::HostGroup whole(const poe::SplitDigits<Model::modalities>& d) {
  using M = typename Model::ModalitySet;
  using Digits = poe::SplitDigits<Model::modalities>;
  return [&]<int... I>(std::integer_sequence<int, I...>) {
    static_assert(((std::string_view(M::name(I)) == Digits::names[I]) && ...),
                  "the modalities are the parts of a digit, from the top");
    return Model::observe(0, poe::given<typename M::template At<I>::Tag>(d.part(I))...);
  }
  (std::make_integer_sequence<int, M::count>{});
}

/// The accuracy from these parts, as figures are named.
template <class M>
std::string accuracy_name(poe::Subset parts, const SplitProgram& program) {
  const bool all = parts == poe::all_of(M::count);
  return "accuracy_" + (all ? program.all : poe::names_of<M>(parts, "_"));
}

/// Shares of digits that the oracle still recognises when completed from some of their parts.
template <class Model>
poe::Scores accuracies(const Model& model, poe::LearnerOf<Model>& learner,
                       const poe::SplitDigits<Model::modalities>& digits, const DigitOracle& oracle,
                       const SplitProgram& program) {
  using M = typename Model::ModalitySet;
  const auto sets = sets_of_parts<M>();
  const auto shares = poe::oracle_accuracy(model, learner, whole<Model>(digits), digits.labels,
                                           sets, oracle, evaluation_noise);
  poe::Scores scores;
  for (std::size_t i = 0; i < sets.size(); ++i)
    scores.values.emplace_back(accuracy_name<M>(sets[i], program), shares[i]);
  return scores;
}

/// Digits beside what the model makes of their single parts and of all of them.
template <class Model>
void draw_reconstructions(const Model& model, poe::LearnerOf<Model>& learner,
                          const poe::SplitDigits<Model::modalities>& test,
                          const SplitProgram& program, const poe::Scores& scores,
                          const std::string& data, const Options& o) {
  using M = typename Model::ModalitySet;
  auto shown = sets_of_parts<M>();
  shown.resize(1 + M::count);
  std::rotate(shown.begin(), shown.begin() + 1, shown.end());
  auto grid = poe::reconstruction_grid(model, learner, whole<Model>(test), test.labels, shown, 10,
                                       evaluation_noise);
  grid.figure.title = fmt::format("Held-out digits completed from a {}", program.part);
  grid.figure.subtitle = fmt::format("{} ({} preset) on {}: test accuracy {:.3f} from {}", o.model,
                                     o.preset, data, scores.values[0].second, program.all_parts);
  for (std::size_t i = 0; i < M::count; ++i)
    grid.figure.subtitle += fmt::format(", {:.3f} from the {}", scores.values[1 + i].second,
                                        M::name(static_cast<int>(i)));
  grid.figure.bands.back().label = "from " + program.all_parts;
  grid.figure.groups_per_line = 2;
  poe::write_png(o.out / "reconstructions.png", poe::draw(grid.figure));
}

/// Test figures and pictures of the parameters that the learner holds, into --out.
template <class Model>
void report(const Model& model, poe::LearnerOf<Model>& learner,
            const poe::SplitDigits<Model::modalities>& test, const DigitOracle& oracle,
            const SplitProgram& program, const Options& o, poe::Json& summary) {
  const poe::Scores scores = accuracies(model, learner, test, oracle, program);
  for (const auto& [name, value] : scores.values) {
    summary["test"][name] = value;
    fmt::print("test {:40} {:9.4f}\n", name, value);
  }
  if (o.importance_samples > 0)
    summary["test"]["log_likelihood"] = log_likelihoods(model, learner, whole<Model>(test), o);
  summary["chance"]["accuracy"] = 0.1;  // of ten digits
  const auto data = summary["data"]["title"].get<std::string>();
  draw_reconstructions(model, learner, test, program, scores, data, o);
  auto samples = poe::prior_samples(model, learner, 60, oracle, evaluation_noise);
  samples.figure.title = "Samples of the prior";
  samples.figure.subtitle =
      fmt::format("{} on {}; below each, the class that the oracle sees", o.model, data);
  samples.figure.columns = 15;
  poe::write_png(o.out / "samples.png", poe::draw(samples.figure));
}

}  // namespace examples
