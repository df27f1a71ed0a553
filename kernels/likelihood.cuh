// SPDX-License-Identifier: MIT
// Log-likelihoods: values and weighted gradient in one pass over the decoded parameters. Which
// thread sums what depends on the shape and the alignment alone, so the same input gives the same
// bytes.
#pragma once

#include "likelihood_classes.cuh"
#include "likelihood_elements.cuh"

#include <span>

namespace poe::cuda {

template <class T>
void score_pieces(const LikelihoodSpec& spec, int size, int parameters, const T* decoded,
                  const Pieces<T>& pieces, T* log_p, const Sink<T>& gradient, Executor<Cuda>& on) {
  switch (spec.kind) {
    case LikelihoodSpec::bernoulli:
      return score_elements(BernoulliElement<T>{}, pieces, size, decoded, log_p, gradient, on);
    case LikelihoodSpec::normal:
      return score_elements(NormalElement<T>(spec.scale), pieces, size, decoded, log_p, gradient,
                            on);
    case LikelihoodSpec::laplace:
      return score_elements(LaplaceElement<T>(spec.scale), pieces, size, decoded, log_p, gradient,
                            on);
    case LikelihoodSpec::laplace_pixels:
      return score_elements(LaplacePixelElement<T>(spec.scale, spec.margin), pieces, size, decoded,
                            log_p, gradient, on);
    case LikelihoodSpec::categorical:
      return score_classes(pieces, size, parameters / size, static_cast<T>(spec.ignore), decoded,
                           log_p, gradient, on);
  }
}

}  // namespace poe::cuda

namespace poe {

template <class T>
void score_rows(const LikelihoodSpec& spec, int size, int parameters, const T* decoded,
                std::span<const ScorePiece<T>> pieces, T* log_p, Sink<T> gradient,
                Executor<Cuda>& on) {
  cuda::Pieces<T> some;
  const auto flush = [&] {
    if (some.count != 0)
      cuda::score_pieces(spec, size, parameters, decoded, some, log_p, gradient, on);
    some.first_row += some.rows;
    some.count = some.rows = 0;
  };
  for (const ScorePiece<T>& piece : pieces) {
    if (piece.rows == 0) continue;
    some.at[some.count++] = {piece.x, piece.row_weights, piece.weight, some.first_row + some.rows};
    some.rows += piece.rows;
    if (some.count == cuda::most_pieces) flush();
  }
  flush();
}

}  // namespace poe
