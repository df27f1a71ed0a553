// SPDX-License-Identifier: MIT
// Oracle accuracy: does an image that a model completes still show the digit that it was given?
#pragma once

#include "poe/eval/decode.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <tuple>
#include <vector>

namespace poe {

/// Puts grey modalities of equal width one below the other, the first at the top, and leaves what
/// remains of the image empty: two halves of 14 rows, or three thirds of 9 rows and a zero row.
template <class Image = Shape<1, 28, 28>>
struct StackRows {
  template <class T, class... S>
  Tensor<float, Image> operator()(const std::tuple<Tensor<T, S>...>& parts) const {
    static_assert(
        ((ImageOf<S>::channels == 1 && ImageOf<S>::width == ImageOf<Image>::width) && ...),
        "poe: StackRows takes grey images of the width of the whole");
    static_assert((S::size + ...) <= Image::size,
                  "poe: StackRows got parts that are together higher than the whole");
    const int rows = std::get<0>(parts).rows();
    Tensor<float, Image> whole(rows);
    for (int n = 0; n < rows; ++n) {
      auto to = whole.row(n).begin();
      const auto put = [&](std::span<const T> part) {
        to =
            std::transform(part.begin(), part.end(), to, [](T x) { return static_cast<float>(x); });
      };
      std::apply([&](const auto&... part) { (put(part.row(n)), ...); }, parts);
    }
    return whole;
  }
};

/// For each subset S of `given`, the share of samples whose completion from x_S the oracle takes
/// for its label: one z ~ q(z | x_S) per sample (its draw, not the posterior's mean), the means of
/// all modalities decoded from it, glued to one image. `glue` maps Decoded<V> to the oracle's
/// images; `oracle` has predict(View) -> classes. All subsets see the same noise.
template <class V, class Oracle, class Glue = StackRows<>>
std::vector<double> oracle_accuracy(const V& model, LearnerOf<V>& learner,
                                    const typename V::HostGroup& samples,
                                    std::span<const std::uint8_t> labels,
                                    std::span<const Subset> given, Oracle& oracle,
                                    const Random& random, const Glue& glue = {}) {
  expect(samples.rows > 0 && labels.size() == static_cast<std::size_t>(samples.rows),
         "oracle_accuracy: expected samples with a label each, got {} and {} labels", samples.rows,
         labels.size());
  constexpr int block = 4096;  // samples whose images are in memory
  std::vector<double> accuracy;
  for (const Subset s : given) {
    std::size_t right = 0;
    for (int first = 0; first < samples.rows; first += block) {
      const auto part = samples.slice(first, std::min(block, samples.rows - first));
      const auto images = glue(complete(model, learner, part, s, random));
      const std::vector<std::uint8_t> seen = oracle.predict(images.view());
      for (std::size_t n = 0; n < seen.size(); ++n)
        right += seen[n] == labels[static_cast<std::size_t>(first) + n];
    }
    accuracy.push_back(static_cast<double>(right) / samples.rows);
  }
  return accuracy;
}

}  // namespace poe
