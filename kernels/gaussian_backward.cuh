// SPDX-License-Identifier: MIT
// Fusion of Gaussian experts, backwards: gradients of the experts from one kernel. It computes the
// products again, which takes less time than reading them.
#pragma once

#include "gaussian_dimension.cuh"

namespace poe::gaussian::gpu {

/// Gradient of V dimensions of a product.
template <class T, int V>
struct PosteriorGradient {
  T location[V], log_precision[V];
};

/// Adds weight * d KL(q || p); `p` null: to the prior; `g_p` null: p is held fixed.
template <class T, int V>
__device__ __forceinline__ void plain_divergence_gradients(T weight, const PlainPosterior<T, V>& q,
                                                           const PlainPosterior<T, V>* p,
                                                           PosteriorGradient<T, V>& g_q,
                                                           PosteriorGradient<T, V>* g_p) {
  POE_UNROLL
  for (int j = 0; j < V; ++j) {
    const T precision = p == nullptr ? T(1) : p->precision[j];
    const T d = p == nullptr ? q.location[j] : q.location[j] - p->location[j];
    const DivergenceSlope<T> by = divergence_slope(d, precision * q.variance[j], precision);
    g_q.location[j] += weight * by.location;
    g_q.log_precision[j] += weight * by.from;
    if (g_p == nullptr) continue;
    g_p->location[j] -= weight * by.location;
    g_p->log_precision[j] += weight * by.to;
  }
}

/// Gradients of V dimensions in registers. -> false, and nothing done, where plain numbers do not
/// serve.
template <int V, int E, int P, class T, class A>
__device__ __forceinline__ bool spread_plain(const A& a, std::uint32_t observed, std::ptrdiff_t row,
                                             int dim) {
  const std::ptrdiff_t at = row * 2 * a.latent + dim;
  PlainExpert<T, V> expert[E];
  if (!load_plain_experts(a, observed, at, expert)) return false;

  PlainPosterior<T, V> posterior[P];
  PosteriorGradient<T, V> g[P];
  each<P>([&](auto p) {
    if (p.value >= a.products) return;
    const auto& product = a.product[p.value];
    plain_product<false>(expert, product.experts & observed, product.prior, product.variance,
                         posterior[p.value]);
    Pack<T, V> location{}, log_precision{};
    if (product.gradient != nullptr) {
      location = load<V>(product.gradient + at);
      log_precision = load<V>(product.gradient + at + a.latent);
    }
    POE_UNROLL
    for (int j = 0; j < V; ++j) {
      g[p.value].location[j] = location.at[j];
      g[p.value].log_precision[j] = log_precision.at[j];
    }
  });

  for (int k = 0; k < a.divergences; ++k) {
    const auto& d = a.divergence[k];
    if (d.gradient == nullptr) continue;
    const T weight = d.gradient[row];
    const int from = d.from, to = d.to;
    const bool hold = d.stop_gradient_on_target;
    each<P>([&](auto q) {
      if (from != q.value) return;
      const auto add = [&](const PlainPosterior<T, V>* p, PosteriorGradient<T, V>* g_p) {
        plain_divergence_gradients<T, V>(weight, posterior[q.value], p, g[q.value], g_p);
      };
      if (to == prior) add(nullptr, nullptr);
      each<P>([&](auto p) {
        if (to != p.value) return;
        if (hold)
          add(&posterior[p.value], nullptr);
        else
          add(&posterior[p.value], &g[p.value]);
      });
    });
  }
  for (int s = 0; s < a.draws; ++s) {  // z = m + e^(-l / 2) epsilon
    const auto& draw = a.draw[s];
    if (draw.gradient == nullptr) continue;
    const std::ptrdiff_t i = row * a.latent + dim;
    const Pack<T, V> gz = load<V>(draw.gradient + i);
    const Pack<T, V> z = load<V>(static_cast<const T*>(draw.sample) + i);
    each<P>([&](auto p) {
      if (draw.product != p.value) return;
      POE_UNROLL
      for (int j = 0; j < V; ++j) {
        g[p.value].location[j] += gz.at[j];
        g[p.value].log_precision[j] -=
            T(0.5) * (z.at[j] - posterior[p.value].location[j]) * gz.at[j];
      }
    });
  }

  each<E>([&](auto e) {
    if (e.value >= a.experts || (observed >> e.value & 1U) == 0) return;
    if (a.expert[e.value].sink == nullptr) return;
    const PlainExpert<T, V>& one = expert[e.value];
    T to_location[V] = {}, to_raw[V] = {};
    each<P>([&](auto p) {
      if (p.value >= a.products) return;
      const auto& product = a.product[p.value];
      if (!product.differentiated || (product.experts >> e.value & 1U) == 0) return;
      const bool variance = product.variance;
      POE_UNROLL
      for (int j = 0; j < V; ++j) {
        const T precision = variance ? one.inverse[j] : one.inverse[j] * one.inverse[j];
        const T w = precision * posterior[p.value].variance[j];
        const T by_location = w * g[p.value].location[j];
        const T by_scale = (one.location[j] - posterior[p.value].location[j]) * by_location +
                           w * g[p.value].log_precision[j];
        to_location[j] += by_location;
        to_raw[j] += (variance ? T(-1) : T(-2)) * by_scale;
      }
    });
    T* const sink = a.expert[e.value].sink + at;
    Pack<T, V> location = load<V>(static_cast<const T*>(sink));
    Pack<T, V> raw = load<V>(static_cast<const T*>(sink) + a.latent);
    POE_UNROLL
    for (int j = 0; j < V; ++j) {
      location.at[j] += to_location[j];
      raw.at[j] += to_raw[j] * one.slope[j];
    }
    write(sink, location);
    write(sink + a.latent, raw);
  });
  return true;
}

/// V dimensions a thread; with P = 0 every dimension by spread_dimension().
template <class T, int V, int E, int P, class A>
static __global__ void __launch_bounds__(threads, backward_blocks(V * sizeof(T) / 4, E, P))
    fuse_backward(const A a) {
  POE_DYNAMIC_SHARED(T, shared);
  const Slots<T> slots{shared + threadIdx.x};
  const Place place = place_of(a);
  if (!place.active) return;  // no barrier follows
  const std::uint32_t observed = observed_in(a, place.row);
  for (int dim = place.lane * V; dim < a.latent; dim += a.lanes.count * V) {
    if constexpr (P > 0)
      if (spread_plain<V, E, P, T>(a, observed, place.row, dim)) continue;
    for (int j = 0; j < V; ++j) spread_dimension<T>(a, observed, place.row, dim + j, slots);
  }
}

}  // namespace poe::gaussian::gpu
