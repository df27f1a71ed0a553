// SPDX-License-Identifier: MIT
// Clouds of particles: drawing them with their log-densities, and taking gradients back.
//
// Threads share rows of `latent` numbers as in gaussian_shared.cuh: V neighbouring dimensions each.
//   draw_cloud_kernel    the threads of a sample z draw it, then find its log-density under the
//                        prior and under each component, one after the other; those of the first
//                        particles also the divergences. Sums over dimensions: every thread over
//                        its own in ascending order, then a tree of shuffles.
//   spread_cloud_kernel  block (x, c) has rows of component c, and c = C those of the prior. Its
//                        warps have the same rows; warp y takes particles y, y + slices, ..., first
//                        those drawn from c, then all as arguments of its density. Sums over the
//                        warps are taken in ascending order. The prior's sums over particles become
//                        a row of a scratch matrix, whose columns are added last.
#pragma once

#include "gaussian_single.cuh"

#include <poe/ops/conv_cuda.hpp>
#include <poe/particles/density.hpp>
#include <poe/particles/memory.hpp>

namespace poe::particles::gpu {

using cuda::load, cuda::Pack;
using gaussian::gpu::for_rows, gaussian::gpu::Index, gaussian::gpu::Place;
using gaussian::gpu::place_of, gaussian::gpu::RowShape, gaussian::gpu::sum_over_row;
using gaussian::gpu::write;

/// CloudMemory and what its gradients need, as an argument of kernels.
template <class T>
struct CloudArguments {
  RowShape shape;  // of the threads; its rows: samples when drawing, else rows of the batch
  int rows, components, particles;
  std::ptrdiff_t samples;  // C K rows
  const T* component[most_components];
  const T* prior;
  T *z, *log_prior, *log_q, *divergence;
  std::ptrdiff_t divergence_stride;
};
template <class T>
struct DrawArguments {
  Random random;
  const std::uint32_t* step;
  std::uint64_t first_row;
  std::uint32_t stream[most_components];  // of the first particle of each component
};
template <class T>
struct SpreadArguments {
  const T *z, *share, *by_log_q;
  T unit, by_divergence;
  bool weighed, squared, parameters;
  T* component[most_components];
  T* prior;  // (rows, latent)
};

/// V dimensions of component j, or with j = C of the prior: location, bounded l.
template <int V, class T>
struct Dimensions {
  Pack<T, V> location = {}, l = {};
};
template <int V, class T>
__device__ __forceinline__ Dimensions<V, T> dimensions_of(const CloudArguments<T>& a, int j,
                                                          std::ptrdiff_t row, int dim) {
  Dimensions<V, T> d;
  if (j < a.components) {
    const T* const at = a.component[j] + row * 2 * a.shape.width + dim;
    d.location = load<V>(at);
    d.l = load<V>(at + a.shape.width);
  } else if (a.prior != nullptr) {
    d.l = load<V>(a.prior + dim);
  }
  POE_UNROLL
  for (int v = 0; v < V; ++v) d.l.at[v] = bounded(d.l.at[v]);
  return d;
}

/// Noise of V elements from `element` on, which is a multiple of V.
template <int V, class T>
__device__ __forceinline__ Pack<T, V> noise_of(NormalDensity, const Random& random,
                                               std::uint64_t element) {
  return gaussian::gpu::normals<V, T>(random, element);
}
template <int V, class T>
__device__ __forceinline__ Pack<T, V> noise_of(LaplaceDensity, const Random& random,
                                               std::uint64_t element) {
  const std::uint64_t block = element / 4;  // constants tell the compiler which word of it is meant
  T u[4];
  POE_UNROLL
  for (int v = 0; v < 4; ++v) u[v] = random.uniform<T>(4 * block + static_cast<std::uint64_t>(v));
  const bool odd = element % 2 != 0, upper = element % 4 >= 2;
  Pack<T, V> e;
  POE_UNROLL
  for (int v = 0; v < V; ++v)
    e.at[v] = LaplaceDensity::noise(V == 4   ? u[v]
                                    : V == 2 ? (upper ? u[2 + v % 2] : u[v])
                                             : (upper ? (odd ? u[3] : u[2]) : (odd ? u[1] : u[0])));
  return e;
}

template <class Density, class T, int V>
static __global__ void draw_cloud_kernel(const __grid_constant__ CloudArguments<T> a,
                                         const __grid_constant__ DrawArguments<T> noise) {
  const Place place = place_of(a.shape);
  const int latent = a.shape.width, step = a.shape.lanes.count * V;
  const int first = place.active ? place.lane * V : latent;
  const std::ptrdiff_t sample = place.active ? place.row : 0;
  const auto p = static_cast<int>(sample / a.rows);
  const std::ptrdiff_t row = sample - static_cast<std::ptrdiff_t>(p) * a.rows;
  const int c = p / a.particles, k = p - c * a.particles;
  const Random source = noise.step == nullptr ? noise.random : noise.random.at_step(*noise.step);
  const Random random = source.with_stream(noise.stream[c] + static_cast<std::uint32_t>(k));
  T* const z = a.z + sample * latent;

  Pack<T, V> mine = {};  // of the first dimensions, which are all in most models
  for (int dim = first; dim < latent; dim += step) {
    const std::uint64_t element =
        (noise.first_row + static_cast<std::uint64_t>(row)) * static_cast<std::uint64_t>(latent) +
        static_cast<std::uint64_t>(dim);
    Pack<T, V> x = noise_of<V, T>(Density{}, random, element);
    const Dimensions<V, T> q = dimensions_of<V>(a, c, row, dim);
    POE_UNROLL
    for (int v = 0; v < V; ++v) x.at[v] = q.location.at[v] + x.at[v] * scale_of(q.l.at[v]);
    write(z + dim, x);
    if (dim == first) mine = x;
  }
  for (int j = 0; j <= a.components; ++j) {
    T* const to = j < a.components ? a.log_q : a.log_prior;
    if (to == nullptr) continue;
    T sum = 0;
    for (int dim = first; dim < latent; dim += step) {
      const Pack<T, V> x = dim == first ? mine : load<V>(static_cast<const T*>(z + dim));
      const Dimensions<V, T> q = dimensions_of<V>(a, j, row, dim);
      POE_UNROLL
      for (int v = 0; v < V; ++v)
        sum += T(0.5) * q.l.at[v] -
               Density::energy((x.at[v] - q.location.at[v]) * inverse_scale_of(q.l.at[v]));
    }
    sum = sum_over_row(sum, place.lane, a.shape.lanes.count);
    if (place.active && place.lane == 0) to[(j < a.components ? j * a.samples : 0) + sample] = sum;
  }
  if (a.divergence == nullptr) return;
  T sum = 0;
  if (k == 0)
    for (int dim = first; dim < latent; dim += step) {
      const Dimensions<V, T> q = dimensions_of<V>(a, c, row, dim);
      const Dimensions<V, T> prior = dimensions_of<V>(a, a.components, row, dim);
      POE_UNROLL
      for (int v = 0; v < V; ++v)
        sum += Density::divergence(q.location.at[v], q.l.at[v], prior.l.at[v],
                                   inverse_scale_of(prior.l.at[v]))
                   .value;
    }
  sum = sum_over_row(sum, place.lane, a.shape.lanes.count);
  if (place.active && place.lane == 0 && k == 0) a.divergence[c * a.divergence_stride + row] = sum;
}

/// g += weight d log density / dx.
template <class Density, int V, class T>
__device__ __forceinline__ void add_slope(const Dimensions<V, T>& q, T weight, const Pack<T, V>& z,
                                          Pack<T, V>& g) {
  POE_UNROLL
  for (int v = 0; v < V; ++v) {
    const T inverse = inverse_scale_of(q.l.at[v]);
    g.at[v] -= weight * Density::slope((z.at[v] - q.location.at[v]) * inverse) * inverse;
  }
}
/// by += weight d log density / d(location, l).
template <class Density, int V, class T>
__device__ __forceinline__ void add_by_parameters(const Dimensions<V, T>& q, T weight,
                                                  const Pack<T, V>& z, Dimensions<V, T>& by) {
  POE_UNROLL
  for (int v = 0; v < V; ++v) {
    const T inverse = inverse_scale_of(q.l.at[v]);
    const T u = (z.at[v] - q.location.at[v]) * inverse, slope = Density::slope(u);
    by.location.at[v] += weight * slope * inverse;
    by.l.at[v] += weight * T(0.5) * (T(1) - u * slope);
  }
}

/// The particles of component c that this warp has: what goes through them.
template <class Density, int V, class T>
__device__ __forceinline__ void spread_samples(const CloudArguments<T>& a,
                                               const SpreadArguments<T>& by, int c,
                                               std::ptrdiff_t row, int dim,
                                               const Dimensions<V, T>& q, Dimensions<V, T>& to) {
  for (int k = static_cast<int>(threadIdx.y); k < a.particles; k += static_cast<int>(blockDim.y)) {
    const std::ptrdiff_t i = static_cast<std::ptrdiff_t>(c * a.particles + k) * a.rows + row;
    const T share = by.weighed ? by.share[i] : T(1);
    const T factor = by.squared ? share : T(1);
    if (factor == T(0)) continue;
    const std::ptrdiff_t at = i * a.shape.width + dim;
    const Pack<T, V> z = load<V>(static_cast<const T*>(a.z + at));
    Pack<T, V> g = by.z == nullptr ? Pack<T, V>{} : load<V>(by.z + at);
    if (by.weighed) {
      if (const T weight = by.unit * share; weight != T(0))
        add_slope<Density>(dimensions_of<V>(a, a.components, row, dim), weight, z, g);
      for (int j = 0; j < a.components; ++j)
        if (const T weight = by.by_log_q[j * a.samples + i]; weight != T(0))
          add_slope<Density>(dimensions_of<V>(a, j, row, dim), weight, z, g);
    }
    POE_UNROLL
    for (int v = 0; v < V; ++v) {
      to.location.at[v] += factor * g.at[v];
      to.l.at[v] -= T(0.5) * factor * g.at[v] * (z.at[v] - q.location.at[v]);
    }
  }
}

/// All particles that this warp has, as arguments of density c with weights of their own.
template <class Density, int V, class T>
__device__ __forceinline__ void spread_densities(const CloudArguments<T>& a, const T* weights,
                                                 T unit, std::ptrdiff_t row, int dim,
                                                 const Dimensions<V, T>& q, Dimensions<V, T>& to) {
  const int all = a.components * a.particles;
  for (int p = static_cast<int>(threadIdx.y); p < all; p += static_cast<int>(blockDim.y)) {
    const std::ptrdiff_t i = static_cast<std::ptrdiff_t>(p) * a.rows + row;
    const T weight = unit * weights[i];
    if (weight == T(0)) continue;
    const Pack<T, V> z = load<V>(static_cast<const T*>(a.z + i * a.shape.width + dim));
    add_by_parameters<Density>(q, weight, z, to);
  }
}

inline constexpr int slices = 8;

template <class Density, class T, int V>
static __global__ void __launch_bounds__(32 * slices, 2)
    spread_cloud_kernel(const __grid_constant__ CloudArguments<T> a,
                        const __grid_constant__ SpreadArguments<T> by) {
  using Parts = Dimensions<V, T>[slices * 32];
  POE_SHARED(Parts, part);
  const Place place = place_of(a.shape);
  const int c = static_cast<int>(blockIdx.y), slice = static_cast<int>(threadIdx.y);
  const bool prior = c == a.components;
  T* const sink = prior ? by.prior : by.component[c];
  const int latent = a.shape.width;
  for (int base = 0; base < latent; base += a.shape.lanes.count * V) {
    const int dim = base + place.lane * V;
    const bool active = place.active && dim < latent && sink != nullptr;
    Dimensions<V, T> sum;
    if (active) {
      const Dimensions<V, T> q = dimensions_of<V>(a, c, place.row, dim);
      if (!prior && (by.z != nullptr || by.weighed))
        spread_samples<Density>(a, by, c, place.row, dim, q, sum);
      if (!prior && by.parameters)
        spread_densities<Density>(a, by.by_log_q + c * a.samples, T(1), place.row, dim, q, sum);
      if (prior && by.weighed)
        spread_densities<Density>(a, by.share, by.unit, place.row, dim, q, sum);
      if (by.by_divergence != T(0)) {
        const Dimensions<V, T> p = prior ? q : dimensions_of<V>(a, a.components, place.row, dim);
        const int from = prior ? slice : c, step = prior ? slices : a.components;
        for (int j = from; j < a.components && (prior || slice == 0); j += step) {
          const Dimensions<V, T> of = prior ? dimensions_of<V>(a, j, place.row, dim) : q;
          POE_UNROLL
          for (int v = 0; v < V; ++v) {
            const auto d = Density::divergence(of.location.at[v], of.l.at[v], p.l.at[v],
                                               inverse_scale_of(p.l.at[v]));
            sum.location.at[v] += by.by_divergence * d.location;
            sum.l.at[v] += by.by_divergence * (prior ? d.to : d.from);
          }
        }
      }
    }
    part[slice * 32 + static_cast<int>(threadIdx.x)] = sum;
    __syncthreads();
    if (slice == 0 && active) {
      for (int s = 1; s < slices; ++s) {
        const Dimensions<V, T> other = part[s * 32 + static_cast<int>(threadIdx.x)];
        POE_UNROLL
        for (int v = 0; v < V; ++v) {
          sum.location.at[v] += other.location.at[v];
          sum.l.at[v] += other.l.at[v];
        }
      }
      if (prior) {
        write(sink + place.row * latent + dim, sum.l);
      } else {
        gaussian::gpu::add_normals(sink + place.row * 2 * latent + dim, latent,
                                   gaussian::gpu::Normals<T, V>{sum.location, sum.l});
      }
    }
    __syncthreads();
  }
}

template <class T>
CloudArguments<T> arguments_of(const CloudMemory<T>& m) {
  CloudArguments<T> a{};
  a.rows = m.rows;
  a.components = m.size();
  a.particles = m.particles;
  a.samples = static_cast<std::ptrdiff_t>(m.size()) * m.particles * m.rows;
  for (int c = 0; c < m.size(); ++c) a.component[c] = m.components[static_cast<std::size_t>(c)];
  a.prior = m.prior;
  a.z = m.z;
  a.log_prior = m.log_prior;
  a.log_q = m.log_q;
  a.divergence = m.divergence;
  a.divergence_stride = m.divergence_stride;
  return a;
}

/// True if everything that is read and written dimension by dimension can be moved in packs.
template <class T>
bool in_packs(const CloudMemory<T>& m) {
  bool packs = gaussian::gpu::all_in_packs(m.z, m.prior);
  for (const T* c : m.components) packs = packs && gaussian::gpu::all_in_packs(c);
  return packs;
}

}  // namespace poe::particles::gpu

