// SPDX-License-Identifier: MIT
// Transposes and copies of blocks of a matrix on the GPU; nothing is summed but into a sink.
//
// A sample is transposed tile by tile through shared memory, so that both the loads and the stores
// of a warp are contiguous. Where one side of it is short (channels of a picture), threads lie
// along the long side and each walks over the short one: the short rows of a warp are contiguous
// together.
#pragma once

#include "elementwise.cuh"

#include <poe/ops/rearrange.hpp>

namespace poe {
namespace cuda {

inline constexpr int tile_side = 32, tile_height = 8;  // a tile, and the threads in y that move it
inline constexpr int short_side = 8;

/// One tile of one sample per turn; the tiles of all samples are one row of blocks.
template <class T>
static __global__ void __launch_bounds__(tile_side* tile_height)
    transpose_tiles(std::size_t tiles, int m, int n, const T* from, Sink<T> to) {
  // The padding puts the elements of a column into different banks.
  POE_SHARED(T[tile_side][tile_side + 1], tile);
  const int across = (n + tile_side - 1) / tile_side, down = (m + tile_side - 1) / tile_side;
  const std::size_t size = static_cast<std::size_t>(m) * static_cast<std::size_t>(n);
  const int x = static_cast<int>(threadIdx.x), y = static_cast<int>(threadIdx.y);
  for (std::size_t t = blockIdx.x; t < tiles; t += gridDim.x) {
    const std::size_t row = t / static_cast<std::size_t>(across);
    const int j0 = static_cast<int>(t % static_cast<std::size_t>(across)) * tile_side;
    const int i0 = static_cast<int>(row % static_cast<std::size_t>(down)) * tile_side;
    const std::size_t sample = row / static_cast<std::size_t>(down) * size;
    POE_UNROLL
    for (int k = 0; k < tile_side; k += tile_height) {
      const int i = i0 + y + k, j = j0 + x;
      if (i < m && j < n)
        tile[y + k][x] = from[sample + static_cast<std::size_t>(i) * static_cast<std::size_t>(n) +
                              static_cast<std::size_t>(j)];
    }
    __syncthreads();
    POE_UNROLL
    for (int k = 0; k < tile_side; k += tile_height) {
      const int i = i0 + x, j = j0 + y + k;
      if (i < m && j < n)
        to.put(sample + static_cast<std::size_t>(j) * static_cast<std::size_t>(m) +
                   static_cast<std::size_t>(i),
               tile[x][y + k]);
    }
    __syncthreads();
  }
}

/// Rows are samples, columns the long side. Element (l, s) of the long and the short side lies at
/// l * from_long + s * from_short of a sample, and goes to l * to_long + s * to_short.
struct ShortTranspose {
  std::size_t rows, length;
  int shortness;
  std::size_t from_long, from_short, to_long, to_short;
};
template <class T>
static __global__ void __launch_bounds__(grid_threads)
    transpose_short(ShortTranspose s, const T* from, Sink<T> to) {
  const std::size_t l = column();
  if (l >= s.length) return;
  const std::size_t size = s.length * static_cast<std::size_t>(s.shortness);
  for (std::size_t r = first_row(); r < s.rows; r += row_step()) {
    const T* const source = from + r * size + l * s.from_long;
    const std::size_t target = r * size + l * s.to_long;
    T x[short_side];
    POE_UNROLL
    for (int k = 0; k < short_side; ++k)
      if (k < s.shortness) x[k] = source[static_cast<std::size_t>(k) * s.from_short];
    POE_UNROLL
    for (int k = 0; k < short_side; ++k)
      if (k < s.shortness) to.put(target + static_cast<std::size_t>(k) * s.to_short, x[k]);
  }
}

/// Columns are packs.
template <int W, class T>
static __global__ void __launch_bounds__(grid_threads)
    copy_block(std::size_t rows, std::size_t columns, Columns<const T> from, Columns<T> to,
               bool accumulate) {
  const std::size_t c = column() * W;
  if (c >= columns) return;
  for (std::size_t r = first_row(); r < rows; r += row_step()) {
    const Sink<T> sink{to.data + r * static_cast<std::size_t>(to.stride), accumulate};
    put(sink, c, load<W>(from.data + r * static_cast<std::size_t>(from.stride) + c));
  }
}

}  // namespace cuda

template <class T>
void transpose_samples(int rows, int m, int n, const T* from, Sink<T> to, Executor<Cuda>& on) {
  if (rows == 0 || m == 0 || n == 0) return;
  const auto r = static_cast<std::size_t>(rows);
  const auto mm = static_cast<std::size_t>(m), nn = static_cast<std::size_t>(n);
  if (m == 1 || n == 1) {
    pass_on(r * mm * nn, from, to, on);
  } else if (n <= cuda::short_side) {
    const cuda::Grid g = cuda::matrix_grid(r, mm);
    cuda::launch(cuda::transpose_short<T>, g.blocks, g.threads, 0, on.stream(),
                 cuda::ShortTranspose{r, mm, n, nn, 1, 1, mm}, from, to);
  } else if (m <= cuda::short_side) {
    const cuda::Grid g = cuda::matrix_grid(r, nn);
    cuda::launch(cuda::transpose_short<T>, g.blocks, g.threads, 0, on.stream(),
                 cuda::ShortTranspose{r, nn, m, 1, nn, mm, 1}, from, to);
  } else {
    const std::size_t side = cuda::tile_side;
    const std::size_t tiles = r * cuda::blocks_for(mm, side) * cuda::blocks_for(nn, side);
    const std::size_t blocks = std::min(tiles, cuda::resident_blocks());
    cuda::launch(cuda::transpose_tiles<T>, dim3(static_cast<unsigned>(blocks)),
                 dim3(cuda::tile_side, cuda::tile_height), 0, on.stream(), tiles, m, n, from, to);
  }
}

template <class T>
void copy_columns(int rows, int columns, Columns<const T> from, Columns<T> to, bool accumulate,
                  Executor<Cuda>& on) {
  if (rows == 0 || columns == 0) return;
  const auto r = static_cast<std::size_t>(rows), c = static_cast<std::size_t>(columns);
  constexpr int w = cuda::wide<T>;
  // A single row has no use for the strides.
  const bool fits = columns % w == 0 && cuda::aligned(from.data, to.data) &&
                    (rows == 1 || (from.stride % w == 0 && to.stride % w == 0));
  if (fits) {
    const cuda::Grid g = cuda::matrix_grid(r, c / w);
    cuda::launch(cuda::copy_block<w, T>, g.blocks, g.threads, 0, on.stream(), r, c, from, to,
                 accumulate);
  } else {
    const cuda::Grid g = cuda::matrix_grid(r, c);
    cuda::launch(cuda::copy_block<1, T>, g.blocks, g.threads, 0, on.stream(), r, c, from, to,
                 accumulate);
  }
}

}  // namespace poe
