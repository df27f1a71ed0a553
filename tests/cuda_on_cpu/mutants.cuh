// SPDX-License-Identifier: MIT
// Small kernels of every kind that poe has, each right with Bug::none and wrong in one known way
// otherwise: what the harness must let pass, and what it must find.
#pragma once

#include "launch.cuh"

namespace poe::harness {

enum class Bug {
  none,
  // product
  no_barrier_after_load,
  no_barrier_before_reuse,
  edge_off_by_one,
  // block_sum
  no_barrier_before_parts,
  shuffle_in_branch,
  barrier_in_branch,
  // softmax
  no_barrier_between_sums,
  dynamic_shared_too_small,
  // scale_rows
  shared_overflow,
  shared_not_written,
  no_syncwarp,
  // axpy
  misaligned,  // the caller's: x begins between two vectors
  past_the_end,
  // last_block_sum
  no_fence,
  count_without_atomic,
  blocks_write_one_word,
};

/// c[m][n] = a[m][k] b[k][n] with tiles of 8 x 8, one output per thread.
template <Bug bug>
static __global__ void product(const float* a, const float* b, float* c, int m, int n, int k) {
  constexpr int tile = 8;
  POE_SHARED(float[8][9], left);
  POE_SHARED(float[8][9], right);
  const int x = static_cast<int>(threadIdx.x), y = static_cast<int>(threadIdx.y);
  const int row = static_cast<int>(blockIdx.y) * tile + y;
  const int column = static_cast<int>(blockIdx.x) * tile + x;
  float sum = 0;
  for (int first = 0; first < k; first += tile) {
    left[y][x] = row < m && first + x < k ? a[row * k + first + x] : 0.0F;
    right[y][x] = first + y < k && column < n ? b[(first + y) * n + column] : 0.0F;
    if constexpr (bug != Bug::no_barrier_after_load) __syncthreads();
    POE_UNROLL
    for (int i = 0; i < tile; ++i) sum += left[y][i] * right[i][x];
    if constexpr (bug != Bug::no_barrier_before_reuse) __syncthreads();
  }
  const bool inside = bug == Bug::edge_off_by_one ? column <= n : column < n;
  if (row < m && inside) c[row * n + column] = sum;
}

/// The sum of `value` over the warp, in lane 0.
static __device__ __forceinline__ float warp_sum(float value) {
  POE_UNROLL
  for (int distance = 16; distance > 0; distance /= 2)
    value += __shfl_down_sync(0xFFFFFFFFU, value, static_cast<unsigned>(distance));
  return value;
}

/// out[block] = sum of the block's row of x, `columns` numbers; 128 threads.
template <Bug bug>
static __global__ void block_sum(const float* x, float* out, int columns) {
  POE_SHARED(float[4], parts);
  const int thread = static_cast<int>(threadIdx.x);
  const float* row = x + static_cast<int>(blockIdx.x) * columns;
  float sum = 0;
  for (int i = thread; i < columns; i += 128) sum += row[i];
  if constexpr (bug == Bug::shuffle_in_branch) {
    if (thread < columns) sum = warp_sum(sum);
  } else {
    sum = warp_sum(sum);
  }
  if (thread % 32 == 0) parts[thread / 32] = sum;
  if constexpr (bug == Bug::barrier_in_branch) {
    if (thread < 64)
      __syncthreads();
    else
      __syncthreads();
  } else if constexpr (bug != Bug::no_barrier_before_parts) {
    __syncthreads();
  }
  if (thread == 0) out[blockIdx.x] = parts[0] + parts[1] + parts[2] + parts[3];
}

/// softmax of the block's row, in dynamic shared memory of columns + 1 floats; 64 threads.
template <Bug bug>
static __global__ void softmax(const float* x, float* out, int columns) {
  POE_DYNAMIC_SHARED(float, row);
  float* total = row + columns;
  const int thread = static_cast<int>(threadIdx.x), first = static_cast<int>(blockIdx.x) * columns;
  for (int i = thread; i < columns; i += 64) row[i] = x[first + i];
  __syncthreads();
  if (thread == 0) {
    float largest = row[0];
    for (int i = 1; i < columns; ++i) largest = max(largest, row[i]);
    *total = largest;
  }
  __syncthreads();
  const float largest = *total;
  for (int i = thread; i < columns; i += 64) row[i] = expf(row[i] - largest);
  if constexpr (bug != Bug::no_barrier_between_sums) __syncthreads();
  if (thread == 0) {
    float sum = 0;
    for (int i = 0; i < columns; ++i) sum += row[i];
    *total = sum;
  }
  __syncthreads();
  for (int i = thread; i < columns; i += 64) out[first + i] = row[i] / *total;
}

static __device__ __forceinline__ void store(float* to, int i, float value) { to[i] = value; }

/// out[i] = x[i] / x[first of the same warp], the divisor by way of shared memory; 64 threads.
template <Bug bug>
static __global__ void scale_rows(const float* x, float* out) {
  POE_SHARED(float[64], row);
  const int thread = static_cast<int>(threadIdx.x);
  const int i = static_cast<int>(blockIdx.x) * 64 + thread;
  if (bug != Bug::shared_not_written || thread != 32)
    store(row, thread + (bug == Bug::shared_overflow ? 1 : 0), x[i]);
  if constexpr (bug == Bug::shared_overflow)
    if (thread == 0) row[0] = x[i];
  if constexpr (bug != Bug::no_syncwarp) __syncwarp();
  out[i] = x[i] / row[thread / 32 * 32];
}

/// y += factor * x, 16 bytes at a time, the last n % 4 one by one.
template <Bug bug>
static __global__ void axpy(const float* x, float* y, float factor, int n) {
  const int stride = static_cast<int>(gridDim.x * blockDim.x);
  const int thread = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  const int vectors = n / 4;
  const auto* x4 = reinterpret_cast<const float4*>(x);
  auto* y4 = reinterpret_cast<float4*>(y);
  for (int i = thread; i < vectors; i += stride) {
    const float4 a = __ldg(x4 + i);
    float4 b = y4[i];
    b.x += factor * a.x;
    b.y += factor * a.y;
    b.z += factor * a.z;
    b.w += factor * a.w;
    y4[i] = b;
  }
  const int end = bug == Bug::past_the_end ? n + 1 : n;
  for (int i = vectors * 4 + thread; i < end; i += stride) y[i] += factor * x[i];
}

/// *out = sum of x, one number per block; the block that comes last adds the parts in their order.
template <Bug bug>
static __global__ void last_block_sum(const float* x, float* parts, unsigned* count, float* out) {
  if constexpr (bug == Bug::blocks_write_one_word)
    if (threadIdx.x == 1) parts[gridDim.x] = 1.0F;
  if (threadIdx.x != 0) return;
  parts[blockIdx.x] = x[blockIdx.x];
  if constexpr (bug != Bug::no_fence) __threadfence();
  unsigned before = 0;
  if constexpr (bug == Bug::count_without_atomic) {
    before = *count;
    *count = before + 1;
  } else {
    before = atomicAdd(count, 1U);
  }
  if (before != gridDim.x - 1) return;
  if constexpr (bug != Bug::no_fence) __threadfence();
  float sum = 0;
  for (unsigned i = 0; i < gridDim.x; ++i) sum += parts[i];
  *out = sum;
}

}  // namespace poe::harness
