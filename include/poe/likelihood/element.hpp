// SPDX-License-Identifier: MIT
// Log-densities of one element, with the derivative by its parameter: what both back ends sum over.
#pragma once

#include <cmath>

#include <poe/core/math.hpp>

namespace poe {

/// The log-density of one element and its derivative by the parameter. A caller that does not use
/// one of the two does not pay for it.
template <class T>
struct Scored {
  T value, slope;
};

/// A Bernoulli pixel from its logit t: x t - softplus(t). x may be grey, in [0, 1].
template <class T>
struct BernoulliElement {
  POE_HD Scored<T> operator()(T t, T x) const {
    const T e = math::exp(-math::abs(t));  // shared by the softplus and the sigmoid
    const T s = T(1) / (T(1) + e);
    const T slope = x - (t >= T(0) ? T(1) : e) * s;
    return {x * t - math::max(t, T(0)) - math::log1p(e), slope};
  }
};

/// N(location, scale^2).
template <class T>
struct NormalElement {
  T inverse, constant;
  explicit NormalElement(double scale)
      : inverse(static_cast<T>(1 / scale)),
        constant(static_cast<T>(std::log(scale)) + math::half_log_two_pi<T>) {}

  POE_HD Scored<T> operator()(T location, T x) const {
    const T u = (x - location) * inverse;
    return {T(-0.5) * u * u - constant, u * inverse};
  }
};

/// Laplace(location, scale). The derivative where x = location is 0.
template <class T>
struct LaplaceElement {
  T inverse, constant;
  explicit LaplaceElement(double scale)
      : inverse(static_cast<T>(1 / scale)), constant(static_cast<T>(std::log(2 * scale))) {}

  POE_HD Scored<T> operator()(T location, T x) const {
    const T d = x - location;
    return {-math::abs(d) * inverse - constant, d > T(0) ? inverse : (d < T(0) ? -inverse : T(0))};
  }
};

/// Laplace(p, scale) of a pixel, where p is the sigmoid of the logit t, kept within [margin, 1 -
/// margin]. The derivative is 0 where x = p, and where p had to be kept.
template <class T>
struct LaplacePixelElement {
  T inverse, constant, least, most;
  LaplacePixelElement(double scale, double margin)
      : inverse(static_cast<T>(1 / scale)),
        constant(static_cast<T>(std::log(2 * scale))),
        least(static_cast<T>(margin)),
        most(static_cast<T>(1 - margin)) {}

  POE_HD T kept(T p) const { return p < least ? least : (p > most ? most : p); }
  POE_HD Scored<T> operator()(T t, T x) const {
    const T e = math::exp(-math::abs(t)), s = T(1) / (T(1) + e);
    const T p = t >= T(0) ? s : e * s;
    const T d = x - kept(p);
    const T by_mean = d > T(0) ? inverse : (d < T(0) ? -inverse : T(0));
    return {-math::abs(d) * inverse - constant, kept(p) == p ? by_mean * e * s * s : T(0)};
  }
};

/// Whether x is the number of one of `classes` classes: whole, and in [0, classes).
template <class T>
POE_HD bool is_class(T x, int classes) {
  return x >= T(0) && x < static_cast<T>(classes) && x == std::floor(x);
}

}  // namespace poe
