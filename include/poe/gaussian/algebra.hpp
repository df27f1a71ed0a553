// SPDX-License-Identifier: MIT
// Diagonal Gaussians in log-precision form, element by element: scales, products, divergences.
//
// With l = -2 log sigma nothing here overflows: a product is a log-sum-exp, a divergence has one
// exp of a difference. Both back ends call these functions.
#pragma once

#include <limits>

#include <poe/core/math.hpp>

namespace poe::gaussian {

/// How the raw output r of an encoder becomes the scale of an expert.
///   sigma(r) = softplus(r) + floor, log-precision l = -2 log sigma; or, with `variance`,
///   sigma(r)^2 = softplus(r) + floor, l = -log(softplus(r) + floor): the reading of the published
///   code's product of experts, which took the softplus for a variance.
struct ScaleLink {
  double floor = 1e-6;
  bool variance = false;
};

/// log(softplus(r) + floor), exact also where softplus(r) underflows.
template <class T>
POE_HD T log_scale(T r, T floor) {
  const T plain = math::log(math::softplus(r) + floor);
  // softplus(r) = e^r (1 - e^r / 2 + ...): the second term is the last that matters below -15.
  const T series = r - math::exp(r) / T(2);
  return floor == T(0) && r < T(-15) ? series : plain;
}

/// d log_scale / dr = sigmoid(r) / (softplus(r) + floor), as the exp of a difference.
template <class T>
POE_HD T log_scale_slope(T r, T log_scale_of_r) {
  return math::exp(-math::softplus(-r) - log_scale_of_r);
}

/// 1 / x and sqrt(x) for positive x far from the ends of the range of T, within two units in the
/// last place: on a GPU without the detour that the full range needs.
template <class T>
POE_HD T plain_inverse(T x) {
  return T(1) / x;
}
template <class T>
POE_HD T plain_sqrt(T x) {
  return math::sqrt(x);
}
#if defined(__CUDA_ARCH__)
template <>
POE_HD float plain_inverse(float x) {
  float y;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return ::fmaf(y, ::fmaf(-x, y, 1.0F), y);
}
template <>
POE_HD float plain_sqrt(float x) {
  float y;
  asm("rsqrt.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return x * y;
}
#endif

/// log(1 + u) for u in [0, 1], in float by a polynomial (minimax, 5e-9 relative): half the
/// instructions of one that knows all u.
POE_HD double plain_log1p(double u) { return math::log1p(u); }
POE_HD float plain_log1p(float u) {
  float p = -3.2440246e-3F;
  p = p * u + 1.9851459e-2F;
  p = p * u - 5.6959530e-2F;
  p = p * u + 1.0603654e-1F;
  p = p * u - 1.5305592e-1F;
  p = p * u + 1.9675939e-1F;
  p = p * u - 2.4954134e-1F;
  p = p * u + 3.3329962e-1F;
  p = p * u - 4.9999902e-1F;
  p = p * u + 1.0F;
  return p * u;
}

/// The scale s = softplus(r) + floor of an expert, 1 / s and d log s / dr, from one exp. For scales
/// that are far from the ends of the range of T; log_scale() and log_scale_slope() know no such
/// limit.
template <class T>
struct PlainScale {
  T value, inverse, slope;
};
template <class T>
POE_HD PlainScale<T> plain_scale(T r, T floor) {
  const T e = math::exp(-math::abs(r));
  const T s = math::max(r, T(0)) + plain_log1p(e) + floor;
  const T inverse = plain_inverse(s);
  return {s, inverse, (r >= T(0) ? T(1) : e) * plain_inverse(T(1) + e) * inverse};
}

/// log(sum of e^x), one x after the other, with the largest taken out. Of nothing: -infinity.
template <class T>
struct LogSum {
  static constexpr T none = -std::numeric_limits<T>::infinity();
  T top = none, total = 0;

  /// What `total` had to be multiplied with, and what was added to it.
  struct Change {
    T keep, add;
  };
  POE_HD Change add(T x) {
    if (x == none) return {T(1), T(0)};
    const bool larger = x > top;
    const T e = math::exp(-math::abs(x - top));
    const Change change{larger ? e : T(1), larger ? T(1) : e};
    if (larger) top = x;
    total = total * change.keep + change.add;
    return change;
  }
  /// Adds another sum.
  POE_HD void add(const LogSum& other) {
    const T larger = math::max(top, other.top);
    if (larger == none) return;
    total = total * math::exp(top - larger) + other.total * math::exp(other.top - larger);
    top = larger;
  }
  POE_HD T result() const { return top == none || top == -none ? top : top + math::log(total); }
};

/// One dimension of a Gaussian: location and log-precision.
template <class T>
struct Normal {
  T location, log_precision;
};

/// A product of Gaussians, one factor after the other. Of a single factor the product is that
/// factor, bit by bit; of none it is N(0, 1).
template <class T>
struct ProductSum {
  LogSum<T> precision;
  T weighted = 0;  // sum of precision * location, scaled like precision.total

  POE_HD void add(Normal<T> factor) {
    const auto change = precision.add(factor.log_precision);
    weighted = weighted * change.keep + change.add * factor.location;
  }
  POE_HD Normal<T> result() const {
    if (precision.total == T(0)) return {T(0), T(0)};
    return {weighted / precision.total, precision.result()};
  }
};

/// KL(q || p) = ((l_q - l_p) + e^(l_p - l_q) + (m_q - m_p)^2 e^(l_p) - 1) / 2.
template <class T>
POE_HD T divergence(Normal<T> q, Normal<T> p) {
  const T d = q.location - p.location;
  return T(0.5) *
         ((q.log_precision - p.log_precision) + math::exp(p.log_precision - q.log_precision) +
          d * d * math::exp(p.log_precision) - T(1));
}

/// The same from d = m_q - m_p, the variance of q and the precision of p: no exp. For Gaussians
/// whose precisions are far from the ends of the range of T.
template <class T>
POE_HD T plain_divergence(T log_ratio, T d, T variance_q, T precision_p) {
  return T(0.5) * (log_ratio + precision_p * (variance_q + d * d) - T(1));
}

/// Derivatives of KL(q || p): by m_q (by m_p it is the negative), by l_q and by l_p.
template <class T>
struct DivergenceSlope {
  T location, from, to;
};
/// From d = m_q - m_p, ratio = e^(l_p - l_q) and precision = e^(l_p).
template <class T>
POE_HD DivergenceSlope<T> divergence_slope(T d, T ratio, T precision) {
  const T slope = d * precision;
  return {slope, T(0.5) * (T(1) - ratio), T(0.5) * (ratio + d * slope - T(1))};
}

}  // namespace poe::gaussian
