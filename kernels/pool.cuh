// SPDX-License-Identifier: MIT
// Pooling on the GPU; channels are the fastest index, so neighbouring threads have neighbouring
// channels, 16 bytes of them where their number and the pointers allow.
//
// The gradient of max-pooling is gathered: every input pixel asks the windows that cover it, in the
// order of the CPU, whether it won. The mean over pixels is summed in T: every thread of a block
// takes every k-th pixel of its channel, then the partial sums meet in a tree.
#pragma once

#include "device.cuh"

#include <poe/ops/pool.hpp>

namespace poe {
namespace cuda {

/// Matrix rows are (sample, position), columns packs of channels.
template <int W, class T>
static __global__ void __launch_bounds__(grid_threads)
    max_pool(Window w, std::size_t rows, const T* x, T* y, int* winner) {
  const std::size_t c = column() * W;
  const auto channels = static_cast<std::size_t>(w.channels);
  if (c >= channels) return;
  const auto positions = static_cast<std::size_t>(w.positions());
  for (std::size_t r = first_row(); r < rows; r += row_step()) {
    const int position = static_cast<int>(r % positions);
    const int top = position / w.out_width * w.stride_h - w.pad_h;
    const int left = position % w.out_width * w.stride_w - w.pad_w;
    const T* const in = x + r / positions * static_cast<std::size_t>(w.large()) + c;
    Pack<T, W> most;
    Pack<int, W> from;
    bool found = false;
    for (int kh = 0; kh < w.kernel_h; ++kh)
      for (int kw = 0; kw < w.kernel_w; ++kw) {
        const int ih = top + kh, iw = left + kw;
        if (ih < 0 || ih >= w.height || iw < 0 || iw >= w.width) continue;
        const int at = (ih * w.width + iw) * w.channels;
        const Pack<T, W> next = load<W>(in + at);
        POE_UNROLL
        for (int k = 0; k < W; ++k) {
          const T v = next.at[k];
          if (!found || v > most.at[k] || v != v) {
            most.at[k] = v;
            from.at[k] = at + static_cast<int>(c) + k;
          }
        }
        found = true;
      }
    if (!found) continue;
    store<W>(y + r * channels + c, most);
    store<W>(winner + r * channels + c, from);
  }
}

/// Matrix rows are (sample, pixel), columns packs of channels.
template <int W, class T>
static __global__ void __launch_bounds__(grid_threads)
    max_pool_gather(Window w, std::size_t rows, const int* winner, const T* dy, Sink<T> dx) {
  const std::size_t c = column() * W;
  const auto channels = static_cast<std::size_t>(w.channels);
  if (c >= channels) return;
  const auto pixels = static_cast<std::size_t>(w.pixels());
  for (std::size_t r = first_row(); r < rows; r += row_step()) {
    const int pixel = static_cast<int>(r % pixels);
    // The windows that cover row h are those with top <= h < top + kernel_h.
    const int h = pixel / w.width + w.pad_h, v = pixel % w.width + w.pad_w;
    const int oh_first = h < w.kernel_h ? 0 : (h - w.kernel_h) / w.stride_h + 1;
    const int ow_first = v < w.kernel_w ? 0 : (v - w.kernel_w) / w.stride_w + 1;
    const int oh_last = min(h / w.stride_h, w.out_height - 1);
    const int ow_last = min(v / w.stride_w, w.out_width - 1);
    const std::size_t outputs = r / pixels * static_cast<std::size_t>(w.positions()) * channels + c;
    const int self = pixel * w.channels + static_cast<int>(c);
    Pack<T, W> sum;
    POE_UNROLL
    for (int k = 0; k < W; ++k) sum.at[k] = T(0);
    if (dx.accumulate) sum = load<W>(dx.data + r * channels + c);
    for (int oh = oh_first; oh <= oh_last; ++oh)
      for (int ow = ow_first; ow <= ow_last; ++ow) {
        const std::size_t o = outputs + static_cast<std::size_t>(oh * w.out_width + ow) * channels;
        const Pack<int, W> won = load<W>(winner + o);
        const Pack<T, W> g = load<W>(dy + o);
        POE_UNROLL
        for (int k = 0; k < W; ++k)
          if (won.at[k] == self + k) sum.at[k] += g.at[k];
      }
    store<W>(dx.data + r * channels + c, sum);
  }
}

inline constexpr int mean_threads = 256;

/// Block (channels, height): blockDim.y threads share the pixels of a channel, which a power of two
/// makes a tree.
template <class T>
static __global__ void __launch_bounds__(mean_threads)
    mean_over_pixels(std::size_t rows, std::size_t pixels, std::size_t channels, const T* x, T* y) {
  POE_SHARED(T[mean_threads], partial);
  const std::size_t c = column();
  const unsigned self = threadIdx.y * blockDim.x + threadIdx.x;
  for (std::size_t r = blockIdx.y; r < rows; r += gridDim.y) {
    T sum = T(0);
    if (c < channels)
      for (std::size_t p = threadIdx.y; p < pixels; p += blockDim.y)
        sum += x[(r * pixels + p) * channels + c];
    partial[self] = sum;
    for (unsigned half = blockDim.y / 2; half > 0; half /= 2) {
      __syncthreads();
      if (threadIdx.y < half) partial[self] += partial[self + half * blockDim.x];
    }
    // The result is in the thread's own place: nobody else writes it before the barrier below.
    if (threadIdx.y == 0 && c < channels) y[r * channels + c] = partial[self] / T(pixels);
    __syncthreads();
  }
}

/// Matrix rows are (sample, pixel), columns packs of channels.
template <int W, class T>
static __global__ void __launch_bounds__(grid_threads)
    spread_mean(std::size_t rows, std::size_t pixels, std::size_t channels, const T* dy,
                Sink<T> dx) {
  const std::size_t c = column() * W;
  if (c >= channels) return;
  for (std::size_t r = first_row(); r < rows; r += row_step()) {
    Pack<T, W> g = load<W>(dy + r / pixels * channels + c);
    POE_UNROLL
    for (int k = 0; k < W; ++k) g.at[k] /= T(pixels);
    put(dx, r * channels + c, g);
  }
}

}  // namespace cuda

template <class T>
void max_pool_values(const Window& w, int rows, const T* x, T* y, int* winner, Executor<Cuda>& on) {
  const std::size_t all = static_cast<std::size_t>(rows) * static_cast<std::size_t>(w.positions());
  const auto channels = static_cast<std::size_t>(w.channels);
  if (all == 0 || channels == 0) return;
  constexpr int width = cuda::wide<T>;
  if (w.channels % width == 0 && cuda::aligned(x, y, winner)) {
    const cuda::Grid g = cuda::matrix_grid(all, channels / width);
    cuda::launch(cuda::max_pool<width, T>, g.blocks, g.threads, 0, on.stream(), w, all, x, y,
                 winner);
  } else {
    const cuda::Grid g = cuda::matrix_grid(all, channels);
    cuda::launch(cuda::max_pool<1, T>, g.blocks, g.threads, 0, on.stream(), w, all, x, y, winner);
  }
}

template <class T>
void max_pool_gradient(const Window& w, int rows, const int* winner, const T* dy, Sink<T> dx,
                       Executor<Cuda>& on) {
  const std::size_t all = static_cast<std::size_t>(rows) * static_cast<std::size_t>(w.pixels());
  const auto channels = static_cast<std::size_t>(w.channels);
  if (all == 0 || channels == 0) return;
  constexpr int width = cuda::wide<T>;
  if (w.channels % width == 0 && cuda::aligned(winner, dy, dx.data)) {
    const cuda::Grid g = cuda::matrix_grid(all, channels / width);
    cuda::launch(cuda::max_pool_gather<width, T>, g.blocks, g.threads, 0, on.stream(), w, all,
                 winner, dy, dx);
  } else {
    const cuda::Grid g = cuda::matrix_grid(all, channels);
    cuda::launch(cuda::max_pool_gather<1, T>, g.blocks, g.threads, 0, on.stream(), w, all, winner,
                 dy, dx);
  }
}

template <class T>
void pixel_mean(int rows, int pixels, int channels, const T* x, T* y, Executor<Cuda>& on) {
  if (rows == 0 || channels == 0) return;
  unsigned width = 1;
  while (width < static_cast<unsigned>(channels) && width < 32) width *= 2;
  const std::size_t across =
      cuda::blocks_for<std::size_t>(static_cast<std::size_t>(channels), width);
  const std::size_t down =
      std::min({static_cast<std::size_t>(rows),
                std::max<std::size_t>(cuda::resident_blocks() / across, 1), std::size_t{65535}});
  cuda::launch(
      cuda::mean_over_pixels<T>, dim3(static_cast<unsigned>(across), static_cast<unsigned>(down)),
      dim3(width, cuda::mean_threads / width), 0, on.stream(), static_cast<std::size_t>(rows),
      static_cast<std::size_t>(pixels), static_cast<std::size_t>(channels), x, y);
}

template <class T>
void pixel_mean_gradient(int rows, int pixels, int channels, const T* dy, Sink<T> dx,
                         Executor<Cuda>& on) {
  const auto p = static_cast<std::size_t>(pixels), c = static_cast<std::size_t>(channels);
  const std::size_t all = static_cast<std::size_t>(rows) * p;
  if (all == 0 || c == 0) return;
  constexpr int width = cuda::wide<T>;
  if (channels % width == 0 && cuda::aligned(dy, dx.data)) {
    const cuda::Grid g = cuda::matrix_grid(all, c / width);
    cuda::launch(cuda::spread_mean<width, T>, g.blocks, g.threads, 0, on.stream(), all, p, c, dy,
                 dx);
  } else {
    const cuda::Grid g = cuda::matrix_grid(all, c);
    cuda::launch(cuda::spread_mean<1, T>, g.blocks, g.threads, 0, on.stream(), all, p, c, dy, dx);
  }
}

}  // namespace poe
