// SPDX-License-Identifier: MIT
// Passes that move numbers to other places.
//
// The overloads for Executor<Cuda> mean the same; kernels/rearrange.cuh defines them.
#pragma once

#include <poe/cuda/executor.hpp>
#include <poe/ops/sink.hpp>

namespace poe {

/// Transposes every sample: from (rows, m, n) to (rows, n, m). With m = pixels and n = channels an
/// image goes from channels-last to PyTorch's order.
template <class T>
void transpose_samples(int rows, int m, int n, const T* from, Sink<T> to, Executor<Cpu>&) {
  const std::size_t size = static_cast<std::size_t>(m) * static_cast<std::size_t>(n);
  for (std::size_t r = 0; r < static_cast<std::size_t>(rows); ++r)
    for (int j = 0; j < n; ++j)
      for (int i = 0; i < m; ++i)
        to.put(r * size + static_cast<std::size_t>(j * m + i),
               from[r * size + static_cast<std::size_t>(i * n + j)]);
}
template <class T>
void transpose_samples(int rows, int m, int n, const T* from, Sink<T> to, Executor<Cuda>& on);

/// Columns of a matrix: element (r, c) at data[r * stride + c].
template <class T>
struct Columns {
  T* data = nullptr;
  int stride = 0;
};

/// Copies (or adds) a (rows, columns) block of one matrix to a block of another.
template <class T>
void copy_columns(int rows, int columns, Columns<const T> from, Columns<T> to, bool accumulate,
                  Executor<Cpu>&) {
  for (std::ptrdiff_t r = 0; r < rows; ++r) {
    const T* const source = from.data + r * from.stride;
    const Sink<T> sink{to.data + r * to.stride, accumulate};
    for (std::size_t c = 0; c < static_cast<std::size_t>(columns); ++c) sink.put(c, source[c]);
  }
}
template <class T>
void copy_columns(int rows, int columns, Columns<const T> from, Columns<T> to, bool accumulate,
                  Executor<Cuda>& on);

}  // namespace poe
