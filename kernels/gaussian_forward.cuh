// SPDX-License-Identifier: MIT
// Fusion of Gaussian experts, forwards: posteriors, divergences and samples from one kernel.
#pragma once

#include "gaussian_dimension.cuh"

namespace poe::gaussian::gpu {

/// KL(q || p) of V dimensions, in ascending order; `p` null: to the prior.
template <class T, int V>
__device__ __forceinline__ T plain_divergences(const PlainPosterior<T, V>& q,
                                               const PlainPosterior<T, V>* p) {
  T sum = 0;
  POE_UNROLL
  for (int j = 0; j < V; ++j)
    sum += p == nullptr
               ? plain_divergence(q.log_precision[j], q.location[j], q.variance[j], T(1))
               : plain_divergence(q.log_precision[j] - p->log_precision[j],
                                  q.location[j] - p->location[j], q.variance[j], p->precision[j]);
  return sum;
}

/// Values of V dimensions in registers. -> false, and nothing done, where plain numbers do not
/// serve.
template <int V, int E, int P, class T, class A>
__device__ __forceinline__ bool fuse_plain(const A& a, const Random& random, std::uint32_t observed,
                                           std::ptrdiff_t row, int dim, Slots<T> sums) {
  const std::ptrdiff_t at = row * 2 * a.latent + dim;
  PlainExpert<T, V> expert[E];
  if (!load_plain_experts(a, observed, at, expert)) return false;

  PlainPosterior<T, V> posterior[P];
  each<P>([&](auto p) {
    if (p.value >= a.products) return;
    const auto& product = a.product[p.value];
    PlainPosterior<T, V>& q = posterior[p.value];
    plain_product<true>(expert, product.experts & observed, product.prior, product.variance, q);
    Pack<T, V> location, log_precision;
    POE_UNROLL
    for (int j = 0; j < V; ++j) {
      location.at[j] = q.location[j];
      log_precision.at[j] = q.log_precision[j];
    }
    write(product.posterior + at, location);
    write(product.posterior + at + a.latent, log_precision);
  });

  for (int k = 0; k < a.divergences; ++k) {
    const int from = a.divergence[k].from, to = a.divergence[k].to;
    T sum = 0;
    each<P>([&](auto q) {
      if (from != q.value) return;
      if (to == prior) sum = plain_divergences<T, V>(posterior[q.value], nullptr);
      each<P>([&](auto p) {
        if (to == p.value) sum = plain_divergences<T, V>(posterior[q.value], &posterior[p.value]);
      });
    });
    sums[k] += sum;
  }

  const std::uint64_t element =
      (a.first_row + static_cast<std::uint64_t>(row)) * static_cast<std::uint64_t>(a.latent) +
      static_cast<std::uint64_t>(dim);
  for (int s = 0; s < a.draws; ++s) {
    T location[V] = {}, variance[V] = {};
    each<P>([&](auto p) {
      if (a.draw[s].product != p.value) return;
      POE_UNROLL
      for (int j = 0; j < V; ++j) {
        location[j] = posterior[p.value].location[j];
        variance[j] = posterior[p.value].variance[j];
      }
    });
    Pack<T, V> z = normals<V, T>(random.with_stream(a.draw[s].stream), element);
    POE_UNROLL
    for (int j = 0; j < V; ++j) z.at[j] = location[j] + z.at[j] * plain_sqrt(variance[j]);
    write(a.draw[s].sample + row * a.latent + dim, z);
  }
  return true;
}

/// V dimensions a thread; with P = 0 every dimension by fuse_dimension().
template <class T, int V, int E, int P, class A>
static __global__ void __launch_bounds__(threads, forward_blocks(V * sizeof(T) / 4, E, P))
    fuse_forward(const A a) {
  POE_DYNAMIC_SHARED(T, shared);
  const Slots<T> sums{shared + threadIdx.x};
  const Slots<T> slots = sums.from(a.divergences);
  const Place place = place_of(a);
  for (int k = 0; k < a.divergences; ++k) sums[k] = T(0);
  if (place.active) {
    const Random random = random_of(a);
    const std::uint32_t observed = observed_in(a, place.row);
    for (int dim = place.lane * V; dim < a.latent; dim += a.lanes.count * V) {
      if constexpr (P > 0)
        if (fuse_plain<V, E, P>(a, random, observed, place.row, dim, sums)) continue;
      for (int j = 0; j < V; ++j)
        fuse_dimension(a, random, observed, place.row, dim + j, sums, slots);
    }
  }
  for (int k = 0; k < a.divergences; ++k) {
    const T sum = sum_over_row(place.active ? sums[k] : T(0), place.lane, a.lanes.count);
    if (place.active && place.lane == 0) a.divergence[k].value[place.row] = sum;
  }
}

}  // namespace poe::gaussian::gpu
