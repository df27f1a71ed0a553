// SPDX-License-Identifier: MIT
// What a model reports of its loss: the terms, by name.
#pragma once

#include <span>

#include <poe/models/modality.hpp>

namespace poe {

/// One reported term of a loss: a mean over samples, times a weight.
struct TermValue {
  bool divergence = false;
  Subset from = 0, to = 0;  // to: one modality for a log-likelihood; 0, the prior, for a divergence
  bool paired = false;      // of the loader of samples observed in several modalities
  double sum = 0;           // over this rank's samples, of log p or of KL, weights not applied
  int total = 0;            // numbers in the sum over all ranks
  double weight = 0;        // of the mean, sum / total, in the loss
  bool warming = false;     // the weight grows during the warm-up
  bool estimate = false;    // a particle estimate of the bound of `from`, not a log-likelihood

  bool same_term(const TermValue& o) const {
    return divergence == o.divergence && estimate == o.estimate && from == o.from && to == o.to &&
           paired == o.paired;
  }
  /// "log_p(top|top,bottom)", "kl(top,bottom||top)", "kl(top)/unpaired", "bound(top,bottom)".
  template <class M>
  std::string name() const {
    const std::string given = names_of<M>(from);
    const std::string text = estimate ? "bound(" + given + ")"
                             : divergence
                                 ? "kl(" + given + (to == 0 ? "" : "||" + names_of<M>(to)) + ")"
                                 : "log_p(" + names_of<M>(to) + "|" + given + ")";
    return paired ? text : text + "/unpaired";
  }
};

/// The terms of a loss whose sums are on another device, in the order of the terms.
struct DeviceTerms {
  std::span<const TermValue> terms;  // their own sums are 0
  const double* sums = nullptr;
};

}  // namespace poe
