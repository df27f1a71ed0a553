// SPDX-License-Identifier: MIT
// Log-likelihoods of held-out samples by importance sampling.
#pragma once

#include "poe/eval/decode.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace poe {

/// An estimate of log p(x_T), in nats per sample.
struct LogLikelihood {
  std::vector<double> samples;  ///< of every sample
  double mean = 0;              ///< over the samples
  double standard_error = 0;    ///< of that mean, over the samples; NaN for a single one
};

namespace detail {

inline double log_mean_exp(std::span<const double> x) {
  const double top = *std::max_element(x.begin(), x.end());
  if (!std::isfinite(top)) return top;
  double sum = 0;
  for (const double v : x) sum += std::exp(v - top);
  return top + std::log(sum / static_cast<double>(x.size()));
}

inline LogLikelihood summarise(std::vector<double> values) {
  LogLikelihood result;
  const auto n = static_cast<double>(values.size());
  double squares = 0;
  for (const double v : values) result.mean += v / n;
  for (const double v : values) squares += (v - result.mean) * (v - result.mean);
  result.standard_error = std::sqrt(squares / (n - 1) / n);
  result.samples = std::move(values);
  return result;
}

/// Adds sum over m in T of log p_m(x_m | z) to the log-weights: code row r * particles + k belongs
/// to sample r.
template <class V>
void add_log_likelihoods(const V& model, Context<typename V::Real, typename V::Device>& ctx,
                         const typename V::GroupType& samples, Subset target,
                         View<typename V::Real, typename V::Latent> z, int particles,
                         double* log_weight) {
  using T = typename V::Real;
  using D = typename V::Device;
  const auto codes = ctx.tape.constant(poe::to_device(ctx, z));
  each_index<V::modalities>([&]<int I>(std::integral_constant<int, I>) {
    if (!contains(target, I)) return;
    using Modality = typename V::template ModalityAt<I>;
    using Sample = typename V::template Sample<I>;
    auto* const x = ctx.arena().template take<View<T, Sample, D>>(static_cast<std::size_t>(z.rows));
    for (int i = 0; i < z.rows; ++i) x[i] = std::get<I>(samples.x).slice(i / particles, 1);
    const auto log_p = log_likelihood<typename Modality::Likelihood, T,
                                      typename Modality::Decoder::Out, Sample, D>(
        ctx, model.template decode<I>(ctx, codes), {x, static_cast<std::size_t>(z.rows)});
    const auto values = to_host(ctx, log_p);
    for (int i = 0; i < z.rows; ++i) log_weight[i] += static_cast<double>(values.data[i]);
  });
}

}  // namespace detail

/// The differences a - b, sample by sample. Of log p(x_S, x_T) and log p(x_S): the conditional log
/// p(x_T | x_S), whose standard error takes into account that both are of the same samples.
inline LogLikelihood difference(const LogLikelihood& a, const LogLikelihood& b) {
  expect(a.samples.size() == b.samples.size(),
         "difference: log-likelihoods of {} and of {} samples", a.samples.size(), b.samples.size());
  std::vector<double> values(a.samples.size());
  for (std::size_t n = 0; n < values.size(); ++n) values[n] = a.samples[n] - b.samples[n];
  return detail::summarise(std::move(values));
}

/// log p(x_T) of every sample from `particles` draws z_k ~ q(z | x_S), S = `given`, T = `target`:
///   log (1 / K) sum_k  p(z_k) prod_{m in T} p_m(x_m | z_k) / q(z_k | x_S),
/// without the weights lambda of the training loss. A lower bound of log p(x_T) in expectation,
/// tight as K grows, and exact for every K where q(z | x_S) is p(z | x_T). Noise is a function of
/// `random`, the sample's position and k alone.
template <class V>
LogLikelihood importance_log_likelihood(const V& model, LearnerOf<V>& learner,
                                        const typename V::HostGroup& samples, Subset given,
                                        Subset target, int particles, const Random& random) {
  using T = typename V::Real;
  using D = typename V::Device;
  using M = typename V::ModalitySet;
  expect(samples.rows > 0 && particles > 0,
         "importance_log_likelihood: expected samples and particles, got {} and {}", samples.rows,
         particles);
  expect(target != 0 && within(target, samples.observed),
         "importance_log_likelihood: modalities '{}' asked, '{}' observed", names_of<M>(target),
         names_of<M>(samples.observed));
  const int pass = std::min(particles, detail::chunk_rows<D>);  // particles decoded at a time
  const int chunk = std::max(1, detail::chunk_rows<D> / particles);
  const auto all = static_cast<std::size_t>(particles);
  std::vector<double> log_p(static_cast<std::size_t>(samples.rows));
  detail::for_each_chunk(
      learner, samples.rows, chunk, [&](Context<T, D>& ctx, int first, int count) {
        const auto part = detail::to_device<V>(ctx, samples.slice(first, count));
        const detail::Mixture<V> q(model, ctx, part, given);
        const detail::Prior<V> prior(model, ctx);
        auto* const weights =
            ctx.arena().template take<double>(static_cast<std::size_t>(count) * all);
        for (int done = 0; done < particles; done += pass) {
          Scratch<D> values(ctx.executor().values());
          Scratch<Cpu> scratch(ctx.arena());
          const int now = std::min(pass, particles - done), codes = count * now;
          T* const z = scratch.take<T>(static_cast<std::size_t>(codes) * V::latent);
          auto* const w = scratch.take<double>(static_cast<std::size_t>(codes));
          for (int i = 0; i < codes; ++i) {
            T* const code = z + static_cast<std::ptrdiff_t>(i) * V::latent;
            const auto position = static_cast<std::uint64_t>(part.first_row + i / now);
            q.draw(i / now, position * all + static_cast<std::uint64_t>(done + i % now), random,
                   code);
            w[i] = prior.log_density(code) - q.log_density(i / now, code);
          }
          detail::add_log_likelihoods(model, ctx, part, target, {z, codes}, now, w);
          for (int i = 0; i < codes; ++i)
            weights[static_cast<std::size_t>(i / now) * all +
                    static_cast<std::size_t>(done + i % now)] = w[i];
        }
        for (int n = 0; n < count; ++n)
          log_p[static_cast<std::size_t>(first + n)] =
              detail::log_mean_exp({weights + static_cast<std::size_t>(n) * all, all});
      });
  return detail::summarise(std::move(log_p));
}

}  // namespace poe
