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
  std::filesystem::path cache;
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
      return trained_oracle<Net, Device>(cache, o.threads, source.train, source.held_out);
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
template <class M, class Head, class LaplaceHead>
int run_split_program(int argc, char** argv, const SplitProgram& program) {
  std::string oracle = "small";
  std::filesystem::path cache;
  CommandLine line;
  line.title = program.title;
  line.recipe.lambda.assign(M::count, 1.0);
  line.recipe.learning_rates = "2e-4";
  line.recipe.learning_rate = [](const Options&) { return 2e-4; };
  line.add_options = [&](CLI::App& app) {
    app.add_option("--oracle", oracle, "the classifier that judges what is generated")
        ->check(CLI::IsMember({"small", "resnet18"}));
    app.add_option("--oracle-cache", cache, "directory in which trained oracles are kept");
  };
  line.finish = [&](Options& o) { o.program["oracle"] = oracle; };
  return run_program(argc, argv, line, [&](const Options& o) {
    DigitSource source = load_digits(o);
    auto digits = poe::split_digits<M::count>(first_digits(source.train, o.limit),
                                              first_digits(source.held_out, o.limit));
    SplitTask<M> task{program, std::move(source), std::move(digits), oracle, cache};
    return run_task<M, Head, LaplaceHead>(o, task);
  });
}

}  // namespace examples
