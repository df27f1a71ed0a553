// SPDX-License-Identifier: MIT
// Pairs of samples from two data sets that have the same label.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include <poe/core/error.hpp>
#include <poe/core/random.hpp>
#include <poe/data/streams.hpp>

namespace poe {

struct PairingOptions {
  int most_per_class = 10000;  ///< samples of one label that are used, on each side
  int repeats = 30;            ///< pairs in which each of them occurs
};

/// Pair i is sample a[i] of one data set and sample b[i] of the other.
struct LabelPairs {
  std::vector<std::uint32_t> a, b;
};

/// The pairs of MNIST-SVHN (Shi et al., 2019): of each label, in increasing order, the first
/// n = min(samples in a, samples in b, most_per_class) of both sides are used; `repeats` times, a
/// permutation of those of one side meets an independent permutation of those of the other. On the
/// published training sets these are 30 x 56,068 = 1,682,040 pairs, on the test sets 300,000.
///
/// A function of its arguments alone; `random` must be a source that serves nothing else.
inline LabelPairs pair_by_label(std::span<const std::uint8_t> labels_a,
                                std::span<const std::uint8_t> labels_b,
                                const PairingOptions& options, const Random& random) {
  expect(options.most_per_class >= 1 && options.repeats >= 1,
         "pair_by_label: expected at least 1 sample per class and 1 repeat, got {} and {}",
         options.most_per_class, options.repeats);
  using Members = std::array<std::vector<std::uint32_t>, 256>;
  const auto members = [](std::span<const std::uint8_t> labels) {
    Members of;
    for (std::size_t i = 0; i < labels.size(); ++i)
      of[labels[i]].push_back(static_cast<std::uint32_t>(i));
    return of;
  };
  const Members of_a = members(labels_a), of_b = members(labels_b);
  const auto used = [&](std::size_t label) {
    return std::min(
        {of_a[label].size(), of_b[label].size(), static_cast<std::size_t>(options.most_per_class)});
  };
  const auto repeats = static_cast<std::uint32_t>(options.repeats);
  std::uint64_t total = 0;
  for (std::size_t label = 0; label < of_a.size(); ++label) total += repeats * used(label);
  expect(total <= std::uint64_t{std::numeric_limits<int>::max()},
         "pair_by_label: expected at most {} pairs, got {}", std::numeric_limits<int>::max(),
         total);

  LabelPairs pairs;
  const auto append = [&](std::vector<std::uint32_t>& to, const Members& of, std::uint64_t side) {
    const Random source = detail::member_random(random, side);
    std::uint32_t step = 0;  // one for each permutation
    to.reserve(total);
    for (std::size_t label = 0; label < of.size(); ++label) {
      const auto n = static_cast<std::uint32_t>(used(label));
      for (std::uint32_t r = 0; r < (n > 0 ? repeats : 0); ++r)
        for (const std::uint32_t i : permutation(n, source.at_step(step++)))
          to.push_back(of[label][i]);
    }
  };
  append(pairs.a, of_a, 0);
  append(pairs.b, of_b, 1);
  return pairs;
}

}  // namespace poe
