// SPDX-License-Identifier: MIT
// What the tests of particles share: a small model of any size, its estimates by textbook formulas
// in double, and their gradients by finite differences in which what an estimator holds fixed is
// fixed.
#pragma once

#include "support.hpp"

#include <poe/particles/cloud.hpp>

#include <algorithm>
#include <cmath>
#include <functional>
#include <span>
#include <vector>

namespace poe::test {

using namespace poe::particles;  // NOLINT: the subject of every file that includes this
using Numbers = std::vector<double>;

/// C components, K particles, R rows, L dimensions; log p_d(x | z) = -sum_i (x_i - w_d z_i)^2 / 2
/// of one modality for each component.
struct Mixture {
  int C, K, R, L;
  Distribution distribution = Distribution::normal;
  Estimator estimator = Estimator::iwae;
  bool with_prior = false;
  std::uint32_t first_stream = 900;
  int first_row = 3;
  double weight = -0.7, divergence_weight = 0.8;
  Numbers theta;      // (C, R, 2 L): location, l
  Numbers prior;      // (L): l
  Numbers x;          // (C, R, L)
  Numbers w, lambda;  // (C)
  std::vector<int> numbers;
  Random random{.seed = 77, .stream = 0, .step = 5};

  Mixture(int c, int k, int r, int l, std::uint32_t trial = 0) : C(c), K(k), R(r), L(l) {
    const auto size = [](int n) { return static_cast<std::size_t>(n); };
    theta = normals<double>(size(C * R * 2 * L), 10 + trial, 0.6);
    prior = normals<double>(size(L), 2000 + trial, 0.4);
    x = normals<double>(size(C * R * L), 4000 + trial);
    w = normals<double>(size(C), 6000 + trial);
    lambda = normals<double>(size(C), 8000 + trial);
    for (double& v : lambda) v = 0.3 + std::abs(v);
    for (int i = 0; i < C; ++i) numbers.push_back(C + 1 - i);
    // As many digits as a float has, so that both types compute the same thing.
    for (Numbers* all : {&theta, &prior, &x, &w, &lambda})
      for (double& v : *all) v = static_cast<double>(static_cast<float>(v));
  }
  int particles() const { return C * K; }
  double prior_l(int i) const { return with_prior ? prior[static_cast<std::size_t>(i)] : 0; }
  std::size_t at(int c, int r) const { return static_cast<std::size_t>((c * R + r) * 2 * L); }

