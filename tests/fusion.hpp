// SPDX-License-Identifier: MIT
// fuse() on plain vectors, with the gradients of a weighted sum of all its results.
#pragma once

#include "support.hpp"

#include <poe/gaussian/fusion.hpp>

namespace poe::test {

template <class T>
using Lists = std::vector<std::vector<T>>;

/// One call of fuse() for experts of L dimensions.
template <class T, int L>
struct Fusion {
  int rows = 1;
  Lists<T> experts;  // (rows, 2 L): location, raw scale
  std::vector<gaussian::Product> products;
  std::vector<gaussian::Divergence> divergences;
  std::vector<gaussian::Draw> draws;
  std::vector<std::uint8_t> observed;                   // (rows, experts); empty: all
  Lists<T> posterior_weight, kl_weight, sample_weight;  // missing or empty: not in the sum
  int first_row = 0;

  Lists<T> posteriors, kls, samples, gradients;  // what run() found; gradients of each expert

  /// -> the weighted sum.
  double run() {
    Tape<T> tape;
    Context<T> ctx{.tape = tape, .random = {77, 0, 5}, .first_row = first_row};
    std::vector<Rows<T, Shape<2 * L>>> inputs;
    for (const auto& e : experts) {
      const View<T, Shape<2 * L>> view{e.data(), static_cast<int>(e.size()) / (2 * L)};
      inputs.push_back(tape.leaf(view));
    }
    const auto fused = gaussian::fuse<L, T, Cpu>(ctx, inputs, {products, divergences, draws},
                                                 observed.empty() ? nullptr : observed.data());
    const double sum = weigh(fused.posteriors, posterior_weight, posteriors) +
                       weigh(fused.divergences, kl_weight, kls) +
                       weigh(fused.samples, sample_weight, samples);
    tape.backward();
    gradients.clear();
    for (const auto& i : inputs) gradients.emplace_back(add_sink(i), add_sink(i) + i.of.count());
    return sum;
  }

  /// Weights of N(0, 1) for every result.
  void weigh_everything() {
    const auto n = static_cast<std::size_t>(rows);
    const auto fill = [](Lists<T>& list, std::size_t count, std::size_t size) {
      list.clear();
      for (std::size_t i = 0; i < count; ++i)
        list.push_back(normals<T>(size, static_cast<std::uint32_t>(100 * size + i)));
    };
    fill(posterior_weight, products.size(), n * 2 * L);
    fill(kl_weight, divergences.size(), n);
    fill(sample_weight, draws.size(), n * L);
  }

 private:
  template <class V>
  static double weigh(std::span<const V> results, const Lists<T>& weights, Lists<T>& values) {
    double sum = 0;
    values.clear();
    for (std::size_t r = 0; r < results.size(); ++r) {
      values.emplace_back(results[r].value, results[r].value + results[r].count());
      if (r >= weights.size() || weights[r].empty()) continue;
      T* const g = add_sink(Rows<T, typename V::Sample>(results[r]));
      for (std::size_t i = 0; i < weights[r].size(); ++i) {
        g[i] += weights[r][i];
        sum += static_cast<double>(weights[r][i]) * static_cast<double>(values[r][i]);
      }
    }
    return sum;
  }
};

/// `count` experts with locations and raw scales of N(0, 1).
template <class T, int L>
Fusion<T, L> some_experts(int count, int rows, std::uint32_t stream) {
  Fusion<T, L> f;
  f.rows = rows;
  for (int e = 0; e < count; ++e)
    f.experts.push_back(
        normals<T>(static_cast<std::size_t>(rows) * 2 * L, stream + static_cast<std::uint32_t>(e)));
  return f;
}

template <class T>
std::vector<T> join(const Lists<T>& lists) {
  std::vector<T> all;
  for (const auto& list : lists) all.insert(all.end(), list.begin(), list.end());
  return all;
}

}  // namespace poe::test
