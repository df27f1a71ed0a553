// SPDX-License-Identifier: MIT
// Max-pooling and the mean over pixels, with their gradients; images are channels-last.
//
// The overloads for Executor<Cuda> mean the same; kernels/pool.cuh defines them.
#pragma once

#include <utility>

#include <poe/cuda/executor.hpp>
#include <poe/ops/sink.hpp>
#include <poe/ops/window.hpp>

namespace poe {

/// The largest value under each window, per channel, and in `winner` where in its sample it was
/// found; padding never wins, the first of equal values does, NaN always does.
template <class T>
void max_pool_values(const Window& w, int rows, const T* x, T* y, int* winner, Executor<Cpu>&) {
  const int channels = w.channels;
  for (std::ptrdiff_t n = 0; n < rows; ++n) {
    const T* const in = x + n * w.large();
    T* const out = y + n * w.positions() * channels;
    int* const from = winner + n * w.positions() * channels;
    int before = -1;
    detail::for_each_link(w, [&](int position, int pixel, int) {
      const T* const POE_RESTRICT x_c = in + pixel * channels;
      T* const POE_RESTRICT y_c = out + position * channels;
      int* const POE_RESTRICT from_c = from + position * channels;
      if (position != std::exchange(before, position)) {
        for (int c = 0; c < channels; ++c) y_c[c] = x_c[c], from_c[c] = pixel * channels + c;
        return;
      }
      for (int c = 0; c < channels; ++c) {
        // The second comparison lets NaN through instead of hiding it; | and not ||, so that the
        // loop has no branch.
        const bool better = bool((x_c[c] > y_c[c]) | (x_c[c] != x_c[c]));
        y_c[c] = better ? x_c[c] : y_c[c];
        from_c[c] = better ? pixel * channels + c : from_c[c];
      }
    });
  }
}
template <class T>
void max_pool_values(const Window& w, int rows, const T* x, T* y, int* winner, Executor<Cuda>& on);

/// dx[winner] += dy, over the windows of each sample.
template <class T>
void max_pool_gradient(const Window& w, int rows, const int* winner, const T* dy, Sink<T> dx,
                       Executor<Cpu>&) {
  const std::ptrdiff_t in = w.large(), out = w.positions() * w.channels;
  if (!dx.accumulate)
    for (std::ptrdiff_t i = 0; i < rows * in; ++i) dx.data[i] = T(0);
  for (std::ptrdiff_t n = 0; n < rows; ++n)
    for (std::ptrdiff_t o = 0; o < out; ++o)
      dx.data[n * in + winner[n * out + o]] += dy[n * out + o];
}
template <class T>
void max_pool_gradient(const Window& w, int rows, const int* winner, const T* dy, Sink<T> dx,
                       Executor<Cuda>& on);

/// y (rows, channels): the mean of x (rows, pixels, channels) over pixels.
template <class T>
void pixel_mean(int rows, int pixels, int channels, const T* x, T* y, Executor<Cpu>&) {
  for (std::ptrdiff_t n = 0; n < rows; ++n)
    for (int c = 0; c < channels; ++c) {
      T sum = 0;
      for (std::ptrdiff_t p = 0; p < pixels; ++p) sum += x[(n * pixels + p) * channels + c];
      y[n * channels + c] = sum / T(pixels);
    }
}
template <class T>
void pixel_mean(int rows, int pixels, int channels, const T* x, T* y, Executor<Cuda>& on);

template <class T>
void pixel_mean_gradient(int rows, int pixels, int channels, const T* dy, Sink<T> dx,
                         Executor<Cpu>&) {
  for (std::ptrdiff_t n = 0; n < rows; ++n)
    for (std::ptrdiff_t p = 0; p < pixels; ++p)
      for (int c = 0; c < channels; ++c)
        dx.put(static_cast<std::size_t>((n * pixels + p) * channels + c),
               dy[n * channels + c] / T(pixels));
}
template <class T>
void pixel_mean_gradient(int rows, int pixels, int channels, const T* dy, Sink<T> dx,
                         Executor<Cuda>& on);

}  // namespace poe