namespace poe::particles {

template <class T>
void draw_cloud(const CloudMemory<T>& memory, const Noise& noise, Executor<Cuda>& on) {
  gpu::CloudArguments<T> a = gpu::arguments_of(memory);
  gpu::DrawArguments<T> from{
      noise.random, on.step, static_cast<std::uint64_t>(noise.first_row), {}};
  for (int c = 0; c < a.components; ++c)
    from.stream[c] =
        noise.first_stream +
        static_cast<std::uint32_t>(noise.numbers[static_cast<std::size_t>(c)] * memory.particles);
  gpu::for_rows<T>(static_cast<int>(a.samples), memory.latent, gpu::in_packs(memory),
                   [&](gpu::RowShape shape, dim3 grid, dim3 block, auto v) {
                     a.shape = shape;
                     with_density(memory.distribution == Distribution::laplace,
                                  [&]<class Density>(Density) {
                                    cuda::launch(gpu::draw_cloud_kernel<Density, T, v.value>, grid,
                                                 block, 0, on.stream(), a, from);
                                  });
                   });
}

template <class T>
void spread_cloud(const CloudMemory<T>& memory, const CloudGradients<T>& gradients,
                  Executor<Cuda>& on) {
  const int rows = memory.rows, latent = memory.latent;
  if (rows == 0) return;
  gpu::CloudArguments<T> a = gpu::arguments_of(memory);
  const Coefficients<T>& by = gradients.by;
  gpu::SpreadArguments<T> to{};
  to.z = gradients.z;
  to.share = by.share;
  to.by_log_q = by.by_log_q;
  to.unit = by.unit;
  to.by_divergence = by.by_divergence;
  to.weighed = by.rule.importance && by.share != nullptr;
  to.squared = to.weighed && by.rule.squared;
  to.parameters = by.by_log_q != nullptr && !by.rule.detached;
  bool packs = gpu::in_packs(memory) && gaussian::gpu::all_in_packs(gradients.z);
  for (int c = 0; c < a.components; ++c) {
    to.component[c] = gradients.components[static_cast<std::size_t>(c)];
    packs = packs && gaussian::gpu::all_in_packs(to.component[c]);
  }
  const bool with_prior = gradients.prior != nullptr && (to.weighed || to.by_divergence != T(0));
  Scratch<Cuda> scratch(on.scratch());
  if (with_prior)
    to.prior = scratch.take<T>(static_cast<std::size_t>(rows) * static_cast<std::size_t>(latent));
  // Packs only where enough rows fill the device with them.
  const std::size_t numbers = static_cast<std::size_t>(rows) * static_cast<std::size_t>(latent);
  packs = packs && numbers / 128 >= static_cast<std::size_t>(cuda::device_info().multiprocessors);
  gpu::for_rows<T>(rows, latent, packs, [&](gpu::RowShape shape, dim3, dim3, auto v) {
    a.shape = shape;
    const dim3 grid(
        cuda::blocks_for(static_cast<unsigned>(rows), static_cast<unsigned>(shape.lanes.rows)),
        static_cast<unsigned>(a.components + (with_prior ? 1 : 0)));
    with_density(memory.distribution == Distribution::laplace, [&]<class Density>(Density) {
      cuda::launch(gpu::spread_cloud_kernel<Density, T, v.value>, grid, dim3(32, gpu::slices), 0,
                   on.stream(), a, to);
    });
  });
  if (with_prior) mask_and_sum_columns<T>(to.prior, nullptr, gradients.prior, rows, latent, on);
}

}  // namespace poe::particles
