// SPDX-License-Identifier: MIT
// Posterior families: which networks a model has, and of which it makes the posterior of each
// subset.
//
// A family is a type with constexpr members, for n modalities:
//   Head                        the layers that turn features into location and raw scale
//   networks(n)                 how many encoder networks there are
//   network(n, i)               what network i sees, and whom it speaks for
//   posteriors(n, S)            the posterior of the observed set S, as products of networks;
//   several where a
//                               missing modality has several possible stand-ins
//   is_product(S)               whether the prior expert and the variance link of the options apply
#pragma once

#include <array>

#include <poe/models/modality.hpp>

namespace poe {

/// An encoder network: it sees the modalities `inputs`. With one input j it is an expert for
/// modality `stands_for`: its own if that is j, a stand-in for a missing one otherwise.
struct Network {
  Subset inputs = 0;
  int stands_for = 0;
};

/// The experts of a posterior: bit i is network i. Five modalities need at most 31.
using Experts = std::uint32_t;

/// The alternatives for one posterior.
struct Alternatives {
  std::array<Experts, 5> products{};
  int count = 0;
  constexpr void add(Experts e) { products[static_cast<std::size_t>(count++)] = e; }
};

/// SVAE (paper, eq. 3-5): n^2 networks. q_jj is modality j's own expert; q_kj sees modality j and
/// stands in for a missing modality k. For two modalities
///   q(z | x_1, x_2) = q_1(z | x_1) q_2(z | x_2),   q(z | x_1) = q_1(z | x_1) q*_2(z | x_1).
/// With 1 < |S| < n each observed modality in turn stands in for all that are missing: |S|
/// posteriors.
template <class HeadLayers>
struct PoeWithStandIns {
  using Head = HeadLayers;
  static constexpr int networks(int n) { return n * n; }
  static constexpr Network network(int n, int i) { return {only(i / n), i % n}; }
  static constexpr bool is_product(Subset) { return true; }
  static constexpr Alternatives posteriors(int n, Subset s) {
    Alternatives result;
    const bool complete = s == all_of(n);
    for (int j = 0; j < n; ++j) {
      if (!contains(s, j)) continue;
      Experts e = 0;
      for (int k = 0; k < n; ++k) e |= Experts{1} << ((contains(s, k) ? k : j) * n + k);
      result.add(e);
      if (complete) break;  // nobody is missing: all alternatives are the same
    }
    return result;
  }
};

/// VAEVAE (b) (Wu & Goodman 2019; paper, section 3): one network for every non-empty subset, 2^n -
/// 1 of them; the posterior of S is the network of exactly S.
template <class HeadLayers>
struct JointEncoders {
  using Head = HeadLayers;
  static constexpr int networks(int n) { return static_cast<int>(all_of(n)); }
  /// Single modalities first, then larger subsets by size.
  static constexpr Network network(int n, int i) {
    int seen = 0;
    for (int size = 1; size <= n; ++size)
      for (Subset s = 1; s <= all_of(n); ++s)
        if (size_of(s) == size && seen++ == i) return {s, std::countr_zero(s)};
    return {};
  }
  static constexpr bool is_product(Subset) { return false; }
  static constexpr Alternatives posteriors(int n, Subset s) {
    Alternatives result;
    for (int i = 0; i < networks(n); ++i)
      if (network(n, i).inputs == s) result.add(Experts{1} << i);
    return result;
  }
};

/// VAEVAE (a) and the plain VAE: one network per modality; the posterior of S is the product of its
/// members'.
template <class HeadLayers>
struct UnimodalExperts {
  using Head = HeadLayers;
  static constexpr int networks(int n) { return n; }
  static constexpr Network network(int, int i) { return {only(i), i}; }
  static constexpr bool is_product(Subset s) { return size_of(s) > 1; }
  static constexpr Alternatives posteriors(int, Subset s) {
    Alternatives result;
    result.add(s);
    return result;
  }
};

}  // namespace poe
