// SPDX-License-Identifier: MIT
// What a model reports of its loss: the terms, by name.
#pragma once

#include <span>

#include <poe/models/modality.hpp>

namespace poe {

/// One reported term of a loss.
struct TermValue {
  bool divergence = false;
  Subset from = 0, to = 0;  // to: one modality for a log-likelihood; 0, the prior, for a divergence
  bool paired = false;      // whether its group observed everything
  double sum = 0;           // over this rank's samples, of log p or of KL, weights not applied
  int total = 0;            // samples of the loader's batch
  double weight = 0;        // in the loss: -lambda or beta

  bool same_term(const TermValue& o) const {
    return divergence == o.divergence && from == o.from && to == o.to && paired == o.paired;
  }
  /// "log_p(top|top,bottom)", "kl(top,bottom||top)", "kl(top)/unpaired".
  template <class M>
  std::string name() const {
    std::string text =
        divergence ? "kl(" + names_of<M>(from) + (to == 0 ? "" : "||" + names_of<M>(to)) + ")"
                   : "log_p(" + names_of<M>(to) + "|" + names_of<M>(from) + ")";
    return paired ? text : text + "/unpaired";
  }
};

/// The terms of a loss whose sums are on another device, in the order of the terms.
struct DeviceTerms {
  std::span<const TermValue> terms;  // their own sums are 0
  const double* sums = nullptr;
};

}  // namespace poe
