// SPDX-License-Identifier: MIT
// Learner: the numbers of a model, and the ranks that take a step together.
#pragma once

#include <poe/nn/parameter.hpp>
#include <poe/optim/adam.hpp>

#include <memory>
#include <vector>

namespace poe {

/// Everything that training changes: what a checkpoint must hold to go on as if it had never
/// stopped.
template <class T>
struct TrainingState {
  Buffer<T> parameters, first_moment, second_moment, statistics;
  Buffer<T> largest_second_moment;  // empty until AMSGrad is asked for
  long step = 0;                    // steps taken
};

/// A model's numbers on one Device, and how a step is taken with them: Learner<T, Cpu> here,
/// Learner<T, Cuda> in learner_cuda.hpp.
template <class T, class Device = Cpu>
class Learner;
/// The learner of a model of type V.
template <class V>
using LearnerOf = Learner<typename V::Real, typename V::Device>;

/// Parameters, Adam's moments, and a team of ranks with a tape and a gradient buffer each. Every
/// step runs a function on all ranks, each on its slice of the batch; they meet once, before the
/// update, which they share too. The result depends on the number of ranks only through the order
/// of summation.
template <class T>
class Learner<T, Cpu> {
 public:
  Learner(Description<T> description, std::uint64_t seed, int threads)
      : description_(std::move(description)), team_(std::make_unique<Team>(threads)) {
    state_.parameters = Buffer<T>(description_.parameter_size);
    state_.first_moment = Buffer<T>(description_.parameter_size);
    state_.second_moment = Buffer<T>(description_.parameter_size);
    state_.statistics = Buffer<T>(description_.statistic_size);
    initialise<T>({state_.parameters.data(), state_.parameters.size()}, description_.parameters,
                  seed);
    initialise<T>({state_.statistics.data(), state_.statistics.size()}, description_.statistics,
                  seed);
    for (int r = 0; r < threads; ++r) ranks_.push_back(std::make_unique<Rank>());
  }

  AdamOptions adam;

  const Description<T>& description() const { return description_; }
  TrainingState<T>& state() {
    fit_moments();
    return state_;
  }
  const TrainingState<T>& state() const {
    fit_moments();
    return state_;
  }
  /// Steps taken so far.
  long step_count() const { return state_.step; }
  int threads() const { return team_->size(); }

  /// One training step. pass(context) computes the rank's part of the loss and seeds its gradient.
  /// If it throws, parameters and moments are as they were. `random` is the source of all noise of
  /// this step. Fails, naming the step, if a gradient is not finite: the parameters are then lost,
  /// so save before.
  template <class F>
  void step(const Random& random, F&& pass) {
    for (auto& r : ranks_)
      if (r->gradients.size() == 0) r->gradients = Buffer<T>(description_.parameter_size);
    fit_moments();
    const AdamNumbers<T> numbers{state_.parameters.data(), state_.first_moment.data(),
                                 state_.second_moment.data(),
                                 adam.amsgrad ? state_.largest_second_moment.data() : nullptr};
    const AdamStep<T> update(adam, static_cast<double>(state_.step + 1));
    try {
      team_->run([&](int rank) {
        Rank& r = *ranks_[static_cast<std::size_t>(rank)];
        r.tape.reset();
        r.tape.recording = true;
        Context<T> ctx = context(rank, Mode::train, random);
        ctx.gradients = r.gradients.data();
        pass(ctx);
        r.tape.backward();
        team_->meet();
        const auto lines = static_cast<int>(description_.parameter_size / padded_count<T>(1));
        const Slice part = slice_of(lines, rank, threads());
        const std::size_t first = static_cast<std::size_t>(part.first) * padded_count<T>(1);
        std::vector<T*>& parts = r.parts;
        parts.clear();
        for (auto& other : ranks_) parts.push_back(other->gradients.data());
        r.finite = adam_range(update, numbers, {parts.data(), parts.size()}, first,
                              first + static_cast<std::size_t>(part.count) * padded_count<T>(1));
      });
    } catch (...) {
      for (auto& r : ranks_) r->gradients.clear();
      throw;
    }
    ++state_.step;
    for (auto& r : ranks_)
      expect(r->finite, "training step {}: a gradient is not finite although the loss was",
             state_.step);
  }

  /// Runs pass(context) on all ranks without recording: values only.
  template <class F>
  void evaluate(const Random& random, F&& pass) {
    team_->run([&](int rank) {
      Rank& r = *ranks_[static_cast<std::size_t>(rank)];
      r.tape.reset();
      r.tape.recording = false;
      Context<T> ctx = context(rank, Mode::evaluate, random);
      pass(ctx);
    });
  }

 private:
  struct Rank {
    Tape<T> tape;
    Buffer<T> gradients;
    std::vector<T*> parts;
    bool finite = true;
  };

  /// The state has what the settings of Adam ask for.
  void fit_moments() const {
    if (adam.amsgrad && state_.largest_second_moment.size() == 0)
      state_.largest_second_moment = Buffer<T>(description_.parameter_size);
  }

  Context<T> context(int rank, Mode mode, const Random& random) {
    return {.tape = ranks_[static_cast<std::size_t>(rank)]->tape,
            .parameters = state_.parameters.data(),
            .statistics = state_.statistics.data(),
            .mode = mode,
            .random = random,
            .team = team_.get(),
            .rank = rank};
  }

  Description<T> description_;
  mutable TrainingState<T> state_;
  std::unique_ptr<Team> team_;
  std::vector<std::unique_ptr<Rank>> ranks_;
};

}  // namespace poe
