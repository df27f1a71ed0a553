// SPDX-License-Identifier: MIT
// Steps of a training run: each draws its batch, updates the parameters and adds to the sums that a
// log reports.
#pragma once

#include <poe/data/samples.hpp>
#include <poe/data/streams.hpp>
#include <poe/optim/learner.hpp>
#include <poe/train/terms.hpp>

#include <utility>

namespace poe {

/// The steps of Model on its Device: Steps<Model, Cpu> here, Steps<Model, Cuda> in
/// steps_cuda.hpp. `streams` decides what a step sees of the data, the learner's count of steps
/// which one is next.
///
/// A group of which a batch has no sample is not handed to the model at all: what was not observed
/// costs neither a copy nor a pass. A model that leaves something to chance beyond the noise of its
/// layers and posteriors has `int choices() const`; loss() then takes a third argument, one of the
/// numbers below choices(), drawn anew for every step.
template <class Model, class Device = typename Model::Device>
class Steps;

namespace detail {

/// Random numbers of the noise have other streams.
inline constexpr std::uint32_t choice_stream = 1U << 26;

/// What step `step`, counted from 1, leaves to chance.
template <class Model>
int choice_of(const Model& model, std::uint64_t seed, std::uint32_t step) {
  if constexpr (requires { model.choices(); })
    return static_cast<int>(
        Random{seed, choice_stream, step}.below(static_cast<std::uint32_t>(model.choices()), 0));
  else
    return 0;
}
template <class Model, class C, class Groups>
auto loss_of(const Model& model, C& ctx, Groups groups, [[maybe_unused]] int choice) {
  if constexpr (requires { model.choices(); })
    return model.loss(ctx, groups, choice);
  else
    return model.loss(ctx, groups);
}

/// Throws Error unless all that is seen of the samples is stored.
template <class T, class M>
void expect_stored(const Samples<T, M>& data, const Observations& seen) {
  data.expect_lists();
  for (const std::uint32_t n : seen.joint) data.expect_stored(n, seen.together[n]);
  for (std::size_t m = 0; m < seen.single.size(); ++m)
    for (const std::uint32_t n : seen.single[m]) data.expect_stored(n, only(static_cast<int>(m)));
}

/// The warm-up of a model's options, at step `step`.
template <class Model>
WarmUp warm_up_of(const Model& model, std::uint32_t step) {
  return {model.options.warm_up_steps, step};
}

}  // namespace detail

/// The ranks of the learner gather a slice of the batch each.
template <class Model>
class Steps<Model, Cpu> {
 public:
  using T = typename Model::Real;
  using M = typename Model::ModalitySet;
  using GroupType = typename Model::GroupType;

  Steps(const Model& model, Learner<T>& learner, const Samples<T, M>& data, Streams& streams,
        std::uint64_t seed)
      : model_(model),
        learner_(learner),
        data_(data),
        streams_(streams),
        seed_(seed),
        spans_(static_cast<std::size_t>(learner.threads())) {
    detail::expect_stored(data_, streams_.observations());
  }

  void step() {
    const long number = learner_.step_count();
    const int per_epoch = streams_.steps_per_epoch();
    streams_.batch(static_cast<int>(number / per_epoch), static_cast<int>(number % per_epoch),
                   batch_);
    std::erase_if(batch_.parts, [](const auto& part) { return part.rows == 0; });
    // The random step counts from 1: step 0 is that of the initial values.
    const auto step = static_cast<std::uint32_t>(number + 1);
    const int choice = detail::choice_of(model_, seed_, step);
    learner_.step(Random{seed_, 0, step}, [&](Context<T>& ctx) {
      const auto rank = static_cast<std::size_t>(ctx.rank);
      spans_[rank] = detail::loss_of(model_, ctx, gather(ctx), choice);
      expect_finite<M>(spans_[rank], number + 1);
    });
    loss_ += terms_.add(spans_, detail::warm_up_of(model_, step).factor());
  }

  /// Running means of the terms, and the sum of the losses, since clear().
  const TermTable& terms() { return terms_; }
  double loss() const { return loss_; }
  void clear() {
    terms_.clear();
    loss_ = 0;
  }
  /// Goes on from an earlier run's sums.
  void restore(TermTable terms, double loss) {
    terms_ = std::move(terms);
    loss_ = loss;
  }

 private:
  /// This rank's slice of every group, the rows of a modality side by side: they are then one batch
  /// for the networks that see it.
  std::span<const GroupType> gather(Context<T>& ctx) {
    const std::size_t count = batch_.parts.size();
    const std::span<GroupType> groups(take_new<GroupType>(ctx.arena(), count), count);
    for (std::size_t g = 0; g < count; ++g) {
      const SampledBatch::Part& part = batch_.parts[g];
      const Slice s = slice_of(part.rows, ctx.rank, learner_.threads());
      groups[g].observed = part.observed;
      groups[g].rows = s.count;
      groups[g].total = part.rows;
      groups[g].first_row = part.first_row + s.first;
      groups[g].loader = part.loader;
    }
    each_index<M::count>(
        [&]<int I>(std::integral_constant<int, I>) { copy_modality<I>(ctx, groups); });
    return groups;
  }

  template <int I>
  void copy_modality(Context<T>& ctx, std::span<GroupType> groups) {
    constexpr std::size_t size = Model::template Sample<I>::size;
    std::size_t rows = 0;
    for (const GroupType& g : groups)
      if (contains(g.observed, I)) rows += static_cast<std::size_t>(g.rows);
    T* to = ctx.arena().template take<T>(rows * size);
    for (std::size_t g = 0; g < groups.size(); ++g) {
      if (!contains(groups[g].observed, I)) continue;
      const SampledBatch::Part& part = batch_.parts[g];
      std::get<I>(groups[g].x) = {to, groups[g].rows};
      const auto samples = batch_.samples_of(part).subspan(
          static_cast<std::size_t>(groups[g].first_row - part.first_row),
          static_cast<std::size_t>(groups[g].rows));
      for (const std::uint32_t n : samples) {
        std::copy_n(std::get<I>(data_.stored).data + data_.row(I, n) * size, size, to);
        to += size;
      }
    }
  }

  const Model& model_;
  Learner<T>& learner_;
  Samples<T, M> data_;
  Streams& streams_;
  std::uint64_t seed_;
  SampledBatch batch_;                             // its parts that are not empty
  std::vector<std::span<const TermValue>> spans_;  // by rank
  TermTable terms_;
  double loss_ = 0;
};

}  // namespace poe
