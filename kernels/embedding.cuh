// SPDX-License-Identifier: MIT
// Table look-up on the GPU, and its gradient without atomics.
//
// In the gradient one block of every token position asks whether its id occurs earlier; the block
// of the first occurrence sums all of them, in the order of position, so that the result is that of
// the CPU. Every position reads the ids before it: n * n / 2 reads of 4 bytes, from the cache.
#pragma once

#include "device.cuh"

#include <limits>

#include <poe/ops/embedding.hpp>

namespace poe {
namespace cuda {

inline constexpr std::size_t width_parts = 16;  // blocks that share one position, at most

template <class T>
inline constexpr T not_a_number = std::numeric_limits<T>::quiet_NaN();

/// Matrix rows are tokens, columns packs of the vectors.
template <int W, class T>
static __global__ void __launch_bounds__(grid_threads)
    look_up(TableShape s, std::size_t n, const T* ids, const T* table, T* y, std::int32_t* found,
            std::uint32_t* fault) {
  const std::size_t c = column() * W;
  const auto width = static_cast<std::size_t>(s.width);
  if (c >= width) return;
  for (std::size_t i = first_row(); i < n; i += row_step()) {
    const T id = ids[i];
    const bool known = id >= T(0) && id < T(s.rows) && id == std::floor(id);
    Pack<T, W> x;
    if (known) {
      x = load<W>(table + static_cast<std::size_t>(id) * width + c);
    } else {
      POE_UNROLL
      for (int k = 0; k < W; ++k) x.at[k] = not_a_number<T>;
    }
    store<W>(y + i * width + c, x);
    if (c == 0) {
      found[i] = known ? static_cast<std::int32_t>(id) : s.padding;
      if (!known && fault != nullptr) atomicOr(fault, 1U);
    }
  }
}

/// Block (position, part of the width); only first occurrences have work.
template <int W, class T>
static __global__ void __launch_bounds__(grid_threads)
    sum_of_occurrences(TableShape s, std::size_t n, const std::int32_t* found, const T* dy,
                       T* table_gradient) {
  constexpr int warps = grid_threads / 32;
  POE_SHARED(unsigned[warps], votes);
  POE_SHARED(unsigned[grid_threads], places);  // of the occurrences in one chunk, ascending
  const std::size_t position = blockIdx.x;
  const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const std::int32_t id = found[position];
  bool earlier = id == s.padding;
  for (std::size_t i = threadIdx.x; i < position && !earlier; i += grid_threads)
    earlier = found[i] == id;
  if (__syncthreads_or(earlier ? 1 : 0) != 0) return;  // the same answer in all threads

  const auto width = static_cast<std::size_t>(s.width);
  for (std::size_t part = blockIdx.y * std::size_t{grid_threads} * W; part < width;
       part += gridDim.y * std::size_t{grid_threads} * W) {
    const std::size_t c = part + threadIdx.x * std::size_t{W};
    T* const row = table_gradient + static_cast<std::size_t>(id) * width + c;
    Pack<T, W> sum;
    if (c < width) sum = load<W>(row);
    for (std::size_t chunk = position; chunk < n; chunk += grid_threads) {
      const std::size_t i = chunk + threadIdx.x;
      const bool mine = i < n && found[i] == id;
      const unsigned vote = __ballot_sync(all_lanes, mine ? 1 : 0);
      if (lane == 0) votes[warp] = vote;
      __syncthreads();
      unsigned before = 0, count = 0;
      POE_UNROLL
      for (unsigned v = 0; v < warps; ++v) {
        const auto here = static_cast<unsigned>(__popc(votes[v]));
        if (v < warp) before += here;
        count += here;
      }
      if (mine)
        places[before + static_cast<unsigned>(__popc(vote & ((1U << lane) - 1)))] = threadIdx.x;
      __syncthreads();
      if (c < width) {
        constexpr unsigned group = 4;  // vectors that are on their way at a time
        for (unsigned k = 0; k < count; k += group) {
          Pack<T, W> g[group];
          POE_UNROLL
          for (unsigned u = 0; u < group; ++u)
            if (k + u < count) g[u] = load<W>(dy + (chunk + places[k + u]) * width + c);
          POE_UNROLL
          for (unsigned u = 0; u < group; ++u)
            if (k + u < count) {
              POE_UNROLL
              for (int e = 0; e < W; ++e) sum.at[e] += g[u].at[e];
            }
        }
      }
      // `votes` is read before the second barrier of a turn, `places` after it and written after
      // the first of the next: no third barrier is needed.
    }
    if (c < width) store<W>(row, sum);
  }
}

}  // namespace cuda

template <class T>
void embed_values(TableShape s, int /*tokens*/, std::size_t n, const T* ids, const T* table, T* y,
                  std::int32_t* found, Executor<Cuda>& on) {
  if (n == 0 || s.width == 0) return;
  constexpr int w = cuda::wide<T>;
  const auto width = static_cast<std::size_t>(s.width);
  if (s.width % w == 0 && cuda::aligned(table, y)) {
    const cuda::Grid g = cuda::matrix_grid(n, width / w);
    cuda::launch(cuda::look_up<w, T>, g.blocks, g.threads, 0, on.stream(), s, n, ids, table, y,
                 found, on.fault);
  } else {
    const cuda::Grid g = cuda::matrix_grid(n, width);
    cuda::launch(cuda::look_up<1, T>, g.blocks, g.threads, 0, on.stream(), s, n, ids, table, y,
                 found, on.fault);
  }
}

template <class T>
void embed_gradient(TableShape s, std::size_t n, const std::int32_t* found, const T* dy,
                    T* table_gradient, Executor<Cuda>& on) {
  if (n == 0 || s.width == 0) return;
  constexpr int w = cuda::wide<T>;
  const auto width = static_cast<std::size_t>(s.width);
  const bool fits = s.width % w == 0 && cuda::aligned(dy, table_gradient);
  const std::size_t part = cuda::grid_threads * (fits ? static_cast<std::size_t>(w) : 1);
  const dim3 grid(static_cast<unsigned>(n), static_cast<unsigned>(std::min(
                                                cuda::blocks_for(width, part), cuda::width_parts)));
  if (fits)
    cuda::launch(cuda::sum_of_occurrences<w, T>, grid, dim3(cuda::grid_threads), 0, on.stream(), s,
                 n, found, dy, table_gradient);
  else
    cuda::launch(cuda::sum_of_occurrences<1, T>, grid, dim3(cuda::grid_threads), 0, on.stream(), s,
                 n, found, dy, table_gradient);
}

}  // namespace poe
