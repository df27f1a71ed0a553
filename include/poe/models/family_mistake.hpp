// SPDX-License-Identifier: MIT
// What a posterior family can get wrong, found at compile time: a model of such a family would
// train silently on nothing, or not on what was meant.
#pragma once

#include <array>
#include <bit>

#include <poe/models/posterior.hpp>

namespace poe::detail {

/// The posteriors of a family, by subset of n modalities.
template <class Family, int n>
inline constexpr auto posteriors_of = [] {
  std::array<Alternatives, all_of(n) + 1> table{};
  for (Subset s = 1; s <= all_of(n); ++s) table[s] = Family::posteriors(n, s);
  return table;
}();

/// What a family can get wrong.
enum class FamilyMistake {
  none,
  no_product,         // a set of modalities has no posterior
  empty_product,      // ... or one of no network
  unknown_network,    // a product has a bit from networks(n) on
  network_of_nobody,  // a network sees nothing, or speaks for a modality that there is not
  unseen_inputs,      // a product of S has a network that sees more than S
  idle_network,       // a network is in no product
  same_network        // two networks would have the same names in files
};

/// The first mistake of a family for n modalities.
template <class Family, int n>
constexpr FamilyMistake mistake_of() {
  constexpr int networks = Family::networks(n);
  std::array<Network, static_cast<std::size_t>(networks)> known{};
  for (int i = 0; i < networks; ++i) known[static_cast<std::size_t>(i)] = Family::network(n, i);
  for (std::size_t i = 0; i < known.size(); ++i) {
    const Network a = known[i];
    if (a.inputs == 0 || a.stands_for < 0 || a.stands_for >= n)
      return FamilyMistake::network_of_nobody;
    for (std::size_t k = 0; k < i; ++k) {
      const Network b = known[k];
      const bool one_name = size_of(a.inputs) > 1 || a.stands_for == b.stands_for;
      if (a.bridge == b.bridge && (a.bridge || (a.inputs == b.inputs && one_name)))
        return FamilyMistake::same_network;
    }
  }
  Experts in_use = 0;
  for (Subset s = 1; s <= all_of(n); ++s) {
    const Alternatives& q = posteriors_of<Family, n>[s];
    if (q.count == 0) return FamilyMistake::no_product;
    for (const Experts product : q) {
      if (product == 0) return FamilyMistake::empty_product;
      in_use |= product;
      for (std::size_t i = 0; i < 32; ++i) {
        if ((product >> i & 1U) == 0) continue;
        if (i >= known.size()) return FamilyMistake::unknown_network;
        const Subset sees = known[i].bridge ? all_of(n) : known[i].inputs;
        if (!within(sees, s)) return FamilyMistake::unseen_inputs;
      }
    }
  }
  return std::popcount(in_use) < networks ? FamilyMistake::idle_network : FamilyMistake::none;
}

}  // namespace poe::detail
