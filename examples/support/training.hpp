// SPDX-License-Identifier: MIT
// What all trainers do: train a model of a task's samples, or evaluate one, and report.
#pragma once

#include <poe/models/by_name.hpp>

#include <memory>

#include "run_directory.hpp"

namespace examples {

/// What --select makes of a validation after so many epochs: the larger, the better the epoch.
inline double selection(const poe::Scores& scores, const std::string& select, int epoch) {
  return select == last_epoch ? epoch : scores.at(select);
}

/// Trains and reports, or with --eval only reports. -> the exit status. A Task is the data of a
/// program and what is asked of models of them:
///   name, fingerprint()       of the program; of the data
///   samples()                 for training, poe::Samples
///   masks()                   the modalities in which each was observed; empty: in all
///   data()                    what summary.json says of the data
///   prepare<Device>(o, json)  makes what evaluations need, which may take minutes
///   validate(model, learner, o)      -> poe::Scores after every epoch; --select says which of them
///                                    chooses the best
///   report(model, learner, o, json)  test figures into json["test"], pictures into --out
template <class Model, class Task>
int train_and_report(const Model& model, Task& task, Options o) {
  using Device = typename Model::Device;
  // What "auto" is, is said of the run.
  if (o.pool == "auto") o.pool = model.singles_from_all() ? "all" : "only-unpaired";
  const poe::Metadata meta = identity(o, task.name, task.fingerprint());
  poe::LearnerOf<Model> learner(model.description(), o.seed, o.threads);
  configure(learner, o);
  fmt::print("model: {} ({} preset), {} parameters, {}\n", o.model, o.preset,
             model.parameter_count(), device_text(o));

  poe::Json summary = to_json(o);
  summary["parameters"] = model.parameter_count();
  summary["data"] = task.data();
  summary["data"]["fingerprint"] = task.fingerprint();
  const auto report = [&] {
    task.report(model, learner, o, summary);
    poe::write_json(o.out / "summary.json", summary);
    fmt::print("wrote {}\n", (o.out / "summary.json").string());
  };
  // All that can be refused is refused before the task's preparations.
  if (!o.evaluate.empty()) {
    const poe::Metadata file = load_for_evaluation(o.evaluate, learner, meta);
    report_training(file, task.fingerprint(), summary);
    prepare_directory(o);
    task.template prepare<Device>(o, summary);
    summary["evaluated"] = o.evaluate.string();
    report();
    return 0;
  }

  const auto samples = task.samples();
  poe::Trainer<Model> trainer(
      model, learner, samples,
      train_options(o, samples.rows, Model::modalities, task.masks(), meta));
  expect_terms(model, trainer.streams().observations(), o);
  if (o.resume) resume(trainer, meta);
  prepare_directory(o);
  poe::write_json(o.out / "config.json", to_json(o));
  task.template prepare<Device>(o, summary);
  const auto validate = [&](poe::LearnerOf<Model>& l) {
    poe::Scores scores = task.validate(model, l, o);
    if (!o.select.empty()) scores.selection = selection(scores, o.select, trainer.epoch());
    return scores;
  };
  if (!trainer.run(validate)) {
    if (trainer.epoch() < o.epochs)
      fmt::print("interrupted in epoch {}; --resume goes on from {}\n", trainer.epoch() + 1,
                 trainer.checkpoint().string());
    else
      fmt::print("interrupted after the last epoch; --resume makes the report\n");
    return interrupted;
  }
  load_for_evaluation(trainer.best(), learner, meta);
  report();
  return 0;
}

/// Trains MMVAE over modalities M as the published code of the paper has it: experts that end in
/// LaplaceHead, with scales softplus(s). -> the exit status.
template <class M, class LaplaceHead, class Task>
int run_published_mmvae(const Options& o, Task& task) {
  int status = 0;
  on_device(o, [&]<class Device>(Device) {
    poe::VaeOptions options = vae_options(o, task.samples().rows);
    options.softmax_scale = false;
    const poe::Mmvae<float, M, LaplaceHead, Device> model(options);
    const poe::MultimodalVae<float, M, Device>& any = model;
    status = train_and_report(any, task, o);
  });
  return status;
}

/// Makes the model that the options name over modalities M, with encoders that end in Head, or in
/// LaplaceHead where --expert says so, on the device that they name, and trains it. `own`: the
/// poe::NamedModels that a program has besides the paper's; CommandLine::models has their names.
/// -> the exit status.
template <class M, class Head, class LaplaceHead, class Task, class... Own>
int run_task(const Options& o, Task& task, const Own&... own) {
  detail::check_random_subsets(o.own, M::count);
  int status = 0;
  on_device(o, [&]<class Device>(Device) {
    const poe::VaeOptions options = vae_options(o, task.samples().rows);
    std::unique_ptr<poe::MultimodalVae<float, M, Device>> model;
    if (o.own.expert == "laplace")
      model = std::make_unique<poe::Mmvae<float, M, LaplaceHead, Device>>(options);
    else
      model = poe::model_named<float, M, Head, Device>(o.model, options, own...);
    status = train_and_report(*model, task, o);
  });
  return status;
}

}  // namespace examples
