// SPDX-License-Identifier: MIT
// The samples that one launch of a log-likelihood scores: several pieces, as one argument.
#pragma once

#include "device.cuh"

#include <poe/likelihood/score.hpp>

namespace poe::cuda {

/// Pieces that one launch scores; they travel as an argument of the kernel.
inline constexpr int most_pieces = 32;

template <class T>
struct Pieces {
  struct Piece {
    const T* x;
    const T* row_weights;
    T weight;
    int first;  // row of the decoded parameters
  };
  Piece at[most_pieces];
  int count = 0;
  int first_row = 0, rows = 0;
};

/// An observed sample, and the weight of its row of the gradient.
template <class T>
struct Observed {
  const T* x;
  T weight;
};

template <class T>
__device__ __forceinline__ Observed<T> observed(const Pieces<T>& pieces, int row, int size) {
  int i = 0;
  while (i + 1 < pieces.count && pieces.at[i + 1].first <= row) ++i;
  const auto& piece = pieces.at[i];
  const int r = row - piece.first;
  const T weight = piece.row_weights == nullptr ? T(1) : piece.row_weights[r];
  return {piece.x + static_cast<std::size_t>(r) * static_cast<std::size_t>(size),
          piece.weight * weight};
}

}  // namespace poe::cuda
