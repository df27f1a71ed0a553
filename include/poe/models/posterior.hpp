// SPDX-License-Identifier: MIT
// Posterior families: which networks a model has, and of which it makes the posterior of each
// subset.
//
// A family is a type, derived from FamilyDefaults<Head>, with constexpr functions of the number n
// of modalities:
//   networks(n)        how many encoder networks there are
//   network(n, i)      what network i sees, and whom it speaks for
//   posteriors(n, S)   the posterior of the observed set S as products of networks; several where
//                      there are alternatives
//   shared(n, S)       networks that are in the posteriors of S with the power 1 / |S|
#pragma once

#include <array>

#include <poe/models/modality.hpp>

namespace poe {

/// An encoder network: it sees the modalities `inputs`. With one input j it is an expert for
/// modality `stands_for`: its own if that is j, a stand-in for a missing one otherwise. A bridge
/// sees one sample of the posterior of each single modality instead of the modalities.
struct Network {
  Subset inputs = 0;
  int stands_for = 0;
  bool bridge = false;
};

/// The experts of a posterior: bit i is network i. Five modalities need at most 31.
using Experts = std::uint32_t;

/// The alternatives for one posterior.
struct Alternatives {
  static constexpr int most = 31;  // a mixture of the products of all subsets of five modalities
  std::array<Experts, most> products{};
  int count = 0;
  constexpr void add(Experts e) { products[static_cast<std::size_t>(count++)] = e; }
  constexpr const Experts* begin() const { return products.data(); }
  constexpr const Experts* end() const { return products.data() + count; }
};

/// What most families have in common. HeadLayers turn features into location and raw scale.
template <class HeadLayers>
struct FamilyDefaults {
  using Head = HeadLayers;
  /// The alternatives are components of one posterior, a uniform mixture: functionals of it are
  /// their mean. Otherwise they are posteriors of their own, and functionals add up.
  static constexpr bool mixture = false;
  /// Every posterior, or component of one, is a single network's.
  static constexpr bool single_experts = false;
  /// Every posterior includes the prior expert N(0, I), whatever the options say.
  static constexpr bool always_prior = false;
  static constexpr Experts shared(int, Subset) { return 0; }
};

/// Who stands in where several modalities are missing and several are there.
enum class StandIns {
  one,       // one of those present for all that are missing: |S| posteriors, as printed for n = 3
  each,      // every missing modality has its own: |S|^(n - |S|) posteriors
  geometric  // the geometric mean of all those present for each that is missing: one posterior
};

/// SVAE (paper, eq. 3-5): n^2 networks. q_jj is modality j's own expert; q_kj sees modality j and
/// stands in for a missing modality k. For two modalities
///   q(z | x_1, x_2) = q_1(z | x_1) q_2(z | x_2),   q(z | x_1) = q_1(z | x_1) q*_2(z | x_1).
/// With 1 < |S| < n there is a posterior for every choice of the stand-ins, or one of them all:
///   q(z | x_S) = prod_{j in S} q_jj prod_{k not in S} prod_{j in S} q_kj^(1 / |S|).
template <class HeadLayers, StandIns choice = StandIns::one>
struct PoeWithStandIns : FamilyDefaults<HeadLayers> {
  static constexpr int networks(int n) { return n * n; }
  static constexpr Network network(int n, int i) { return {only(i / n), i % n}; }
  static constexpr Experts shared(int n, Subset s) {
    return choice == StandIns::geometric && size_of(s) > 1 ? stand_ins(n, s) : 0;
  }
  static constexpr Alternatives posteriors(int n, Subset s) {
    Alternatives result;
    if (choice == StandIns::geometric) {
      Experts e = stand_ins(n, s);
      for (int j = 0; j < n; ++j)
        if (contains(s, j)) e |= Experts{1} << (j * n + j);
      result.add(e);
      return result;
    }
    int present[5] = {}, members = 0, variants = 1;
    for (int j = 0; j < n; ++j)
      if (contains(s, j)) present[members++] = j;
    for (int missing = members; missing < n; ++missing)
      variants = choice == StandIns::one ? members : variants * members;
    for (int v = 0; v < variants; ++v) {
      Experts e = 0;
      int digits = v;  // of the choices, in base |S|
      for (int k = 0; k < n; ++k) {
        int sees = k;
        if (!contains(s, k)) {
          sees = present[digits % members];
          if (choice == StandIns::each) digits /= members;
        }
        e |= Experts{1} << (sees * n + k);
      }
      result.add(e);
    }
    return result;
  }

