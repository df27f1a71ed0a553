// SPDX-License-Identifier: MIT
// Latent codes drawn from posteriors or from the prior, and what a model makes of them.
#pragma once

#include "poe/eval/chunks.hpp"
#include "poe/models/vae.hpp"
#include "poe/particles/density.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <tuple>
#include <utility>

namespace poe {

namespace detail {

template <class V, class I>
struct DecodedAs;
template <class V, int... I>
struct DecodedAs<V, std::integer_sequence<int, I...>> {
  using Type = std::tuple<Tensor<typename V::Real, typename V::template Sample<I>>...>;
  static Type make(int rows) {
    return Type{Tensor<typename V::Real, typename V::template Sample<I>>(rows)...};
  }
};
template <class V>
using DecodedFrom = DecodedAs<V, std::make_integer_sequence<int, V::modalities>>;

/// The part of a batch of the host where the model's passes want it.
template <class V>
typename V::GroupType to_device(Context<typename V::Real, typename V::Device>& ctx,
                                const typename V::HostGroup& samples) {
  typename V::GroupType copy{samples.observed,  samples.rows,   samples.total,
                             samples.first_row, samples.loader, {}};
  each_index<V::modalities>([&]<int I>(std::integral_constant<int, I>) {
    if (contains(samples.observed, I))
      std::get<I>(copy.x) = poe::to_device(ctx, std::get<I>(samples.x));
  });
  return copy;
}

/// Numbers [first, first + count) of a standard distribution from a source, into `to`.
template <class T>
void fill_standard(particles::Distribution distribution, const Random& random, std::uint64_t first,
                   std::span<T> to) {
  if (distribution == particles::Distribution::normal) return fill_normal(random, first, to);
  for (std::size_t i = 0; i < to.size(); ++i)
    to[i] = particles::LaplaceDensity::noise(random.uniform<T>(first + i));
}

/// log density of z; `location` null: 0; `log_precision`, -2 log scale, null: 0.
template <int latent, class T>
double log_density_of(particles::Distribution distribution, const T* z, const T* location,
                      const T* log_precision) {
  T sum = 0;
  particles::with_density(
      distribution == particles::Distribution::laplace, [&]<class Density>(Density) {
        sum = sum_over<T>(latent, [=](int i) {
          const T m = location == nullptr ? T(0) : location[i];
          const T l = log_precision == nullptr ? T(0) : log_precision[i];
          return T(0.5) * l - Density::energy((z[i] - m) * math::exp(T(0.5) * l));
        });
      });
  return static_cast<double>(sum);
}

/// p(z), on the host.
template <class V>
struct Prior {
  using T = typename V::Real;
  particles::Distribution distribution;
  const T* log_precision = nullptr;  // null: all 0

  Prior(const V& model, Context<T, typename V::Device>& ctx) : distribution(model.distribution()) {
    if (const auto l = model.prior(ctx); l.value != nullptr) log_precision = to_host(ctx, l).data;
  }
  /// Codes number first, first + 1, ... of the source: code n is elements n L ... of it.
  void draw(const Random& random, std::uint64_t first, std::span<T> z) const {
    fill_standard(distribution, random, first * V::latent, z);
    for (std::size_t i = 0; i < z.size() && log_precision != nullptr; ++i)
      z[i] *= math::exp(T(-0.5) * log_precision[i % V::latent]);
  }
  double log_density(const T* z) const {
    return log_density_of<V::latent, T>(distribution, z, nullptr, log_precision);
  }
};

/// q(z | x_S) of some samples. Where the family has several alternatives for S (components of a
/// mixture, several stand-ins), it is their uniform mixture.
template <class V>
struct Mixture {
  using T = typename V::Real;
  static constexpr int latent = V::latent;

  particles::Distribution distribution;
  // location, then log-precision
  std::array<View<T, typename V::Gaussians>, Alternatives::most> parts;
  int count = 0;

  Mixture(const V& model, Context<T, typename V::Device>& ctx, const typename V::GroupType& samples,
          Subset given)
      : distribution(model.distribution()) {
    const auto all = model.posterior_alternatives(ctx, samples, given);
    count = static_cast<int>(all.size());
    for (std::size_t a = 0; a < all.size(); ++a) parts[a] = to_host(ctx, all[a].of);
  }

