// SPDX-License-Identifier: MIT
// Problems for the fusion of Gaussian experts, and what textbook formulas in double and their
// finite differences say of them.
#pragma once

#include "gaussian.hpp"

namespace tests {

using poe::Random, poe::gaussian::Divergence, poe::gaussian::Draw, poe::gaussian::Product;

/// A plan that owns its lists.
struct Made {
  int experts = 1;
  std::vector<Product> products;
  std::vector<Divergence> divergences;
  std::vector<Draw> draws;
  std::string name;
  poe::gaussian::Plan plan() const { return {products, divergences, draws}; }
};

/// `products` random products of `experts` experts, and as many divergences and draws.
inline Made random_plan(int experts, int products, int divergences, int draws, std::uint32_t stream,
                        bool several_floors = false) {
  const Random random{5, stream, 0};
  std::uint64_t i = 0;
  const auto below = [&](int n) {
    return static_cast<int>(random.below(static_cast<std::uint32_t>(n), i++));
  };
  Made made{experts,
            {},
            {},
            {},
            std::to_string(experts) + " experts, " + std::to_string(products) + " products, " +
                std::to_string(divergences) + " divergences, " + std::to_string(draws) + " draws"};
  const std::uint32_t all = experts == 32 ? ~0U : (1U << experts) - 1;
  for (int p = 0; p < products; ++p) {
    const std::uint32_t bits = random.bits(i++) & all;
    const double floor = several_floors && below(2) == 0 ? 0.1 : 1e-6;
    made.products.push_back({bits, below(3) == 0, {floor, below(3) == 0}});
  }
  for (int k = 0; k < divergences; ++k)
    made.divergences.push_back({below(products), below(products + 1) - 1, below(3) == 0});
  for (int s = 0; s < draws; ++s)
    made.draws.push_back({below(products), static_cast<std::uint32_t>(100 + s)});
  return made;
}

/// Inputs, and weights of a sum of all results: the function whose gradient is checked.
template <class T>
struct Problem {
  int rows = 1, latent = 1, first_row = 3;
  Made made;
  Lists<T> experts;
  std::vector<std::uint8_t> observed;  // empty: all
  Lists<T> posterior_weight, kl_weight, sample_weight, old;
  Random random{0x123456789abcdefU, 0, 9};

  std::size_t size(int numbers) const {
    return static_cast<std::size_t>(rows) * static_cast<std::size_t>(numbers);
  }
};

template <class T>
Problem<T> problem_of(const Made& made, int rows, int latent, bool masked) {
  Problem<T> p;
  p.rows = rows;
  p.latent = latent;
  p.made = made;
  const auto experts = static_cast<std::size_t>(made.experts);
  p.experts = lists_of_normals<T>(experts, p.size(2 * latent), 1000);
  p.posterior_weight = lists_of_normals<T>(made.products.size(), p.size(2 * latent), 2000);
  p.kl_weight = lists_of_normals<T>(made.divergences.size(), p.size(1), 3000);
  p.sample_weight = lists_of_normals<T>(made.draws.size(), p.size(latent), 4000);
  p.old = lists_of_normals<T>(experts, p.size(2 * latent), 5000);
  // Some results nobody asks for.
  for (auto* lists : {&p.posterior_weight, &p.kl_weight, &p.sample_weight})
    for (std::size_t i = 2; i < lists->size(); i += 4) (*lists)[i].clear();
  if (masked) p.observed = random_mask(p.size(made.experts));
  return p;
}

/// What the textbook says of one problem.
struct Want {
  Lists<double> posteriors, divergences, samples, gradients;
};

/// Slopes, and how far the rounding of the numbers that they are differences of may move them.
struct Differences {
  Lists<double> slope, rounding;
};

template <class T>
class Textbook {
 public:
  explicit Textbook(const Problem<T>& p) : p_(p) {}

  Want values() const {
    Want want;
    const auto width = static_cast<std::size_t>(2 * p_.latent);
    want.posteriors.assign(p_.made.products.size(), std::vector<double>(p_.size(2 * p_.latent)));
    want.divergences.assign(p_.made.divergences.size(), std::vector<double>(p_.size(1)));
    want.samples.assign(p_.made.draws.size(), std::vector<double>(p_.size(p_.latent)));
    for (int row = 0; row < p_.rows; ++row)
      for (int dim = 0; dim < p_.latent; ++dim) {
        const auto q = products_of(row, inputs_of(row, dim));
        const auto at = static_cast<std::size_t>(row) * width + static_cast<std::size_t>(dim);
        for (std::size_t i = 0; i < q.size(); ++i) {
          want.posteriors[i][at] = q[i].mean;
          want.posteriors[i][at + static_cast<std::size_t>(p_.latent)] = -std::log(q[i].variance);
        }
        for (std::size_t k = 0; k < p_.made.divergences.size(); ++k)
          want.divergences[k][static_cast<std::size_t>(row)] += divergence(k, q, q);
        for (std::size_t s = 0; s < p_.made.draws.size(); ++s)
          want.samples[s][index(row, dim)] = sample(s, q, row, dim);
      }
    return want;
  }