  double noise(int p, int r, int i) const {
    const int c = p / K, k = p % K;
    const auto stream = static_cast<std::uint32_t>(static_cast<int>(first_stream) +
                                                   numbers[static_cast<std::size_t>(c)] * K + k);
    const auto element = static_cast<std::uint64_t>((first_row + r) * L + i);
    const Random source = random.with_stream(stream);
    if (distribution == Distribution::normal) return source.normal<double>(element);
    const double u = source.uniform<double>(element) - 0.5;
    return -(u > 0 ? 1 : -1) * std::log1p(-2 * std::abs(u));
  }
  double log_density(double z, double m, double l) const {
    const double s = std::exp(-l / 2), d = z - m;
    return distribution == Distribution::normal
               ? -0.5 * d * d / s / s - std::log(s) - 0.5 * std::log(2 * std::acos(-1.0))
               : -std::abs(d) / s - std::log(2 * s);
  }
  double divergence(double m, double l, double lp) const {
    const double q = std::exp(-l / 2), p = std::exp(-lp / 2);
    return distribution == Distribution::normal
               ? std::log(p / q) + (q * q + m * m) / (2 * p * p) - 0.5
               : std::log(p / q) + (q * std::exp(-std::abs(m) / q) + std::abs(m)) / p - 1;
  }
};

/// Everything of one row that a gradient may be taken by, with copies where an estimator holds one
/// use of a parameter fixed.
struct RowInputs {
  Numbers sampled;  // (C, 2 L) as the samples use them
  Numbers density;  // (C, 2 L) as densities and divergences use them
  Numbers prior;    // (L)
  Numbers w;        // (C)
};

/// The estimate of one row of a mixture.
class NaiveRow {
 public:
  NaiveRow(const Mixture& m, int r) : m_(m), r_(r), base_(inputs()) {
    z_ = draw(base_);
    log_w_ = log_weights(base_, z_);
  }
  RowInputs inputs() const {
    RowInputs in;
    for (int c = 0; c < m_.C; ++c)
      for (int i = 0; i < 2 * m_.L; ++i)
        in.sampled.push_back(m_.theta[m_.at(c, r_) + static_cast<std::size_t>(i)]);
    in.density = in.sampled;
    for (int i = 0; i < m_.L; ++i) in.prior.push_back(m_.prior_l(i));
    in.w = m_.w;
    return in;
  }
  Numbers draw(const RowInputs& in) const {
    Numbers z;
    for (int p = 0; p < m_.particles(); ++p)
      for (int i = 0; i < m_.L; ++i)
        z.push_back(in.sampled[of(p / m_.K, i)] +
                    std::exp(-in.sampled[of(p / m_.K, m_.L + i)] / 2) * m_.noise(p, r_, i));
    return z;
  }
  double log_q(const RowInputs& in, const Numbers& z, int j, int p) const {
    double sum = 0;
    for (int i = 0; i < m_.L; ++i)
      sum += m_.log_density(z[zi(p, i)], in.density[of(j, i)], in.density[of(j, m_.L + i)]);
    return sum;
  }
  double log_p(const RowInputs& in, const Numbers& z, int d, int p) const {
    double sum = 0;
    for (int i = 0; i < m_.L; ++i) {
      const double e = m_.x[static_cast<std::size_t>((d * m_.R + r_) * m_.L + i)] -
                       in.w[static_cast<std::size_t>(d)] * z[zi(p, i)];
      sum -= 0.5 * e * e;
    }
    return sum;
  }
  Numbers log_weights(const RowInputs& in, const Numbers& z) const {
    Numbers all;
    for (int p = 0; p < m_.particles(); ++p) {
      double value = 0, top = -1e300, total = 0;
      for (int i = 0; i < m_.L; ++i)
        value += m_.log_density(z[zi(p, i)], 0, in.prior[static_cast<std::size_t>(i)]);
      for (int d = 0; d < m_.C; ++d)
        value += m_.lambda[static_cast<std::size_t>(d)] * log_p(in, z, d, p);
      for (int j = 0; j < m_.C; ++j) top = std::max(top, log_q(in, z, j, p));
      for (int j = 0; j < m_.C; ++j) total += std::exp(log_q(in, z, j, p) - top);
      all.push_back(value - (top + std::log(total / m_.C)));
    }
    return all;
  }
  double divergence(const RowInputs& in, int c) const {
    double sum = 0;
    for (int i = 0; i < m_.L; ++i)
      sum += m_.divergence(in.density[of(c, i)], in.density[of(c, m_.L + i)],
                           in.prior[static_cast<std::size_t>(i)]);
    return sum;
  }
  double divergences(const RowInputs& in) const {
    double sum = 0;
    for (int c = 0; c < m_.C; ++c) sum += divergence(in, c);
    return m_.divergence_weight * sum / m_.C;
  }

  double value() const { return value(base_); }

  /// The function whose derivative by `sampled` and by `density` (both hold the components) is
  /// the gradient that the components get; `theta`: the one of decoders and prior.
  double surrogate(const RowInputs& in, bool theta) const {
    switch (m_.estimator) {
      case Estimator::elbo:
      case Estimator::elbo_published:
      case Estimator::iwae:
      case Estimator::iwae_looser:
        return value(in);
      default:
        break;
    }
    // Tucker et al.: weights fixed, log q a function of z only; for the components squared.
    RowInputs held = in;
    held.density = base_.density;
    const Numbers log_w = log_weights(held, theta ? z_ : draw(in)), v = shares();
    double sum = 0;
    for (std::size_t p = 0; p < v.size(); ++p) {
      const double share = m_.estimator == Estimator::dreg ? v[p] : v[p] / m_.C;
      const bool once = theta || m_.estimator == Estimator::dreg_published;
      sum += once ? share * log_w[p] : share * v[p] * log_w[p];
    }
    return sum;
  }
  const RowInputs& base() const { return base_; }

