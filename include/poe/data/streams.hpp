// SPDX-License-Identifier: MIT
// The batches that the steps of a training run draw.
#pragma once

#include <algorithm>
#include <limits>
#include <span>

#include <poe/data/supervision.hpp>

namespace poe {

namespace detail {

/// A source of its own for each member of a family, under a seed drawn from the family's source.
inline Random member_random(const Random& family, std::uint64_t member) {
  const Words w = family.block(member);
  return {(std::uint64_t{w.y} << 32) | w.x, w.z, 0};
}

/// Batches from a pool without end: epoch after epoch, each in an order of its own, the last batch
/// of an epoch as short as it comes out.
class Loader {
 public:
  Loader(std::vector<std::uint32_t> pool, int batch, const Random& random)
      : pool_(std::move(pool)),
        batch_(static_cast<std::size_t>(batch)),
        batches_((pool_.size() + batch_ - 1) / batch_),
        random_(random) {}

  /// The largest number of samples of a batch.
  int most_rows() const { return static_cast<int>(std::min(batch_, pool_.size())); }

  /// Batch number `t` since the beginning: a function of t alone. Empty when the pool is. The span
  /// is good until the next call.
  std::span<const std::uint32_t> batch(std::uint64_t t) {
    if (pool_.empty()) return {};
    const std::uint64_t epoch = t / batches_;
    if (epoch != epoch_ || order_.empty()) shuffle(epoch);
    const auto first = static_cast<std::size_t>(t % batches_) * batch_;
    return std::span(order_).subspan(first, std::min(batch_, order_.size() - first));
  }

 private:
  void shuffle(std::uint64_t epoch) {
    expect(epoch <= std::numeric_limits<std::uint32_t>::max(), "a loader ends after 2^32 epochs");
    order_ = permutation(static_cast<std::uint32_t>(pool_.size()),
                         random_.at_step(static_cast<std::uint32_t>(epoch)));
    for (std::uint32_t& index : order_) index = pool_[index];
    epoch_ = epoch;
  }

  std::vector<std::uint32_t> pool_;
  std::size_t batch_, batches_;
  Random random_;
  std::vector<std::uint32_t> order_;  // of epoch_, kept because most calls ask for the next batch
  std::uint64_t epoch_ = 0;
};

}  // namespace detail

/// The samples of one step, in groups of one loader and one set of observed modalities each.
struct SampledBatch {
  struct Part {
    Subset observed = 0;
    std::uint32_t loader = 0;  // 0: the joint loader; 1 + m: that of modality m
    int first_row = 0;         // position of the group in its loader's batch
    int rows = 0;
    std::size_t first = 0;  // of its samples
  };
  std::vector<Part> parts;
  std::vector<std::uint32_t> samples;  // indices, part after part

  std::span<const std::uint32_t> samples_of(const Part& p) const {
    return std::span(samples).subspan(p.first, static_cast<std::size_t>(p.rows));
  }
};

/// The batches of a training run: at every step one from the joint loader, which draws from the
/// samples that show several modalities together, and one from the loader U_m of each modality,
/// each shuffled on its own. An epoch has ceil(samples / batch) steps, which is one pass of a U_m
/// that draws from all samples; a loader with a smaller pool starts over, newly shuffled, whenever
/// it is exhausted, so that 60 pairs are one short batch at every step.
///
/// The joint loader's batch is split into one group for each set of modalities that occurs in the
/// data, in increasing order of their bits; within a group the samples are as they were drawn. Of a
/// U_m, only modality m is seen.
///
/// A batch is a function of (random, epoch, step): a resumed run goes on as if it had not stopped.
/// Not for concurrent calls: the orders of the current epochs are kept.
class Streams {
 public:
  Streams(int samples, const SupervisionOptions& options, const Random& random)
      : steps_(steps(samples, options)),
        seen_(observe(samples, options, detail::member_random(random, 0))),
        joint_(seen_.joint, options.batch, detail::member_random(random, 1)) {
    for (const std::uint32_t n : seen_.joint) patterns_.push_back(seen_.together[n]);
    std::sort(patterns_.begin(), patterns_.end());
    patterns_.erase(std::unique(patterns_.begin(), patterns_.end()), patterns_.end());
    for (std::size_t m = 0; m < seen_.single.size(); ++m)
      single_.emplace_back(seen_.single[m], options.batch, detail::member_random(random, 2 + m));
  }

  const Observations& observations() const { return seen_; }
  int steps_per_epoch() const { return steps_; }
  /// No batch has more samples of one modality.
  int most_rows() const {
    int single = 0;
    for (const detail::Loader& l : single_) single = std::max(single, l.most_rows());
    return joint_.most_rows() + single;
  }

  /// The samples of one step; epoch and step are counted from 0. All batches have the same groups,
  /// some of which may be empty.
  void batch(int epoch, int step, SampledBatch& batch) {
    expect(epoch >= 0 && step >= 0 && step < steps_,
           "streams: expected an epoch from 0 and a step below {}, got epoch {}, step {}", steps_,
           epoch, step);
    const std::uint64_t t = static_cast<std::uint64_t>(epoch) * static_cast<std::uint64_t>(steps_) +
                            static_cast<std::uint64_t>(step);
    batch.parts.clear();
    batch.samples.clear();
    const auto joint = joint_.batch(t);
    for (const Subset pattern : patterns_) {
      const std::size_t first = batch.samples.size();
      for (const std::uint32_t n : joint)
        if (seen_.together[n] == pattern) batch.samples.push_back(n);
      const auto rows = static_cast<int>(batch.samples.size() - first);
      batch.parts.push_back({pattern, 0, static_cast<int>(first), rows, first});
    }
    for (std::size_t m = 0; m < single_.size(); ++m) {
      const auto own = single_[m].batch(t);
      batch.parts.push_back({only(static_cast<int>(m)), static_cast<std::uint32_t>(1 + m), 0,
                             static_cast<int>(own.size()), batch.samples.size()});
      batch.samples.insert(batch.samples.end(), own.begin(), own.end());
    }
  }

 private:
  static int steps(int samples, const SupervisionOptions& options) {
    expect(samples >= 1, "streams: expected at least 1 sample, got {}", samples);
    expect(options.batch >= 1, "streams: expected a batch of at least 1, got {}", options.batch);
    expect(options.modalities >= 1 && options.modalities <= 31,
           "streams: expected 1 to 31 modalities, got {}", options.modalities);
    return (samples - 1) / options.batch + 1;
  }

  int steps_;
  Observations seen_;
  std::vector<Subset> patterns_;  // of the joint loader's samples
  detail::Loader joint_;
  std::vector<detail::Loader> single_;
};

}  // namespace poe
