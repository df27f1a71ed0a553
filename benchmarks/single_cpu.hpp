// SPDX-License-Identifier: MIT
// The steps of a fusion of Gaussian experts as single operations on the CPU, each a pass over the
// whole batch: what the fusion is measured against. Meaning and arguments are those of
// gaussian/single_cuda.hpp.
#pragma once

#include <poe/core/executor.hpp>
#include <poe/gaussian/plan.hpp>

#include <algorithm>
#include <span>

namespace bench {

using poe::Cpu;
using poe::Executor;
namespace gaussian = poe::gaussian;
namespace math = poe::math;

inline constexpr int max_latent = 128;

inline void to_log_precision(const float* expert, int rows, int latent, gaussian::ScaleLink link,
                             float* normal, Executor<Cpu>&) {
  const float floor = static_cast<float>(link.floor), power = link.variance ? -1.0F : -2.0F;
  for (int n = 0; n < rows; ++n, expert += 2 * latent, normal += 2 * latent) {
    std::copy(expert, expert + latent, normal);
    for (int i = latent; i < 2 * latent; ++i)
      normal[i] = power * gaussian::log_scale(expert[i], floor);
  }
}

inline void to_log_precision_gradient(const float* expert, const float* gradient, int rows,
                                      int latent, gaussian::ScaleLink link, float* sink,
                                      Executor<Cpu>&) {
  const float floor = static_cast<float>(link.floor), power = link.variance ? -1.0F : -2.0F;
  for (int n = 0; n < rows; ++n, expert += 2 * latent, gradient += 2 * latent, sink += 2 * latent) {
    for (int i = 0; i < latent; ++i) sink[i] += gradient[i];
    for (int i = latent; i < 2 * latent; ++i)
      sink[i] += gradient[i] * power *
                 gaussian::log_scale_slope(expert[i], gaussian::log_scale(expert[i], floor));
  }
}

inline void product(std::span<const float* const> factors, const std::uint8_t* /*observed*/,
                    bool with_prior, int rows, int latent, float* posterior, Executor<Cpu>&) {
  float top[max_latent], total[max_latent];
  for (std::ptrdiff_t at = 0; at < std::ptrdiff_t{rows} * 2 * latent; at += 2 * latent) {
    float* const location = posterior + at;
    float* const l = location + latent;
    for (int i = 0; i < latent; ++i) top[i] = with_prior ? 0.0F : factors[0][at + latent + i];
    for (const float* const f : factors)
      for (int i = 0; i < latent; ++i) top[i] = math::max(top[i], f[at + latent + i]);
    for (int i = 0; i < latent; ++i) {
      total[i] = with_prior ? math::exp(-top[i]) : 0.0F;
      location[i] = 0;
    }
    for (const float* const f : factors)
      for (int i = 0; i < latent; ++i) {
        const float w = math::exp(f[at + latent + i] - top[i]);
        total[i] += w;
        location[i] += w * f[at + i];
      }
    for (int i = 0; i < latent; ++i) {
      location[i] /= total[i];
      l[i] = top[i] + math::log(total[i]);
    }
  }
}

inline void product_gradient(std::span<const float* const> factors,
                             const std::uint8_t* /*observed*/, const float* posterior,
                             const float* gradient, int rows, int latent,
                             std::span<float* const> sinks, Executor<Cpu>&) {
  for (std::ptrdiff_t at = 0; at < std::ptrdiff_t{rows} * 2 * latent; at += 2 * latent)
    for (std::size_t e = 0; e < factors.size(); ++e)
      for (std::ptrdiff_t m = at; m < at + latent; ++m) {
        const std::ptrdiff_t l = m + latent;
        const float w = math::exp(factors[e][l] - posterior[l]);
        sinks[e][m] += w * gradient[m];
        sinks[e][l] += w * ((factors[e][m] - posterior[m]) * gradient[m] + gradient[l]);
      }
}

inline void divergence_rows(const float* from, const float* to, int rows, int latent,
                            float* divergence, Executor<Cpu>&) {
  float part[max_latent];
  for (int n = 0; n < rows; ++n, from += 2 * latent) {
    for (int i = 0; i < latent; ++i)
      part[i] = gaussian::divergence<float>(
          {from[i], from[latent + i]},
          {to == nullptr ? 0.0F : to[i], to == nullptr ? 0.0F : to[latent + i]});
    divergence[n] = 0;
    for (int i = 0; i < latent; ++i) divergence[n] += part[i];
    if (to != nullptr) to += 2 * latent;
  }
}

inline void divergence_rows_gradient(const float* from, const float* to, const float* gradient,
                                     int rows, int latent, float* from_sink, float* to_sink,
                                     Executor<Cpu>&) {
  for (int n = 0; n < rows; ++n) {
    const std::ptrdiff_t at = std::ptrdiff_t{n} * 2 * latent;
    for (std::ptrdiff_t m = at; m < at + latent; ++m) {
      const std::ptrdiff_t l = m + latent;
      const float target = to == nullptr ? 0.0F : to[m], lp = to == nullptr ? 0.0F : to[l];
      const auto by =
          gaussian::divergence_slope(from[m] - target, math::exp(lp - from[l]), math::exp(lp));
      from_sink[m] += gradient[n] * by.location;
      from_sink[l] += gradient[n] * by.from;
      if (to_sink == nullptr) continue;
      to_sink[m] -= gradient[n] * by.location;
      to_sink[l] += gradient[n] * by.to;
    }
  }
}

inline void sample(const float* normal, const poe::Random& random, int first_row, int rows,
                   int latent, float* z, Executor<Cpu>&) {
  const auto width = static_cast<std::size_t>(latent);
  poe::fill_normal(random, static_cast<std::uint64_t>(first_row) * width,
                   std::span<float>(z, static_cast<std::size_t>(rows) * width));
  for (int n = 0; n < rows; ++n, normal += 2 * latent, z += latent)
    for (int i = 0; i < latent; ++i)
      z[i] = normal[i] + z[i] * math::exp(-0.5F * normal[latent + i]);
}

inline void sample_gradient(const float* normal, const float* z, const float* gradient, int rows,
                            int latent, float* sink, Executor<Cpu>&) {
  for (int n = 0; n < rows;
       ++n, normal += 2 * latent, sink += 2 * latent, z += latent, gradient += latent)
    for (int i = 0; i < latent; ++i) {
      sink[i] += gradient[i];
      sink[latent + i] -= 0.5F * (z[i] - normal[i]) * gradient[i];
    }
}

}  // namespace bench
