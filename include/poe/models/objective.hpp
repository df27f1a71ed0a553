// SPDX-License-Identifier: MIT
// Objectives: which expectations and which divergences are asked of the samples of a group.
//
// An objective is a type, derived from ObjectiveDefaults, with one constexpr function: terms(o),
// the terms of samples whose observed set is o.observed. The loss is, for each loader, the sum of
//   -weight * lambda * E[log p]  and  weight * beta * KL,
// each the mean over the samples of the loader's batch that have the term (Terms::whole_batch: over
// all of the batch); loaders add up with weight 1, so that paired and unpaired data count the same
// whatever their share.
#pragma once

#include <array>

#include <poe/models/modality.hpp>
#include <poe/models/options.hpp>

namespace poe {

/// What an objective is asked for.
struct Observation {
  int modalities = 0;
  Subset observed = 0;
  const VaeOptions& options;
  int choice = 0;  // of those that the objective draws from at every step
};

/// One term: with `divergence`, KL(q_from || q_to), to = 0 being the prior; otherwise
/// E_{z ~ q_from}[log p(x_m | z)] for every modality m in `to`.
struct Term {
  bool divergence = false;
  Subset from = 0, to = 0;
  double weight = 1;
  friend constexpr bool operator==(const Term&, const Term&) = default;
};

/// The terms of one group.
struct Terms {
  std::array<Term, 160> list{};  // enough for every subset of five modalities
  int count = 0;
  /// Terms are parts of one bound of every sample: their mean is taken over all samples of the
  /// loader's batch, not only over those that were observed in the same modalities.
  bool whole_batch = false;

  constexpr void reconstruct(Subset from, Subset to, double weight = 1) {
    add({false, from, to, weight});
  }
  constexpr void diverge(Subset from, Subset to, double weight = 1) {
    add({true, from, to, weight});
  }
  /// -R(S -> S) + KL(q_S || p): the evidence lower bound of the members of S.
  constexpr void elbo(Subset s) {
    reconstruct(s, s);
    diverge(s, 0);
  }
  constexpr const Term* begin() const { return list.data(); }
  constexpr const Term* end() const { return list.data() + count; }

