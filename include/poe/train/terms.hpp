// SPDX-License-Identifier: MIT
// The terms of a loss, collected over the ranks of a step and over the steps of an epoch.
#pragma once

#include <poe/models/vae.hpp>

#include <cmath>
#include <span>
#include <string>
#include <vector>

namespace poe {

/// Means of named terms over the steps in which they occurred. After the first step nothing is
/// allocated.
class TermTable {
 public:
  struct Row {
    TermValue term;  // its name, its weight
    double sum = 0;  // over steps, of the batch mean
    long steps = 0;
    double mean() const { return steps == 0 ? 0 : sum / static_cast<double>(steps); }
  };

  /// Adds one step: the ranks' parts of every term, summed in rank order. -> the loss of the step,
  /// in which terms that are warming up count `warm_up` times.
  double add(std::span<const std::span<const TermValue>> ranks, double warm_up = 1) {
    double loss = 0;
    for (std::size_t i = 0; i < ranks[0].size(); ++i) {
      TermValue term = ranks[0][i];
      if (term.total == 0) continue;  // a loader without data
      for (std::size_t r = 1; r < ranks.size(); ++r) term.sum += ranks[r][i].sum;
      const double mean = term.sum / term.total;
      loss += term.weight * (term.warming ? warm_up : 1) * mean;
      Row& row = rows_[static_cast<std::size_t>(row_of(term))];
      row.sum += mean;
      ++row.steps;
    }
    return loss;
  }

  const std::vector<Row>& rows() const { return rows_; }
  std::vector<Row>& rows() { return rows_; }
  void clear() {
    for (Row& r : rows_) r.sum = 0, r.steps = 0;
  }

  /// The number of a term's row; a new row if there is none.
  int row_of(const TermValue& term) {
    std::size_t i = 0;
    while (i < rows_.size() && !rows_[i].term.same_term(term)) ++i;
    if (i == rows_.size()) rows_.push_back({term});
    return static_cast<int>(i);
  }

 private:
  std::vector<Row> rows_;
};

/// Throws if a term is NaN or infinite, naming it: before its gradient can spoil the parameters.
template <class M>
void expect_finite(std::span<const TermValue> terms, long step) {
  for (const TermValue& t : terms)
    expect(std::isfinite(t.sum),
           "training step {}: the term {} is {}: a learning rate that is too large, or bad data?",
           step, t.name<M>(), t.sum);
}

}  // namespace poe
