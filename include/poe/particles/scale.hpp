// SPDX-License-Identifier: MIT
// From what encoders make to components of a mixture, and the prior: raw numbers -> l = -2 log
// scale.
#pragma once

#include <algorithm>

#include <poe/autograd/context.hpp>
#include <poe/gaussian/algebra.hpp>

namespace poe::particles {

/// How raw numbers r become scales: softplus(r) + floor, each for itself; or softmax(r) L + floor,
/// so that the L scales of a sample add up to L (Shi et al. 2019).
struct ScaleRule {
  bool softmax = false;
  double floor = 1e-6;
};

/// log(e^t + floor), t = log(softmax(r) L).
template <class T>
POE_HD T log_share(T t, T floor) {
  return floor == T(0) ? t : math::log(math::exp(t) + floor);
}

/// Raw numbers as plain pointers: rows of `locations` numbers that stay as they are (`latent` of
/// them, or none) and `latent` scales.
template <class T>
struct RawScales {
  const T* raw = nullptr;
  int rows = 0, locations = 0, latent = 0;
  ScaleRule rule{};

  POE_HD int width() const { return locations + latent; }
};

namespace detail {

/// t_i = r_i + shift.
template <class T>
T shift_of(const T* r, int latent) {
  const T top = *std::max_element(r, r + latent);
  T total = 0;
  for (int i = 0; i < latent; ++i) total += math::exp(r[i] - top);
  return math::log(static_cast<T>(latent)) - top - math::log(total);
}

}  // namespace detail

/// -> (rows, locations + latent): locations, then l = -2 log scale.
template <class T>
void link_scales(const RawScales<T>& a, T* out, Executor<Cpu>&) {
  const T floor = static_cast<T>(a.rule.floor);
  const T* raw = a.raw;
  for (int n = 0; n < a.rows; ++n, raw += a.width(), out += a.width()) {
    std::copy(raw, raw + a.locations, out);
    const T* const r = raw + a.locations;
    T* const l = out + a.locations;
    if (a.rule.softmax) {
      const T shift = detail::shift_of(r, a.latent);
      for (int i = 0; i < a.latent; ++i) l[i] = T(-2) * log_share(r[i] + shift, floor);
    } else {
      for (int i = 0; i < a.latent; ++i) l[i] = T(-2) * gaussian::log_scale(r[i], floor);
    }
  }
}

/// gradient: of what link_scales() made; adds to `sink`, the gradient of raw. With p = softmax(r)
/// and s_i = L p_i + floor:
///   dl_i / dr_j = -2 (L / s_i) p_i (delta_ij - p_j).
template <class T>
void link_scales_gradient(const RawScales<T>& a, const T* gradient, T* sink, Executor<Cpu>&) {
  const T floor = static_cast<T>(a.rule.floor);
  const T* raw = a.raw;
  for (int n = 0; n < a.rows; ++n, raw += a.width(), gradient += a.width(), sink += a.width()) {
    for (int i = 0; i < a.locations; ++i) sink[i] += gradient[i];
    const T* const r = raw + a.locations;
    const T* const g = gradient + a.locations;
    T* const to = sink + a.locations;
    if (!a.rule.softmax) {
      for (int i = 0; i < a.latent; ++i)
        to[i] += T(-2) * g[i] * gaussian::log_scale_slope(r[i], gaussian::log_scale(r[i], floor));
      continue;
    }
    const T shift = detail::shift_of(r, a.latent);
    T total = 0;
    for (int i = 0; i < a.latent; ++i) {
      const T t = r[i] + shift;
      total += T(-2) * g[i] * math::exp(t - log_share(t, floor));
    }
    total /= static_cast<T>(a.latent);
    for (int i = 0; i < a.latent; ++i) {
      const T t = r[i] + shift;
      to[i] += T(-2) * g[i] * math::exp(t - log_share(t, floor)) - math::exp(t) * total;
    }
  }
}

/// The same on the GPU: kernels/particles_rows.cuh.
template <class T>
void link_scales(const RawScales<T>& a, T* out, Executor<Cuda>& on);
template <class T>
void link_scales_gradient(const RawScales<T>& a, const T* gradient, T* sink, Executor<Cuda>& on);

/// Experts as encoders make them (B, 2 L), location and raw scale, -> components (B, 2 L), location
/// and l = -2 log scale.
template <int L, class T, class D>
Variable<T, Shape<2 * L>, D> components(Context<T, D>& ctx, Rows<T, Shape<2 * L>, D> experts,
                                        ScaleRule rule) {
  auto y = ctx.tape.template make<Shape<2 * L>>(experts.count, experts.of.differentiable());
  const RawScales<T> raw{experts.of.value + experts.offset(), experts.count, L, L, rule};
  link_scales<T>(raw, y.value, ctx.executor());
  ctx.tape.record(y, [=, on = &ctx.executor()] {
    link_scales_gradient<T>(raw, y.gradient->data, add_sink(experts, *on), *on);
  });
  return y;
}

/// The learnt prior: location 0 and scale softmax(s) L, s being L parameters -> l = -2 log scale,
/// one row. Its gradient is added to that of the parameters.
template <int L, class T, class D>
Variable<T, Shape<L>, D> learnt_prior(Context<T, D>& ctx, Parameter<T> s) {
  auto y = ctx.tape.template make<Shape<L>>(1, s.gradient != nullptr);
  const RawScales<T> raw{s.value, 1, 0, L, {.softmax = true, .floor = 0}};
  link_scales<T>(raw, y.value, ctx.executor());
  ctx.tape.record(y, [=, on = &ctx.executor()] {
    link_scales_gradient<T>(raw, y.gradient->data, s.gradient, *on);
  });
  return y;
}

}  // namespace poe::particles
