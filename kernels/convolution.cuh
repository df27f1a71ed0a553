// SPDX-License-Identifier: MIT
// Convolutions, transposed convolutions and linear layers on the GPU, as matrix products whose
// factors are gathered from the images (window.cuh) tile by tile (tile.cuh, product.cuh). What the
// CPU does is in ops/conv.hpp; sums are taken in another order here, but always in the same.
#pragma once

#include "product.cuh"

#include <poe/ops/engine_cuda.hpp>

namespace poe {
namespace cuda {

/// Calls f with the number of neighbours in a load, as a constant, for a row of n numbers.
template <class T, class F>
void with_width(int n, const T* p, F&& f) {
  if (n % wide<T> == 0 && aligned(p))
    f(std::integral_constant<int, wide<T>>{});
  else
    f(std::integral_constant<int, 1>{});
}

/// Calls f(first row, rows) for as many rows at a time as indices of 32 bits can count.
template <class F>
void for_each_chunk(std::ptrdiff_t row_size, int rows, F&& f) {
  const auto most = static_cast<int>(std::max<std::ptrdiff_t>(
      (std::ptrdiff_t{1} << 30) / std::max<std::ptrdiff_t>(row_size, 1), 1));
  for (int first = 0; first < rows; first += most) f(first, std::min(most, rows - first));
}

/// A window with a single position that covers the large image is a linear layer: as such, no tap
/// of it is multiplied by the zeros around the image. Its columns are the channels of all pixels:
/// the bias repeats.
inline Window flattened(const Window& w) {
  const bool covers = w.positions() == 1 && w.pad_h == 0 && w.pad_w == 0 &&
                      w.kernel_h == w.height && w.kernel_w == w.width;
  return covers ? Window{.channels = w.patch(), .filters = w.filters} : w;
}

/// Below this many channels of the large image a tile of its columns would be mostly empty. The
/// product is then taken with all taps as columns, and its results are added up pixel by pixel.
inline constexpr int patch_channels = 8;
/// Numbers of these results at a time: they stay in the second-level cache.
inline constexpr std::ptrdiff_t patch_numbers = std::ptrdiff_t{8} << 20;

/// Every thread sums one number of the large image from patches[n][position][tap][c].
template <class T>
static __global__ void __launch_bounds__(grid_threads)
    sum_patches(Window w, const T* patches, int count, Divisor channels, Divisor width,
                Divisor height, Divisor stride_h, Divisor stride_w, T* large,
                detail::Epilogue<T> epilogue) {
  const int i = static_cast<int>(thread_in_grid());
  if (i >= count) return;
  const int pixel = channels(i), c = i - pixel * w.channels;
  const int line = width(pixel), sample = height(line);
  const int h = line - sample * w.height + w.pad_h, x = pixel - line * w.width + w.pad_w;
  const int top = stride_h(h), left = stride_w(x);
  T sum = T(0);
  for (int kh = h - top * w.stride_h, oh = top; kh < w.kernel_h; kh += w.stride_h, --oh) {
    if (static_cast<unsigned>(oh) >= static_cast<unsigned>(w.out_height)) continue;
    for (int kw = x - left * w.stride_w, ow = left; kw < w.kernel_w; kw += w.stride_w, --ow) {
      if (static_cast<unsigned>(ow) >= static_cast<unsigned>(w.out_width)) continue;
      const int position = (sample * w.out_height + oh) * w.out_width + ow;
      sum +=
          patches[static_cast<std::ptrdiff_t>(position) * (w.kernel_h * w.kernel_w * w.channels) +
                  ((kh * w.kernel_w + kw) * w.channels + c)];
    }
  }
  large[i] = finish(sum, epilogue.bias != nullptr ? epilogue.bias[c] : T(0),
                    epilogue.accumulate ? large[i] : T(0), epilogue);
}

/// Asks the library that was chosen for such layers. -> true if it did the work.
template <class T, class F>
bool done_by_engine(const Window& w, Executor<Cuda>& on, F&& product) {
  if constexpr (std::is_same_v<T, float>) {
    const bool linear = w.pixels() == 1 && w.positions() == 1;
    const ProductEngine* const engine = linear ? on.engines.linear : on.engines.convolution;
    return engine != nullptr && product(*engine);
  } else {
    return false;
  }
}

}  // namespace cuda

template <class T>
void large_to_small(const Window& window, const T* large, const T* weights, T* small, int rows,
                    const detail::Epilogue<T>& epilogue, Executor<Cuda>& on) {
  using namespace cuda;
  if (done_by_engine<T>(window, on, [&](const auto& engine) {
        return engine.large_to_small(window, large, weights, small, rows, epilogue, on);
      }))
    return;
  const Window w = flattened(window);
  for_each_chunk(w.positions(), rows, [&](int first, int count) {
    const T* const from = large + static_cast<std::ptrdiff_t>(first) * w.large();
    T* const to = small + static_cast<std::ptrdiff_t>(first) * w.small();
    with_width(w.channels, from, [&](auto vc) {
      with_width(w.filters, weights, [&](auto vf) {
        multiply(LargeToSmall<T, vc(), vf()>(w, from, weights, count), to,
                 static_cast<std::ptrdiff_t>(count) * w.small(), epilogue, w.filters, on);
      });
    });
  });
}

template <class T>
void small_to_large(const Window& window, const T* small, const T* weights, T* large, int rows,
                    const detail::Epilogue<T>& epilogue, Executor<Cuda>& on) {
  using namespace cuda;
  if (done_by_engine<T>(window, on, [&](const auto& engine) {
        return engine.small_to_large(window, small, weights, large, rows, epilogue, on);
      }))
    return;
  const Window w = flattened(window);
  if (w.channels < patch_channels && w.taps() > 1) {
    const std::ptrdiff_t patches = static_cast<std::ptrdiff_t>(w.positions()) * w.patch();
    const std::ptrdiff_t row = std::max<std::ptrdiff_t>(patches, w.large());
    for_each_chunk(row * ((std::ptrdiff_t{1} << 30) / patch_numbers), rows, [&](int first, int n) {
      Scratch<Cuda> scratch(on.scratch());
      T* const results = scratch.take<T>(static_cast<std::size_t>(n * patches));
      small_to_large<T>({.channels = w.patch(), .filters = w.filters},
                        small + static_cast<std::ptrdiff_t>(first) * w.small(), weights, results,
                        n * w.positions(), {}, on);
      const int count = n * w.large();
      const int blocks = blocks_for(count, grid_threads);
      launch(sum_patches<T>, dim3(static_cast<unsigned>(blocks)), dim3(grid_threads), 0,
             on.stream(), w, results, count, Divisor(w.channels), Divisor(w.width),
             Divisor(w.height), Divisor(w.stride_h), Divisor(w.stride_w),
             large + static_cast<std::ptrdiff_t>(first) * w.large(), epilogue);
    });
    return;
  }
  for_each_chunk(w.pixels(), rows, [&](int first, int count) {
    const T* const from = small + static_cast<std::ptrdiff_t>(first) * w.small();
    T* const to = large + static_cast<std::ptrdiff_t>(first) * w.large();
    const auto go = [&](auto v) {
      multiply(SmallToLarge<T, v()>(w, from, weights, count), to,
               static_cast<std::ptrdiff_t>(count) * w.large(), epilogue, window.channels, on);
    };
    if (aligned(from))
      with_width(w.filters, weights, go);
    else
      go(std::integral_constant<int, 1>{});
  });
}

template <class T>
void weight_gradient(const Window& window, const T* large, const T* small, T* weights_gradient,
                     int rows, Executor<Cuda>& on) {
  using namespace cuda;
  if (done_by_engine<T>(window, on, [&](const auto& engine) {
        return engine.weight_gradient(window, large, small, weights_gradient, rows, on);
      }))
    return;
  const Window w = flattened(window);
  for_each_chunk(w.positions(), rows, [&](int first, int count) {
    const T* const a = large + static_cast<std::ptrdiff_t>(first) * w.large();
    const T* const b = small + static_cast<std::ptrdiff_t>(first) * w.small();
    with_width(w.channels, a, [&](auto va) {
      with_width(w.filters, b, [&](auto vb) {
        multiply(WeightGradient<T, va(), vb()>(w, a, b, count), weights_gradient,
                 static_cast<std::ptrdiff_t>(w.weights()), {.accumulate = true}, w.filters, on);
      });
    });
  });
}

}  // namespace poe
