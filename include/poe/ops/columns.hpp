// SPDX-License-Identifier: MIT
// Passes over a matrix of rows and columns: bias gradients, and the ReLU mask on the way.
#pragma once

#include <cstddef>

#include <poe/core/arena.hpp>

namespace poe {

/// Takes the gradient of y = relu(x) back to x in place (where y is given), and adds the column
/// sums to `sums` (where given): the start of the backward pass of every layer with a bias or a
/// fused ReLU. gradient, y: (rows, columns); sums: (columns).
template <class T>
void mask_and_sum_columns(T* gradient, const T* y, T* sums, std::ptrdiff_t rows, int columns,
                          Arena& arena) {
  if (y != nullptr) {
    const std::ptrdiff_t count = rows * columns;
    for (std::ptrdiff_t i = 0; i < count; ++i) gradient[i] = y[i] > T(0) ? gradient[i] : T(0);
  }
  if (sums == nullptr) return;
  // Narrow matrices are summed several rows at a time, so that the inner loop fills a vector
  // register and no single accumulator collects all rows.
  Scratch<Cpu> scratch(arena);
  const int fold = columns >= 64 ? 1 : 64 / columns;
  const int width = fold * columns;
  T* const partial = scratch.take<T>(static_cast<std::size_t>(width));
  for (int j = 0; j < width; ++j) partial[j] = T(0);
  std::ptrdiff_t r = 0;
  const T* g = gradient;
  for (; r + fold <= rows; r += fold, g += width)
    for (int j = 0; j < width; ++j) partial[j] += g[j];
  for (; r < rows; ++r, g += columns)
    for (int j = 0; j < columns; ++j) partial[j] += g[j];
  for (int f = 0; f < fold; ++f)
    for (int j = 0; j < columns; ++j) sums[j] += partial[f * columns + j];
}

}  // namespace poe
