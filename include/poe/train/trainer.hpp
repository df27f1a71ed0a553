// SPDX-License-Identifier: MIT
// Trainer: the loop over epochs and steps, its log, its checkpoints.
#pragma once

#include <poe/data/streams.hpp>
#include <poe/io/jsonl.hpp>
#include <poe/train/checkpoint.hpp>
#include <poe/train/interrupt.hpp>
#include <poe/train/progress.hpp>
#include <poe/train/steps_cuda.hpp>

#include <fmt/ranges.h>

#include <cmath>
#include <functional>
#include <optional>
#include <string_view>

namespace poe {

/// Settings of a run that are not the model's.
struct TrainOptions {
  int epochs = 10;
  SupervisionOptions supervision{};  // level or masks, pool of the unimodal loaders, batch
  std::uint64_t seed = 1;
  std::filesystem::path out;  // directory of the log and the checkpoints
  Metadata identity{};        // what a resumed run must have in common with this one
};

/// Named figures of a validation; the run keeps the parameters of the epoch with the largest
/// `selection`.
struct Scores {
  std::vector<std::pair<std::string, double>> values;
  double selection = 0;

  /// The figure of this name; fails, and says which there are, if there is none.
  double at(std::string_view name) const {
    std::vector<std::string_view> names;
    for (const auto& [known, value] : values) {
      if (known == name) return value;
      names.push_back(known);
    }
    fail("figure: expected one of {}; got '{}'", fmt::join(names, ", "), name);
  }
};

/// Trains a model: every step draws a batch of samples seen in several modalities and one of each
/// single modality (see Streams). Writes three files into `out`: metrics.jsonl, one object per
/// epoch with the loss, every term by name, the scores, seconds and samples per second;
/// checkpoint.safetensors, the whole state, after each epoch and on interruption; best.safetensors,
/// the parameters of the best epoch so far.
/// A run that goes on from its checkpoint ends with the same bytes as one that was never stopped.
template <class Model>
class Trainer {
 public:
  using T = typename Model::Real;
  using M = typename Model::ModalitySet;
  using LearnerType = Learner<T, typename Model::Device>;
  using Validate = std::function<Scores(LearnerType&)>;

  /// `data`: all training samples; the streams decide what is seen of them, and where masks say
  /// that a modality is absent, its row is never read. The lists of rows are not copied, and on the
  /// CPU neither is what is stored: they must stay.
  Trainer(const Model& model, LearnerType& learner, const Samples<T, M>& data, TrainOptions options)
      : learner_(learner),
        options_(std::move(options)),
        streams_(data.rows, resolved(model, options_.supervision), Random{options_.seed, 1, 0}),
        steps_(model, learner, data, streams_, options_.seed) {}

  std::filesystem::path checkpoint() const { return options_.out / "checkpoint.safetensors"; }
  std::filesystem::path best() const { return options_.out / "best.safetensors"; }
  std::filesystem::path metrics() const { return options_.out / "metrics.jsonl"; }

  /// Takes up the run of an earlier checkpoint, or starts anew where there is none.
  void resume() {
    const std::string path = checkpoint().string();
    if (!std::filesystem::exists(checkpoint())) {  // stopped within its first epoch
      resume_json_lines(metrics(), "epoch", 0);
      return;
    }
    expect_same_run(SafetensorsFile::open(path).metadata(), options_.identity, path);
    const Metadata meta = load_checkpoint(path, learner_);
    if (meta.contains("best_score"))
      best_score_ = metadata_number<double>(meta, path, "best_score");
    const long steps = metadata_number<long>(meta, path, "epoch_steps");
    restore_terms(meta, path, steps);
    resume_json_lines(metrics(), "epoch", epoch());
  }

  /// Complete epochs so far.
  int epoch() const { return static_cast<int>(learner_.step_count() / streams_.steps_per_epoch()); }
  std::optional<double> best_score() const { return best_score_; }
  const Streams& streams() const { return streams_; }

  /// Trains up to the last epoch. -> false if it was interrupted; the checkpoint then has the step
  /// reached.
  bool run(const Validate& validate) {
    const Interrupt interrupt;
    while (epoch() < options_.epochs)
      if (!run_epoch(validate)) return false;
    return true;
  }

  /// One step: draws the batch, and updates the parameters. A GPU may still be at it afterwards.
  void step() { steps_.step(); }
  /// The sum of the losses since the epoch began; waits for the device.
  double epoch_loss() { return steps_.loss(); }

 private:
  static SupervisionOptions resolved(const Model& model, SupervisionOptions s) {
    s.modalities = M::count;
    if (s.unpaired_pool == UnpairedPool::as_defined)
      s.unpaired_pool = model.singles_from_all() ? UnpairedPool::all : UnpairedPool::only_unpaired;
    return s;
  }