 private:
  constexpr void add(const Term& t) {
    for (int i = 0; i < count; ++i) {
      Term& known = list[static_cast<std::size_t>(i)];
      if (known.divergence == t.divergence && known.from == t.from && known.to == t.to) {
        known.weight += t.weight;
        return;
      }
    }
    if (static_cast<std::size_t>(count) == list.size())
      throw Error("an objective has at most 160 terms a group");
    list[static_cast<std::size_t>(count++)] = t;
  }
};

/// What most objectives have in common.
struct ObjectiveDefaults {
  /// Whether the loaders of single modalities draw from all samples, as the paper's do, or only
  /// from those that are not part of a pair: every sample then counts once.
  static constexpr bool singles_from_all = false;
  /// The objective is no sum of terms but an estimate of the bound from particles of every
  /// component of a mixture; VaeOptions::estimator says which.
  static constexpr bool particles = false;
  /// Terms may depend on a number below this that is drawn at every step.
  static constexpr int choices(int /*modalities*/, const VaeOptions&) { return 1; }
};

/// The evidence lower bound of what is observed (paper, eq. 1). With a mixture of experts it is the
/// naive bound of MMVAE, with a mixture of products that of MoPoE (Sutter et al. 2021, eq. 6):
/// both are means over the mixture's components.
struct Elbo : ObjectiveDefaults {
  static constexpr Terms terms(const Observation& o) {
    Terms t;
    t.whole_batch = true;
    t.elbo(o.observed);
    return t;
  }
};

namespace detail {
/// Each S of at least two observed modalities is reconstructed and pulled towards the posteriors
/// that lack one of its members; single modalities get their own bound where nothing else was
/// observed, or always.
constexpr Terms bounds_of_subsets(const Observation& o, bool singles_always) {
  Terms t;
  const int n = o.modalities;
  for (Subset s = all_of(n); s != 0; --s) {
    if (!within(s, o.observed) || size_of(s) < 2) continue;
    const bool partial = size_of(s) < n;
    t.reconstruct(s, partial && o.options.reconstruct_all ? o.observed : s);
    for (int i = n - 1; i >= 0; --i) {
      if (!contains(s, i)) continue;
      const Subset fewer = s & ~only(i);
      if (partial && o.options.reverse_pair_kl)
        t.diverge(fewer, s);
      else
        t.diverge(s, fewer);
    }
    if (partial && o.options.pair_prior_kl) t.diverge(s, 0);
  }
  if (size_of(o.observed) == 1 || singles_always)
    for (int i = 0; i < n; ++i)
      if (contains(o.observed, i)) t.elbo(only(i));
  return t;
}
}  // namespace detail

/// The loss of Wu & Goodman (2019), for two modalities
///   mean_P[-R(12 -> 12) + KL(12 -> 1) + KL(12 -> 2)] + mean_U1[-R(1 -> 1) + KL(1)]
///   + mean_U2[-R(2 -> 2) + KL(2)],
/// for more the paper's appendix D (eq. D.28-31).
struct VaevaeLoss : ObjectiveDefaults {
  static constexpr bool singles_from_all = true;
  static constexpr Terms terms(const Observation& o) { return detail::bounds_of_subsets(o, false); }
};

/// The paper's loss (eq. 7-10): as above, and the bound of each single modality on paired samples
/// too.
struct SvaeLoss : ObjectiveDefaults {
  static constexpr bool singles_from_all = true;
  static constexpr Terms terms(const Observation& o) { return detail::bounds_of_subsets(o, true); }
};

/// JMVAE (Suzuki et al. 2017; paper, eq. 2): the bound of complete samples, and alpha KL(joint ||
/// single) for every modality. Incomplete samples teach it nothing.
struct JmvaeLoss : ObjectiveDefaults {
  static constexpr Terms terms(const Observation& o) {
    Terms t;
    if (o.observed != all_of(o.modalities)) return t;
    t.elbo(o.observed);
    for (int m = 0; m < o.modalities && o.modalities > 1; ++m)
      t.diverge(o.observed, only(m), o.options.alpha);
    return t;
  }
};

/// MVAE (Wu & Goodman 2018; paper, section 2): the bound of everything that was observed, that of
/// every single modality, and for more than two modalities those of `random_subsets` subsets in
/// between, drawn at every step (uniformly for complete samples, nearly so for others).
struct MvaeLoss : ObjectiveDefaults {
  static constexpr Terms terms(const Observation& o) {
    Terms t;
    t.whole_batch = true;
    t.elbo(o.observed);
    if (size_of(o.observed) == 1) return t;
    for (int m = 0; m < o.modalities; ++m)
      if (contains(o.observed, m)) t.elbo(only(m));
    const int between = subsets_between(o.observed);
    for (int k = 0; k < o.options.random_subsets && k < between; ++k)
      t.elbo(subset_between(o.observed, (o.choice + k) % between));
    return t;
  }
  static constexpr int choices(int modalities, const VaeOptions& options) {
    const int between = subsets_between(all_of(modalities));
    return options.random_subsets > 0 && between > 0 ? between : 1;
  }

 private:
  static constexpr bool is_between(Subset s, Subset observed) {
    return within(s, observed) && size_of(s) > 1 && s != observed;
  }
  static constexpr int subsets_between(Subset observed) {
    int count = 0;
    for (Subset s = 1; s < observed; ++s) count += is_between(s, observed);
    return count;
  }
  static constexpr Subset subset_between(Subset observed, int number) {
    for (Subset s = 1;; ++s)
      if (is_between(s, observed) && number-- == 0) return s;
  }
};

/// MMVAE (Shi et al. 2019): the bound of what is observed, estimated from particles of every
/// component: particles/estimator.hpp.
struct ParticleBound : ObjectiveDefaults {
  static constexpr bool particles = true;
  static constexpr Terms terms(const Observation&) { return {}; }
};

/// MVTCAE (Hwang et al. 2021): total correlation, as n - alpha shares of reconstruction, 1 - alpha
/// of KL(joint || prior) and alpha of the mean of KL(joint || single).
struct MvtcaeLoss : ObjectiveDefaults {
  static constexpr Terms terms(const Observation& o) {
    Terms t;
    t.whole_batch = true;
    const double n = size_of(o.observed), alpha = o.options.alpha;
    t.reconstruct(o.observed, o.observed, (n - alpha) / n);
    t.diverge(o.observed, 0, 1 - alpha);
    for (int m = 0; m < o.modalities; ++m)
      if (contains(o.observed, m)) t.diverge(o.observed, only(m), alpha / n);
    return t;
  }
};

}  // namespace poe
