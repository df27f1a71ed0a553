// SPDX-License-Identifier: MIT
// Objectives: which expectations and which divergences are asked of the samples of a group.
//
// An objective is a type with one constexpr member: terms(n, O), the terms of samples whose
// observed set is O. The loss is, for each group, the mean over its samples of  -sum of weights *
// log p + beta * sum of KL; groups (loaders) add up with weight 1, so that paired and unpaired data
// count the same whatever their share.
#pragma once

#include <array>

#include <poe/models/modality.hpp>

namespace poe {

/// One term: with `divergence`, KL(q_from || q_to), to = 0 being the prior; otherwise
/// E_{z ~ q_from}[log p(x_m | z)] for every modality m in `to`.
struct Term {
  bool divergence = false;
  Subset from = 0, to = 0;
  friend constexpr bool operator==(const Term&, const Term&) = default;
};

/// The terms of one group.
struct Terms {
  std::array<Term, 128> list{};  // enough for every subset of five modalities
  int count = 0;

  constexpr void reconstruct(Subset from, Subset to) { add({false, from, to}); }
  constexpr void diverge(Subset from, Subset to) { add({true, from, to}); }
  /// -R(S -> S) + KL(q_S || p): the evidence lower bound of the members of S.
  constexpr void elbo(Subset s) {
    reconstruct(s, s);
    diverge(s, 0);
  }
  constexpr const Term* begin() const { return list.data(); }
  constexpr const Term* end() const { return list.data() + count; }

 private:
  constexpr void add(Term t) {
    if (static_cast<std::size_t>(count) == list.size())
      throw Error("an objective has at most 128 terms a group");
    list[static_cast<std::size_t>(count++)] = t;
  }
};

/// Plain evidence lower bound of what is observed (paper, eq. 1).
struct Elbo {
  static constexpr Terms terms(int, Subset observed) {
    Terms t;
    t.elbo(observed);
    return t;
  }
};

namespace detail {
/// Each S of at least two observed modalities is reconstructed and pulled towards the posteriors
/// that lack one of its members; single modalities get their own bound where nothing else was
/// observed, or always.
constexpr Terms bounds_of_subsets(int n, Subset observed, bool singles_always) {
  Terms t;
  for (Subset s = all_of(n); s != 0; --s) {
    if (!within(s, observed) || size_of(s) < 2) continue;
    t.reconstruct(s, s);
    for (int i = n - 1; i >= 0; --i)
      if (contains(s, i)) t.diverge(s, s & ~only(i));
  }
  if (size_of(observed) == 1 || singles_always)
    for (int i = 0; i < n; ++i)
      if (contains(observed, i)) t.elbo(only(i));
  return t;
}
}  // namespace detail

/// The loss of Wu & Goodman (2019), for two modalities
///   mean_P[-R(12 -> 12) + KL(12 -> 1) + KL(12 -> 2)] + mean_U1[-R(1 -> 1) + KL(1)] + mean_U2[-R(2
///   -> 2) + KL(2)].
struct VaevaeLoss {
  static constexpr Terms terms(int n, Subset observed) {
    return detail::bounds_of_subsets(n, observed, false);
  }
};

/// The paper's loss (eq. 7-10): as above, and the bound of each single modality on paired samples
/// too.
struct SvaeLoss {
  static constexpr Terms terms(int n, Subset observed) {
    return detail::bounds_of_subsets(n, observed, true);
  }
};

}  // namespace poe
