// SPDX-License-Identifier: MIT
// Coherence: do the modalities that a model generates together, or one from another, show the same
// class?
#pragma once

#include <poe/data/samples.hpp>
#include <poe/eval/decode.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <tuple>
#include <vector>

namespace poe {

/// How many samples of each class there are, and of how many of them the class was recognised.
struct ClassCounts {
  std::array<std::int64_t, 256> samples{}, right{};

  void add(std::uint8_t label, std::uint8_t seen) {
    ++samples[label];
    right[label] += seen == label;
  }

  /// The share of samples whose class was recognised.
  double accuracy() const {
    std::int64_t all = 0, good = 0;
    for (std::size_t c = 0; c < samples.size(); ++c) all += samples[c], good += right[c];
    expect(all > 0, "accuracy: no samples were counted");
    return static_cast<double>(good) / static_cast<double>(all);
  }

  /// The mean of the classes' accuracies, each class that occurs counting the same.
  double class_mean() const {
    double sum = 0;
    int classes = 0;
    for (std::size_t c = 0; c < samples.size(); ++c)
      if (samples[c] > 0) {
        sum += static_cast<double>(right[c]) / static_cast<double>(samples[c]);
        ++classes;
      }
    expect(classes > 0, "class_mean: no samples were counted");
    return sum / classes;
  }
};

namespace detail {

/// The classes that each modality's oracle sees in its modality.
template <class V, class... Oracles>
auto classes_seen(const Decoded<V>& images, const std::tuple<Oracles...>& oracles) {
  static_assert(sizeof...(Oracles) == V::modalities, "poe: coherence takes an oracle per modality");
  std::array<std::vector<std::uint8_t>, static_cast<std::size_t>(V::modalities)> seen;
  each_index<V::modalities>([&]<int I>(std::integral_constant<int, I>) {
    seen[I] = std::get<I>(oracles).predict(std::get<I>(images).view());
  });
  return seen;
}

}  // namespace detail

/// How often oracles agree on what is drawn.
struct JointCoherence {
  double share = 0;  ///< of the codes for which all oracles see one class
  /// Cohen's kappa: (share - chance) / (1 - chance), where chance is how often oracles would agree
  /// that see their classes as often, but independently. 0 where each always sees the same class: a
  /// model that has learnt nothing yet can have a share of 1.
  double beyond_chance = 0;
};

namespace detail {

inline JointCoherence agreement(std::span<const std::vector<std::uint8_t>> seen) {
  std::vector<std::array<double, 256>> often(seen.size());
  const auto count = static_cast<double>(seen[0].size());
  double equal = 0, chance = 0;
  for (std::size_t n = 0; n < seen[0].size(); ++n) {
    for (std::size_t m = 0; m < seen.size(); ++m) often[m][seen[m][n]] += 1 / count;
    equal += std::all_of(seen.begin(), seen.end(),
                         [&](const auto& classes) { return classes[n] == seen[0][n]; });
  }
  for (std::size_t c = 0; c < 256; ++c) {
    double all = 1;
    for (const auto& p : often) all *= p[c];
    chance += all;
  }
  const double share = equal / count;
  return {share, chance < 1 - 1e-9 ? (share - chance) / (1 - chance) : 0};
}

}  // namespace detail

/// How well the decoded means of `count` codes z ~ p(z) fit together. `oracles` has one for each
/// modality, in order: std::tie(mnist, svhn), with predict(View) -> classes.
template <class V, class... Oracles>
JointCoherence joint_coherence(const V& model, LearnerOf<V>& learner, int count,
                               const std::tuple<Oracles...>& oracles, const Random& random) {
  expect(count > 0, "joint_coherence: expected one code or more, got {}", count);
  return detail::agreement(
      detail::classes_seen<V>(draw_from_prior(model, learner, count, random), oracles));
}

/// What of the samples' classes survives from x_S, S = `given`, to every modality: one z ~
/// q(z | x_S) per sample (its draw, not the posterior's mean), the means of all modalities decoded
/// from it, and for each modality the oracle's class counted against the label. The element of
/// modality t is the cross-coherence S -> t; where t is in S, how well x_t keeps its class.
/// `oracles` are as for joint_coherence(). Noise is that of complete(), the position being the
/// sample's among `samples`.
template <class V, class... Oracles>
std::array<ClassCounts, static_cast<std::size_t>(V::modalities)> cross_coherence(
    const V& model, LearnerOf<V>& learner,
    const Samples<typename V::Real, typename V::ModalitySet>& samples,
    std::span<const std::uint8_t> labels, Subset given, const std::tuple<Oracles...>& oracles,
    const Random& random) {
  expect(samples.rows > 0 && labels.size() == static_cast<std::size_t>(samples.rows),
         "cross_coherence: expected samples with a label each, got {} and {} labels", samples.rows,
         labels.size());
  samples.expect_lists();
  constexpr int block = 4096;  // samples whose images are in memory
  std::array<ClassCounts, static_cast<std::size_t>(V::modalities)> counts;
  for (int first = 0; first < samples.rows; first += block) {
    const auto part = gather(samples, given, first, std::min(block, samples.rows - first));
    const auto seen =
        detail::classes_seen<V>(complete(model, learner, part.group(), given, random), oracles);
    for (std::size_t t = 0; t < counts.size(); ++t)
      for (std::size_t n = 0; n < seen[t].size(); ++n)
        counts[t].add(labels[static_cast<std::size_t>(first) + n], seen[t][n]);
  }
  return counts;
}

}  // namespace poe