 private:
  std::size_t of(int c, int i) const { return static_cast<std::size_t>(c * 2 * m_.L + i); }
  std::size_t zi(int p, int i) const { return static_cast<std::size_t>(p * m_.L + i); }
  static double log_mean(const double* x, int n) {
    double top = -1e300, sum = 0;
    for (int i = 0; i < n; ++i) top = std::max(top, x[i]);
    for (int i = 0; i < n; ++i) sum += std::exp(x[i] - top);
    return top + std::log(sum / n);
  }
  /// Weights of the particles, normalised over all of them or within their component.
  Numbers shares() const {
    Numbers v;
    for (int p = 0; p < m_.particles(); ++p) {
      const bool whole = m_.estimator == Estimator::dreg;
      const int first = whole ? 0 : p / m_.K * m_.K, n = whole ? m_.particles() : m_.K;
      double total = 0;
      for (int i = first; i < first + n; ++i)
        total +=
            std::exp(log_w_[static_cast<std::size_t>(i)] - log_w_[static_cast<std::size_t>(p)]);
      v.push_back(1 / total);
    }
    return v;
  }
  double value(const RowInputs& in) const {
    const Numbers z = draw(in);
    double sum = 0;
    switch (m_.estimator) {
      case Estimator::elbo:
        for (int p = 0; p < m_.particles(); ++p)
          for (int d = 0; d < m_.C; ++d)
            sum += m_.lambda[static_cast<std::size_t>(d)] * log_p(in, z, d, p);
        return sum / m_.particles() - divergences(in);
      case Estimator::elbo_published:
        for (int p = 0; p < m_.particles(); ++p) {
          const int d = p / m_.K;
          for (int r = 0; r < m_.C; ++r) {
            const double rho = r == d ? 1 : std::exp(log_q(in, z_, r, p) - log_q(base_, z_, d, p));
            sum += rho * m_.lambda[static_cast<std::size_t>(d)] * log_p(in, z, d, p);
          }
        }
        return sum / m_.particles() - divergences(in);
      case Estimator::iwae:
      case Estimator::dreg: {
        const Numbers log_w = log_weights(in, z);
        return log_mean(log_w.data(), m_.particles());
      }
      default: {
        const Numbers log_w = log_weights(in, z);
        for (int c = 0; c < m_.C; ++c) sum += log_mean(log_w.data() + c * m_.K, m_.K);
        return sum / m_.C;
      }
    }
  }

