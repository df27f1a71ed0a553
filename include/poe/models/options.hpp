// SPDX-License-Identifier: MIT
// What a variant leaves open at run time, and the two presets: the paper's text and the published
// code.
#pragma once

#include <array>

#include <poe/gaussian/algebra.hpp>

namespace poe {

/// Settings of a model that do not change its type.
struct VaeOptions {
  double beta = 1;                              // weight of the divergences
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

  friend constexpr bool operator==(const VaeOptions&, const VaeOptions&) = default;

  /// The paper's equations: no prior expert, precision 1 / sigma^2, one sample.
  static constexpr VaeOptions paper() { return {}; }
  /// What the authors' program computes: its products include the prior and take the softplus for a
  /// variance, with no floor, and each expectation draws its own sample.
  static constexpr VaeOptions official() {
    VaeOptions o;
    o.prior_expert = true;
    o.variance_link = true;
    o.scale_floor = 0;
    o.independent_samples = true;
    return o;
  }
};

}  // namespace poe
