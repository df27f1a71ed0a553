// SPDX-License-Identifier: MIT
// Drawing clouds of particles, and taking their gradients back, on the CPU: row by row, loops over
// the latent dimensions that vectorise.
#pragma once

#include <algorithm>

#include <poe/likelihood/likelihood.hpp>
#include <poe/particles/density.hpp>
#include <poe/particles/memory.hpp>

namespace poe::particles::detail {

/// Calls f(component, particle number p, number i) for every sample of one row, in order of p.
template <class T, class F>
void for_particles(const CloudMemory<T>& a, int row, F&& f) {
  for (int c = 0; c < a.size(); ++c)
    for (int k = 0; k < a.particles; ++k)
      f(c, static_cast<std::ptrdiff_t>(c * a.particles + k) * a.rows + row);
}

/// One row of everything that has a density: bounded l and 1 / scale. Component `size()` is the
/// prior.
template <int L, class T>
struct RowDensities {
  T location[most_components + 1][L], l[most_components + 1][L], inverse[most_components + 1][L];

  RowDensities(const CloudMemory<T>& a, int row) {
    for (int j = 0; j <= a.size(); ++j) {
      const bool prior = j == a.size();
      const T* const m = prior ? nullptr
                               : a.components[static_cast<std::size_t>(j)] +
                                     static_cast<std::ptrdiff_t>(row) * 2 * L;
      const T* const raw = prior ? a.prior : m + L;
      for (int i = 0; i < L; ++i) {
        location[j][i] = prior ? T(0) : m[i];
        l[j][i] = raw == nullptr ? T(0) : bounded(raw[i]);
      }
      for (int i = 0; i < L; ++i) inverse[j][i] = inverse_scale_of(l[j][i]);
    }
  }
  template <class Density>
  T log_density(Density, int j, const T* z) const {
    return poe::detail::sum_over<T>(L, [=, this](int i) {
      return T(0.5) * l[j][i] - Density::energy((z[i] - location[j][i]) * inverse[j][i]);
    });
  }
};

/// z of every particle.
template <int L, class T>
void draw_particles(const CloudMemory<T>& a, const Noise& noise) {
  const std::size_t count = static_cast<std::size_t>(a.rows) * L;
  const std::uint64_t first = static_cast<std::uint64_t>(noise.first_row) * L;
  T* z = a.z;
  for (int c = 0; c < a.size(); ++c) {
    const auto stream =
        noise.first_stream +
        static_cast<std::uint32_t>(noise.numbers[static_cast<std::size_t>(c)] * a.particles);
    for (int k = 0; k < a.particles; ++k, z += count) {
      const Random random = noise.random.with_stream(stream + static_cast<std::uint32_t>(k));
      if (a.distribution == Distribution::normal)
        fill_normal(random, first, std::span<T>(z, count));
      else
        for (std::size_t e = 0; e < count; ++e)
          z[e] = LaplaceDensity::noise(random.uniform<T>(first + e));
      const T* m = a.components[static_cast<std::size_t>(c)];
      for (T* row = z; row != z + count; row += L, m += 2 * L)
        for (int i = 0; i < L; ++i) row[i] = m[i] + row[i] * scale_of(m[L + i]);
    }
  }
}

/// Log-densities and divergences of a cloud whose z are there.
template <int L, class T>
void score_particles(const CloudMemory<T>& a) {
  const std::ptrdiff_t n = static_cast<std::ptrdiff_t>(a.size()) * a.particles * a.rows;
  with_density(a.distribution == Distribution::laplace, [&]<class Density>(Density density) {
    for (int row = 0; row < a.rows; ++row) {
      const RowDensities<L, T> at(a, row);
      if (a.log_prior != nullptr || a.log_q != nullptr)
        for_particles(a, row, [&](int, std::ptrdiff_t i) {
          const T* const z = a.z + i * L;
          if (a.log_prior != nullptr) a.log_prior[i] = at.log_density(density, a.size(), z);
          if (a.log_q == nullptr) return;
          for (int j = 0; j < a.size(); ++j) a.log_q[j * n + i] = at.log_density(density, j, z);
        });
      if (a.divergence == nullptr) continue;
      for (int c = 0; c < a.size(); ++c)
        a.divergence[c * a.divergence_stride + row] = poe::detail::sum_over<T>(L, [&](int i) {
          return Density::divergence(at.location[c][i], at.l[c][i], at.l[a.size()][i],
                                     at.inverse[a.size()][i])
              .value;
        });
    }
  });
}

/// g += weight d log density / dx, for density j.
template <class Density, int L, class T>
void add_slope(const RowDensities<L, T>& at, int j, T weight, const T* z, T* g) {
  if (weight == T(0)) return;
  for (int i = 0; i < L; ++i)
    g[i] -=
        weight * Density::slope((z[i] - at.location[j][i]) * at.inverse[j][i]) * at.inverse[j][i];
}
/// Adds weight d log density j / d(location, l); without locations where `by_m` is null.
template <class Density, int L, class T>
void add_by_parameters(const RowDensities<L, T>& at, int j, T weight, const T* z, T* by_m,
                       T* by_l) {
  if (weight == T(0)) return;
  for (int i = 0; i < L; ++i) {
    const T u = (z[i] - at.location[j][i]) * at.inverse[j][i];
    const T slope = Density::slope(u);
    if (by_m != nullptr) by_m[i] += weight * slope * at.inverse[j][i];
    by_l[i] += weight * T(0.5) * (T(1) - u * slope);
  }
}

/// The gradient that goes through the samples z = m + scale epsilon of component c.
template <class Density, int L, class T>
void spread_samples(const CloudMemory<T>& a, const CloudGradients<T>& by,
                    const RowDensities<L, T>& at, int row, int c, T* to) {
  const std::ptrdiff_t n = static_cast<std::ptrdiff_t>(a.size()) * a.particles * a.rows;
  const bool weighed = by.by.rule.importance && by.by.share != nullptr;
  for (int k = 0; k < a.particles; ++k) {
    const std::ptrdiff_t i = static_cast<std::ptrdiff_t>(c * a.particles + k) * a.rows + row;
    const T factor = weighed && by.by.rule.squared ? by.by.share[i] : T(1);
    if (factor == T(0)) continue;
    const T* const z = a.z + i * L;
    T g[L];
    for (int d = 0; d < L; ++d) g[d] = by.z == nullptr ? T(0) : by.z[i * L + d];
    if (weighed) {
      add_slope<Density>(at, a.size(), by.by.unit * by.by.share[i], z, g);
      for (int j = 0; j < a.size(); ++j) add_slope<Density>(at, j, by.by.by_log_q[j * n + i], z, g);
    }
    for (int d = 0; d < L; ++d) {
      to[d] += factor * g[d];
      to[L + d] -= T(0.5) * factor * g[d] * (z[d] - at.location[c][d]);
    }
  }
}

}  // namespace poe::particles::detail

