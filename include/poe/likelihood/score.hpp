// SPDX-License-Identifier: MIT
// Log-likelihoods as one pass over decoded parameters: values and gradient together.
#pragma once

#include <span>

#include <poe/cuda/executor.hpp>
#include <poe/ops/sink.hpp>

namespace poe {

/// A likelihood as plain numbers, for kernels: types do not reach them.
struct LikelihoodSpec {
  enum Kind { bernoulli, normal, laplace, laplace_pixels, categorical } kind = bernoulli;
  double scale = 1;   // of normal, laplace and laplace_pixels
  int ignore = -1;    // categorical: the id that is not scored
  double margin = 0;  // laplace_pixels: means lie in [margin, 1 - margin]
};

/// Observed samples that belong to consecutive rows of decoded parameters. The gradient of row r of
/// the piece is weight * row_weights[r] * d log p (row_weights null: 1).
template <class T>
struct ScorePiece {
  const T* x = nullptr;
  int rows = 0;
  T weight = 1;
  const T* row_weights = nullptr;
};

/// log_p[r] (null: not wanted) of all pieces, one after the other, and the weighted gradient of the
/// parameters (gradient.data null: not wanted), in one kernel: kernels/likelihood.cuh. parameters:
/// (rows, `parameters`), x: (rows, size). The meaning of the likelihoods is in likelihood.hpp. A
/// class outside the range gives NaN and sets the executor's fault flag.
template <class T>
void score_rows(const LikelihoodSpec& spec, int size, int parameters, const T* decoded,
                std::span<const ScorePiece<T>> pieces, T* log_p, Sink<T> gradient,
                Executor<Cuda>& on);

}  // namespace poe
