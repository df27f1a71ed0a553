// SPDX-License-Identifier: MIT
// Passes over arrays, element by element: functions, sums, copies, dropout.
//
// The overloads for Executor<Cuda> mean the same; kernels/elementwise.cuh defines them.
#pragma once

#include <algorithm>
#include <cstring>

#include <poe/core/random.hpp>
#include <poe/cuda/executor.hpp>
#include <poe/ops/functions.hpp>
#include <poe/ops/sink.hpp>

namespace poe {

/// y[i] = F(x[i]).
template <class F, class T>
void map_values(std::size_t n, const T* x, T* y, Executor<Cpu>&) {
  for (std::size_t i = 0; i < n; ++i) y[i] = F::template value<T>(x[i]);
}
template <class F, class T>
void map_values(std::size_t n, const T* x, T* y, Executor<Cuda>& on);

/// dx[i] <- dy[i] F'(x[i]).
template <class F, class T>
void map_gradient(std::size_t n, const T* x, const T* y, const T* dy, Sink<T> dx, Executor<Cpu>&) {
  for (std::size_t i = 0; i < n; ++i) dx.put(i, dy[i] * F::template slope<T>(x[i], y[i]));
}
template <class F, class T>
void map_gradient(std::size_t n, const T* x, const T* y, const T* dy, Sink<T> dx,
                  Executor<Cuda>& on);

/// y = a + b.
template <class T>
void add_values(std::size_t n, const T* a, const T* b, T* y, Executor<Cpu>&) {
  for (std::size_t i = 0; i < n; ++i) y[i] = a[i] + b[i];
}
template <class T>
void add_values(std::size_t n, const T* a, const T* b, T* y, Executor<Cuda>& on);

/// to <- from, as it is.
template <class T>
void pass_on(std::size_t n, const T* from, Sink<T> to, Executor<Cpu>&) {
  if (!to.accumulate) {
    if (n > 0) std::memcpy(to.data, from, n * sizeof(T));
    return;
  }
  for (std::size_t i = 0; i < n; ++i) to.data[i] += from[i];
}
template <class T>
void pass_on(std::size_t n, const T* from, Sink<T> to, Executor<Cuda>& on);

/// Sets n numbers to zero.
template <class T>
void clear_values(std::size_t n, T* to, Executor<Cpu>&) {
  std::fill_n(to, n, T(0));
}
template <class T>
void clear_values(std::size_t n, T* to, Executor<Cuda>& on) {
  if (n > 0) cuda::clear(to, n * sizeof(T), on.stream());
}

/// Adds one number to n others.
template <class T>
void add_number(std::size_t n, T number, T* to, Executor<Cpu>&) {
  for (std::size_t i = 0; i < n; ++i) to[i] += number;
}
template <class T>
void add_number(std::size_t n, T number, T* to, Executor<Cuda>& on);

/// Which units a dropout keeps: with probability 1 - p unit i has the factor 1 / (1 - p), else 0.
/// Unit i draws element first + i of `random`.
struct DropoutDraw {
  Random random;
  std::uint64_t first = 0;
  double p = 0;

  /// The factors of elements 4b .. 4b+3.
  template <class T>
  POE_HD void factors(std::uint64_t b, T (&out)[4]) const {
    random.uniform_block(b, out);
    for (T& x : out) x = x < T(p) ? T(0) : T(1.0 / (1.0 - p));
  }
};

/// factors[i] of n units.
template <class T>
void draw_dropout(const DropoutDraw& draw, std::size_t n, T* factors, Executor<Cpu>&) {
  T block[4];
  for (std::size_t i = 0; i < n;) {
    const std::uint64_t element = draw.first + i;
    draw.factors(element / 4, block);
    for (std::size_t k = element % 4; k < 4 && i < n; ++k) factors[i++] = block[k];
  }
}
template <class T>
void draw_dropout(const DropoutDraw& draw, std::size_t n, T* factors, Executor<Cuda>& on);

/// Element i of a sample times factor i % units of that sample; units divides size (channels are
/// the fastest index, so a whole channel is one unit of the pixel count). from, to: (rows, size);
/// factors: (rows, units).
template <class T>
void scale_units(int rows, int size, int units, const T* factors, const T* from, Sink<T> to,
                 Executor<Cpu>&) {
  const auto wide = static_cast<std::size_t>(size), narrow = static_cast<std::size_t>(units);
  for (std::size_t n = 0; n < static_cast<std::size_t>(rows); ++n, factors += units)
    for (std::size_t i = n * wide; i < (n + 1) * wide; i += narrow)
      for (std::size_t u = 0; u < narrow; ++u) to.put(i + u, from[i + u] * factors[u]);
}
template <class T>
void scale_units(int rows, int size, int units, const T* factors, const T* from, Sink<T> to,
                 Executor<Cuda>& on);

}  // namespace poe
