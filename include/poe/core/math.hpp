// SPDX-License-Identifier: MIT
// Elementary functions that compilers can vectorise, and the stable forms built on them.
//
// In float, exp and log are polynomials without branches (within 2 units in the last place), so
// that a loop over them becomes vector code; in double they are the standard library's.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include <poe/core/config.hpp>

namespace poe::math {

POE_HD double exp(double x) { return std::exp(x); }
POE_HD double log(double x) { return std::log(x); }

/// e^x: 0 below -87.3 (no denormals), infinity where e^x is no float, NaN for NaN.
POE_HD float exp(float x) {
#if defined(__CUDA_ARCH__)
  return ::expf(x);
#else
  constexpr float least = -87.3F, most = 88.72283F;  // the largest x whose e^x is a float
  // The order of the comparisons takes NaN to `least`: it must not reach the conversion to int.
  const float above = x > least ? x : least;
  const float clamped = above < most ? above : most;
  // n = round(x / ln 2), by adding a number whose last bit is a unit.
  constexpr float shift = 12582912.0F;
  const float shifted = clamped * 1.44269504088896341F + shift;
  const float n = shifted - shift;
  const float r = (clamped - n * 0.693359375F) + n * 2.12194440e-4F;
  float p = 1.9875691500e-4F;  // Cephes expf, minimax on |r| <= ln 2 / 2
  p = p * r + 1.3981999507e-3F;
  p = p * r + 8.3334519073e-3F;
  p = p * r + 4.1665795894e-2F;
  p = p * r + 1.6666665459e-1F;
  p = p * r + 5.0000001201e-1F;
  p = p * r * r + r + 1.0F;
  // Two factors 2^(n/2), because 2^128 itself is not a float.
  const std::int32_t k = static_cast<std::int32_t>(n);
  const std::int32_t half = k >> 1;
  const float a = std::bit_cast<float>((half + 127) << 23);
  const float b = std::bit_cast<float>((k - half + 127) << 23);
  const float y = p * a * b;
  const float low = x < least ? 0.0F : y;
  return x > most ? std::numeric_limits<float>::infinity() : (x != x ? x : low);
#endif
}

/// Natural logarithm of x > 0; -infinity for 0, NaN below. Denormals count as the smallest normal
/// number.
POE_HD float log(float x) {
#if defined(__CUDA_ARCH__)
  return ::logf(x);
#else
  constexpr float tiny = std::numeric_limits<float>::min();
  const float normal = x < tiny ? tiny : x;
  const auto bits = std::bit_cast<std::int32_t>(normal);
  // x = m * 2^e with m in [sqrt(1/2), sqrt(2)).
  const std::int32_t offset = bits - 0x3f3504f3;
  const std::int32_t e = offset >> 23;
  const float m = std::bit_cast<float>((offset & 0x007fffff) + 0x3f3504f3);
  const float f = m - 1.0F;
  const float f2 = f * f;
  float p = 7.0376836292e-2F;  // Cephes logf
  p = p * f - 1.1514610310e-1F;
  p = p * f + 1.1676998740e-1F;
  p = p * f - 1.2420140846e-1F;
  p = p * f + 1.4249322787e-1F;
  p = p * f - 1.6668057665e-1F;
  p = p * f + 2.0000714765e-1F;
  p = p * f - 2.4999993993e-1F;
  p = p * f + 3.3333331174e-1F;
  const auto ef = static_cast<float>(e);
  const float y = f + (f * f2 * p - 0.5F * f2 + ef * -2.12194440e-4F) + ef * 0.693359375F;
  const float positive = x > 3.4028234e38F ? x : y;
  constexpr float inf = std::numeric_limits<float>::infinity();
  return x > 0.0F ? positive : (x == 0.0F ? -inf : std::numeric_limits<float>::quiet_NaN());
#endif
}

/// log(1 + u) for finite u >= 0 to full relative accuracy, also where 1 + u rounds (Kahan's
/// quotient).
POE_HD float log1p(float u) {
  const float w = 1.0F + u;
  const float d = w - 1.0F;
  return d == 0.0F ? u : log(w) * (u / d);
}
POE_HD double log1p(double u) { return std::log1p(u); }

/// cos and sin of a full turn times u, u in [0, 1]: what Box-Muller needs.
POE_HD void cos_sin_turns(double u, double& c, double& s) {
  c = std::cos(6.283185307179586476925 * u);
  s = std::sin(6.283185307179586476925 * u);
}
POE_HD void cos_sin_turns(float u, float& c, float& s) {
  // u = q / 4 + r exactly, with |r| <= 1/8; the quadrant q exchanges the two and sets their signs.
  const auto q = static_cast<std::int32_t>(u * 4.0F + 0.5F);
  const float x = (u - 0.25F * static_cast<float>(q)) * 6.28318530718F;
  const float z = x * x;
  const float sx = x + x * z * (-1.6666654611e-1F + z * (8.3321608736e-3F - z * 1.9515295891e-4F));
  const float cx =
      1.0F - 0.5F * z +
      z * z * (4.166664568e-2F + z * (-1.388731625e-3F + z * 2.443315712e-5F));  // Cephes
  const bool odd = (q & 1) != 0;
  const float a = odd ? sx : cx;
  const float b = odd ? cx : sx;
  c = ((q + 1) & 2) != 0 ? -a : a;
  s = (q & 2) != 0 ? -b : b;
}

template <class T>
POE_HD T abs(T x) {
  return x < T(0) ? -x : x;
}
template <class T>
POE_HD T max(T a, T b) {
  return a > b ? a : b;
}
template <class T>
POE_HD T sqrt(T x) {
  return std::sqrt(x);
}

/// 1 / (1 + e^-x) without overflow.
template <class T>
POE_HD T sigmoid(T x) {
  const T e = exp(-abs(x));
  const T s = T(1) / (T(1) + e);
  return x >= T(0) ? s : e * s;
}

/// log(1 + e^x) without overflow, to full relative accuracy.
template <class T>
POE_HD T softplus(T x) {
  return max(x, T(0)) + log1p(exp(-abs(x)));
}

/// (log 2 pi) / 2, the constant of a Gaussian log-density.
template <class T>
inline constexpr T half_log_two_pi = T(0.91893853320467274178);

}  // namespace poe::math
