// SPDX-License-Identifier: MIT
// Fusion of Gaussian experts, one dimension of one row at a time: logarithms throughout, for every
// scale and every plan. The values of a thread are in shared memory.
#pragma once

#include "gaussian_shared.cuh"

namespace poe::gaussian::gpu {

/// log_scale of all experts in use, which products of the same floor share.
template <class T, class A>
__device__ __forceinline__ void read_scales(const A& a, std::uint32_t observed, std::ptrdiff_t at,
                                            T floor, Slots<T> log_scales) {
  for (int e = 0; e < a.experts; ++e)
    if ((observed >> e & 1U) != 0)
      log_scales[e] = log_scale(a.expert[e].value[at + a.latent], floor);
}

/// What the log-precision of expert e is less by in a product that shares it.
template <class T>
__device__ __forceinline__ T log_share_of(const ProductArgument<T>& product, int e) {
  return (product.shared >> e & 1U) == 0 ? T(0) : product.log_share;
}

template <class T, class A>
__device__ __forceinline__ Normal<T> posterior_of(const A& a, int p, Slots<T> posteriors) {
  if (p == prior) return {T(0), T(0)};
  return {posteriors[p], posteriors[a.products + p]};
}

/// Values of one dimension of one row, with logarithms throughout.
template <class T, class A>
__device__ __forceinline__ void fuse_dimension(const A& a, const Random& random,
                                               std::uint32_t observed, std::ptrdiff_t row, int dim,
                                               Slots<T> sums, Slots<T> slots) {
  const Slots<T> location = slots, scale = slots.from(a.experts);
  const Slots<T> posteriors = slots.from(2 * a.experts);
  const std::ptrdiff_t at = row * 2 * a.latent + dim;
  for (int e = 0; e < a.experts; ++e) location[e] = a.expert[e].value[at];
  for (int p = 0; p < a.products; ++p) {
    const auto& product = a.product[p];
    if (p == 0 || product.floor != a.product[p - 1].floor)
      read_scales(a, observed, at, product.floor, scale);
    const T power = product.variance ? T(-1) : T(-2);
    const std::uint32_t members = product.experts & observed;
    ProductSum<T> sum;
    for (int e = 0; e < a.experts; ++e)
      if ((members >> e & 1U) != 0)
        sum.add({location[e], power * scale[e] - log_share_of(product, e)});
    if (product.prior) sum.add({T(0), T(0)});
    const Normal<T> q = sum.result();
    posteriors[p] = q.location;
    posteriors[a.products + p] = q.log_precision;
    product.posterior[at] = q.location;
    product.posterior[at + a.latent] = q.log_precision;
  }
  for (int k = 0; k < a.divergences; ++k)
    sums[k] += divergence(posterior_of(a, a.divergence[k].from, posteriors),
                          posterior_of(a, a.divergence[k].to, posteriors));
  for (int s = 0; s < a.draws; ++s) {
    const Normal<T> q = posterior_of(a, a.draw[s].product, posteriors);
    const std::uint64_t element =
        (a.first_row + static_cast<std::uint64_t>(row)) * static_cast<std::uint64_t>(a.latent) +
        static_cast<std::uint64_t>(dim);
    const T z = normals<1, T>(random.with_stream(a.draw[s].stream), element).at[0];
    a.draw[s].sample[row * a.latent + dim] = q.location + z * math::exp(T(-0.5) * q.log_precision);
  }
}

/// Gradients of one dimension of one row, with logarithms throughout:
///   d location / d mu_e = w_e, d location / d l_e = w_e (mu_e - location), d l / d l_e = w_e, with
///   w_e = e^(l_e - l).
template <class T, class A>
__device__ __forceinline__ void spread_dimension(const A& a, std::uint32_t observed,
                                                 std::ptrdiff_t row, int dim, Slots<T> slots) {
  const Slots<T> location = slots, scale = slots.from(a.experts), slope = slots.from(2 * a.experts);
  const Slots<T> to_location = slots.from(3 * a.experts), to_raw = slots.from(4 * a.experts);
  const Slots<T> posteriors = slots.from(5 * a.experts);
  const Slots<T> g = posteriors.from(2 * a.products), g_l = g.from(a.products);
  const std::ptrdiff_t at = row * 2 * a.latent + dim;
  for (int e = 0; e < a.experts; ++e) {
    location[e] = a.expert[e].value[at];
    to_location[e] = to_raw[e] = T(0);
  }
  for (int p = 0; p < a.products; ++p) {
    const auto& product = a.product[p];
    posteriors[p] = product.posterior[at];
    posteriors[a.products + p] = product.posterior[at + a.latent];
    g[p] = product.gradient == nullptr ? T(0) : product.gradient[at];
    g_l[p] = product.gradient == nullptr ? T(0) : product.gradient[at + a.latent];
  }
  for (int k = 0; k < a.divergences; ++k) {
    const auto& d = a.divergence[k];
    if (d.gradient == nullptr) continue;
    const T weight = d.gradient[row];
    const Normal<T> from = posterior_of(a, d.from, posteriors);
    const Normal<T> to = posterior_of(a, d.to, posteriors);
    const DivergenceSlope<T> by = divergence_slope(from.location - to.location,
                                                   math::exp(to.log_precision - from.log_precision),
                                                   math::exp(to.log_precision));
    g[d.from] += weight * by.location;
    g_l[d.from] += weight * by.from;
    if (d.to == prior || d.stop_gradient_on_target) continue;
    g[d.to] -= weight * by.location;
    g_l[d.to] += weight * by.to;
  }
  for (int s = 0; s < a.draws; ++s) {  // z = m + e^(-l / 2) epsilon
    const auto& draw = a.draw[s];
    if (draw.gradient == nullptr) continue;
    const std::ptrdiff_t i = row * a.latent + dim;
    const T gz = draw.gradient[i];
    g[draw.product] += gz;
    g_l[draw.product] -= T(0.5) * (draw.sample[i] - posteriors[draw.product]) * gz;
  }
  for (int p = 0; p < a.products; ++p) {
    const auto& product = a.product[p];
    if (p == 0 || product.floor != a.product[p - 1].floor) {
      read_scales(a, observed, at, product.floor, scale);
      for (int e = 0; e < a.experts; ++e)
        if ((observed >> e & 1U) != 0)
          slope[e] = log_scale_slope(a.expert[e].value[at + a.latent], scale[e]);
    }
    if (!product.differentiated) continue;
    const T power = product.variance ? T(-1) : T(-2);
    const std::uint32_t members = product.experts & observed;
    const Normal<T> q = posterior_of(a, p, posteriors);
    for (int e = 0; e < a.experts; ++e) {
      if ((members >> e & 1U) == 0) continue;
      const T w = math::exp(power * scale[e] - log_share_of(product, e) - q.log_precision);
      to_location[e] += w * g[p];
      to_raw[e] += w * ((location[e] - q.location) * g[p] + g_l[p]) * power * slope[e];
    }
  }
  for (int e = 0; e < a.experts; ++e) {
    if ((observed >> e & 1U) == 0 || a.expert[e].sink == nullptr) continue;
    a.expert[e].sink[at] += to_location[e];
    a.expert[e].sink[at + a.latent] += to_raw[e];
  }
}

}  // namespace poe::gaussian::gpu
