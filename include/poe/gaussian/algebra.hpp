// SPDX-License-Identifier: MIT
// Diagonal Gaussians in log-precision form, element by element: scales, products, divergences.
//
// With l = -2 log sigma nothing here overflows: a product is a log-sum-exp, a divergence has one
// exp of a difference. Both back ends call these functions.
#pragma once

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

/// One dimension of a Gaussian: location and log-precision.
template <class T>
struct Normal {
  T location, log_precision;
};

/// KL(q || p) = ((l_q - l_p) + e^(l_p - l_q) + (m_q - m_p)^2 e^(l_p) - 1) / 2.
template <class T>
POE_HD T divergence(Normal<T> q, Normal<T> p) {
  const T d = q.location - p.location;
  return T(0.5) *
         ((q.log_precision - p.log_precision) + math::exp(p.log_precision - q.log_precision) +
          d * d * math::exp(p.log_precision) - T(1));
}

/// log N(x; location, e^(-l)).
template <class T>
POE_HD T log_density(T x, Normal<T> q) {
  const T d = x - q.location;
  return T(0.5) * (q.log_precision - d * d * math::exp(q.log_precision)) - math::half_log_two_pi<T>;
}

}  // namespace poe::gaussian