  bool run_epoch(const Validate& validate) {
    const int per_epoch = streams_.steps_per_epoch();
    const int number = epoch() + 1;
    const long first = learner_.step_count();
    const Stopwatch clock;
    ProgressBar bar(fmt::format("epoch {}/{}", number, options_.epochs));
    while (epoch() < number) {
      step();
      const long done = learner_.step_count() - static_cast<long>(number - 1) * per_epoch;
      const double rate = static_cast<double>(learner_.step_count() - first) / clock.seconds();
      const double left = static_cast<double>(static_cast<long>(options_.epochs) * per_epoch -
                                              learner_.step_count());
      bar.show(done, per_epoch, [&] {
        return fmt::format("loss {:.2f}  {:.0f} samples/s  {} left",
                           epoch_loss() / static_cast<double>(done),
                           rate * options_.supervision.batch, duration_text(left / rate));
      });
      if (Interrupt::requested() && epoch() < number) {
        bar.clear();
        save_checkpoint(checkpoint(), learner_, state_metadata(done));
        return false;
      }
    }
    const double loss = epoch_loss() / per_epoch;  // of a GPU that is done
    const double seconds = clock.seconds();
    bar.clear();
    finish_epoch(number, loss, seconds, static_cast<double>(learner_.step_count() - first),
                 validate);
    return !Interrupt::requested();
  }

  void finish_epoch(int number, double loss, double seconds, double steps,
                    const Validate& validate) {
    const Scores scores = validate(learner_);
    Json line;
    line["epoch"] = number;
    line["loss"] = loss;
    for (const TermTable::Row& row : steps_.terms().rows())
      if (row.steps > 0) line["terms"][row.term.template name<M>()] = row.mean();
    for (const auto& [name, value] : scores.values) line[name] = value;
    line["seconds"] = seconds;
    line["samples_per_second"] = steps * options_.supervision.batch / seconds;
    steps_.clear();
    expect(!std::isnan(scores.selection), "epoch {}: the figure that selects epochs is NaN",
           number);
    const bool better = !best_score_ || scores.selection > *best_score_;
    if (better) {
      best_score_ = scores.selection;
      Metadata meta = options_.identity;
      meta["epoch"] = std::to_string(number);
      meta["best_score"] = exact_text(scores.selection);
      save_model(best(), learner_, meta);
    }
    // The log first: a checkpoint promises that its epoch is in it.
    append_json_line(metrics(), line);
    save_checkpoint(checkpoint(), learner_, state_metadata(0));
    std::string text = fmt::format("epoch {:3}  loss {:9.3f}", number, line["loss"].get<double>());
    for (const auto& [name, value] : scores.values) text += fmt::format("  {} {:.3f}", name, value);
    fmt::print("{}  ({:.0f} samples/s, {}){}\n", text, line["samples_per_second"].get<double>(),
               duration_text(seconds), better ? "  *" : "");
    std::fflush(stdout);
  }

  /// What the next step depends on besides the state of the learner.
  Metadata state_metadata(long epoch_steps) {
    Metadata meta = options_.identity;
    if (best_score_) meta["best_score"] = exact_text(*best_score_);
    meta["epoch_steps"] = std::to_string(epoch_steps);
    meta["epoch_loss"] = exact_text(steps_.loss());
    const TermTable& terms = steps_.terms();
    if (epoch_steps > 0)
      for (std::size_t i = 0; i < terms.rows().size(); ++i) {
        const TermTable::Row& r = terms.rows()[i];
        meta[fmt::format("term.{}", i)] =
            fmt::format("{} {} {} {} {} {}", r.term.divergence + 2 * r.term.estimate, r.term.from,
                        r.term.to, int{r.term.paired}, r.steps, exact_text(r.sum));
      }
    return meta;
  }
  void restore_terms(const Metadata& meta, const std::string& path, long steps) {
    TermTable terms;
    for (std::size_t i = 0; steps > 0 && meta.contains(fmt::format("term.{}", i)); ++i) {
      const std::string& text = meta.at(fmt::format("term.{}", i));
      TermTable::Row r;
      int kind = 0, paired = 0;
      double sum = 0;
      expect(std::sscanf(text.c_str(), "%d %u %u %d %ld %lf", &kind, &r.term.from, &r.term.to,
                         &paired, &r.steps, &sum) == 6,
             "'{}': metadata 'term.{}': expected six numbers, got '{}'", path, i, text);
      r.term.divergence = kind == 1;
      r.term.estimate = kind == 2;
      r.term.paired = paired != 0;
      r.sum = sum;
      terms.rows().push_back(r);
    }
    steps_.restore(std::move(terms), metadata_number<double>(meta, path, "epoch_loss"));
  }

  LearnerType& learner_;
  TrainOptions options_;
  Streams streams_;
  Steps<Model> steps_;
  std::optional<double> best_score_;
};

}  // namespace poe
