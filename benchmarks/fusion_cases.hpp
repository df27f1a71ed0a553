// SPDX-License-Identifier: MIT
// What bench_fusion runs: plans, their operands, and the same work as single operations.
#pragma once

#include <poe/gaussian/fusion.hpp>
#include <poe/gaussian/single_cuda.hpp>

#include <bit>
#include <string>
#include <vector>

#include "single_cpu.hpp"

namespace bench {

using gaussian::divergence_rows;
using gaussian::divergence_rows_gradient;
using gaussian::product;
using gaussian::product_gradient;
using gaussian::sample;
using gaussian::sample_gradient;
using gaussian::to_log_precision;
using gaussian::to_log_precision_gradient;
using poe::Buffer;

/// A plan under a name. Gradients arrive at its divergences and samples; at its posteriors if it
/// has neither.
struct Case {
  std::string name, meaning;
  int experts;
  std::vector<gaussian::Product> products;
  std::vector<gaussian::Divergence> divergences;
  std::vector<gaussian::Draw> draws;

  gaussian::Plan plan() const { return {products, divergences, draws}; }
  bool only_products() const { return divergences.empty() && draws.empty(); }
};

/// Two modalities as the models' objectives see them: products 0 (of both), 1 and 2 (of one each).
inline std::vector<Case> all_cases() {
  const std::vector<gaussian::Divergence> divergences = {{0, 1}, {0, 2}, {1}, {2}};
  const std::vector<gaussian::Draw> draws = {{0, 0}, {1, 1}, {2, 2}};
  return {
      {"two", "a product of 2 experts", 2, {{0b11}}, {}, {}},
      {"svae",
       "4 experts, 3 products of 2, 4 divergences, 3 samples",
       4,
       {{0b0101}, {0b0011}, {0b1100}},
       divergences,
       draws},
      {"vaevae",
       "3 experts on their own, 4 divergences, 3 samples",
       3,
       {{0b100}, {0b001}, {0b010}},
       divergences,
       draws},
      {"eight", "a product of 8 experts", 8, {{0xFF}}, {}, {}},
  };
}

/// Bytes that the mathematics needs, the same for every way of computing it: operands (experts,
/// gradients that arrive, samples) read once, results written once; gradients of experts are also
/// read, because they are added to. What an implementation reads beyond that, such as posteriors in
/// the backward pass, does not count.
inline double forward_bytes(const Case& c, double rows, double latent) {
  const auto pairs = static_cast<double>(c.experts) + static_cast<double>(c.products.size());
  return 4 * rows *
         (2 * latent * pairs + latent * static_cast<double>(c.draws.size()) +
          static_cast<double>(c.divergences.size()));
}
inline double backward_bytes(const Case& c, double rows, double latent) {
  const double arriving = c.only_products() ? static_cast<double>(c.products.size()) : 0;
  const double pairs = 3 * static_cast<double>(c.experts) + arriving;
  return 4 * rows *
         (2 * latent * pairs + 2 * latent * static_cast<double>(c.draws.size()) +
          static_cast<double>(c.divergences.size()));
}

/// Memory of one fusion on a Device, and what single operations keep between them.
template <class Device>
class Operands {
 public:
  Operands(const Case& c, int rows, int latent, Executor<Device>& on)
      : rows_(rows), latent_(latent) {
    const std::size_t wide = static_cast<std::size_t>(rows) * static_cast<std::size_t>(2 * latent);
    const std::size_t experts = static_cast<std::size_t>(c.experts), products = c.products.size();
    const std::size_t k = c.divergences.size(), s = c.draws.size();
    const std::size_t tall = static_cast<std::size_t>(rows);
    inputs_ = numbers(experts * wide + products * wide + k * tall + s * wide / 2, on);
    results_ = Buffer<float, Device>(inputs_.size());
    between_ = Buffer<float, Device>((2 * experts + products) * wide);

    const auto slices = [](float*& at, std::size_t count, std::size_t size) {
      std::vector<float*> v(count);
      for (float*& p : v) p = at, at += size;
      return v;
    };
    float* in = inputs_.data();
    for (float* p : slices(in, experts, wide)) expert.push_back(p);
    for (float* p : slices(in, products, wide)) posterior_gradient.push_back(p);
    for (float* p : slices(in, k, tall)) divergence_gradient.push_back(p);
    for (float* p : slices(in, s, wide / 2)) sample_gradient.push_back(p);
    if (!c.only_products()) posterior_gradient.assign(products, nullptr);
    float* out = results_.data();
    expert_gradient = slices(out, experts, wide);
    posterior = slices(out, products, wide);
    divergence = slices(out, k, tall);
    sample = slices(out, s, wide / 2);
    float* work = between_.data();
    normal = slices(work, experts, wide);
    cleared = work, to_clear = (experts + products) * wide;
    normal_gradient = slices(work, experts, wide);
    posterior_sum = slices(work, products, wide);
    // An expert on its own is a posterior as it is: no step in between.
    for (std::size_t p = 0; p < products; ++p)
      if (std::has_single_bit(c.products[p].experts) && !c.products[p].prior) {
        const auto e = static_cast<std::size_t>(std::countr_zero(c.products[p].experts));
        normal[e] = posterior[p];
        normal_gradient[e] = posterior_sum[p];
      }
  }

