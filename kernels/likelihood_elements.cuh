// SPDX-License-Identifier: MIT
// Log-likelihoods of independent elements. One block scores one row: thread t takes packs t, t +
// Threads, ... and adds up its values in that order; then the threads of a warp are added, then the
// warps.
#pragma once

#include "likelihood_pieces.cuh"

#include <poe/likelihood/element.hpp>

namespace poe::cuda {

/// Rows of independent elements. F: (parameter, x) -> Scored.
template <int Threads, int W, class T, class F>
static __global__ __launch_bounds__(Threads, 1024 / Threads) void score_elements_kernel(
    F element, const __grid_constant__ Pieces<T> pieces, int size, const T* decoded, T* log_p,
    Sink<T> gradient) {
  POE_SHARED(T[Threads / 32], partial);
  const int row = pieces.first_row + static_cast<int>(blockIdx.x);
  const Observed<T> sample = observed(pieces, row, size);
  const std::size_t base = static_cast<std::size_t>(row) * static_cast<std::size_t>(size);
  constexpr int packs = Threads == 256 ? 3 : 1;  // that a thread reads before it computes
  T sum = T(0);
  for (int first = static_cast<int>(threadIdx.x) * W; first < size; first += packs * Threads * W) {
    Pack<T, W> t[packs] = {}, x[packs] = {};
    POE_UNROLL
    for (int p = 0; p < packs; ++p) {
      const int i = first + p * Threads * W;
      if (i < size) {
        t[p] = load<W>(decoded + base + i);
        x[p] = load<W>(sample.x + i);
      }
    }
    POE_UNROLL
    for (int p = 0; p < packs; ++p) {
      const int i = first + p * Threads * W;
      if (i < size) {
        Pack<T, W> g;
        POE_UNROLL
        for (int k = 0; k < W; ++k) {
          const Scored<T> scored = element(t[p].at[k], x[p].at[k]);
          sum += scored.value;
          g.at[k] = sample.weight * scored.slope;
        }
        if (gradient.data != nullptr) put(gradient, base + static_cast<std::size_t>(i), g);
      }
    }
  }
  if (log_p != nullptr) {
    sum = block_sum<Threads>(sum, partial);
    if (threadIdx.x == 0) log_p[row] = sum;
  }
}

/// As many threads for a row as it has packs, up to 256.
template <int W, class T, class F>
void launch_elements(const F& element, const Pieces<T>& pieces, int size, const T* decoded,
                     T* log_p, const Sink<T>& gradient, Stream stream) {
  const auto with = [&](auto kernel, unsigned threads) {
    launch(kernel, dim3(static_cast<unsigned>(pieces.rows)), dim3(threads), 0, stream, element,
           pieces, size, decoded, log_p, gradient);
  };
  const int packs = size / W;
  if (packs <= 32) return with(score_elements_kernel<32, W, T, F>, 32);
  if (packs <= 128) return with(score_elements_kernel<128, W, T, F>, 128);
  with(score_elements_kernel<256, W, T, F>, 256);
}

template <class T, class F>
void score_elements(const F& element, const Pieces<T>& pieces, int size, const T* decoded, T* log_p,
                    const Sink<T>& gradient, Executor<Cuda>& on) {
  bool packs = size % wide<T> == 0 && aligned(decoded, gradient.data);
  for (int i = 0; i < pieces.count; ++i) packs = packs && aligned(pieces.at[i].x);
  if (packs)
    launch_elements<wide<T>>(element, pieces, size, decoded, log_p, gradient, on.stream());
  else
    launch_elements<1>(element, pieces, size, decoded, log_p, gradient, on.stream());
}

}  // namespace poe::cuda
