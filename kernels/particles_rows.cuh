// SPDX-License-Identifier: MIT
// Rows of which a warp each takes one: estimates of log p(x) from the particles of a row, and
// scales from raw numbers. Sums and log-sums: every lane over its own numbers in ascending order,
// then a butterfly of shuffles, of which the first lane's result counts for all.
#pragma once

#include "device.cuh"

#include <poe/particles/scale.hpp>
#include <poe/particles/weights.hpp>

namespace poe::particles::gpu {

/// The lanes of a warp as the team of estimate_row().
struct WarpTeam {
  static constexpr int size = 32;
  int rank;

  template <class T>
  POE_HD T sum(T x) const {
#if defined(__CUDA_ARCH__) || !defined(__CUDACC__)
    return cuda::warp_sum(x);
#else
    return x;  // what nvcc compiles for the host is never called
#endif
  }
  template <class T>
  POE_HD gaussian::LogSum<T> sum(gaussian::LogSum<T> x) const {
#if defined(__CUDA_ARCH__) || !defined(__CUDACC__)
    POE_UNROLL
    for (int offset = 16; offset > 0; offset /= 2) {
      gaussian::LogSum<T> other;
      other.top = __shfl_xor_sync(cuda::all_lanes, x.top, offset);
      other.total = __shfl_xor_sync(cuda::all_lanes, x.total, offset);
      x.add(other);
    }
    x.top = __shfl_sync(cuda::all_lanes, x.top, 0);
    x.total = __shfl_sync(cuda::all_lanes, x.total, 0);
#endif
    return x;
  }
};

/// Rows of a block.
inline constexpr int row_warps = 4;

/// The row of this warp; -1: none.
__device__ __forceinline__ int row_of_warp(int rows) {
  const std::ptrdiff_t row =
      static_cast<std::ptrdiff_t>(blockIdx.x) * row_warps + static_cast<int>(threadIdx.y);
  return row < rows ? static_cast<int>(row) : -1;
}

template <class T>
static __global__ void __launch_bounds__(32 * row_warps, 4)
    estimate_rows_kernel(const __grid_constant__ EstimateMemory<T> memory) {
  const int row = row_of_warp(memory.rows);
  if (row >= 0) estimate_row(memory, row, WarpTeam{static_cast<int>(threadIdx.x)});
}

/// log L - log sum e^r of one row, in every lane.
template <class T>
__device__ __forceinline__ T softmax_shift(const T* r, int latent, int lane) {
  gaussian::LogSum<T> sum;
  for (int i = lane; i < latent; i += 32) sum.add(r[i]);
  return math::log(static_cast<T>(latent)) - WarpTeam{lane}.sum(sum).result();
}

template <class T>
static __global__ void __launch_bounds__(32 * row_warps, 4)
    link_scales_kernel(const RawScales<T> a, T* out) {
  const int row = row_of_warp(a.rows), lane = static_cast<int>(threadIdx.x);
  if (row < 0) return;  // the whole warp
  const T floor = static_cast<T>(a.rule.floor);
  const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(row) * a.width();
  for (int i = lane; i < a.locations; i += 32) out[at + i] = a.raw[at + i];
  const T* const r = a.raw + at + a.locations;
  T* const l = out + at + a.locations;
  const T shift = a.rule.softmax ? softmax_shift(r, a.latent, lane) : T(0);
  for (int i = lane; i < a.latent; i += 32)
    l[i] = T(-2) *
           (a.rule.softmax ? log_share(r[i] + shift, floor) : gaussian::log_scale(r[i], floor));
}

template <class T>
static __global__ void __launch_bounds__(32 * row_warps, 4)
    link_scales_gradient_kernel(const RawScales<T> a, const T* gradient, T* sink) {
  const int row = row_of_warp(a.rows), lane = static_cast<int>(threadIdx.x);
  if (row < 0) return;  // the whole warp
  const T floor = static_cast<T>(a.rule.floor);
  const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(row) * a.width();
  for (int i = lane; i < a.locations; i += 32) sink[at + i] += gradient[at + i];
  const T* const r = a.raw + at + a.locations;
  const T* const g = gradient + at + a.locations;
  T* const to = sink + at + a.locations;
  if (!a.rule.softmax) {
    for (int i = lane; i < a.latent; i += 32)
      to[i] += T(-2) * g[i] * gaussian::log_scale_slope(r[i], gaussian::log_scale(r[i], floor));
    return;  // the whole warp
  }
  const T shift = softmax_shift(r, a.latent, lane);
  T total = 0;
  for (int i = lane; i < a.latent; i += 32) {
    const T t = r[i] + shift;
    total += T(-2) * g[i] * math::exp(t - log_share(t, floor));
  }
  total = WarpTeam{lane}.sum(total) / static_cast<T>(a.latent);
  for (int i = lane; i < a.latent; i += 32) {
    const T t = r[i] + shift;
    to[i] += T(-2) * g[i] * math::exp(t - log_share(t, floor)) - math::exp(t) * total;
  }
}

template <class K, class... A>
void launch_rows(K kernel, int rows, Executor<Cuda>& on, A&&... arguments) {
  if (rows == 0) return;
  cuda::launch(kernel, dim3(static_cast<unsigned>(cuda::blocks_for(rows, row_warps))),
               dim3(32, row_warps), 0, on.stream(), arguments...);
}

}  // namespace poe::particles::gpu

namespace poe::particles {

template <class T>
void estimate_rows(const EstimateMemory<T>& memory, Executor<Cuda>& on) {
  gpu::launch_rows(gpu::estimate_rows_kernel<T>, memory.rows, on, memory);
}

template <class T>
void link_scales(const RawScales<T>& a, T* out, Executor<Cuda>& on) {
  gpu::launch_rows(gpu::link_scales_kernel<T>, a.rows, on, a, out);
}

template <class T>
void link_scales_gradient(const RawScales<T>& a, const T* gradient, T* sink, Executor<Cuda>& on) {
  gpu::launch_rows(gpu::link_scales_gradient_kernel<T>, a.rows, on, a, gradient, sink);
}

}  // namespace poe::particles
