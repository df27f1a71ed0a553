// SPDX-License-Identifier: MIT
// Supervision levels: which samples are paired, and the batches that a training step draws.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include "poe/core/error.hpp"
#include "poe/core/random.hpp"

namespace poe {

/// Indices of the samples whose modalities are seen together, and of the others.
struct Supervision {
  std::vector<std::uint32_t> paired, unpaired;
};

/// Samples that are paired at a supervision level in (0, 1]: N - int((1 - level) N), in double, so
/// that the counts are those of the paper's code (60,000 digits at 0.1 %: 60).
inline int paired_count(int samples, double level) {
  expect(samples >= 1, "supervision: expected at least 1 sample, got {}", samples);
  expect(level > 0 && level <= 1, "supervision: expected a level in (0, 1], got {}", level);
  const int count = samples - static_cast<int>((1 - level) * samples);
  expect(count >= 1, "supervision: level {} leaves no pair among {} samples", level, samples);
  return count;
}

/// Shuffles the indices once; the last paired_count() of them are paired, for the whole run.
inline Supervision split_supervision(int samples, double level, const Random& random) {
  const int unpaired = samples - paired_count(samples, level);
  const auto order = permutation(static_cast<std::uint32_t>(samples), random);
  const auto border = order.begin() + unpaired;
  return {{border, order.end()}, {order.begin(), border}};
}

/// What the loaders of single modalities draw from. In the paper's code it is every sample.
enum class UnpairedPool { all, only_unpaired };

struct SupervisionOptions {
  double level = 1;
  UnpairedPool unpaired_pool = UnpairedPool::all;
  int batch = 100;
  int modalities = 2;
};

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

/// The batches of a training run: at every step one from the paired loader P and one from the
/// loader U_m of each modality, each shuffled on its own. An epoch has ceil(samples / batch) steps,
/// which is one pass of every U_m over all samples; a loader with a smaller pool starts over, newly
/// shuffled, whenever it is exhausted, so that 60 pairs are one short batch at every step.
///
/// A batch is a function of (random, epoch, step): a resumed run goes on as if it had not stopped.
/// Not for concurrent calls: the orders of the current epochs are kept.
class Streams {
 public:
  Streams(int samples, const SupervisionOptions& options, const Random& random)
      : supervision_(split_supervision(samples, options.level, detail::member_random(random, 0))),
        steps_(steps(samples, options)),
        paired_(supervision_.paired, options.batch, detail::member_random(random, 1)) {
    std::vector<std::uint32_t> pool = supervision_.unpaired;
    if (options.unpaired_pool == UnpairedPool::all) {
      pool.resize(static_cast<std::size_t>(samples));
      std::iota(pool.begin(), pool.end(), 0U);
    }
    for (int m = 0; m < options.modalities; ++m)
      unpaired_.emplace_back(pool, options.batch,
                             detail::member_random(random, 2 + static_cast<std::uint64_t>(m)));
  }

  const Supervision& supervision() const { return supervision_; }
  int steps_per_epoch() const { return steps_; }

  /// Sample indices of one step, both counted from 0; unpaired[m] is the batch of U_m, empty when
  /// its pool is.
  void batch(int epoch, int step, std::vector<std::uint32_t>& paired,
             std::vector<std::vector<std::uint32_t>>& unpaired) {
    expect(epoch >= 0 && step >= 0 && step < steps_,
           "streams: expected an epoch from 0 and a step below {}, got epoch {}, step {}", steps_,
           epoch, step);
    const std::uint64_t t = static_cast<std::uint64_t>(epoch) * static_cast<std::uint64_t>(steps_) +
                            static_cast<std::uint64_t>(step);
    const auto pairs = paired_.batch(t);
    paired.assign(pairs.begin(), pairs.end());
    unpaired.resize(unpaired_.size());
    for (std::size_t m = 0; m < unpaired_.size(); ++m) {
      const auto single = unpaired_[m].batch(t);
      unpaired[m].assign(single.begin(), single.end());
    }
  }

 private:
  static int steps(int samples, const SupervisionOptions& options) {
    expect(options.batch >= 1, "streams: expected a batch of at least 1, got {}", options.batch);
    expect(options.modalities >= 1, "streams: expected at least 1 modality, got {}",
           options.modalities);
    return (samples - 1) / options.batch + 1;
  }

  Supervision supervision_;
  int steps_;
  detail::Loader paired_;
  std::vector<detail::Loader> unpaired_;
};

}  // namespace poe
