// SPDX-License-Identifier: MIT
// Estimates of log p(x) from particles of a mixture of posteriors (MMVAE): their names, and what
// sets one apart from another.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <utility>

#include <poe/core/error.hpp>

namespace poe::particles {

/// The family of the components of the mixture, and of the prior.
enum class Distribution { normal, laplace };

/// With C components, K particles z_ck ~ q_c of each, and
///   log w_ck = log p(z_ck) + sum_d lambda_d log p_d(x_d | z_ck) - log (1/C) sum_j q_j(z_ck):
///   elbo            (1/C) sum_c { (1/K) sum_k sum_d lambda_d log p_d(x_d | z_ck) - KL(q_c || p) }
///   elbo_published  what the published program calls so: modality d is decoded from its own
///                   component only, z_d ~ q_d, and
///                   (1/C) sum_c { (1/K) sum_k sum_d rho_cd lambda_d log p_d(x_d | z_dk)
///                                 - KL(q_c || p) },  rho_cd = q_c(z_dk) / q_d(z_dk);
///                   no gradient through z_dk and q_d in rho
///   iwae            log (1 / CK) sum_ck w_ck
///   iwae_looser     (1/C) sum_c log (1/K) sum_k w_ck
///   dreg            value of iwae; doubly reparameterised gradient: with v the normalised weights,
///                   held fixed, and log q_j a function of z only, sum v log w for the decoders
///                   and the prior, sum v^2 log w, through z only, for the components
///   dreg_looser     the same of iwae_looser, v normalised within each component
///   dreg_published  dreg_looser with v in place of v^2: what the published program computes
/// (Shi et al. 2019, Tucker et al. 2019.)
enum class Estimator { elbo, elbo_published, iwae, iwae_looser, dreg, dreg_looser, dreg_published };

/// An estimator as the answers to a few questions.
struct Rule {
  bool importance = false;     ///< it weighs particles; otherwise it has closed-form divergences
  bool per_component = false;  ///< weights are normalised within each component
  bool detached = false;       ///< log q depends on the components through z only
  bool squared = false;        ///< gradients that reach z count once more by the particle's weight
  bool ratios = false;         ///< each component also weighs the particles of the others: rho
};

constexpr Rule rule_of(Estimator estimator) {
  switch (estimator) {
    case Estimator::elbo:
      return {};
    case Estimator::elbo_published:
      return {.ratios = true};
    case Estimator::iwae:
      return {.importance = true};
    case Estimator::iwae_looser:
      return {.importance = true, .per_component = true};
    case Estimator::dreg:
      return {.importance = true, .detached = true, .squared = true};
    case Estimator::dreg_looser:
      return {.importance = true, .per_component = true, .detached = true, .squared = true};
    case Estimator::dreg_published:
      return {.importance = true, .per_component = true, .detached = true};
  }
  return {};
}

inline constexpr std::array<std::pair<std::string_view, Estimator>, 7> estimator_names{
    {{"elbo", Estimator::elbo},
     {"elbo-published", Estimator::elbo_published},
     {"iwae", Estimator::iwae},
     {"iwae-looser", Estimator::iwae_looser},
     {"dreg", Estimator::dreg},
     {"dreg-looser", Estimator::dreg_looser},
     {"dreg-published", Estimator::dreg_published}}};

/// The estimator that is called so on a command line; fails for another name.
inline Estimator estimator_named(std::string_view wanted) {
  std::string all;
  for (const auto& [name, estimator] : estimator_names) {
    if (name == wanted) return estimator;
    all += (all.empty() ? "" : ", ") + std::string(name);
  }
  throw Error("estimator: expected one of " + all + ", got '" + std::string(wanted) + "'");
}
constexpr std::string_view name_of(Estimator wanted) {
  for (const auto& [name, estimator] : estimator_names)
    if (estimator == wanted) return name;
  return "?";
}

}  // namespace poe::particles
