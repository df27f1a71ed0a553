// SPDX-License-Identifier: MIT
// What a group of samples needs of a model: networks, posteriors, terms; and what was computed.
#pragma once

#include <poe/gaussian/fusion.hpp>
#include <poe/models/objective.hpp>
#include <poe/models/posterior.hpp>

namespace poe {

/// The encoder networks that a group needs, and their outputs in the order of the networks.
template <class Expert>
struct Encoded {
  Experts networks = 0;
  Expert* experts = nullptr;
  std::size_t count = 0;
  std::span<const Expert> outputs() const { return {experts, count}; }
};

/// The plan of one group. Its arrays lie in the arena.
template <class T, int L, class D>
struct GroupPlan {
  using Expert = Rows<T, Shape<2 * L>, D>;

  /// A posterior of the group: the product of these networks for subset S.
  struct Entry {
    Subset subset;
    int alternative;
    Experts experts;
  };
  /// A divergence or a sample of the fused operation, and the value that it adds to.
  struct Request {
    int slot, index, modality;
  };

  Terms terms;
  Encoded<Expert> encoded;
  Entry* products = nullptr;
  Request *divergences = nullptr, *reconstructions = nullptr;
  int product_count = 0, divergence_count = 0, reconstruction_count = 0;
  gaussian::Fused<T, L, D> fused;

  /// The posteriors that the terms name, as posteriors(S) says; the networks that these need.
  template <class F>
  void choose_products(Arena& arena, F&& posteriors) {
    for (const bool counting : {true, false}) {
      if (!counting) products = arena.template take<Entry>(static_cast<std::size_t>(product_count));
      product_count = 0;
      Subset seen[2 * std::size(Terms{}.list)];
      int seen_count = 0;
      const auto add = [&](Subset s) {
        if (s == 0) return;
        for (int i = 0; i < seen_count; ++i)
          if (seen[i] == s) return;
        seen[seen_count++] = s;
        const Alternatives q = posteriors(s);
        for (int a = 0; a < q.count; ++a) {
          const Experts e = q.products[static_cast<std::size_t>(a)];
          if (!counting) products[product_count] = {s, a, e};
          ++product_count;
          encoded.networks |= e;
        }
      };
      for (const Term& t : terms) {
        add(t.from);
        if (t.divergence) add(t.to);
      }
    }
  }
};

}  // namespace poe