  /// Draw number `number` of sample `row`: z = location + scale * epsilon, epsilon being elements
  /// number * L ... of the source. The elements from 2^63 on choose among alternatives.
  void draw(int row, std::uint64_t number, const Random& random, T* z) const {
    const std::uint32_t part = count == 1 ? 0
                                          : random.below(static_cast<std::uint32_t>(count),
                                                         (std::uint64_t{1} << 63) + number);
    const T* const q = parts[part].data + offset(row);
    fill_standard(distribution, random, number * latent, std::span<T>(z, latent));
    for (int i = 0; i < latent; ++i) z[i] = q[i] + z[i] * math::exp(T(-0.5) * q[latent + i]);
  }

  /// log q(z | x_S) of sample `row`.
  double log_density(int row, const T* z) const {
    double log_p[Alternatives::most], top = -std::numeric_limits<double>::infinity();
    for (int a = 0; a < count; ++a) {
      const T* const q = parts[static_cast<std::size_t>(a)].data + offset(row);
      log_p[a] = log_density_of<latent, T>(distribution, z, q, q + latent);
      top = std::max(top, log_p[a]);
    }
    if (count == 1) return log_p[0];
    double sum = 0;
    for (int a = 0; a < count; ++a) sum += std::exp(log_p[a] - top);
    return top + std::log(sum / count);
  }

 private:
  static std::ptrdiff_t offset(int row) { return static_cast<std::ptrdiff_t>(row) * 2 * latent; }
};

/// The means of all modalities for latent codes z, into rows first, first + 1, ... of `out`.
template <class V, class Decoded>
void decode_means(const V& model, Context<typename V::Real, typename V::Device>& ctx,
                  View<typename V::Real, typename V::Latent> z, Decoded& out, int first) {
  const auto codes = ctx.tape.constant(poe::to_device(ctx, z));
  each_index<V::modalities>([&]<int I>(std::integral_constant<int, I>) {
    using Modality = typename V::template ModalityAt<I>;
    constexpr int size = V::template Sample<I>::size, parameters = Modality::Decoder::Out::size;
    const auto decoded = to_host(ctx, model.template decode<I>(ctx, codes));
    for (int n = 0; n < z.rows; ++n)
      Modality::Likelihood::mean(decoded.data + static_cast<std::ptrdiff_t>(n) * parameters, size,
                                 parameters, std::get<I>(out).row(first + n).data());
  });
}

}  // namespace detail

/// A tensor of samples of every modality.
template <class V>
using Decoded = typename detail::DecodedFrom<V>::Type;

/// The means of all modalities, each sample decoded from one z ~ q(z | x_S), S = `given`. Noise is
/// element (position * L + l) of `random`, the position being the sample's in its loader's batch:
/// neither slices of the group nor the number of ranks change it.
template <class V>
Decoded<V> complete(const V& model, LearnerOf<V>& learner, const typename V::HostGroup& samples,
                    Subset given, const Random& random) {
  using T = typename V::Real;
  using D = typename V::Device;
  auto out = detail::DecodedFrom<V>::make(samples.rows);
  const auto pass = [&](Context<T, D>& ctx, int first, int count) {
    const auto part = samples.slice(first, count);
    const detail::Mixture<V> q(model, ctx, detail::to_device<V>(ctx, part), given);
    T* const z = ctx.arena().template take<T>(static_cast<std::size_t>(count) * V::latent);
    for (int n = 0; n < count; ++n)
      q.draw(n, static_cast<std::uint64_t>(part.first_row + n), random,
             z + static_cast<std::ptrdiff_t>(n) * V::latent);
    detail::decode_means(model, ctx, {z, count}, out, first);
  };
  detail::for_each_chunk(learner, samples.rows, detail::chunk_rows<D>, pass);
  return out;
}

/// The means of all modalities for `count` codes z ~ p(z).
template <class V>
Decoded<V> draw_from_prior(const V& model, LearnerOf<V>& learner, int count, const Random& random) {
  using T = typename V::Real;
  using D = typename V::Device;
  expect(count >= 0, "draw_from_prior: expected 0 samples or more, got {}", count);
  auto out = detail::DecodedFrom<V>::make(count);
  const auto pass = [&](Context<T, D>& ctx, int first, int rows) {
    const std::size_t numbers = static_cast<std::size_t>(rows) * V::latent;
    T* const z = ctx.arena().template take<T>(numbers);
    detail::Prior<V>(model, ctx).draw(random, static_cast<std::uint64_t>(first), {z, numbers});
    detail::decode_means(model, ctx, {z, rows}, out, first);
  };
  detail::for_each_chunk(learner, count, detail::chunk_rows<D>, pass);
  return out;
}

}  // namespace poe
