// SPDX-License-Identifier: MIT
// Trainer: the loop over epochs and steps, its log, its checkpoints.
#pragma once

#include <poe/data/supervision.hpp>
#include <poe/io/jsonl.hpp>
#include <poe/train/checkpoint.hpp>
#include <poe/train/interrupt.hpp>
#include <poe/train/progress.hpp>
#include <poe/train/terms.hpp>

#include <functional>
#include <optional>

namespace poe {

/// Settings of a run that are not the model's.
struct TrainOptions {
  int epochs = 10;
  SupervisionOptions supervision{};  // level, pool of the unimodal loaders, batch
  std::uint64_t seed = 1;
  std::filesystem::path out;  // directory of the log and the checkpoints
  Metadata identity{};        // what a resumed run must have in common with this one
};

/// Named figures of a validation; the run keeps the parameters of the epoch with the largest
/// `selection`.
struct Scores {
  std::vector<std::pair<std::string, double>> values;
  double selection = 0;
};

/// Trains a model: every step draws a batch of pairs and one of each single modality (see Streams),
/// one loader a group. Writes into `out`
///   metrics.jsonl            one object per epoch: loss, every term by name, scores, seconds,
///   samples_per_second checkpoint.safetensors   after each epoch and on interruption: the whole
///   state best.safetensors         the parameters of the best epoch so far
/// A run that goes on from its checkpoint ends with the same bytes as one that was never stopped.
template <class Model>
class Trainer {
 public:
  using T = typename Model::Real;
  using M = typename Model::ModalitySet;
  using GroupType = typename Model::GroupType;
  using Validate = std::function<Scores(Learner<T>&)>;

  /// `data`: all training samples, every modality observed; the streams decide what is seen of
  /// them.
  Trainer(const Model& model, Learner<T>& learner, const GroupType& data, TrainOptions options)
      : model_(model),
        learner_(learner),
        data_(data),
        options_(std::move(options)),
        streams_(data.rows, with_modalities(options_.supervision), Random{options_.seed, 1, 0}),
        spans_(static_cast<std::size_t>(learner.threads())) {}

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
    epoch_loss_ = metadata_number<double>(meta, path, "epoch_loss");
    restore_terms(meta, path, steps);
    resume_json_lines(metrics(), "epoch", epoch());
  }

  /// Complete epochs so far.
  int epoch() const { return static_cast<int>(learner_.state().step / streams_.steps_per_epoch()); }
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

  /// One step: draws the batch, and updates the parameters. -> its loss.
  double step() {
    const long number = learner_.state().step;
    const int per_epoch = streams_.steps_per_epoch();
    streams_.batch(static_cast<int>(number / per_epoch), static_cast<int>(number % per_epoch),
                   paired_, unpaired_);
    // The random step counts from 1: step 0 is that of the initial values.
    const Random noise{options_.seed, 0, static_cast<std::uint32_t>(number + 1)};
    learner_.step(noise, [&](Context<T>& ctx) {
      const auto rank = static_cast<std::size_t>(ctx.rank);
      const auto groups = gather(ctx);
      spans_[rank] = model_.loss(ctx, groups);
      expect_finite<M>(spans_[rank], number + 1);
    });
    return terms_.add(spans_);
  }

 private:
  static SupervisionOptions with_modalities(SupervisionOptions s) {
    s.modalities = M::count;
    return s;
  }

  /// This rank's slice of every loader's batch, copied side by side: the rows of a modality are
  /// then one batch for the networks that see it.
  std::span<const GroupType> gather(Context<T>& ctx) {
    constexpr std::size_t loaders = 1 + M::count;
    GroupType* const groups =
        new (ctx.arena().template take<GroupType>(loaders)) GroupType[loaders]{};
    const auto fill = [&](std::size_t g, Subset observed,
                          const std::vector<std::uint32_t>& indices) {
      const Slice s = slice_of(static_cast<int>(indices.size()), ctx.rank, learner_.threads());
      groups[g].observed = observed;
      groups[g].rows = s.count;
      groups[g].total = static_cast<int>(indices.size());
      groups[g].first_row = s.first;
      groups[g].loader = static_cast<std::uint32_t>(g);
    };
    fill(0, all_of(M::count), paired_);
    for (std::size_t m = 0; m < M::count; ++m) fill(1 + m, only(static_cast<int>(m)), unpaired_[m]);
    [&]<std::size_t... I>(std::index_sequence<I...>) {
      (copy_modality<I>(ctx, groups[0], groups[1 + I]), ...);
    }
    (std::make_index_sequence<M::count>{});
    return {groups, loaders};
  }

