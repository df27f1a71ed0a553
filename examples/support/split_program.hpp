// SPDX-License-Identifier: MIT
// A program on MNIST-Split: trains a model of the parts of a digit, or evaluates one, and reports.
#pragma once

#include "digits.hpp"
#include "split_report.hpp"
#include "training.hpp"

namespace examples {

/// Digits in parts, and what is asked of models of them; see train_and_report().
template <class M>
struct SplitTask {
  SplitProgram program;
  DigitSource source;
  poe::DigitSplits<M::count> digits;
  std::string oracle_name;
  OracleOptions oracles;
  std::string name = program.name;
  DigitOracle oracle{};

  std::string fingerprint() const { return source.fingerprint(); }
  poe::Samples<float, M> samples() const {
    return whole<poe::MultimodalVae<float, M>>(digits.train);
  }
  std::vector<poe::Subset> masks() const { return {}; }
  poe::Json data() const {
    return {{"name", source.name},
            {"title", source.title},
            {"source", source.train.source},
            {"train", digits.train.rows},
            {"validation", digits.validation.rows},
            {"test", digits.test.rows}};
  }
  template <class Device>
  void prepare(const Options& o, poe::Json& summary) {
    const auto make = [&]<class Net>(Net) {
      return trained_oracle<Net, Device>(oracles, o.threads, source.train, source.held_out);
    };
    oracle = oracle_name == "resnet18" ? make(poe::ResNet18{}) : make(poe::SmallOracle{});
    summary["oracle_accuracy"] = oracle.test_accuracy;
  }
  /// The published code selects its model on the test digits; the paper preset keeps them for the
  /// end.
  template <class Model>
  poe::Scores validate(const Model& model, poe::LearnerOf<Model>& learner, const Options& o) {
    const auto& selection = o.preset == "official" ? digits.test : digits.validation;
    return accuracies(model, learner, selection, oracle, program);
  }
  template <class Model>
  void report(const Model& model, poe::LearnerOf<Model>& learner, const Options& o,
              poe::Json& summary) {
    examples::report(model, learner, digits.test, oracle, program, o, summary);
  }
};

/// The main function of a program whose models have the modalities M, the parts of a digit from
/// the top, and encoders that end in Head, or in LaplaceHead where --expert says so.
/// PublishedMmvae, if there is one, has the modalities and the head of MMVAE as the paper's authors
/// trained it. `own`: models that --model takes besides the paper's, as
///   poe::NamedModel<CorrectedVae>{"corrected"}.
template <class M, class Head, class LaplaceHead, class PublishedMmvae = void, class... Own>
int run_split_program(int argc, char** argv, const SplitProgram& program, const Own&... own) {
  constexpr bool has_published_mmvae = !std::is_void_v<PublishedMmvae>;
  std::string oracle = "small", networks = "own";
  OracleOptions oracles;
  CommandLine line;
  line.title = program.title;
  (line.models.push_back(own.name), ...);
  line.recipe.lambda.assign(M::count, 1.0);
  line.recipe.learning_rates = "2e-4";
  line.recipe.learning_rate = [](const Options&) { return 2e-4; };
  for (const poe::Subset parts : sets_of_parts<M>())
    line.recipe.figures.push_back(accuracy_name<M>(parts, program));
  // As published: the best completions of the top.
  line.recipe.select = [&](const Options&) { return accuracy_name<M>(poe::only(0), program); };
  line.add_options = [&](CLI::App& app) {
    app.add_option("--oracle", oracle, "the classifier that judges what is generated")
        ->check(CLI::IsMember({"small", "resnet18"}));
    oracles.add_to(app);
    if constexpr (has_published_mmvae)
      app.add_option("--networks", networks,
                     "mmvae-published: of --model mmvae --expert laplace, the networks, the latent "
                     "size and the Laplace pixels of the published code")
          ->check(CLI::IsMember({"own", "mmvae-published"}));
  };
  line.finish = [&](Options& o) {
    poe::expect(oracle == "resnet18" || oracles.training == "quick",
                "--oracle-training published: only --oracle resnet18 was published");
    poe::expect(networks == "own" || (o.model == "mmvae" && o.own.expert == "laplace"),
                "--networks {}: they are those of --model mmvae --expert laplace", networks);
    o.program = {{"oracle", oracle}, {"oracle-training", oracles.training}};
    if (has_published_mmvae) o.program["networks"] = networks;
  };
  return run_program(argc, argv, line, [&](const Options& o) {
    DigitSource source = load_digits(o);
    auto digits = poe::split_digits<M::count>(first_digits(source.train, o.limit),
                                              first_digits(source.held_out, o.limit));
    const auto task_of = [&]<class Parts>(std::type_identity<Parts>) {
      return SplitTask<Parts>{program, std::move(source), std::move(digits), oracle, oracles};
    };
    if constexpr (has_published_mmvae)
      if (networks != "own") {
        using Digit = typename PublishedMmvae::Digit;
        auto task = task_of(std::type_identity<Digit>{});
        return run_published_mmvae<Digit, typename PublishedMmvae::Head>(o, task);
      }
    auto task = task_of(std::type_identity<M>{});
    return run_task<M, Head, LaplaceHead>(o, task, own...);
  });
}

}  // namespace examples