  gaussian::FusionMemory<float> memory() const {
    return {rows_, latent_, expert, nullptr, posterior, divergence, sample};
  }
  gaussian::FusionGradients<float> gradients() const {
    return {posterior_gradient, divergence_gradient, sample_gradient, expert_gradient};
  }
  int rows() const { return rows_; }
  int latent() const { return latent_; }
  void clear_results() { results_.clear(); }
  std::vector<float> results(Executor<Device>& on) const {
    std::vector<float> values(results_.size());
    if constexpr (std::is_same_v<Device, Cpu>)
      std::copy(results_.begin(), results_.end(), values.begin());
    else
      poe::cuda::download(values.data(), results_.data(), values.size() * sizeof(float),
                          on.stream());
    return values;
  }

  std::vector<const float*> expert, posterior_gradient, divergence_gradient, sample_gradient;
  std::vector<float*> expert_gradient, posterior, divergence, sample;
  // Of the single operations:
  std::vector<float*> normal, normal_gradient, posterior_sum;
  float* cleared = nullptr;  // all gradients in between, in one piece
  std::size_t to_clear = 0;

 private:
  /// Standard normal numbers; they repeat.
  static Buffer<float, Device> numbers(std::size_t count, Executor<Device>& on) {
    std::vector<float> pattern(std::min(count, (std::size_t{1} << 20) + 7));
    poe::fill_normal(poe::Random{1}, 0, std::span<float>(pattern));
    Buffer<float, Device> buffer(count);
    for (std::size_t at = 0; at < count; at += pattern.size()) {
      const std::size_t n = std::min(pattern.size(), count - at);
      if constexpr (std::is_same_v<Device, Cpu>)
        std::copy_n(pattern.begin(), n, buffer.data() + at);
      else
        poe::cuda::upload(buffer.data() + at, pattern.data(), n * sizeof(float), on.stream());
    }
    if constexpr (!std::is_same_v<Device, Cpu>) poe::cuda::synchronise(on.stream());
    return buffer;
  }

