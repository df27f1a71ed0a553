// SPDX-License-Identifier: MIT
// Normal and Laplace densities in log-precision form, one dimension at a time: log-density,
// divergence to the prior and their derivatives. Both back ends call these functions.
//
// A dimension is a location m and l = -2 log scale; with u = (x - m) / scale,
//   log q(x) = l / 2 - energy(u),   d/dx = -slope(u) / scale,   d/dm = slope(u) / scale,
//   d/dl = (1 - u slope(u)) / 2,    slope = d energy / du.
#pragma once

#include <poe/gaussian/algebra.hpp>

namespace poe::particles {

/// l within the scales 2e-9 to 5e8; outside, the nearest of the two counts. Then no exp of an l or
/// of the difference of two is beyond the range of float.
template <class T>
POE_HD T bounded(T l) {
  const T low = l < T(-40) ? T(-40) : l;  // NaN stays NaN
  return low > T(40) ? T(40) : low;
}
template <class T>
POE_HD T scale_of(T l) {
  return math::exp(T(-0.5) * bounded(l));
}
template <class T>
POE_HD T inverse_scale_of(T l) {
  return math::exp(T(0.5) * bounded(l));
}

/// KL(q || p) and its derivatives by m_q, by l_q and by l_p, where p has location 0.
template <class T>
struct DivergenceToPrior {
  T value, location, from, to;
};

struct NormalDensity {
  template <class T>
  POE_HD static T energy(T u) {
    return T(0.5) * u * u + math::half_log_two_pi<T>;
  }
  template <class T>
  POE_HD static T slope(T u) {
    return u;
  }
  /// sp: 1 / scale of p.
  template <class T>
  POE_HD static DivergenceToPrior<T> divergence(T m, T lq, T lp, T sp) {
    const T ratio = math::exp(lp - lq);
    const auto by = gaussian::divergence_slope(m, ratio, sp * sp);
    return {T(0.5) * ((lq - lp) + ratio + m * by.location - T(1)), by.location, by.from, by.to};
  }
};

struct LaplaceDensity {
  template <class T>
  POE_HD static T energy(T u) {
    return math::abs(u) + T(0.69314718055994530942);
  }
  /// 0 at the kink.
  template <class T>
  POE_HD static T slope(T u) {
    return u > T(0) ? T(1) : (u < T(0) ? T(-1) : T(0));
  }
  /// Noise from v, uniform on (0, 1): -sgn(v - 1/2) log(1 - 2 |v - 1/2|), from the distance to the
  /// nearer end: so without cancellation, and finite where a uniform number of float is 1.
  template <class T>
  POE_HD static T noise(T v) {
    const bool lower = v < T(0.5);
    const T tail = math::log(T(2) * math::max(lower ? v : T(1) - v, T(0x1p-33)));
    return lower ? tail : -tail;
  }
  /// KL = log(bp / bq) + (bq e^(-|m| / bq) + |m|) / bp - 1, b = e^(-l / 2).
  template <class T>
  POE_HD static DivergenceToPrior<T> divergence(T m, T lq, T lp, T sp) {
    const T far = math::abs(m) * inverse_scale_of(lq);
    const T u = far < T(80) ? far : T(80);  // e^(-80) is 0 beside 1
    const T e = math::exp(-u), mixed = math::exp(T(0.5) * (lp - lq)) * e;
    const T there = math::abs(m) * sp;
    return {T(0.5) * (lq - lp) + mixed + there - T(1), slope(m) * sp * (T(1) - e),
            T(0.5) * (T(1) - mixed * (T(1) + u)), T(0.5) * (mixed + there - T(1))};
  }
};

/// Calls f(NormalDensity{}) or f(LaplaceDensity{}).
template <class F>
void with_density(bool laplace, F&& f) {
  if (laplace)
    f(LaplaceDensity{});
  else
    f(NormalDensity{});
}

}  // namespace poe::particles
