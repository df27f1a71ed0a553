// SPDX-License-Identifier: MIT
// What a group of samples needs of a model: networks, posteriors, terms; and what was computed.
#pragma once

#include <poe/gaussian/fusion.hpp>
#include <poe/models/objective.hpp>
#include <poe/models/posterior.hpp>
#include <poe/models/term_value.hpp>
#include <poe/ops/terms.hpp>

namespace poe {

/// The encoder networks that a group needs, and their outputs in the order of the networks.
template <class Expert>
struct Encoded {
  Experts networks = 0;
  Expert* experts = nullptr;
  std::size_t count = 0;
  std::span<const Expert> outputs() const { return {experts, count}; }
};

/// `count` new objects in the arena.
template <class A>
A* take_new(Arena& arena, std::size_t count) {
  A* const objects = arena.template take<A>(count);
  for (std::size_t i = 0; i < count; ++i) new (objects + i) A{};
  return objects;
}

/// What a loss reports: the values, and the sums that are still to be taken.
template <class T>
struct LossReport {
  std::span<TermValue> values;
  TermPart<T>* parts = nullptr;
  std::size_t part_count = 0;

  void add(const TermPart<T>& part) { parts[part_count++] = part; }
  /// Weight of one number of a value in the loss.
  T weight(int slot) const {
    const TermValue& v = values[static_cast<std::size_t>(slot)];
    return v.total == 0 ? T(0) : static_cast<T>(v.weight / v.total);
  }

  /// Takes the sums, and sets the gradients of the parts that have one. -> the values; on the GPU,
  /// values and device memory of sums.
  auto sum(Context<T, Cpu>& ctx, const WarmUp& warm_up) const -> std::span<const TermValue> {
    const double* const sums = sum_parts(ctx, warm_up);
    for (std::size_t i = 0; i < values.size(); ++i) values[i].sum = sums[i];
    return values;
  }
  auto sum(Context<T, Cuda>& ctx, const WarmUp& warm_up) const -> DeviceTerms {
    return {values, sum_parts(ctx, warm_up)};
  }

 private:
  template <class D>
  const double* sum_parts(Context<T, D>& ctx, const WarmUp& warm_up) const {
    double* const sums = ctx.template take_values<double>(values.size());
    sum_terms<T>({parts, part_count}, static_cast<int>(values.size()), sums, warm_up,
                 ctx.executor());
    return sums;
  }
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
