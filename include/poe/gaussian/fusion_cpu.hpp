// SPDX-License-Identifier: MIT
// The fused Gaussian operation on the CPU, row by row.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>

#include <poe/gaussian/plan.hpp>

namespace poe::gaussian::detail {

/// The arguments of one row, shared by both directions.
template <class T, int L>
struct RowOf {
  const T* expert[max_experts];  // (2 L): location, raw scale
  bool observed[max_experts];
};

/// What the log-precision of expert e is less by in a product that shares it.
template <class T>
T log_share_of(const Product& product, int e) {
  return (product.shared >> e & 1U) == 0 ? T(0) : static_cast<T>(std::log(product.share));
}

/// log_scale of the experts of a row, and with `slopes` its derivative: computed when it is first
/// asked for, and kept until a product has another floor.
template <class T, int L, bool slopes>
class RowScales {
 public:
  explicit RowScales(const RowOf<T, L>& row) : row_(row) {}

  const T* of(int e, const ScaleLink& link) {
    const T floor = static_cast<T>(link.floor);
    if (std::exchange(floor_, floor) != floor) known_ = 0;
    const std::uint32_t bit = std::uint32_t{1} << e;
    if ((std::exchange(known_, known_ | bit) & bit) == 0) {
      const T* const raw = row_.expert[e] + L;
      for (int i = 0; i < L; ++i) scale_[e][i] = log_scale(raw[i], floor);
      if constexpr (slopes)
        for (int i = 0; i < L; ++i) slope_[e][i] = log_scale_slope(raw[i], scale_[e][i]);
    }
    return scale_[e];
  }
  /// After of(e).
  const T* slope(int e) const requires slopes { return slope_[e]; }

