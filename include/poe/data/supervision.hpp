// SPDX-License-Identifier: MIT
// Supervision: which samples are paired or, sample by sample, which modalities were observed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <numeric>
#include <utility>
#include <vector>

#include <poe/core/error.hpp>
#include <poe/core/random.hpp>
#include <poe/models/modality.hpp>

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

/// What the loader of a single modality draws from: all samples that have this modality, as in the
/// paper's code, or only those that never show it together with another. A Trainer takes
/// `as_defined` from the objective (ObjectiveDefaults::singles_from_all); without one it means all.
enum class UnpairedPool { as_defined, all, only_unpaired };

struct SupervisionOptions {
  /// Of the samples that were observed in several modalities, the share that shows them together.
  double level = 1;
  UnpairedPool unpaired_pool = UnpairedPool::as_defined;
  int batch = 100;
  int modalities = 2;
  /// The modalities in which each sample was observed, for data of which not everything was. Empty:
  /// all were, in all samples.
  std::vector<Subset> masks{};
};

/// Masks of `samples` samples in which each modality is absent with probability `absent`; where all
/// would be, one of them, chosen uniformly, stays.
inline std::vector<Subset> random_masks(int samples, int modalities, double absent,
                                        const Random& random) {
  expect(samples >= 0, "masks: expected a number of samples, got {}", samples);
  expect(modalities >= 1 && modalities <= 31, "masks: expected 1 to 31 modalities, got {}",
         modalities);
  expect(absent >= 0 && absent <= 1, "masks: expected a probability in [0, 1], got {}", absent);
  std::vector<Subset> masks(static_cast<std::size_t>(samples));
  const auto count = static_cast<std::uint32_t>(modalities);
  std::uint64_t element = 0;
  for (Subset& mask : masks) {
    for (int m = 0; m < modalities; ++m)
      if (random.uniform<double>(element++) >= absent) mask |= only(m);
    const std::uint32_t stays = random.below(count, element++);
    if (mask == 0) mask = only(static_cast<int>(stays));
  }
  return masks;
}

/// What a run sees of its samples.
struct Observations {
  std::vector<Subset> together;                    // by sample: the modalities seen jointly, or 0
  std::vector<std::uint32_t> joint;                // samples for the joint loader
  std::vector<std::vector<std::uint32_t>> single;  // by modality: samples for its own loader
};

namespace detail {

inline std::vector<Subset> checked_masks(int samples, const SupervisionOptions& options) {
  const Subset all = all_of(options.modalities);
  const auto count = static_cast<std::size_t>(samples);
  if (options.masks.empty()) return std::vector<Subset>(count, all);
  expect(options.masks.size() == count, "masks: expected one for each of {} samples, got {}",
         samples, options.masks.size());
  for (std::size_t n = 0; n < count; ++n)
    expect(options.masks[n] != 0 && within(options.masks[n], all),
           "masks: expected some of {} modalities of sample {}, got the bits {:#b}",
           options.modalities, n, options.masks[n]);
  return options.masks;
}

}  // namespace detail

/// Samples with at least two modalities (one, in a model of one modality) are the candidates for
/// pairs: the supervision level says how many of them are seen together, see split_supervision().
/// All other samples are seen one modality at a time.
inline Observations observe(int samples, const SupervisionOptions& options, const Random& random) {
  const std::vector<Subset> masks = detail::checked_masks(samples, options);
  std::vector<std::uint32_t> candidates, apart;
  for (std::uint32_t n = 0; n < masks.size(); ++n) {
    const bool joint = size_of(masks[n]) > 1 || options.modalities == 1;
    (joint ? candidates : apart).push_back(n);
  }
  Observations seen;
  seen.together.resize(masks.size());
  if (!candidates.empty()) {
    const auto split =
        split_supervision(static_cast<int>(candidates.size()), options.level, random);
    for (const std::uint32_t c : split.paired) {
      const std::uint32_t n = candidates[c];
      seen.joint.push_back(n);
      seen.together[n] = masks[n];
    }
    std::vector<std::uint32_t> unpaired;
    for (const std::uint32_t c : split.unpaired) unpaired.push_back(candidates[c]);
    apart.insert(apart.begin(), unpaired.begin(), unpaired.end());
  }
  if (options.unpaired_pool != UnpairedPool::only_unpaired) {
    apart.resize(masks.size());
    std::iota(apart.begin(), apart.end(), 0U);
  }
  seen.single.resize(static_cast<std::size_t>(options.modalities));
  for (int m = 0; m < options.modalities; ++m)
    for (const std::uint32_t n : apart)
      if (contains(masks[n], m)) seen.single[static_cast<std::size_t>(m)].push_back(n);
  return seen;
}

}  // namespace poe
