// SPDX-License-Identifier: MIT
// A program on MNIST-Split: trains a model of the parts of a digit, or evaluates one, and reports.
#pragma once

#include <poe/models/by_name.hpp>

#include <memory>

#include "run_directory.hpp"
#include "split_report.hpp"

namespace examples {

namespace detail {

/// Trains and reports, or with --eval only reports. -> the exit status.
template <class Model>
int train_and_report(const Model& model, const poe::DigitSplits<Model::modalities>& digits,
                     const DigitSource& source, const SplitProgram& program, Options o) {
  // What "auto" is, is said of the run.
  if (o.pool == "auto") o.pool = model.singles_from_all() ? "all" : "only-unpaired";
  const poe::Metadata meta = identity(o, program.name, source.fingerprint());
  poe::LearnerOf<Model> learner(model.description(), o.seed, o.threads);
  configure(learner, o);
  fmt::print("model: {} ({} preset), {} parameters, {}\n", o.model, o.preset,
             model.parameter_count(), device_text(o));

  poe::Json summary = to_json(o);
  summary["parameters"] = model.parameter_count();
  summary["data"] = {{"name", source.name},           {"title", source.title},
                     {"source", source.train.source}, {"fingerprint", source.fingerprint()},
                     {"train", digits.train.rows},    {"validation", digits.validation.rows},
                     {"test", digits.test.rows}};
  // All that can be refused is refused before the oracle is made, which may take minutes.
  const auto oracle_of_digits = [&] {
    DigitOracle oracle = make_oracle<typename Model::Device>(o, source);
    summary["oracle_accuracy"] = oracle.test_accuracy;
    return oracle;
  };
  if (!o.evaluate.empty()) {
    load_for_evaluation(o.evaluate, learner, meta);
    prepare_directory(o);
    const DigitOracle oracle = oracle_of_digits();
    summary["evaluated"] = o.evaluate.string();
    report(model, learner, digits.test, oracle, program, o, summary);
    return 0;
  }

  poe::Trainer<Model> trainer(model, learner, whole<Model>(digits.train),
                              train_options(o, digits.train.rows, Model::modalities, meta));
  expect_terms(model, trainer.streams().observations(), o);
  if (o.resume) resume(trainer, meta);
  prepare_directory(o);
  poe::write_json(o.out / "config.json", to_json(o));
  const DigitOracle oracle = oracle_of_digits();
  // The published code selects its model on the test digits; the paper preset keeps them for the
  // end.
  const auto& selection = o.preset == "official" ? digits.test : digits.validation;
  const auto validate = [&](poe::LearnerOf<Model>& l) {
    return accuracies(model, l, selection, oracle, program);
  };
  if (!trainer.run(validate)) {
    fmt::print("interrupted in epoch {}; --resume goes on from {}\n", trainer.epoch() + 1,
               trainer.checkpoint().string());
    return interrupted;
  }
  load_for_evaluation(trainer.best(), learner, meta);
  report(model, learner, digits.test, oracle, program, o, summary);
  return 0;
}

}  // namespace detail

/// The main function of a program whose models have the modalities M, the parts of a digit from
/// the top, and encoders that end in Head, or in LaplaceHead where --expert says so.
template <class M, class Head, class LaplaceHead>
int run_split_program(int argc, char** argv, const SplitProgram& program) {
  return run_program(argc, argv, program.title, [&](const Options& o) {
    detail::check_random_subsets(o.own, M::count);
    int status = 0;
    const DigitSource source = load_digits(o);
    const auto digits = poe::split_digits<M::count>(first_digits(source.train, o.limit),
                                                    first_digits(source.held_out, o.limit));
    on_device(o, [&]<class Device>(Device) {
      const poe::VaeOptions options = vae_options(o, digits.train.rows);
      std::unique_ptr<poe::MultimodalVae<float, M, Device>> model;
      if (o.own.expert == "laplace")
        model = std::make_unique<poe::Mmvae<float, M, LaplaceHead, Device>>(options);
      else
        model = poe::model_named<float, M, Head, Device>(o.model, options);
      status = detail::train_and_report(*model, digits, source, program, o);
    });
    return status;
  });
}

}  // namespace examples