 private:
  const RowOf<T, L>& row_;
  T floor_ = 0;
  std::uint32_t known_ = 0;
  T scale_[max_experts][L];
  T slope_[slopes ? max_experts : 1][L];
};

/// Location and log-precision of every product of one row.
template <class T, int L>
void fuse_row(const RowOf<T, L>& row, int experts, std::span<const Product> products,
              T* const* posterior) {
  RowScales<T, L, false> scales(row);
  for (std::size_t p = 0; p < products.size(); ++p) {
    const Product& product = products[p];
    T* const location = posterior[p];
    T* const a = posterior[p] + L;
    const T power = product.link.variance ? T(-1) : T(-2);
    int members = 0;
    T l[max_experts][L];
    const T* mu[max_experts];
    for (int e = 0; e < experts; ++e) {
      if ((product.experts >> e & 1U) == 0 || !row.observed[e]) continue;
      const T* const s = scales.of(e, product.link);
      const T less = log_share_of<T>(product, e);
      for (int i = 0; i < L; ++i) l[members][i] = power * s[i] - less;
      mu[members++] = row.expert[e];
    }
    if (members == 0) {  // the product of nothing is the prior
      std::fill(location, location + 2 * L, T(0));
      continue;
    }
    if (members == 1 && !product.prior) {
      std::copy(mu[0], mu[0] + L, location);
      std::copy(l[0], l[0] + L, a);
      continue;
    }
    // log-sum-exp with the largest taken out; the prior expert has location 0 and l = 0.
    T top[L], total[L];
    for (int i = 0; i < L; ++i) top[i] = product.prior ? math::max(T(0), l[0][i]) : l[0][i];
    for (int e = 1; e < members; ++e)
      for (int i = 0; i < L; ++i) top[i] = math::max(top[i], l[e][i]);
    for (int i = 0; i < L; ++i) {
      total[i] = product.prior ? math::exp(-top[i]) : T(0);
      location[i] = T(0);
    }
    for (int e = 0; e < members; ++e)
      for (int i = 0; i < L; ++i) {
        const T w = math::exp(l[e][i] - top[i]);
        total[i] += w;
        location[i] += w * mu[e][i];
      }
    for (int i = 0; i < L; ++i) {
      location[i] /= total[i];
      a[i] = top[i] + math::log(total[i]);
    }
  }
}

/// Gradients of one product's location and log-precision go back to its experts:
///   d location / d mu_e = w_e, d location / d l_e = w_e (mu_e - location), d a / d l_e = w_e,
/// w_e = e^(l_e - a).
template <class T, int L>
void spread_row(const RowOf<T, L>& row, RowScales<T, L, true>& scales, int experts,
                const Product& product, const T* posterior, const T* g, T* const* out) {
  const T power = product.link.variance ? T(-1) : T(-2);
  const T* const location = posterior;
  const T* const a = posterior + L;
  for (int e = 0; e < experts; ++e) {
    if ((product.experts >> e & 1U) == 0 || !row.observed[e] || out[e] == nullptr) continue;
    const T* const mu = row.expert[e];
    const T* const s = scales.of(e, product.link);
    const T* const slope = scales.slope(e);
    T* const to = out[e];
    const T less = log_share_of<T>(product, e);
    for (int i = 0; i < L; ++i) {
      const T w = math::exp(power * s[i] - less - a[i]);
      to[i] += w * g[i];
      to[L + i] += w * ((mu[i] - location[i]) * g[i] + g[L + i]) * power * slope[i];
    }
  }
}

/// KL of one row, summed over dimensions. `to` null: the prior.
template <class T, int L>
T divergence_row(const T* from, const T* to) {
  T part[L];
  for (int i = 0; i < L; ++i)
    part[i] = divergence<T>({from[i], from[L + i]},
                            {to == nullptr ? T(0) : to[i], to == nullptr ? T(0) : to[L + i]});
  T sum = 0;
  for (int i = 0; i < L; ++i) sum += part[i];
  return sum;
}

/// Adds weight * d KL to the gradients of both arguments (of the target where given).
template <class T, int L>
void divergence_gradient(const T* from, const T* to, T weight, T* g_from, T* g_to) {
  for (int i = 0; i < L; ++i) {
    const T target = to == nullptr ? T(0) : to[i];
    const T lp = to == nullptr ? T(0) : to[L + i];
    const T precision = math::exp(lp);
    const T ratio = math::exp(lp - from[L + i]);
    const T d = from[i] - target;
    const T slope = weight * d * precision;
    g_from[i] += slope;
    g_from[L + i] += weight * T(0.5) * (T(1) - ratio);
    if (g_to != nullptr) {
      g_to[i] -= slope;
      g_to[L + i] += weight * T(0.5) * (ratio + d * d * precision - T(1));
    }
  }
}

template <class T, int L>
RowOf<T, L> row_of(const FusionMemory<T>& memory, int n) {
  RowOf<T, L> row;
  const auto experts = static_cast<std::ptrdiff_t>(memory.experts.size());
  for (std::ptrdiff_t e = 0; e < experts; ++e) {
    row.expert[e] =
        memory.experts[static_cast<std::size_t>(e)] + static_cast<std::ptrdiff_t>(n) * 2 * L;
    row.observed[e] = memory.observed == nullptr || memory.observed[n * experts + e] != 0;
  }
  return row;
}

/// Results of a fusion on the CPU, row by row.
template <int L, class T>
void fuse_values(const Plan& plan, const FusionMemory<T>& memory, const Random& random,
                 int first_row, Executor<Cpu>& on) {
  Scratch<Cpu> scratch(on.host());
  const auto products = memory.posteriors.size();
  T** const at = scratch.take<T*>(products);
  for (int n = 0; n < memory.rows; ++n) {
    const std::ptrdiff_t row = static_cast<std::ptrdiff_t>(n) * 2 * L;
    for (std::size_t p = 0; p < products; ++p) at[p] = memory.posteriors[p] + row;
    fuse_row<T, L>(row_of<T, L>(memory, n), static_cast<int>(memory.experts.size()), plan.products,
                   at);
    for (std::size_t k = 0; k < plan.divergences.size(); ++k) {
      const Divergence& d = plan.divergences[k];
      memory.divergences[k][n] =
          divergence_row<T, L>(at[d.from], d.to == prior ? nullptr : at[d.to]);
    }
  }
  for (std::size_t s = 0; s < plan.draws.size(); ++s) {
    const std::size_t count = static_cast<std::size_t>(memory.rows) * L;
    fill_normal(random.with_stream(plan.draws[s].stream), static_cast<std::uint64_t>(first_row) * L,
                std::span<T>(memory.samples[s], count));
    for (int n = 0; n < memory.rows; ++n) {
      const T* const m = memory.posteriors[static_cast<std::size_t>(plan.draws[s].product)] +
                         static_cast<std::ptrdiff_t>(n) * 2 * L;
      T* const z = memory.samples[s] + static_cast<std::ptrdiff_t>(n) * L;
      for (int i = 0; i < L; ++i) z[i] = m[i] + z[i] * math::exp(T(-0.5) * m[L + i]);
    }
  }
}

/// Gradients of the experts on the CPU, row by row.
template <int L, class T>
void fuse_gradients(const Plan& plan, const FusionMemory<T>& memory,
                    const FusionGradients<T>& gradients, Executor<Cpu>& on) {
  Scratch<Cpu> scratch(on.host());
  constexpr std::ptrdiff_t width = 2 * L;
  const auto products = memory.posteriors.size(), experts = memory.experts.size();
  T* const g = scratch.take<T>(products * width);
  bool* const touched = scratch.take<bool>(products);
  for (std::ptrdiff_t n = 0; n < memory.rows; ++n) {
    std::fill(g, g + products * width, T(0));
    std::fill(touched, touched + products, false);
    const auto gradient_of = [&](int p) {
      touched[p] = true;
      return g + p * width;
    };
    const auto value_of = [&](int p) -> const T* {
      return memory.posteriors[static_cast<std::size_t>(p)] + n * width;
    };
    for (std::size_t p = 0; p < products; ++p)
      if (const T* const own = gradients.posteriors[p]; own != nullptr) {
        T* const to = gradient_of(static_cast<int>(p));
        for (std::ptrdiff_t i = 0; i < width; ++i) to[i] += own[n * width + i];
      }
    for (std::size_t k = 0; k < plan.divergences.size(); ++k)
      if (const T* const weight = gradients.divergences[k]; weight != nullptr) {
        const Divergence& d = plan.divergences[k];
        const bool both = d.to != prior && !d.stop_gradient_on_target;
        divergence_gradient<T, L>(value_of(d.from), d.to == prior ? nullptr : value_of(d.to),
                                  weight[n], gradient_of(d.from),
                                  both ? gradient_of(d.to) : nullptr);
      }
    for (std::size_t s = 0; s < plan.draws.size(); ++s)
      if (gradients.samples[s] != nullptr) {
        const T* const gz = gradients.samples[s] + n * L;
        const T* const z = memory.samples[s] + n * L;
        T* const to = gradient_of(plan.draws[s].product);
        const T* const m = value_of(plan.draws[s].product);
        for (int i = 0; i < L; ++i) {  // z = m + e^(-a / 2) epsilon
          to[i] += gz[i];
          to[L + i] -= T(0.5) * (z[i] - m[i]) * gz[i];
        }
      }
    T* here[max_experts];
    for (std::size_t i = 0; i < experts; ++i)
      here[i] = gradients.experts[i] == nullptr ? nullptr : gradients.experts[i] + n * width;
    const auto inputs = row_of<T, L>(memory, static_cast<int>(n));
    RowScales<T, L, true> scales(inputs);
    for (std::size_t p = 0; p < products; ++p)
      if (touched[p])
        spread_row<T, L>(inputs, scales, static_cast<int>(experts), plan.products[p],
                         value_of(static_cast<int>(p)), g + static_cast<std::ptrdiff_t>(p) * width,
                         here);
  }
}

}  // namespace poe::gaussian::detail
