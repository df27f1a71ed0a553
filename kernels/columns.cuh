// SPDX-License-Identifier: MIT
// Sums of partial results, and passes over the columns of a matrix. Where a sum over many rows is
// split over blocks, each block writes a partial result, and a second kernel adds these, always in
// the same order.
#pragma once

#include "device.cuh"

#include <poe/ops/conv_cuda.hpp>
#include <poe/ops/functions.hpp>

namespace poe {
namespace cuda {

/// What the epilogue makes of a finished sum; `old` is what the destination holds.
template <class T>
__device__ __forceinline__ T finish(T x, T bias, T old, const detail::Epilogue<T>& e) {
  if (e.bias != nullptr) x += bias;
  if (e.accumulate) x += old;
  return e.relu ? ReluFunction::value(x) : x;
}

inline constexpr int column_threads = 256;

/// to[i] <- finish(sum over parts p of partial[p * n + i]); bias by i % bias_count. A column of the
/// block (threadIdx.y) adds every blockDim.y-th part, and these sums are added in order.
template <int W, class T>
static __global__ void __launch_bounds__(column_threads)
    add_parts(const T* partial, int parts, std::size_t n, int bias_count, T* to,
              detail::Epilogue<T> epilogue) {
  using Sums = Pack<T, W>[column_threads];
  POE_SHARED(Sums, shared);
  const std::size_t i = (std::size_t{blockIdx.x} * blockDim.x + threadIdx.x) * W;
  const int step = static_cast<int>(blockDim.y);
  Pack<T, W> sum = {};
  if (i < n) {
    const T* from = partial + i;
    for (int p = static_cast<int>(threadIdx.y); p < parts; p += step) {
      const Pack<T, W> x = load<W>(from + static_cast<std::size_t>(p) * n);
      POE_UNROLL
      for (int k = 0; k < W; ++k) sum.at[k] += x.at[k];
    }
  }
  if (step > 1) {
    shared[threadIdx.y * blockDim.x + threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y == 0)
      for (int y = 1; y < step; ++y) {
        const Pack<T, W> x = shared[static_cast<unsigned>(y) * blockDim.x + threadIdx.x];
        POE_UNROLL
        for (int k = 0; k < W; ++k) sum.at[k] += x.at[k];
      }
  }
  if (threadIdx.y != 0 || i >= n) return;
  const Pack<T, W> old = epilogue.accumulate ? load<W>(to + i) : Pack<T, W>{};
  const T* const bias = epilogue.bias;
  POE_UNROLL
  for (int k = 0; k < W; ++k)
    sum.at[k] =
        finish(sum.at[k],
               bias != nullptr
                   ? bias[(i + static_cast<std::size_t>(k)) % static_cast<std::size_t>(bias_count)]
                   : T(0),
               old.at[k], epilogue);
  store<W>(to + i, sum);
}

template <class T>
void launch_add_parts(const T* partial, int parts, std::size_t n, int bias_count, T* to,
                      const detail::Epilogue<T>& epilogue, Stream stream) {
  // Many parts of few numbers would be a long walk for few threads.
  const int split = parts >= 16 ? 8 : 1;
  const int width = column_threads / split;
  const auto go = [&](auto kernel, std::size_t packs) {
    launch(kernel, dim3(static_cast<unsigned>(blocks_for<std::size_t>(packs, width))),
           dim3(static_cast<unsigned>(width), static_cast<unsigned>(split)), 0, stream, partial,
           parts, n, bias_count, to, epilogue);
  };
  if (n % wide<T> == 0 && aligned(partial, to))
    go(add_parts<wide<T>, T>, n / wide<T>);
  else
    go(add_parts<1, T>, n);
}

/// A block takes blockDim.x packs of columns and one slab of rows. With `direct` (there is one
/// slab) it adds to sums, otherwise it writes row `slab` of sums. Without sums it only masks.
template <int W, class T>
static __global__ void __launch_bounds__(column_threads)
    mask_and_sum(T* gradient, const T* y, T* sums, std::ptrdiff_t rows, int columns,
                 std::ptrdiff_t slab_rows, int column_blocks, bool direct) {
  using Sums = Pack<T, W>[column_threads];
  POE_SHARED(Sums, shared);
  constexpr int batch = 4;  // loads in flight of a thread
  const int block = static_cast<int>(blockIdx.x);
  const int slab = block / column_blocks;
  const int column = ((block - slab * column_blocks) * static_cast<int>(blockDim.x) +
                      static_cast<int>(threadIdx.x)) *
                     W;
  const int step = static_cast<int>(blockDim.y), lead = static_cast<int>(threadIdx.y);
  const std::ptrdiff_t first = slab * slab_rows;
  const std::ptrdiff_t last = first + slab_rows < rows ? first + slab_rows : rows;
  Pack<T, W> sum = {};
  if (column < columns)
    for (std::ptrdiff_t r = first + lead; r < last; r += batch * step) {
      Pack<T, W> g[batch], v[batch];
      POE_UNROLL
      for (int b = 0; b < batch; ++b) {
        const std::ptrdiff_t at = (r + b * step) * columns + column;
        const bool live = r + b * step < last;
        g[b] = live ? load<W>(gradient + at) : Pack<T, W>{};
        v[b] = live && y != nullptr ? load<W>(y + at) : Pack<T, W>{};
      }
      POE_UNROLL
      for (int b = 0; b < batch; ++b) {
        if (y != nullptr) {
          POE_UNROLL
          for (int k = 0; k < W; ++k) g[b].at[k] = v[b].at[k] > T(0) ? g[b].at[k] : T(0);
          if (r + b * step < last) store<W>(gradient + (r + b * step) * columns + column, g[b]);
        }
        POE_UNROLL
        for (int k = 0; k < W; ++k) sum.at[k] += g[b].at[k];
      }
    }
  if (sums == nullptr) return;
  const int mine = lead * static_cast<int>(blockDim.x) + static_cast<int>(threadIdx.x);
  shared[mine] = sum;
  for (int half = step / 2; half > 0; half /= 2) {
    __syncthreads();
    if (lead < half) {
      const Pack<T, W> other = shared[mine + half * static_cast<int>(blockDim.x)];
      POE_UNROLL
      for (int k = 0; k < W; ++k) shared[mine].at[k] += other.at[k];
    }
  }
  if (lead != 0 || column >= columns) return;
  sum = shared[mine];
  T* const to = sums + static_cast<std::ptrdiff_t>(slab) * columns + column;
  POE_UNROLL
  for (int k = 0; k < W; ++k) to[k] = direct ? to[k] + sum.at[k] : sum.at[k];
}

template <int W, class T>
void launch_mask_and_sum(T* gradient, const T* y, T* sums, std::ptrdiff_t rows, int columns,
                         Executor<Cuda>& on) {
  // Neighbouring threads follow a row as far as it goes, at most a warp; the rest follow the rows.
  int across = 1;
  while (across < 32 && across * W < columns) across *= 2;
  const int down = column_threads / across;
  const int column_blocks = blocks_for(columns, across * W);
  // A slab per block: at least 16 rows a thread, and no more blocks than the device holds.
  const std::ptrdiff_t room = std::max(4 * device_info().multiprocessors / column_blocks, 1);
  const std::ptrdiff_t wanted =
      std::min(blocks_for<std::ptrdiff_t>(rows, std::ptrdiff_t{16} * down), room);
  const std::ptrdiff_t slab_rows = blocks_for(rows, wanted);
  const auto slabs = static_cast<int>(blocks_for(rows, slab_rows));
  const bool direct = slabs == 1 || sums == nullptr;
  Scratch<Cuda> scratch(on.scratch());
  T* const to =
      direct ? sums
             : scratch.take<T>(static_cast<std::size_t>(slabs) * static_cast<std::size_t>(columns));
  launch(mask_and_sum<W, T>, dim3(static_cast<unsigned>(slabs * column_blocks)),
         dim3(static_cast<unsigned>(across), static_cast<unsigned>(down)), 0, on.stream(), gradient,
         y, to, rows, columns, slab_rows, column_blocks, direct);
  if (!direct)
    launch_add_parts<T>(to, slabs, static_cast<std::size_t>(columns), columns, sums,
                        {.accumulate = true}, on.stream());
}

}  // namespace cuda

template <class T>
void mask_and_sum_columns(T* gradient, const T* y, T* sums, std::ptrdiff_t rows, int columns,
                          Executor<Cuda>& on) {
  using namespace cuda;
  if (rows == 0 || columns == 0 || (y == nullptr && sums == nullptr)) return;
  if (columns % wide<T> == 0 && aligned(gradient, y))
    launch_mask_and_sum<wide<T>>(gradient, y, sums, rows, columns, on);
  else
    launch_mask_and_sum<1>(gradient, y, sums, rows, columns, on);
}

}  // namespace poe
