// SPDX-License-Identifier: MIT
// The steps of a fusion of Gaussian experts, each a kernel of its own, and log-mean-exp of rows.
//
// Threads share rows as in the fused kernels (gaussian_shared.cuh): V neighbouring numbers each,
// the threads of a row side by side in one warp. Sums over a row: every thread over its own numbers
// in ascending order, then a tree of shuffles.
#pragma once

#include "gaussian_shared.cuh"

#include <poe/gaussian/single_cuda.hpp>

namespace poe::gaussian::gpu {

struct RowShape {
  int rows, width;  // width: of what the threads of a row share, latent or count
  Lanes lanes;
};

template <class T>
struct Factors {
  RowShape shape;
  int experts;
  const std::uint8_t* observed;
  bool with_prior;
  ExpertArgument<T> factor[max_experts];
};

/// V locations and V log-precisions, or raw scales.
template <class T, int V>
struct Normals {
  Pack<T, V> location, scale;
};
template <int V, class T>
__device__ __forceinline__ Normals<T, V> load_normals(const T* at, int latent) {
  return {load<V>(at), load<V>(at + latent)};
}
template <class T, int V>
__device__ __forceinline__ void store_normals(T* at, int latent, const Normals<T, V>& values) {
  write(at, values.location);
  write(at + latent, values.scale);
}
/// to += values
template <class T, int V>
__device__ __forceinline__ void add_normals(T* at, int latent, const Normals<T, V>& values) {
  Normals<T, V> sum = load_normals<V>(static_cast<const T*>(at), latent);
  POE_UNROLL
  for (int j = 0; j < V; ++j) {
    sum.location.at[j] += values.location.at[j];
    sum.scale.at[j] += values.scale.at[j];
  }
  store_normals(at, latent, sum);
}

/// Calls f(offset of a row of 2 width numbers, row, first dimension) for what this thread owns.
template <int V, class F>
__device__ __forceinline__ void for_each_pack(const RowShape& shape, F&& f) {
  const Place place = place_of(shape);
  if (!place.active) return;
  for (int dim = place.lane * V; dim < shape.width; dim += shape.lanes.count * V)
    f(place.row * 2 * shape.width + dim, place.row, dim);
}

template <class T, int V>
static __global__ void to_log_precision_kernel(RowShape shape, const T* expert, T floor, T power,
                                               T* normal) {
  for_each_pack<V>(shape, [&](std::ptrdiff_t at, std::ptrdiff_t, int) {
    Normals<T, V> x = load_normals<V>(expert + at, shape.width);
    POE_UNROLL
    for (int j = 0; j < V; ++j) x.scale.at[j] = power * log_scale(x.scale.at[j], floor);
    store_normals(normal + at, shape.width, x);
  });
}

template <class T, int V>
static __global__ void to_log_precision_gradient_kernel(RowShape shape, const T* expert,
                                                        const T* gradient, T floor, T power,
                                                        T* sink) {
  for_each_pack<V>(shape, [&](std::ptrdiff_t at, std::ptrdiff_t, int) {
    const Pack<T, V> raw = load<V>(expert + at + shape.width);
    Normals<T, V> g = load_normals<V>(gradient + at, shape.width);
    POE_UNROLL
    for (int j = 0; j < V; ++j)
      g.scale.at[j] *= power * log_scale_slope(raw.at[j], log_scale(raw.at[j], floor));
    add_normals(sink + at, shape.width, g);
  });
}

template <class T, int V>
static __global__ void product_kernel(const Factors<T> a, T* posterior) {
  for_each_pack<V>(a.shape, [&](std::ptrdiff_t at, std::ptrdiff_t row, int) {
    const std::uint32_t observed = observed_in(a, row);
    ProductSum<T> sum[V];
    for (int e = 0; e < a.experts; ++e) {
      if ((observed >> e & 1U) == 0) continue;
      const Normals<T, V> x = load_normals<V>(a.factor[e].value + at, a.shape.width);
      POE_UNROLL
      for (int j = 0; j < V; ++j) sum[j].add({x.location.at[j], x.scale.at[j]});
    }
    Normals<T, V> out;
    POE_UNROLL
    for (int j = 0; j < V; ++j) {
      if (a.with_prior) sum[j].add({T(0), T(0)});
      const Normal<T> q = sum[j].result();
      out.location.at[j] = q.location;
      out.scale.at[j] = q.log_precision;
    }
    store_normals(posterior + at, a.shape.width, out);
  });
}

template <class T, int V>
static __global__ void product_gradient_kernel(const Factors<T> a, const T* posterior,
                                               const T* gradient) {
  for_each_pack<V>(a.shape, [&](std::ptrdiff_t at, std::ptrdiff_t row, int) {
    const std::uint32_t observed = observed_in(a, row);
    const Normals<T, V> q = load_normals<V>(posterior + at, a.shape.width);
    const Normals<T, V> g = load_normals<V>(gradient + at, a.shape.width);
    for (int e = 0; e < a.experts; ++e) {
      if ((observed >> e & 1U) == 0 || a.factor[e].sink == nullptr) continue;
      const Normals<T, V> x = load_normals<V>(a.factor[e].value + at, a.shape.width);
      Normals<T, V> by;
      POE_UNROLL
      for (int j = 0; j < V; ++j) {
        const T w = math::exp(x.scale.at[j] - q.scale.at[j]);
        by.location.at[j] = w * g.location.at[j];
        by.scale.at[j] =
            w * ((x.location.at[j] - q.location.at[j]) * g.location.at[j] + g.scale.at[j]);
      }
      add_normals(a.factor[e].sink + at, a.shape.width, by);
    }
  });
}

template <class T, int V>
__device__ __forceinline__ Normals<T, V> target_of(const T* to, std::ptrdiff_t at, int latent) {
  if (to == nullptr) return {};
  return load_normals<V>(to + at, latent);
}

template <class T, int V>
static __global__ void divergence_kernel(RowShape shape, const T* from, const T* to, T* result) {
  T sum = 0;
  for_each_pack<V>(shape, [&](std::ptrdiff_t at, std::ptrdiff_t, int) {
    const Normals<T, V> q = load_normals<V>(from + at, shape.width);
    const Normals<T, V> p = target_of<T, V>(to, at, shape.width);
    POE_UNROLL
    for (int j = 0; j < V; ++j)
      sum += divergence<T>({q.location.at[j], q.scale.at[j]}, {p.location.at[j], p.scale.at[j]});
  });
  const Place place = place_of(shape);
  sum = sum_over_row(sum, place.lane, shape.lanes.count);
  if (place.active && place.lane == 0) result[place.row] = sum;
}

template <class T, int V>
static __global__ void divergence_gradient_kernel(RowShape shape, const T* from, const T* to,
                                                  const T* gradient, T* from_sink, T* to_sink) {
  for_each_pack<V>(shape, [&](std::ptrdiff_t at, std::ptrdiff_t row, int) {
    const T weight = gradient[row];
    const Normals<T, V> q = load_normals<V>(from + at, shape.width);
    const Normals<T, V> p = target_of<T, V>(to, at, shape.width);
    Normals<T, V> by_q, by_p;
    POE_UNROLL
    for (int j = 0; j < V; ++j) {
      const T l = p.scale.at[j];
      const DivergenceSlope<T> by = divergence_slope(q.location.at[j] - p.location.at[j],
                                                     math::exp(l - q.scale.at[j]), math::exp(l));
      by_q.location.at[j] = weight * by.location;
      by_q.scale.at[j] = weight * by.from;
      by_p.location.at[j] = -weight * by.location;
      by_p.scale.at[j] = weight * by.to;
    }
    if (from_sink != nullptr) add_normals(from_sink + at, shape.width, by_q);
    if (to_sink != nullptr) add_normals(to_sink + at, shape.width, by_p);
  });
}

template <class T, int V>
static __global__ void sample_kernel(RowShape shape, const T* normal, Random random,
                                     const std::uint32_t* step, std::uint64_t first_row, T* z) {
  const Random here = step == nullptr ? random : random.at_step(*step);
  for_each_pack<V>(shape, [&](std::ptrdiff_t at, std::ptrdiff_t row, int dim) {
    const Normals<T, V> q = load_normals<V>(normal + at, shape.width);
    const std::uint64_t element =
        (first_row + static_cast<std::uint64_t>(row)) * static_cast<std::uint64_t>(shape.width) +
        static_cast<std::uint64_t>(dim);
    Pack<T, V> e = normals<V, T>(here, element);
    POE_UNROLL
    for (int j = 0; j < V; ++j)
      e.at[j] = q.location.at[j] + e.at[j] * math::exp(T(-0.5) * q.scale.at[j]);
    write(z + row * shape.width + dim, e);
  });
}

template <class T, int V>
static __global__ void sample_gradient_kernel(RowShape shape, const T* normal, const T* z,
                                              const T* gradient, T* sink) {
  for_each_pack<V>(shape, [&](std::ptrdiff_t at, std::ptrdiff_t row, int dim) {
    const std::ptrdiff_t i = row * shape.width + dim;
    const Pack<T, V> location = load<V>(normal + at), sampled = load<V>(z + i);
    Normals<T, V> by;
    by.location = load<V>(gradient + i);
    POE_UNROLL
    for (int j = 0; j < V; ++j)
      by.scale.at[j] = T(-0.5) * (sampled.at[j] - location.at[j]) * by.location.at[j];
    add_normals(sink + at, shape.width, by);
  });
}

template <class T, int V>
static __global__ void log_mean_exp_kernel(RowShape shape, const T* x, T log_count, T* result) {
  const Place place = place_of(shape);
  LogSum<T> sum;
  for_each_pack<V>(shape, [&](std::ptrdiff_t, std::ptrdiff_t row, int first) {
    const Pack<T, V> part = load<V>(x + row * shape.width + first);
    POE_UNROLL
    for (int j = 0; j < V; ++j) sum.add(part.at[j]);
  });
  for (int step = 1; step < shape.lanes.count; step *= 2) {
    LogSum<T> other;
    other.top = __shfl_down_sync(0xffffffffU, sum.top, static_cast<unsigned>(step));
    other.total = __shfl_down_sync(0xffffffffU, sum.total, static_cast<unsigned>(step));
    if (place.lane + step < shape.lanes.count) sum.add(other);
  }
  if (place.active && place.lane == 0) result[place.row] = sum.result() - log_count;
}

template <class T, int V>
static __global__ void log_mean_exp_gradient_kernel(RowShape shape, const T* x, const T* result,
                                                    const T* gradient, T log_count, T* sink) {
  for_each_pack<V>(shape, [&](std::ptrdiff_t, std::ptrdiff_t row, int first) {
    const T total = result[row] + log_count;
    if (total == LogSum<T>::none || total == -LogSum<T>::none) return;
    const T g = gradient[row];
    const std::ptrdiff_t at = row * shape.width + first;
    const Pack<T, V> part = load<V>(x + at);
    Pack<T, V> to = load<V>(static_cast<const T*>(sink) + at);
    POE_UNROLL
    for (int j = 0; j < V; ++j) to.at[j] += g * math::exp(part.at[j] - total);
    write(sink + at, to);
  });
}

/// Numbers of 16 bytes.
template <class T>
inline constexpr int pack = 16 / static_cast<int>(sizeof(T));

/// Calls f(shape, grid, block, numbers a thread): 16 bytes of them if `packs` and the width permit,
/// else one.
template <class T, class F>
void for_rows(int rows, int width, bool packs, F&& f) {
  if (rows == 0 || width == 0) return;
  const auto run = [&]<int V>(Index<V> numbers) {
    const RowShape shape{rows, width, lanes_for(cuda::blocks_for(width, V))};
    const unsigned warps =
        cuda::blocks_for(static_cast<unsigned>(rows), static_cast<unsigned>(shape.lanes.rows));
    const unsigned few = 4 * static_cast<unsigned>(cuda::device_info().multiprocessors);
    const unsigned of_block = warps <= few ? 1 : threads / 32;
    f(shape, dim3(cuda::blocks_for(warps, of_block)), dim3(32 * of_block), numbers);
  };
  if (width % pack<T> == 0 && packs)
    run(Index<pack<T>>{});
  else
    run(Index<1>{});
}

/// True if every array can be moved 16 bytes at a time.
template <class T, class... A>
bool all_in_packs(const T* first, const A*... more) {
  return (in_packs<pack<T>>(first) && ... && in_packs<pack<T>>(more));
}

template <class T>
T power_of(ScaleLink link) {
  return link.variance ? T(-1) : T(-2);
}

template <class T, class F>
void for_factors(std::span<const T* const> factors, std::span<T* const> sinks,
                 const std::uint8_t* observed, bool with_prior, int rows, int latent,
                 const T* posterior, const T* gradient, F&& f) {
  if (factors.size() > static_cast<std::size_t>(max_experts))
    throw Error("product: at most " + std::to_string(max_experts) + " factors, got " +
                std::to_string(factors.size()));
  Factors<T> a{};
  a.experts = static_cast<int>(factors.size());
  a.observed = observed;
  a.with_prior = with_prior;
  bool packs = all_in_packs(posterior, gradient);
  for (std::size_t e = 0; e < factors.size(); ++e) {
    a.factor[e] = {factors[e], sinks.empty() ? nullptr : sinks[e]};
    packs = packs && all_in_packs(factors[e], a.factor[e].sink);
  }
  for_rows<T>(rows, latent, packs, [&](RowShape shape, dim3 grid, dim3 block, auto v) {
    a.shape = shape;
    f(a, grid, block, v);
  });
}

}  // namespace poe::gaussian::gpu