  int rows_, latent_;
  Buffer<float, Device> inputs_, results_, between_;
};

/// Calls f(factors of product p, p) for every product of more than an expert on its own.
template <class F>
void for_each_product(const Case& c, const std::vector<float*>& of_experts, F&& f) {
  for (std::size_t p = 0; p < c.products.size(); ++p) {
    const gaussian::Product& product = c.products[p];
    if (std::has_single_bit(product.experts) && !product.prior) continue;
    float* members[gaussian::max_experts];
    std::size_t count = 0;
    for (std::size_t e = 0; e < of_experts.size(); ++e)
      if ((product.experts >> e & 1U) != 0) members[count++] = of_experts[e];
    f(std::span<float* const>(members, count), p);
  }
}

/// The results of the plan, one operation after the other.
template <class Device>
void single_values(const Case& c, Operands<Device>& o, const poe::Random& random,
                   Executor<Device>& on) {
  const int rows = o.rows(), latent = o.latent();
  for (std::size_t e = 0; e < o.expert.size(); ++e)
    to_log_precision(o.expert[e], rows, latent, gaussian::ScaleLink{}, o.normal[e], on);
  for_each_product(c, o.normal, [&](std::span<float* const> factors, std::size_t p) {
    const std::vector<const float*> read(factors.begin(), factors.end());
    product(std::span<const float* const>(read), nullptr, c.products[p].prior, rows, latent,
            o.posterior[p], on);
  });
  const auto posterior = [&](int p) -> const float* {
    return p == gaussian::prior ? nullptr : o.posterior[static_cast<std::size_t>(p)];
  };
  for (std::size_t k = 0; k < c.divergences.size(); ++k)
    divergence_rows(posterior(c.divergences[k].from), posterior(c.divergences[k].to), rows, latent,
                    o.divergence[k], on);
  for (std::size_t s = 0; s < c.draws.size(); ++s)
    sample(posterior(c.draws[s].product), random.with_stream(c.draws[s].stream), 0, rows, latent,
           o.sample[s], on);
}

/// The gradients of its experts, one operation after the other.
template <class Device>
void single_gradients(const Case& c, Operands<Device>& o, Executor<Device>& on) {
  const int rows = o.rows(), latent = o.latent();
  if constexpr (std::is_same_v<Device, Cpu>)
    std::fill_n(o.cleared, o.to_clear, 0.0F);
  else
    poe::cuda::clear(o.cleared, o.to_clear * sizeof(float), on.stream());
  const auto at = [](const auto& v, int p) { return v[static_cast<std::size_t>(p)]; };
  for (std::size_t s = 0; s < c.draws.size(); ++s) {
    const int p = c.draws[s].product;
    sample_gradient(static_cast<const float*>(at(o.posterior, p)),
                    static_cast<const float*>(o.sample[s]), o.sample_gradient[s], rows, latent,
                    at(o.posterior_sum, p), on);
  }
  for (std::size_t k = 0; k < c.divergences.size(); ++k) {
    const auto [from, to, fixed] = c.divergences[k];
    const bool real = to != gaussian::prior;
    divergence_rows_gradient(static_cast<const float*>(at(o.posterior, from)),
                             real ? static_cast<const float*>(at(o.posterior, to)) : nullptr,
                             o.divergence_gradient[k], rows, latent, at(o.posterior_sum, from),
                             real && !fixed ? at(o.posterior_sum, to) : nullptr, on);
  }
  for_each_product(c, o.normal, [&](std::span<float* const> factors, std::size_t p) {
    const std::vector<const float*> read(factors.begin(), factors.end());
    std::vector<float*> sinks;
    for (std::size_t e = 0; e < o.normal.size(); ++e)
      if ((c.products[p].experts >> e & 1U) != 0) sinks.push_back(o.normal_gradient[e]);
    const float* const arrived =
        o.posterior_gradient[p] != nullptr ? o.posterior_gradient[p] : o.posterior_sum[p];
    product_gradient(std::span<const float* const>(read), nullptr,
                     static_cast<const float*>(o.posterior[p]), arrived, rows, latent,
                     std::span<float* const>(sinks), on);
  });
  for (std::size_t e = 0; e < o.expert.size(); ++e)
    to_log_precision_gradient(o.expert[e], static_cast<const float*>(o.normal_gradient[e]), rows,
                              latent, gaussian::ScaleLink{}, o.expert_gradient[e], on);
}

}  // namespace bench