  /// Gradients of the weighted sum: differences of five points, whose error is h^4 and what the
  /// rounding of the sum, divided by h, adds.
  Differences gradients() const {
    Differences result;
    result.slope.assign(p_.experts.size(), std::vector<double>(p_.size(2 * p_.latent)));
    result.rounding = result.slope;
    constexpr double h = 1e-3;
    for (int row = 0; row < p_.rows; ++row)
      for (int dim = 0; dim < p_.latent; ++dim) {
        const auto x = inputs_of(row, dim);
        const auto here = products_of(row, x);
        for (std::size_t i = 0; i < x.size(); ++i) {
          if (!observed(row, i / 2)) continue;
          const auto f = [&](double step) {
            auto moved = x;
            moved[i] += step;
            return objective(row, dim, products_of(row, moved), here);
          };
          const std::size_t at = 2 * index(row, 0) + static_cast<std::size_t>(dim) +
                                 (i % 2) * static_cast<std::size_t>(p_.latent);
          const double right = f(h), left = f(-h);
          result.slope[i / 2][at] = (8 * (right - left) - (f(2 * h) - f(-2 * h))) / (12 * h);
          result.rounding[i / 2][at] =
              4 * std::numeric_limits<double>::epsilon() * (std::abs(right) + std::abs(left)) / h;
        }
      }
    return result;
  }

 private:
  std::size_t index(int row, int dim) const {
    return static_cast<std::size_t>(row) * static_cast<std::size_t>(p_.latent) +
           static_cast<std::size_t>(dim);
  }
  bool observed(int row, std::size_t e) const {
    return p_.observed.empty() ||
           p_.observed[static_cast<std::size_t>(row) * p_.experts.size() + e] != 0;
  }
  /// Location and raw scale of every expert.
  std::vector<double> inputs_of(int row, int dim) const {
    std::vector<double> x;
    for (const auto& e : p_.experts)
      for (const int part : {0, 1})
        x.push_back(static_cast<double>(
            e[2 * index(row, 0) + static_cast<std::size_t>(part * p_.latent + dim)]));
    return x;
  }
  std::vector<Moments> products_of(int row, const std::vector<double>& x) const {
    std::vector<Moments> result;
    for (const Product& product : p_.made.products) {
      double precision = product.prior ? 1 : 0, weighted = 0;
      for (std::size_t e = 0; e < p_.experts.size(); ++e) {
        if ((product.experts >> e & 1U) == 0 || !observed(row, e)) continue;
        const Moments one = expert_of(x[2 * e], x[2 * e + 1], product.link);
        const double power = (product.shared >> e & 1U) == 0 ? 1 : 1 / product.share;
        precision += power / one.variance;
        weighted += power * one.mean / one.variance;
      }
      result.push_back(precision == 0 ? Moments{} : Moments{weighted / precision, 1 / precision});
    }
    return result;
  }
  double divergence(std::size_t k, const std::vector<Moments>& q,
                    const std::vector<Moments>& target) const {
    const Divergence& d = p_.made.divergences[k];
    return kl(q[static_cast<std::size_t>(d.from)],
              d.to == poe::gaussian::prior ? Moments{} : target[static_cast<std::size_t>(d.to)]);
  }
  double sample(std::size_t s, const std::vector<Moments>& q, int row, int dim) const {
    const Draw& draw = p_.made.draws[s];
    const Moments& m = q[static_cast<std::size_t>(draw.product)];
    return m.mean + std::sqrt(m.variance) * normal_of<T>(p_.random.with_stream(draw.stream),
                                                         index(row + p_.first_row, dim));
  }
  double objective(int row, int dim, const std::vector<Moments>& q,
                   const std::vector<Moments>& held) const {
    double sum = 0;
    for (std::size_t i = 0; i < q.size(); ++i)
      if (const auto& w = p_.posterior_weight[i]; !w.empty()) {
        const std::size_t at = 2 * index(row, 0) + static_cast<std::size_t>(dim);
        sum += static_cast<double>(w[at]) * q[i].mean;
        sum -= static_cast<double>(w[at + static_cast<std::size_t>(p_.latent)]) *
               std::log(q[i].variance);
      }
    for (std::size_t k = 0; k < p_.made.divergences.size(); ++k)
      if (const auto& w = p_.kl_weight[k]; !w.empty())
        sum += static_cast<double>(w[static_cast<std::size_t>(row)]) *
               divergence(k, q, p_.made.divergences[k].stop_gradient_on_target ? held : q);
    for (std::size_t s = 0; s < p_.made.draws.size(); ++s)
      if (const auto& w = p_.sample_weight[s]; !w.empty())
        sum += static_cast<double>(w[index(row, dim)]) * sample(s, q, row, dim);
    return sum;
  }

  const Problem<T>& p_;
};

}  // namespace tests
