// SPDX-License-Identifier: MIT
// What a variant leaves open at run time, and the two presets: the paper's text and the published
// code.
#pragma once

#include <array>
#include <cstdint>

#include <poe/particles/estimator.hpp>

namespace poe {

/// Settings of a model that do not change its type.
struct VaeOptions {
  double beta = 1;  // weight of the divergences; estimates by importance weights have none
  std::array<double, 5> lambda{1, 1, 1, 1, 1};  // weight of each modality's log-likelihood

  /// Products of experts include N(0, I).
  bool prior_expert = false;
  /// softplus(r) of an expert in a product is its variance, not its standard deviation.
  bool variance_link = false;
  /// Added to softplus(r).
  double scale_floor = 1e-6;
  /// Every reconstructed modality gets its own sample of the posterior, instead of one sample for
  /// all.
  bool independent_samples = false;
  /// KL(q || q') trains q only.
  bool stop_gradient_on_target = false;
  /// Divergences count min(1, step / warm_up_steps) times, steps counted from 1; 0: always fully.
  std::uint32_t warm_up_steps = 0;

  // Objectives of three and more modalities, where 1 < |S| < n (paper, appendix D).
  bool pair_prior_kl = true;     // KL(q_S || p) too, as printed
  bool reconstruct_all = false;  // from q_S everything that was observed, not only S
  bool reverse_pair_kl = false;  // KL(q_S' || q_S), S' = S without one member, not the other way

  /// JMVAE: weight of KL(joint || single). MVTCAE: share of the conditional bottleneck.
  double alpha = 0.1;
  /// MVAE: bounds of so many random subsets at every step.
  int random_subsets = 0;

  // Objectives that estimate the bound from particles (MMVAE).
  particles::Estimator estimator = particles::Estimator::dreg_looser;
  int particles = 10;        // K of every component
  bool learn_prior = false;  // the prior's scales are softmax(s) L, s learnt; for the constructor
  /// Scales of Laplace experts are softmax(r) L + floor, otherwise softplus(r) + floor.
  bool softmax_scale = true;
  /// Samples of z that are decoded at a time: bounds the memory of a step; the result depends on it
  /// only where a decoder has BatchNorm or dropout. 0: what suits the device.
  int decoded_rows = 0;

  friend constexpr bool operator==(const VaeOptions&, const VaeOptions&) = default;

  /// The paper's equations: no prior expert, precision 1 / sigma^2, one sample.
  static constexpr VaeOptions paper() { return {}; }
  /// What the authors' program computes: its products include the prior and take the softplus for a
  /// variance, with no floor, and each expectation draws its own sample; its models of three
  /// modalities reconstruct all of them from pairs. (Its SVAE of three also has reverse_pair_kl.)
  static constexpr VaeOptions official() {
    VaeOptions o;
    o.prior_expert = true;
    o.variance_link = true;
    o.scale_floor = 0;
    o.independent_samples = true;
    o.reconstruct_all = true;
    return o;
  }
};

}  // namespace poe