  const Mixture& m_;
  int r_;
  RowInputs base_;
  Numbers z_, log_w_;
};

/// Estimates, divergences and gradients of a mixture.
struct Outcome {
  Numbers estimate, divergence;  // (R); (C, R)
  Numbers by_theta, by_prior, by_w;
};

/// By central differences.
inline Outcome naive_outcome(const Mixture& m) {
  Outcome out;
  out.divergence.resize(static_cast<std::size_t>(m.C * m.R));
  out.by_theta.resize(m.theta.size());
  out.by_prior.resize(m.prior.size());
  out.by_w.resize(m.w.size());
  constexpr double h = 1e-5;
  for (int r = 0; r < m.R; ++r) {
    const NaiveRow row(m, r);
    out.estimate.push_back(row.value());
    for (int c = 0; c < m.C; ++c)
      out.divergence[static_cast<std::size_t>(c * m.R + r)] = row.divergence(row.base(), c);
    RowInputs in = row.base();
    const auto slope = [&](bool theta, std::initializer_list<double*> numbers) {
      double value[2];
      for (const int side : {0, 1}) {
        for (double* x : numbers) *x += side == 0 ? h : -2 * h;
        value[side] = row.surrogate(in, theta);
      }
      for (double* x : numbers) *x += h;
      return m.weight * (value[0] - value[1]) / (2 * h);
    };
    for (int c = 0; c < m.C; ++c)
      for (int i = 0; i < 2 * m.L; ++i) {
        const auto from = static_cast<std::size_t>(c * 2 * m.L + i);
        out.by_theta[m.at(c, r) + static_cast<std::size_t>(i)] =
            slope(false, {&in.sampled[from], &in.density[from]});
      }
    for (std::size_t i = 0; i < m.prior.size(); ++i) out.by_prior[i] += slope(true, {&in.prior[i]});
    for (std::size_t d = 0; d < m.w.size(); ++d) out.by_w[d] += slope(true, {&in.w[d]});
  }
  return out;
}

/// log p_d of particles as an operation of the tape. The gradient by w_d is added to *by_w.
template <int L, class T>
Variable<T, Scalar> decode(Context<T>& ctx, Rows<T, Shape<L>> z, std::span<const T> x, T w,
                           T* by_w) {
  const int batch = static_cast<int>(x.size()) / L;
  auto y = ctx.tape.template make<Scalar>(z.count, true);
  const auto error = [=](int r, int i) {
    return x[static_cast<std::size_t>(r % batch * L + i)] -
           w * z.of.value[static_cast<std::size_t>((z.first + r) * L + i)];
  };
  for (int r = 0; r < z.count; ++r) {
    y.value[r] = 0;
    for (int i = 0; i < L; ++i) y.value[r] -= T(0.5) * error(r, i) * error(r, i);
  }
  ctx.tape.record(y, [=] {
    T* const dz = add_sink(z);
    for (int r = 0; r < z.count; ++r)
      for (int i = 0; i < L; ++i) {
        const T g = y.gradient->data[r] * error(r, i);
        if (dz != nullptr) dz[r * L + i] += g * w;
        *by_w += g * z.of.value[(z.first + r) * L + i];
      }
  });
  return y;
}

template <class To, class From>
std::vector<To> converted(const std::vector<From>& from) {
  std::vector<To> to;
  for (const From& x : from) to.push_back(static_cast<To>(x));
  return to;
}

/// The library's answer, in batches of `chunk` rows, each a segment of the tape.
template <int L, class T>
Outcome library_outcome(const Mixture& m, int chunk, Tape<T>& tape) {
  constexpr int before = 2;  // rows of the batches that are not asked for
  tape.reset();
  Context<T> ctx{.tape = tape, .random = m.random};
  const auto theta = converted<T>(m.theta), prior = converted<T>(m.prior), x = converted<T>(m.x);
  std::vector<Variable<T, Shape<2 * L>>> all;
  for (int c = 0; c < m.C; ++c) {
    std::vector<T> rows(static_cast<std::size_t>((before + m.R) * 2 * L), T(0.5));
    std::copy_n(theta.begin() + c * m.R * 2 * L, m.R * 2 * L, rows.begin() + before * 2 * L);
    all.push_back(tape.leaf(View<T, Shape<2 * L>>{rows.data(), before + m.R}));
  }
  const auto p = tape.leaf(View<T, Shape<L>>{prior.data(), 1});
  const auto rows = static_cast<std::size_t>(m.R), count = static_cast<std::size_t>(m.C);
  std::vector<T> value(rows), divergence(rows * count, T(-1)), by_w(count);
  for (int first = 0; first < m.R; first += chunk)
    tape.segment([&] {
      const int now = std::min(chunk, m.R - first);
      Context<T> here = ctx;
      here.first_row = m.first_row + first;
      std::vector<Rows<T, Shape<2 * L>>> part;
      for (const auto& c : all) part.push_back({c, before + first, now});
      const auto cloud =
          draw<L>(here, part,
                  {.numbers = m.numbers,
                   .particles = m.K,
                   .distribution = m.distribution,
                   .estimator = m.estimator,
                   .first_stream = m.first_stream},
                  m.with_prior ? p : Variable<T, Shape<L>>{}, {divergence.data() + first, m.R});
      std::vector<Decoded<T>> decoded;
      for (int d = 0; d < m.C; ++d) {
        const auto i = static_cast<std::size_t>(d);
        const bool own = m.estimator == Estimator::elbo_published;
        const Rows<T, Shape<L>> z =
            own ? Rows<T, Shape<L>>(cloud.z, d * m.K * now, m.K * now) : Rows<T, Shape<L>>(cloud.z);
        const auto seen = std::span<const T>(x).subspan(
            static_cast<std::size_t>((d * m.R + first) * L), static_cast<std::size_t>(now * L));
        decoded.push_back({decode<L, T>(here, z, seen, static_cast<T>(m.w[i]), &by_w[i]),
                           m.lambda[i], own ? d : Decoded<T>::all});
      }
      estimate(here, cloud, decoded, static_cast<T>(m.weight), static_cast<T>(m.divergence_weight),
               value.data() + first);
    });
  Outcome out{
      converted<double>(value), converted<double>(divergence), {}, {}, converted<double>(by_w)};
  for (const auto& c : all) {
    const T* const g = add_sink(Rows(c));
    for (int i = 0; i < before * 2 * L; ++i) REQUIRE(g[i] == T(0));
    for (int i = before * 2 * L; i < (before + m.R) * 2 * L; ++i)
      out.by_theta.push_back(static_cast<double>(g[i]));
  }
  const T* const g = add_sink(Rows(p));
  for (int i = 0; i < L; ++i) out.by_prior.push_back(static_cast<double>(g[i]));
  return out;
}

}  // namespace poe::test
