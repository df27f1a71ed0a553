// SPDX-License-Identifier: MIT
// Steps of a training run: each draws its batch, updates the parameters and adds to the sums that a
// log reports.
#pragma once

#include <poe/data/supervision.hpp>
#include <poe/optim/learner.hpp>
#include <poe/train/terms.hpp>

#include <utility>

namespace poe {

/// The steps of Model on its Device: Steps<Model, Cpu> here, Steps<Model, Cuda> in
/// steps_cuda.hpp. `streams` decides what a step sees of the data, the learner's count of steps
/// which one is next.
template <class Model, class Device = typename Model::Device>
class Steps;

/// The ranks of the learner gather a slice of the batch each.
template <class Model>
class Steps<Model, Cpu> {
 public:
  using T = typename Model::Real;
  using M = typename Model::ModalitySet;
  using GroupType = typename Model::GroupType;

  Steps(const Model& model, Learner<T>& learner, const GroupType& data, Streams& streams,
        std::uint64_t seed)
      : model_(model),
        learner_(learner),
        data_(data),
        streams_(streams),
        seed_(seed),
        spans_(static_cast<std::size_t>(learner.threads())) {}

  void step() {
    const long number = learner_.step_count();
    const int per_epoch = streams_.steps_per_epoch();
    streams_.batch(static_cast<int>(number / per_epoch), static_cast<int>(number % per_epoch),
                   paired_, unpaired_);
    // The random step counts from 1: step 0 is that of the initial values.
    const Random noise{seed_, 0, static_cast<std::uint32_t>(number + 1)};
    learner_.step(noise, [&](Context<T>& ctx) {
      const auto rank = static_cast<std::size_t>(ctx.rank);
      const auto groups = gather(ctx);
      spans_[rank] = model_.loss(ctx, groups);
      expect_finite<M>(spans_[rank], number + 1);
    });
    loss_ += terms_.add(spans_);
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

  const Model& model_;
  Learner<T>& learner_;
  GroupType data_;
  Streams& streams_;
  std::uint64_t seed_;
  std::vector<std::uint32_t> paired_;
  std::vector<std::vector<std::uint32_t>> unpaired_;
  std::vector<std::span<const TermValue>> spans_;  // by rank
  TermTable terms_;
  double loss_ = 0;
};

}  // namespace poe
