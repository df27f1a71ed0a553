// SPDX-License-Identifier: MIT
// What a group of samples needs of a model, by name and number: networks, posteriors, terms.
#pragma once

#include <poe/models/objective.hpp>
#include <poe/models/posterior.hpp>
#include <poe/models/term_value.hpp>
#include <poe/ops/terms.hpp>

namespace poe {

/// What a loss reports: the values, and the sums that are still to be taken.
template <class T>
struct LossReport {
  std::span<TermValue> values;
  TermPart<T>* parts = nullptr;
  std::size_t part_count = 0;

  void add(const TermPart<T>& part) { parts[part_count++] = part; }
  /// Weight of one sample of a value in the loss.
  T weight(int slot) const {
    const TermValue& v = values[static_cast<std::size_t>(slot)];
    return static_cast<T>(v.weight / v.total);
  }
};

/// The plan of one group for a posterior family and an objective over `modalities` modalities, and
/// what was computed for it: the experts' outputs and the results of their fusion.
template <class Posterior, class Objective, int modalities, class ExpertRows, class Fused>
struct GroupPlan {
  static constexpr int alternatives = modalities > 1 ? modalities - 1 : 1;
  static constexpr int max_products = (1 << modalities) * alternatives;
  static constexpr int max_terms = 128;

  /// A posterior of the group: the product of these networks for subset S.
  struct Entry {
    Subset subset;
    int alternative;
    Experts experts;
  };
  /// A KL or a sample of the fused operation, and the term that wanted it.
  struct Request {
    int term, index, modality;
  };

  Terms terms;
  int first_value = 0;  // of its terms in the list of reported values
  Experts networks = 0;
  ExpertRows experts[static_cast<std::size_t>(
      Posterior::networks(modalities))];  // of the networks in use, in order
  std::size_t expert_count = 0;
  Entry products[max_products];
  int product_count = 0;
  Request divergences[max_terms * alternatives * alternatives],
      reconstructions[max_terms * alternatives];
  int divergence_count = 0, reconstruction_count = 0;
  Fused fused;

  static GroupPlan of(Subset observed) {
    GroupPlan p{};
    p.terms = Objective::terms(modalities, observed);
    for (const Term& t : p.terms) {
      p.add_products(t.from);
      if (t.divergence && t.to != 0) p.add_products(t.to);
    }
    return p;
  }

  std::span<const ExpertRows> used() const { return {experts, expert_count}; }

  /// The number of the value that reports the term of a request.
  template <class T>
  int slot_of(const LossReport<T>& report, const Request& r) const {
    const Term& t = terms.list[static_cast<std::size_t>(r.term)];
    for (int i = first_value;; ++i) {
      const TermValue& v = report.values[static_cast<std::size_t>(i)];
      if (v.divergence == t.divergence && v.from == t.from &&
          v.to == (t.divergence ? t.to : only(r.modality)))
        return i;
    }
  }

 private:
  void add_products(Subset s) {
    for (int i = 0; i < product_count; ++i)
      if (products[i].subset == s) return;
    const Alternatives q = Posterior::posteriors(modalities, s);
    for (int a = 0; a < q.count; ++a) {
      const Experts e = q.products[static_cast<std::size_t>(a)];
      products[product_count++] = {s, a, e};
      networks |= e;
    }
  }
};

}  // namespace poe
