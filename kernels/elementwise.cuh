// SPDX-License-Identifier: MIT
// Elementwise passes on the GPU. One kernel combines up to three arrays into one: each thread takes
// 16 bytes of every array at a time where all of them are aligned, single numbers where one is not
// (a pointer may point anywhere into a buffer) and at the end. All passes may work in place.
#pragma once

#include "device.cuh"

#include <poe/ops/elementwise.hpp>

namespace poe {
namespace cuda {

template <class T, int N>
struct Sources {
  const T* at[N];
};

template <int W, class F, class T, int N>
__device__ __forceinline__ void combine(std::size_t i, const F& f, const Sources<T, N>& from,
                                        Sink<T> to) {
  Pack<T, W> in[N];
  POE_UNROLL
  for (int s = 0; s < N; ++s) in[s] = load<W>(from.at[s] + i);
  Pack<T, W> out;
  POE_UNROLL
  for (int k = 0; k < W; ++k) {
    T x[N];
    POE_UNROLL
    for (int s = 0; s < N; ++s) x[s] = in[s].at[k];
    out.at[k] = f(x);
  }
  put(to, i, out);
}

/// to[i] <- f(from.at[0][i], from.at[1][i], ...).
template <int W, class F, class T, int N>
static __global__ void __launch_bounds__(grid_threads)
    combine_arrays(std::size_t n, F f, Sources<T, N> from, Sink<T> to) {
  const std::size_t packs = n / W;
  for (std::size_t i = thread_in_grid(); i < packs; i += threads_in_grid())
    combine<W>(i * W, f, from, to);
  if constexpr (W > 1)
    for (std::size_t i = packs * W + thread_in_grid(); i < n; i += threads_in_grid())
      combine<1>(i, f, from, to);
}

template <class F, class T, int N>
void launch_combine(std::size_t n, F f, Sources<T, N> from, Sink<T> to, Stream stream) {
  if (n == 0) return;
  bool fits = aligned(to.data);
  for (const T* p : from.at) fits = fits && aligned(p);
  if (fits) {
    const Grid g = array_grid(blocks_for<std::size_t>(n, wide<T>));
    launch(combine_arrays<wide<T>, F, T, N>, g.blocks, g.threads, 0, stream, n, f, from, to);
  } else {
    const Grid g = array_grid(n);
    launch(combine_arrays<1, F, T, N>, g.blocks, g.threads, 0, stream, n, f, from, to);
  }
}

template <class F>
struct ValueOf {
  template <class T>
  POE_HD T operator()(const T (&x)[1]) const {
    return F::template value<T>(x[0]);
  }
};
template <class F>
struct SlopeTimes {
  template <class T>
  POE_HD T operator()(const T (&x)[3]) const {  // x, y, dy
    return x[2] * F::template slope<T>(x[0], x[1]);
  }
};
struct SumOfTwo {
  template <class T>
  POE_HD T operator()(const T (&x)[2]) const {
    return x[0] + x[1];
  }
};
struct AsItIs {
  template <class T>
  POE_HD T operator()(const T (&x)[1]) const {
    return x[0];
  }
};
template <class T>
struct PlusNumber {
  T number;
  POE_HD T operator()(const T (&x)[1]) const { return x[0] + number; }
};

/// A thread draws the four numbers of one block of the random sequence.
template <class T>
static __global__ void __launch_bounds__(grid_threads)
    dropout_factors(DropoutDraw draw, const std::uint32_t* step, std::size_t n, T* factors) {
  if (step != nullptr) draw.random = draw.random.at_step(*step);
  const std::uint64_t first_block = draw.first / 4;
  const std::size_t blocks = static_cast<std::size_t>((draw.first + n + 3) / 4 - first_block);
  for (std::size_t b = thread_in_grid(); b < blocks; b += threads_in_grid()) {
    T block[4];
    draw.factors(first_block + b, block);
    POE_UNROLL
    for (unsigned k = 0; k < 4; ++k) {
      // Before the first unit the difference is a huge number.
      const std::uint64_t unit = 4 * (first_block + b) + k - draw.first;
      if (unit < n) factors[unit] = block[k];
    }
  }
}

/// Columns are packs of a sample.
template <int W, class T>
static __global__ void __launch_bounds__(grid_threads)
    times_units(std::size_t rows, std::size_t size, std::size_t units, const T* factors,
                const T* from, Sink<T> to) {
  const std::size_t i = column() * W;
  if (i >= size) return;
  const std::size_t unit = i % units;
  for (std::size_t r = first_row(); r < rows; r += row_step()) {
    Pack<T, W> x = load<W>(from + r * size + i);
    const Pack<T, W> factor = load<W>(factors + r * units + unit);
    POE_UNROLL
    for (int k = 0; k < W; ++k) x.at[k] *= factor.at[k];
    put(to, r * size + i, x);
  }
}

}  // namespace cuda

template <class F, class T>
void map_values(std::size_t n, const T* x, T* y, Executor<Cuda>& on) {
  cuda::launch_combine(n, cuda::ValueOf<F>{}, cuda::Sources<T, 1>{{x}}, Sink<T>{y, false},
                       on.stream());
}

template <class F, class T>
void map_gradient(std::size_t n, const T* x, const T* y, const T* dy, Sink<T> dx,
                  Executor<Cuda>& on) {
  cuda::launch_combine(n, cuda::SlopeTimes<F>{}, cuda::Sources<T, 3>{{x, y, dy}}, dx, on.stream());
}

template <class T>
void add_values(std::size_t n, const T* a, const T* b, T* y, Executor<Cuda>& on) {
  cuda::launch_combine(n, cuda::SumOfTwo{}, cuda::Sources<T, 2>{{a, b}}, Sink<T>{y, false},
                       on.stream());
}

template <class T>
void pass_on(std::size_t n, const T* from, Sink<T> to, Executor<Cuda>& on) {
  cuda::launch_combine(n, cuda::AsItIs{}, cuda::Sources<T, 1>{{from}}, to, on.stream());
}

template <class T>
void add_number(std::size_t n, T number, T* to, Executor<Cuda>& on) {
  cuda::launch_combine(n, cuda::PlusNumber<T>{number}, cuda::Sources<T, 1>{{to}},
                       Sink<T>{to, false}, on.stream());
}

template <class T>
void draw_dropout(const DropoutDraw& draw, std::size_t n, T* factors, Executor<Cuda>& on) {
  if (n == 0) return;
  const cuda::Grid g = cuda::array_grid(n / 4 + 2);
  cuda::launch(cuda::dropout_factors<T>, g.blocks, g.threads, 0, on.stream(), draw, on.step, n,
               factors);
}

template <class T>
void scale_units(int rows, int size, int units, const T* factors, const T* from, Sink<T> to,
                 Executor<Cuda>& on) {
  if (rows == 0 || size == 0) return;
  const auto r = static_cast<std::size_t>(rows), s = static_cast<std::size_t>(size);
  constexpr int w = cuda::wide<T>;
  if (size % w == 0 && units % w == 0 && cuda::aligned(factors, from, to.data)) {
    const cuda::Grid g = cuda::matrix_grid(r, s / w);
    cuda::launch(cuda::times_units<w, T>, g.blocks, g.threads, 0, on.stream(), r, s,
                 static_cast<std::size_t>(units), factors, from, to);
  } else {
    const cuda::Grid g = cuda::matrix_grid(r, s);
    cuda::launch(cuda::times_units<1, T>, g.blocks, g.threads, 0, on.stream(), r, s,
                 static_cast<std::size_t>(units), factors, from, to);
  }
}

}  // namespace poe