 private:
  /// Every network of a member of S that speaks for a modality which S misses.
  static constexpr Experts stand_ins(int n, Subset s) {
    Experts e = 0;
    for (int i = 0; i < networks(n); ++i)
      if (contains(s, i / n) && !contains(s, i % n)) e |= Experts{1} << i;
    return e;
  }
};

/// VAEVAE (b) (Wu & Goodman 2019; paper, section 3): one network for every non-empty subset, 2^n -
/// 1 of them; the posterior of S is the network of exactly S.
template <class HeadLayers>
struct JointEncoders : FamilyDefaults<HeadLayers> {
  static constexpr int networks(int n) { return static_cast<int>(all_of(n)); }
  /// Single modalities first, then larger subsets by size.
  static constexpr Network network(int n, int i) {
    int seen = 0;
    for (int size = 1; size <= n; ++size)
      for (Subset s = 1; s <= all_of(n); ++s)
        if (size_of(s) == size && seen++ == i) return {s, std::countr_zero(s)};
    return {};
  }
  static constexpr Alternatives posteriors(int n, Subset s) {
    Alternatives result;
    for (int i = 0; i < networks(n); ++i)
      if (network(n, i).inputs == s) result.add(Experts{1} << i);
    return result;
  }
};

/// One network per modality, the posterior of S is the product of its members': VAEVAE (a), MVTCAE
/// and the plain VAE; with the prior expert in every posterior, MVAE.
template <class HeadLayers, bool WithPrior = false>
struct UnimodalExperts : FamilyDefaults<HeadLayers> {
  static constexpr bool always_prior = WithPrior;
  static constexpr int networks(int n) { return n; }
  static constexpr Network network(int, int i) { return {only(i), i}; }
  static constexpr Alternatives posteriors(int, Subset s) {
    Alternatives result;
    result.add(s);
    return result;
  }
};

/// JMVAE: one network per modality and one that sees all; what lies between is the product of its
/// members' experts. With Bridge, the bridged VAE (paper, section 2): the joint network is one
/// linear layer over samples z_m ~ q_m(z | x_m).
template <class HeadLayers, bool Bridge = false>
struct JointAndSingles : FamilyDefaults<HeadLayers> {
  static constexpr int networks(int n) { return n > 1 ? n + 1 : 1; }
  static constexpr Network network(int n, int i) {
    return i < n ? Network{only(i), i} : Network{all_of(n), 0, Bridge};
  }
  static constexpr Alternatives posteriors(int n, Subset s) {
    Alternatives result;
    result.add(n > 1 && s == all_of(n) ? Experts{1} << n : s);
    return result;
  }
};

/// MMVAE (Shi et al. 2019): the uniform mixture of the members' experts.
template <class HeadLayers>
struct MixtureOfExperts : UnimodalExperts<HeadLayers> {
  static constexpr bool mixture = true, single_experts = true;
  static constexpr Alternatives posteriors(int n, Subset s) {
    Alternatives result;
    for (int m = 0; m < n; ++m)
      if (contains(s, m)) result.add(only(m));
    return result;
  }
};

/// MoPoE (Sutter et al. 2021): the uniform mixture of the products of all non-empty subsets of S.
template <class HeadLayers>
struct MixtureOfProducts : UnimodalExperts<HeadLayers> {
  static constexpr bool mixture = true;
  static constexpr Alternatives posteriors(int, Subset s) {
    Alternatives result;
    for (Subset t = 1; t <= s; ++t)
      if (within(t, s)) result.add(t);
    return result;
  }
};

}  // namespace poe
