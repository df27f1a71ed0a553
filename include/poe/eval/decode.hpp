// SPDX-License-Identifier: MIT
// Latent codes drawn from posteriors or from the prior, and what a model makes of them.
#pragma once

#include "poe/eval/chunks.hpp"
#include "poe/gaussian/algebra.hpp"
#include "poe/models/vae.hpp"

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

/// Calls f(std::integral_constant<int, I>) for every modality of V, in order.
template <class V, class F>
void each_modality_of(F&& f) {
  [&]<int... I>(std::integer_sequence<int, I...>) { (f(std::integral_constant<int, I>{}), ...); }
  (std::make_integer_sequence<int, V::modalities>{});
}

/// The part of a batch of the host where the model's passes want it.
template <class V>
typename V::GroupType to_device(Context<typename V::Real, typename V::Device>& ctx,
                                const typename V::HostGroup& samples) {
  typename V::GroupType copy{samples.observed,  samples.rows,   samples.total,
                             samples.first_row, samples.loader, {}};
  each_modality_of<V>([&]<int I>(std::integral_constant<int, I>) {
    if (contains(samples.observed, I))
      std::get<I>(copy.x) = poe::to_device(ctx, std::get<I>(samples.x));
  });
  return copy;
}

/// q(z | x_S) of some samples. Where the family has several alternatives for S (several stand-ins),
/// it is their uniform mixture.
template <class V>
struct Mixture {
  using T = typename V::Real;
  static constexpr int latent = V::latent;

  std::array<View<T, typename V::Gaussians>, 5> parts;  // location, then log-precision
  int count = 0;

  Mixture(const V& model, Context<T, typename V::Device>& ctx, const typename V::GroupType& samples,
          Subset given) {
    using M = typename V::ModalitySet;
    expect(given != 0 && within(given, samples.observed),
           "posterior: expected some of the observed modalities '{}', got '{}'",
           names_of<M>(samples.observed), names_of<M>(given));
    count = V::PosteriorFamily::posteriors(V::modalities, given).count;
    for (int a = 0; a < count; ++a)
      parts[static_cast<std::size_t>(a)] = to_host(ctx, model.posterior(ctx, samples, given, a));
  }

  /// Draw number `number` of sample `row`: z = location + sigma * epsilon, epsilon being elements
  /// number * L ... of the source. The elements from 2^63 on choose among alternatives.
  void draw(int row, std::uint64_t number, const Random& random, T* z) const {
    const std::uint32_t part = count == 1 ? 0
                                          : random.below(static_cast<std::uint32_t>(count),
                                                         (std::uint64_t{1} << 63) + number);
    const T* const q = parts[part].data + offset(row);
    fill_normal(random, number * latent, std::span<T>(z, latent));
    for (int i = 0; i < latent; ++i) z[i] = q[i] + z[i] * math::exp(T(-0.5) * q[latent + i]);
  }

  /// log q(z | x_S) of sample `row`.
  double log_density(int row, const T* z) const {
    double log_p[5], top = -std::numeric_limits<double>::infinity();
    for (int a = 0; a < count; ++a) {
      const T* const q = parts[static_cast<std::size_t>(a)].data + offset(row);
      log_p[a] = static_cast<double>(detail::sum_over<T>(latent, [=](int i) {
        return gaussian::log_density<T>(z[i], {q[i], q[latent + i]});
      }));
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
  each_modality_of<V>([&]<int I>(std::integral_constant<int, I>) {
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

/// The means of all modalities for `count` codes z ~ N(0, I).
template <class V>
Decoded<V> draw_from_prior(const V& model, LearnerOf<V>& learner, int count, const Random& random) {
  using T = typename V::Real;
  using D = typename V::Device;
  expect(count >= 0, "draw_from_prior: expected 0 samples or more, got {}", count);
  auto out = detail::DecodedFrom<V>::make(count);
  const auto pass = [&](Context<T, D>& ctx, int first, int rows) {
    const std::size_t numbers = static_cast<std::size_t>(rows) * V::latent;
    T* const z = ctx.arena().template take<T>(numbers);
    fill_normal(random, static_cast<std::uint64_t>(first) * V::latent, std::span<T>(z, numbers));
    detail::decode_means(model, ctx, {z, rows}, out, first);
  };
  detail::for_each_chunk(learner, count, detail::chunk_rows<D>, pass);
  return out;
}

}  // namespace poe
