// SPDX-License-Identifier: MIT
// SVAE, VAEVAE and their variants on MNIST-Split: the halves of a digit as two modalities.
#include "networks/mnist_split.hpp"  // the networks and the models, as types

#include <poe/data/split_digits.hpp>
#include <poe/eval/importance.hpp>
#include <poe/eval/report_figures.hpp>
#include <poe/train/trainer.hpp>

#include "support/digits.hpp"
#include "support/run_directory.hpp"

namespace {
using namespace mnist_split;
using examples::DigitOracle, examples::Options;

constexpr Subset top = 0b01, bottom = 0b10, both = 0b11;
constexpr Subset given_sets[] = {both, top, bottom};
constexpr Random evaluation_noise{0, 1U << 28, 0};  // of no run's seed: all models see the same

/// All digits of a split, both halves observed.
template <class Model>
typename Model::HostGroup whole(const SplitDigits& d) {
  return Model::observe(0, given<Top>(View<float, HalfDigit>{d.halves[0].data(), d.rows}),
                        given<Bottom>(View<float, HalfDigit>{d.halves[1].data(), d.rows}));
}

/// Shares of digits that the oracle still recognises when completed from both halves, the top, the
/// bottom.
template <class Model>
Scores accuracies(const Model& model, LearnerOf<Model>& learner, const SplitDigits& digits,
                  const DigitOracle& oracle) {
  const auto a = oracle_accuracy(model, learner, whole<Model>(digits), digits.labels, given_sets,
                                 oracle, evaluation_noise);
  return {{{"accuracy_both", a[0]}, {"accuracy_top", a[1]}, {"accuracy_bottom", a[2]}}, a[1]};
}

/// log p of test digits by importance sampling, in nats: each estimate with the standard error of
/// its mean.
template <class Model>
Json log_likelihoods(const Model& model, LearnerOf<Model>& learner, const SplitDigits& test,
                     const Options& o) {
  const auto digits = whole<Model>(test).slice(0, std::min(o.importance_digits, test.rows));
  Json result = {{"particles", o.importance_samples}, {"digits", digits.rows}};
  for (const auto& [name, from, target] :
       {std::tuple{"log_p(top,bottom)", both, both}, std::tuple{"log_p(top)", top, top},
        std::tuple{"log_p(bottom)", bottom, bottom}}) {
    const auto e = importance_log_likelihood(model, learner, digits, from, target,
                                             o.importance_samples, evaluation_noise);
    result[name] = {{"mean", e.mean}, {"standard_error", e.standard_error}};
    fmt::print("test {:18} {:9.2f} +- {:.2f} nats ({} digits, {} particles)\n", name, e.mean,
               e.standard_error, digits.rows, o.importance_samples);
  }
  return result;
}

/// Test figures and pictures of the parameters that the learner holds, into --out.
template <class Model>
void report(const Model& model, LearnerOf<Model>& learner, const SplitDigits& test,
            const DigitOracle& oracle, const Options& o, Json summary) {
  const Scores scores = accuracies(model, learner, test, oracle);
  for (const auto& [name, value] : scores.values) {
    summary["test"][name] = value;
    fmt::print("test {:18} {:9.4f}\n", name, value);
  }
  if (o.importance_samples > 0)
    summary["test"]["log_likelihood"] = log_likelihoods(model, learner, test, o);
  const auto title = summary["data"]["title"].get<std::string>();
  auto grid = reconstruction_grid(model, learner, whole<Model>(test), test.labels,
                                  std::array<Subset, 3>{top, bottom, both}, 10, evaluation_noise);
  grid.figure.title = "Held-out digits completed from a half";
  grid.figure.subtitle = fmt::format(
      "{} ({} preset) on {}: test accuracy {:.3f} from both halves, {:.3f} from the top, {:.3f} "
      "from the bottom",
      o.model, o.preset, title, scores.values[0].second, scores.values[1].second,
      scores.values[2].second);
  grid.figure.groups_per_line = 2;
  write_png(o.out / "reconstructions.png", draw(grid.figure));
  auto samples = prior_samples(model, learner, 60, oracle, evaluation_noise);
  samples.figure.title = "Samples of the prior";
  samples.figure.subtitle =
      fmt::format("{} on {}; below each, the class that the oracle sees", o.model, title);
  samples.figure.columns = 15;
  write_png(o.out / "samples.png", draw(samples.figure));
  write_json(o.out / "summary.json", summary);
  fmt::print("wrote {}\n", (o.out / "summary.json").string());
}

template <class Model>
int train_and_report(const Model& model, const examples::DigitSource& source,
                     const DigitOracle& oracle, const Options& o) {
  const DigitSplits digits = split_digits(examples::first_digits(source.train, o.limit),
                                          examples::first_digits(source.held_out, o.limit));
  LearnerOf<Model> learner(model.description(), o.seed, o.threads);
  examples::configure(learner, o);
  fmt::print("model: {} ({} preset), {} parameters, {}\n", o.model, o.preset,
             model.parameter_count(), examples::device_text(o));

  Json summary = examples::to_json(o);
  summary["parameters"] = model.parameter_count();
  summary["data"] = {{"name", source.name},           {"title", source.title},
                     {"source", source.train.source}, {"fingerprint", source.fingerprint()},
                     {"train", digits.train.rows},    {"validation", digits.validation.rows},
                     {"test", digits.test.rows}};
  summary["oracle_accuracy"] = oracle.test_accuracy;
  if (!o.evaluate.empty()) {
    examples::load_for_evaluation(o.evaluate, learner, o);
    examples::prepare_directory(o);
    summary["evaluated"] = o.evaluate.string();
    report(model, learner, digits.test, oracle, o, summary);
    return 0;
  }

  Trainer<Model> trainer(
      model, learner, whole<Model>(digits.train),
      examples::train_options(o, examples::identity(o, "mnist_split", source.fingerprint())));
  if (o.resume) trainer.resume();
  examples::prepare_directory(o);
  write_json(o.out / "config.json", examples::to_json(o));
  // The published code selects its model on the test digits; the paper preset keeps them for the
  // end.
  const SplitDigits& selection = o.preset == "official" ? digits.test : digits.validation;
  if (!trainer.run([&](LearnerOf<Model>& l) { return accuracies(model, l, selection, oracle); })) {
    fmt::print("interrupted in epoch {}; --resume goes on from {}\n", trainer.epoch() + 1,
               trainer.checkpoint().string());
    return examples::interrupted;
  }
  examples::load_for_evaluation(trainer.best(), learner, o);
  report(model, learner, digits.test, oracle, o, summary);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return examples::run_program(
      argc, argv, "Multimodal VAEs on the halves of handwritten digits",
      "svae, svae-star, vaevae, vaevae-a or vaevae-star", [](const Options& o) {
        int status = 0;
        const auto options = o.preset == "official" ? VaeOptions::official() : VaeOptions::paper();
        examples::on_device(o, [&]<class Device>(Device) {
          with_model<Device>(o.model, options, [&](const auto& model) {
            const auto source = examples::load_digits(o);
            const DigitOracle oracle = examples::make_oracle<Device>(o, source);
            status = train_and_report(model, source, oracle, o);
          });
        });
        return status;
      });
}
