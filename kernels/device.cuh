// SPDX-License-Identifier: MIT
// What the kernel families share: 16-byte accesses, sums in a fixed order, and grids for arrays and
// matrices of any size.
#pragma once

#include "launch.cuh"

#include <algorithm>
#include <cstdint>

#include <poe/ops/sink.hpp>

namespace poe::cuda {

inline constexpr unsigned all_lanes = 0xffffffffU;

/// W numbers that one thread loads or stores at a time.
template <class T, int W>
struct alignas(W * sizeof(T)) Pack {
  T at[W];
};

/// Numbers in the widest access, of 16 bytes. The scalar path of a kernel is the one of W = 1.
template <class T>
inline constexpr int wide = static_cast<int>(16 / sizeof(T));

/// p must be aligned to the pack.
template <int W, class T>
__device__ __forceinline__ Pack<T, W> load(const T* p) {
  return *reinterpret_cast<const Pack<T, W>*>(p);
}
template <int W, class T>
__device__ __forceinline__ void store(T* p, const Pack<T, W>& x) {
  *reinterpret_cast<Pack<T, W>*>(p) = x;
}
/// Elements i .. i+W-1 of a sink.
template <int W, class T>
__device__ __forceinline__ void put(Sink<T> to, std::size_t i, Pack<T, W> x) {
  if (to.accumulate) {
    const Pack<T, W> old = load<W>(to.data + i);
    POE_UNROLL
    for (int k = 0; k < W; ++k) x.at[k] = old.at[k] + x.at[k];
  }
  store<W>(to.data + i, x);
}

/// Host: whether every pointer may be used for 16-byte accesses; null may.
template <class... P>
bool aligned(const P*... p) {
  return (... && (reinterpret_cast<std::uintptr_t>(p) % 16 == 0));
}

/// The sum over the 32 lanes of a warp, the same bits in every lane: a butterfly, so a fixed order.
template <class T>
__device__ __forceinline__ T warp_sum(T x) {
  POE_UNROLL
  for (int offset = 16; offset > 0; offset /= 2) x += __shfl_xor_sync(all_lanes, x, offset);
  return x;
}

/// The sum over all threads of a one-dimensional block, in every thread. `partial` is shared memory
/// for Threads / 32 numbers, free again when the call returns. All threads call it.
template <int Threads, class T>
__device__ __forceinline__ T block_sum(T x, T* partial) {
  static_assert(Threads % 32 == 0);
  x = warp_sum(x);
  if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = x;
  __syncthreads();
  T sum = T(0);
  POE_UNROLL
  for (int w = 0; w < Threads / 32; ++w) sum += partial[w];
  __syncthreads();
  return sum;
}

/// A loop over n items by all threads of a one-dimensional grid:
/// for (std::size_t i = thread_in_grid(); i < n; i += threads_in_grid()).
__device__ __forceinline__ std::size_t thread_in_grid() {
  return std::size_t{blockIdx.x} * blockDim.x + threadIdx.x;
}
__device__ __forceinline__ std::size_t threads_in_grid() {
  return std::size_t{gridDim.x} * blockDim.x;
}

/// Threads of the blocks below: small, so that the arrays of one batch reach every multiprocessor.
inline constexpr int grid_threads = 128;

/// The blocks of grid_threads threads that the device runs at one time.
inline std::size_t resident_blocks() {
  return std::size_t{2048 / grid_threads} * static_cast<std::size_t>(device_info().multiprocessors);
}

struct Grid {
  dim3 blocks, threads;
};

/// For a loop over n > 0 items.
inline Grid array_grid(std::size_t n) {
  const std::size_t needed = blocks_for<std::size_t>(n, grid_threads);
  return {dim3(static_cast<unsigned>(std::min(needed, resident_blocks()))), dim3(grid_threads)};
}

/// For a loop over a matrix of rows > 0 and columns > 0: a thread stays in its column and walks
/// over rows, for (std::size_t r = first_row(); r < rows; r += row_step()), if column() < columns.
/// Threads that are neighbours in x have neighbouring columns.
inline Grid matrix_grid(std::size_t rows, std::size_t columns) {
  unsigned width = 1;
  while (width < columns && width < grid_threads) width *= 2;
  const unsigned height = grid_threads / width;
  const std::size_t across = blocks_for<std::size_t>(columns, width);
  const std::size_t room = std::max<std::size_t>(resident_blocks() / across, 1);
  const std::size_t down =
      std::min({blocks_for<std::size_t>(rows, height), room, std::size_t{65535}});
  return {dim3(static_cast<unsigned>(across), static_cast<unsigned>(down)), dim3(width, height)};
}
__device__ __forceinline__ std::size_t column() {
  return std::size_t{blockIdx.x} * blockDim.x + threadIdx.x;
}
__device__ __forceinline__ std::size_t first_row() {
  return std::size_t{blockIdx.y} * blockDim.y + threadIdx.y;
}
__device__ __forceinline__ std::size_t row_step() { return std::size_t{gridDim.y} * blockDim.y; }

}  // namespace poe::cuda