namespace poe::particles {

/// The GPU's implementation takes the latent size as a number.
template <int L, class T>
void draw_cloud(const CloudMemory<T>& a, const Noise& noise, Executor<Cpu>&) {
  detail::draw_particles<L>(a, noise);
  detail::score_particles<L>(a);
}
template <int L, class T>
void draw_cloud(const CloudMemory<T>& a, const Noise& noise, Executor<Cuda>& on) {
  draw_cloud<T>(a, noise, on);
}

/// Gradients of the components and of the prior, from those of z and the coefficients of an
/// estimate. Sums take the particles in their order, the prior's the rows in theirs.
template <int L, class T>
void spread_cloud(const CloudMemory<T>& a, const CloudGradients<T>& by, Executor<Cpu>&) {
  const std::ptrdiff_t n = static_cast<std::ptrdiff_t>(a.size()) * a.particles * a.rows;
  const bool weighed = by.by.rule.importance && by.by.share != nullptr;
  const bool parameters = by.by.by_log_q != nullptr && !by.by.rule.detached;
  with_density(a.distribution == Distribution::laplace, [&]<class Density>(Density) {
    for (int row = 0; row < a.rows; ++row) {
      const detail::RowDensities<L, T> at(a, row);
      for (int c = 0; c < a.size(); ++c) {
        T* const sink = by.components[static_cast<std::size_t>(c)];
        T* const to = sink == nullptr ? nullptr : sink + static_cast<std::ptrdiff_t>(row) * 2 * L;
        if (to != nullptr) {
          if (by.z != nullptr || weighed) detail::spread_samples<Density>(a, by, at, row, c, to);
          if (parameters)
            detail::for_particles(a, row, [&](int, std::ptrdiff_t i) {
              detail::add_by_parameters<Density>(at, c, by.by.by_log_q[c * n + i], a.z + i * L, to,
                                                 to + L);
            });
        }
        if (by.by.by_divergence == T(0)) continue;
        for (int i = 0; i < L; ++i) {
          const auto d = Density::divergence(at.location[c][i], at.l[c][i], at.l[a.size()][i],
                                             at.inverse[a.size()][i]);
          if (to != nullptr) to[i] += by.by.by_divergence * d.location;
          if (to != nullptr) to[L + i] += by.by.by_divergence * d.from;
          if (by.prior != nullptr) by.prior[i] += by.by.by_divergence * d.to;
        }
      }
      if (by.prior != nullptr && weighed)
        detail::for_particles(a, row, [&](int, std::ptrdiff_t i) {
          detail::add_by_parameters<Density>(at, a.size(), by.by.unit * by.by.share[i], a.z + i * L,
                                             static_cast<T*>(nullptr), by.prior);
        });
    }
  });
}
template <int L, class T>
void spread_cloud(const CloudMemory<T>& a, const CloudGradients<T>& by, Executor<Cuda>& on) {
  spread_cloud<T>(a, by, on);
}

}  // namespace poe::particles
