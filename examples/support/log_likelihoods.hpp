// SPDX-License-Identifier: MIT
// Importance-sampled log-likelihoods of test samples: joint, marginal and conditional.
#pragma once

#include <poe/eval/importance.hpp>
#include <poe/io/jsonl.hpp>

#include "command_line.hpp"

namespace examples {

inline constexpr poe::Random evaluation_noise{0, 1U << 28, 0};  // of no run's seed

/// The log-likelihoods of complete samples in nats, each with the standard error of its mean, as
/// printed and for summary.json; x_m being each modality:
///   log p(all)              from draws of q(z | all)
///   log p(x_m)              from draws of q(z | x_m), and once more from draws of q(z | all)
///   log p(others | x_m)     log p(all) - log p(x_m), sample by sample
/// K = --importance-samples draws each, log (1 / K) included.
template <class Model>
poe::Json log_likelihoods(const Model& model, poe::LearnerOf<Model>& learner,
                          const typename Model::HostGroup& test, const Options& o) {
  using M = typename Model::ModalitySet;
  const auto rows = test.slice(0, std::min(o.importance_rows, test.rows));
  constexpr poe::Subset all = poe::all_of(M::count);
  poe::Json result = {{"particles", o.importance_samples}, {"samples", rows.rows}};
  const auto add = [&](const std::string& name, const poe::LogLikelihood& e) {
    result[name] = {{"mean", e.mean}, {"standard_error", e.standard_error}};
    fmt::print("test {:40} {:9.2f} +- {:.2f} nats ({} samples, {} particles)\n", name, e.mean,
               e.standard_error, rows.rows, o.importance_samples);
  };
  const auto estimate = [&](poe::Subset given, poe::Subset target) {
    return poe::importance_log_likelihood(model, learner, rows, given, target, o.importance_samples,
                                          evaluation_noise);
  };
  const poe::LogLikelihood joint = estimate(all, all);
  add(fmt::format("log_p({})", poe::names_of<M>(all)), joint);
  for (int m = 0; m < M::count; ++m) {
    const std::string name = M::name(m);
    const poe::LogLikelihood marginal = estimate(poe::only(m), poe::only(m));
    add(fmt::format("log_p({})", name), marginal);
    add(fmt::format("log_p({}) by q(z|{})", name, poe::names_of<M>(all)),
        estimate(all, poe::only(m)));
    add(fmt::format("log_p({}|{})", poe::names_of<M>(all & ~poe::only(m)), name),
        poe::difference(joint, marginal));
  }
  return result;
}

}  // namespace examples