namespace poe::gaussian {

template <class T>
void to_log_precision(const T* expert, int rows, int latent, ScaleLink link, T* normal,
                      Executor<Cuda>& on) {
  gpu::for_rows<T>(rows, latent, gpu::all_in_packs(expert, normal),
                   [&](gpu::RowShape shape, dim3 grid, dim3 block, auto v) {
                     cuda::launch(gpu::to_log_precision_kernel<T, v.value>, grid, block, 0,
                                  on.stream(), shape, expert, static_cast<T>(link.floor),
                                  gpu::power_of<T>(link), normal);
                   });
}

template <class T>
void to_log_precision_gradient(const T* expert, const T* gradient, int rows, int latent,
                               ScaleLink link, T* sink, Executor<Cuda>& on) {
  gpu::for_rows<T>(rows, latent, gpu::all_in_packs(expert, gradient, sink),
                   [&](gpu::RowShape shape, dim3 grid, dim3 block, auto v) {
                     cuda::launch(gpu::to_log_precision_gradient_kernel<T, v.value>, grid, block, 0,
                                  on.stream(), shape, expert, gradient, static_cast<T>(link.floor),
                                  gpu::power_of<T>(link), sink);
                   });
}

template <class T>
void product(std::span<const T* const> factors, const std::uint8_t* observed, bool with_prior,
             int rows, int latent, T* posterior, Executor<Cuda>& on) {
  gpu::for_factors<T>(factors, {}, observed, with_prior, rows, latent, posterior, posterior,
                      [&](const gpu::Factors<T>& a, dim3 grid, dim3 block, auto v) {
                        cuda::launch(gpu::product_kernel<T, v.value>, grid, block, 0, on.stream(),
                                     a, posterior);
                      });
}

template <class T>
void product_gradient(std::span<const T* const> factors, const std::uint8_t* observed,
                      const T* posterior, const T* gradient, int rows, int latent,
                      std::span<T* const> sinks, Executor<Cuda>& on) {
  gpu::for_factors<T>(factors, sinks, observed, false, rows, latent, posterior, gradient,
                      [&](const gpu::Factors<T>& a, dim3 grid, dim3 block, auto v) {
                        cuda::launch(gpu::product_gradient_kernel<T, v.value>, grid, block, 0,
                                     on.stream(), a, posterior, gradient);
                      });
}

template <class T>
void divergence_rows(const T* from, const T* to, int rows, int latent, T* divergence,
                     Executor<Cuda>& on) {
  gpu::for_rows<T>(rows, latent, gpu::all_in_packs(from, to),
                   [&](gpu::RowShape shape, dim3 grid, dim3 block, auto v) {
                     cuda::launch(gpu::divergence_kernel<T, v.value>, grid, block, 0, on.stream(),
                                  shape, from, to, divergence);
                   });
}

template <class T>
void divergence_rows_gradient(const T* from, const T* to, const T* gradient, int rows, int latent,
                              T* from_sink, T* to_sink, Executor<Cuda>& on) {
  gpu::for_rows<T>(rows, latent, gpu::all_in_packs(from, to, from_sink, to_sink),
                   [&](gpu::RowShape shape, dim3 grid, dim3 block, auto v) {
                     cuda::launch(gpu::divergence_gradient_kernel<T, v.value>, grid, block, 0,
                                  on.stream(), shape, from, to, gradient, from_sink, to_sink);
                   });
}

template <class T>
void sample(const T* normal, const Random& random, int first_row, int rows, int latent, T* z,
            Executor<Cuda>& on) {
  gpu::for_rows<T>(rows, latent, gpu::all_in_packs(normal, z),
                   [&](gpu::RowShape shape, dim3 grid, dim3 block, auto v) {
                     cuda::launch(gpu::sample_kernel<T, v.value>, grid, block, 0, on.stream(),
                                  shape, normal, random, on.step,
                                  static_cast<std::uint64_t>(first_row), z);
                   });
}

template <class T>
void sample_gradient(const T* normal, const T* z, const T* gradient, int rows, int latent, T* sink,
                     Executor<Cuda>& on) {
  gpu::for_rows<T>(rows, latent, gpu::all_in_packs(normal, z, gradient, sink),
                   [&](gpu::RowShape shape, dim3 grid, dim3 block, auto v) {
                     cuda::launch(gpu::sample_gradient_kernel<T, v.value>, grid, block, 0,
                                  on.stream(), shape, normal, z, gradient, sink);
                   });
}

template <class T>
void log_mean_exp(const T* x, int rows, int count, T* result, Executor<Cuda>& on) {
  gpu::for_rows<T>(
      rows, count, gpu::all_in_packs(x), [&](gpu::RowShape shape, dim3 grid, dim3 block, auto v) {
        cuda::launch(gpu::log_mean_exp_kernel<T, v.value>, grid, block, 0, on.stream(), shape, x,
                     static_cast<T>(std::log(static_cast<double>(count))), result);
      });
}

template <class T>
void log_mean_exp_gradient(const T* x, const T* result, const T* gradient, int rows, int count,
                           T* sink, Executor<Cuda>& on) {
  gpu::for_rows<T>(rows, count, gpu::all_in_packs(x, sink),
                   [&](gpu::RowShape shape, dim3 grid, dim3 block, auto v) {
                     cuda::launch(gpu::log_mean_exp_gradient_kernel<T, v.value>, grid, block, 0,
                                  on.stream(), shape, x, result, gradient,
                                  static_cast<T>(std::log(static_cast<double>(count))), sink);
                   });
}

}  // namespace poe::gaussian
