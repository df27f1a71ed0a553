// SPDX-License-Identifier: MIT
// From log-densities of particles to estimates of log p(x) and their derivatives: the one place
// that knows the estimators.
#pragma once

#include <poe/gaussian/algebra.hpp>
#include <poe/particles/memory.hpp>

namespace poe::particles {

/// The threads that share one row: a single one. Those of the GPU: kernels/particles_rows.cuh.
struct OneThread {
  static constexpr int rank = 0, size = 1;
  template <class X>
  POE_HD X sum(X x) const {
    return x;
  }
};

namespace detail {

/// sum_d lambda_d log p_d of particle p. A modality without weight has no say, whatever its value.
template <class T>
POE_HD T weighted_log_p(const EstimateMemory<T>& a, int p, int row) {
  T sum = 0;
  for (int d = 0; d < a.scored_count; ++d) {
    const ScoredParticles<T>& s = a.scored[d];
    if (p < s.first || p >= s.first + s.count || s.lambda == T(0)) continue;
    sum += s.lambda * s.log_p[static_cast<std::ptrdiff_t>(p - s.first) * a.rows + row];
  }
  return sum;
}

/// Puts the derivative by sum_d lambda_d log p_d of particle p into the gradients of its terms.
template <class T>
POE_HD void put_by_log_p(const EstimateMemory<T>& a, int p, int row, T derivative) {
  for (int d = 0; d < a.scored_count; ++d) {
    const ScoredParticles<T>& s = a.scored[d];
    if (p < s.first || p >= s.first + s.count || s.gradient.data == nullptr) continue;
    s.gradient.put(static_cast<std::size_t>(p - s.first) * static_cast<std::size_t>(a.rows) +
                       static_cast<std::size_t>(row),
                   s.lambda * derivative);
  }
}

/// log sum_j q_j(z) of number i of n.
template <class T>
POE_HD T log_sum_q(const EstimateMemory<T>& a, std::ptrdiff_t i, std::ptrdiff_t n) {
  gaussian::LogSum<T> sum;
  for (int j = 0; j < a.components; ++j) sum.add(a.log_q[j * n + i]);
  return sum.result();
}

/// Mean over groups g (all particles, or those of one component) of
///   log (1 / size) sum_{p in g} w_p,
///   log w = log p(z) + sum_d lambda_d log p_d - log (1/C) sum_j q_j.
/// With v_p = w_p / sum_g w and unit = weight / groups, the derivatives of the loss are
///   by log p(z_p): unit v_p;  by log p_d: lambda_d unit v_p;
///   by log q_j(z_p): -unit v_p q_j / sum_j q_j.
/// A group all of whose weights are 0 has the value -infinity and no gradient.
template <class T, class Team>
POE_HD T importance_row(const EstimateMemory<T>& a, int row, const Team& team) {
  const int groups = a.rule.per_component ? a.components : 1;
  const int size = a.components * a.particles / groups;
  const std::ptrdiff_t n = static_cast<std::ptrdiff_t>(a.components) * a.particles * a.rows;
  const T log_components = math::log(static_cast<T>(a.components));
  const T log_size = math::log(static_cast<T>(size));
  const T unit = a.weight / static_cast<T>(groups);
  constexpr T none = gaussian::LogSum<T>::none;
  T value = 0;
  for (int g = 0; g < groups; ++g) {
    const int first = g * size + team.rank, last = (g + 1) * size;
    gaussian::LogSum<T> sum;
    for (int p = first; p < last; p += team.size) {
      const std::ptrdiff_t i = static_cast<std::ptrdiff_t>(p) * a.rows + row;
      sum.add(a.log_prior[i] + weighted_log_p(a, p, row) - (log_sum_q(a, i, n) - log_components));
    }
    sum = team.sum(sum);
    const T log_sum = sum.total == sum.total ? sum.result() : sum.total;  // NaN shows
    value += log_sum - log_size;
    if (a.share == nullptr) continue;
    const bool infinite = log_sum == none || log_sum == -none;
    for (int p = first; p < last; p += team.size) {
      const std::ptrdiff_t i = static_cast<std::ptrdiff_t>(p) * a.rows + row;
      const T log_q = log_sum_q(a, i, n);
      const T log_w = a.log_prior[i] + weighted_log_p(a, p, row) - (log_q - log_components);
      const T share = infinite ? T(0) : math::exp(log_w - log_sum);
      a.share[i] = share;
      put_by_log_p(a, p, row, unit * share);
      for (int j = 0; j < a.components; ++j)
        a.by_log_q[j * n + i] = -unit * share * math::exp(a.log_q[j * n + i] - log_q);
    }
  }
  return value / static_cast<T>(groups);
}

/// (1 / CK) sum_p s_p sum_d lambda_d log p_d(x_d | z_p) - (1/C) sum_c KL(q_c || p), where s_p = 1;
/// or with ratios s_p = sum_j rho_jp, rho_jp = q_j(z_p) / q_c(z_p), c the component that p is of.
/// With unit = weight / CK the derivatives of the loss are
///   by log p_d: lambda_d unit s_p;  by log q_j(z_p), j not c: unit rho_jp sum lambda log p_d;
///   by every KL: -weight / C.
template <class T, class Team>
POE_HD T bound_row(const EstimateMemory<T>& a, int row, const Team& team) {
  const int all = a.components * a.particles;
  const std::ptrdiff_t n = static_cast<std::ptrdiff_t>(all) * a.rows;
  const T unit = a.weight / static_cast<T>(all);
  constexpr T most = 80;  // beyond e^80 a ratio means nothing, but must not overflow
  T sum = 0;
  for (int p = team.rank; p < all; p += team.size) {
    const std::ptrdiff_t i = static_cast<std::ptrdiff_t>(p) * a.rows + row;
    const T log_p = weighted_log_p(a, p, row);
    T ratios = 1;
    if (a.rule.ratios) {
      const int own = p / a.particles;
      const T log_own = a.log_q[own * n + i];
      ratios = 0;
      for (int j = 0; j < a.components; ++j) {
        const T log_ratio = a.log_q[j * n + i] - log_own;
        const T ratio = j == own ? T(1) : math::exp(log_ratio > most ? most : log_ratio);
        ratios += ratio;
        if (a.by_log_q != nullptr) a.by_log_q[j * n + i] = j == own ? T(0) : unit * ratio * log_p;
      }
    }
    sum += ratios * log_p;
    put_by_log_p(a, p, row, unit * ratios);
  }
  sum = team.sum(sum) / static_cast<T>(all);
  T divergence = 0;
  for (int c = 0; c < a.components; ++c) divergence += a.divergence[c * a.divergence_stride + row];
  return sum - a.divergence_weight * divergence / static_cast<T>(a.components);
}

}  // namespace detail

/// Everything of one row. The result is complete in thread 0 of the team.
template <class T, class Team>
POE_HD void estimate_row(const EstimateMemory<T>& a, int row, const Team& team) {
  const T value =
      a.rule.importance ? detail::importance_row(a, row, team) : detail::bound_row(a, row, team);
  if (team.rank == 0) a.estimate[row] = value;
}

template <class T>
void estimate_rows(const EstimateMemory<T>& memory, Executor<Cpu>&) {
  for (int row = 0; row < memory.rows; ++row) estimate_row(memory, row, OneThread{});
}

}  // namespace poe::particles