  template <std::size_t I>
  void copy_modality(Context<T>& ctx, GroupType& pairs, GroupType& single) {
    constexpr std::size_t size = Model::template Sample<I>::size;
    T* to = ctx.arena().template take<T>(static_cast<std::size_t>(pairs.rows + single.rows) * size);
    const auto copy = [&](GroupType& group, const std::vector<std::uint32_t>& indices) {
      std::get<I>(group.x) = {to, group.rows};
      for (int r = 0; r < group.rows; ++r, to += size) {
        const std::uint32_t n = indices[static_cast<std::size_t>(group.first_row + r)];
        std::copy_n(std::get<I>(data_.x).data + n * size, size, to);
      }
    };
    copy(pairs, paired_);
    copy(single, unpaired_[I]);
  }

  bool run_epoch(const Validate& validate) {
    const int per_epoch = streams_.steps_per_epoch();
    const int number = epoch() + 1;
    const long first = learner_.state().step;
    const Stopwatch clock;
    ProgressBar bar(fmt::format("epoch {}/{}", number, options_.epochs));
    while (epoch() < number) {
      epoch_loss_ += step();
      const long done = learner_.state().step - static_cast<long>(number - 1) * per_epoch;
      const double rate = static_cast<double>(learner_.state().step - first) / clock.seconds();
      const double left = static_cast<double>(static_cast<long>(options_.epochs) * per_epoch -
                                              learner_.state().step);
      bar.show(done, per_epoch, [&] {
        return fmt::format("loss {:.2f}  {:.0f} samples/s  {} left",
                           epoch_loss_ / static_cast<double>(done),
                           rate * options_.supervision.batch, duration_text(left / rate));
      });
      if (Interrupt::requested() && epoch() < number) {
        bar.clear();
        save_checkpoint(checkpoint(), learner_, state_metadata(done));
        return false;
      }
    }
    const double seconds = clock.seconds();
    bar.clear();
    finish_epoch(number, per_epoch, seconds, static_cast<double>(learner_.state().step - first),
                 validate);
    return !Interrupt::requested();
  }

  void finish_epoch(int number, int per_epoch, double seconds, double steps,
                    const Validate& validate) {
    const Scores scores = validate(learner_);
    Json line;
    line["epoch"] = number;
    line["loss"] = epoch_loss_ / per_epoch;
    for (const TermTable::Row& row : terms_.rows())
      line["terms"][row.term.template name<M>()] = row.mean();
    for (const auto& [name, value] : scores.values) line[name] = value;
    line["seconds"] = seconds;
    line["samples_per_second"] = steps * options_.supervision.batch / seconds;
    epoch_loss_ = 0;
    terms_.clear();
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
  Metadata state_metadata(long epoch_steps) const {
    Metadata meta = options_.identity;
    if (best_score_) meta["best_score"] = exact_text(*best_score_);
    meta["epoch_steps"] = std::to_string(epoch_steps);
    meta["epoch_loss"] = exact_text(epoch_loss_);
    if (epoch_steps > 0)
      for (std::size_t i = 0; i < terms_.rows().size(); ++i) {
        const TermTable::Row& r = terms_.rows()[i];
        meta[fmt::format("term.{}", i)] =
            fmt::format("{} {} {} {} {} {}", int{r.term.divergence}, r.term.from, r.term.to,
                        int{r.term.paired}, r.steps, exact_text(r.sum));
      }
    return meta;
  }
  void restore_terms(const Metadata& meta, const std::string& path, long steps) {
    terms_ = {};
    if (steps == 0) return;
    for (std::size_t i = 0; meta.contains(fmt::format("term.{}", i)); ++i) {
      const std::string& text = meta.at(fmt::format("term.{}", i));
      TermTable::Row r;
      int divergence = 0, paired = 0;
      double sum = 0;
      expect(std::sscanf(text.c_str(), "%d %u %u %d %ld %lf", &divergence, &r.term.from, &r.term.to,
                         &paired, &r.steps, &sum) == 6,
             "'{}': metadata 'term.{}': expected six numbers, got '{}'", path, i, text);
      r.term.divergence = divergence != 0;
      r.term.paired = paired != 0;
      r.sum = sum;
      terms_.rows().push_back(r);
    }
  }

  const Model& model_;
  Learner<T>& learner_;
  GroupType data_;
  TrainOptions options_;
  Streams streams_;
  std::vector<std::uint32_t> paired_;
  std::vector<std::vector<std::uint32_t>> unpaired_;
  std::vector<std::span<const TermValue>> spans_;  // by rank
  TermTable terms_;
  double epoch_loss_ = 0;
  std::optional<double> best_score_;
};

}  // namespace poe
