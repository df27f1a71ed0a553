// SPDX-License-Identifier: MIT
// Laws of the fused Gaussian operation: order, masks, precision, divergences, samples.
#include "fusion.hpp"

#include <algorithm>

namespace {

using namespace poe;
using gaussian::Product;
using test::Fusion, test::join, test::require_close, test::some_experts;

/// Row n of every list.
template <class T>
test::Lists<T> row_of(const test::Lists<T>& lists, int n, std::size_t width) {
  test::Lists<T> rows;
  for (const auto& list : lists) {
    const auto begin =
        list.begin() + static_cast<std::ptrdiff_t>(n) * static_cast<std::ptrdiff_t>(width);
    rows.emplace_back(begin, begin + static_cast<std::ptrdiff_t>(width));
  }
  return rows;
}

}  // namespace

TEST_CASE("the order of the experts does not matter") {
  for (const bool prior : {false, true}) {
    auto f = some_experts<double, 4>(5, 6, 20);
    f.products = {{0b11111, prior}};
    f.weigh_everything();
    f.run();
    auto reversed = f;
    std::reverse(reversed.experts.begin(), reversed.experts.end());
    reversed.run();
    std::reverse(reversed.gradients.begin(), reversed.gradients.end());
    require_close(reversed.posteriors[0], f.posteriors[0], 1e-14, "posterior");
    require_close(join(reversed.gradients), join(f.gradients), 1e-14, "gradients");
  }
}

TEST_CASE("every expert twice: the same location, twice the precision") {
  auto f = some_experts<double, 4>(3, 6, 30);
  for (int e = 0; e < 3; ++e)
    f.experts.push_back(std::vector(f.experts[static_cast<std::size_t>(e)]));
  f.products = {{0b111}, {0b111111}};
  f.run();
  for (std::size_t n = 0; n < 6; ++n)
    for (std::size_t i = 0; i < 4; ++i) {
      CHECK(f.posteriors[1][8 * n + i] == Approx(f.posteriors[0][8 * n + i]).epsilon(1e-13));
      CHECK(f.posteriors[1][8 * n + 4 + i] ==
            Approx(f.posteriors[0][8 * n + 4 + i] + std::log(2)).epsilon(1e-13));
    }
}

TEST_CASE("a product of one expert is that expert; each further expert adds precision") {
  auto f = some_experts<double, 4>(4, 8, 40);
  f.products = {{1}, {1, false, {0.1, true}}, {3}, {7}, {15}, {15, true}};
  f.run();
  const auto& expert = f.experts[0];
  for (std::size_t n = 0; n < 8; ++n)
    for (std::size_t i = 0; i < 4; ++i) {
      const std::size_t at = 8 * n + i;
      CHECK(f.posteriors[0][at] == expert[at]);
      const double softplus = std::log(1 + std::exp(expert[at + 4]));
      CHECK(f.posteriors[0][at + 4] == Approx(-2 * std::log(softplus + 1e-6)).margin(1e-13));
      CHECK(f.posteriors[1][at + 4] == Approx(-std::log(softplus + 0.1)).margin(1e-13));
      for (const std::size_t p : {2U, 3U, 4U, 5U})
        CHECK(f.posteriors[p][at + 4] > f.posteriors[p == 2 ? 0 : p - 1][at + 4]);
    }
}

TEMPLATE_TEST_CASE("a masked expert is an absent expert, and gets gradient 0", "", float, double) {
  using T = TestType;
  constexpr int experts = 4, rows = 16;  // row n observes the experts of the bits of n
  auto f = some_experts<T, 3>(experts, rows, 50);
  for (int n = 0; n < rows; ++n)
    for (int e = 0; e < experts; ++e) f.observed.push_back(n >> e & 1);
  f.products = {{0b1111}, {0b1111, true}, {0b0110}, {0b1001, true, {0, true}}};
  f.divergences = {{0}, {0, 2}, {3, 1}, {2, 0, true}};
  f.draws = {{0, 1}, {2, 2}};
  f.weigh_everything();
  f.run();
  for (int n = 0; n < rows; ++n) {
    CAPTURE(n);
    Fusion<T, 3> alone;  // row n, with the observed experts only
    alone.first_row = n;
    for (std::size_t e = 0; e < experts; ++e)
      if ((n >> e & 1) != 0) alone.experts.push_back(row_of(f.experts, n, 6)[e]);
    alone.products = f.products;
    for (Product& p : alone.products) {
      std::uint32_t bits = 0, position = 0;
      for (int e = 0; e < experts; ++e)
        if ((n >> e & 1) != 0) bits |= (p.experts >> e & 1U) << position++;
      p.experts = bits;
    }
    alone.divergences = f.divergences;
    alone.draws = f.draws;
    alone.posterior_weight = row_of(f.posterior_weight, n, 6);
    alone.kl_weight = row_of(f.kl_weight, n, 1);
    alone.sample_weight = row_of(f.sample_weight, n, 3);
    if (n == 0) {  // nothing observed: N(0, I)
      for (const auto& q : row_of(f.posteriors, 0, 6)) CHECK(q == std::vector<T>(6, 0));
      for (const auto& k : f.kls) CHECK(k[0] == 0);
      for (const auto& g : row_of(f.gradients, 0, 6)) CHECK(g == std::vector<T>(6, 0));
      continue;
    }
    alone.run();
    CHECK(alone.posteriors == row_of(f.posteriors, n, 6));
    CHECK(alone.kls == row_of(f.kls, n, 1));
    CHECK(alone.samples == row_of(f.samples, n, 3));
    for (std::size_t e = 0, k = 0; e < experts; ++e) {
      const bool seen = (n >> e & 1) != 0;
      CHECK(row_of(f.gradients, n, 6)[e] == (seen ? alone.gradients[k] : std::vector<T>(6, 0)));
      k += seen;
    }
  }
}

TEMPLATE_TEST_CASE("a divergence is 0 for equal arguments and positive for others", "", float,
                   double) {
  using T = TestType;
  auto f = some_experts<T, 1>(2, 500, 60);
  f.experts.push_back(std::vector(f.experts[0]));
  f.products = {{1}, {2}, {4}, {3}, {3, true}};
  for (int from = 0; from < 5; ++from)
    for (int to = -1; to < 5; ++to) f.divergences.push_back({from, to});
  f.run();
  for (std::size_t k = 0; k < f.kls.size(); ++k) {
    const auto [from, to, stop] = f.divergences[k];
    const bool same = from == to || (from % 2 == 0 && to % 2 == 0 && from + to == 2);
    CAPTURE(from, to);
    for (const T kl : f.kls[k]) {
      if (same)
        REQUIRE(kl == 0);
      else
        REQUIRE(kl > 0);
    }
  }
}

TEST_CASE("samples have the posterior's mean and variance; their log-ratios average to the KL") {
  constexpr int rows = 40000;
  const std::vector<double> q{0.7, -0.4}, p{-0.2, 0.9};
  Fusion<double, 1> f;
  f.rows = rows;
  f.experts.resize(2);
  for (int n = 0; n < rows; ++n) {
    f.experts[0].insert(f.experts[0].end(), q.begin(), q.end());
    f.experts[1].insert(f.experts[1].end(), p.begin(), p.end());
  }
  f.products = {{3}, {2, true}, {1}};
  f.divergences = {{0, 1}, {1, 0}, {2}};
  f.draws = {{0, 1}, {1, 2}, {2, 3}, {0, 4}};
  f.run();
  const auto normal = [&](int product) {
    const auto& v = f.posteriors[static_cast<std::size_t>(product)];
    return gaussian::Normal<double>{v[0], v[1]};
  };
  const auto check = [&](const std::vector<double>& x, double expected, const char* what) {
    double mean = 0, square = 0;
    for (const double v : x) mean += v / rows;
    for (const double v : x) square += (v - mean) * (v - mean) / (rows - 1);
    const double standard_error = std::sqrt(square / rows);
    INFO(what << ": mean " << mean << ", expected " << expected << ", standard error "
              << standard_error);
    CHECK(std::abs(mean - expected) < 4 * standard_error);
    CHECK(standard_error < 0.02);
  };
  for (std::size_t k = 0; k < 3; ++k) {
    const auto from = normal(f.divergences[k].from);
    const int target = f.divergences[k].to;
    const auto to = target == gaussian::prior ? gaussian::Normal<double>{0, 0} : normal(target);
    std::vector<double> squares, ratios, products;
    for (std::size_t n = 0; n < rows; ++n) {
      const double z = f.samples[k][n];
      squares.push_back((z - from.location) * (z - from.location));
      const auto log_density = [z](const gaussian::Normal<double>& r) {  // up to a constant
        const double d = z - r.location;
        return 0.5 * (r.log_precision - d * d * std::exp(r.log_precision));
      };
      ratios.push_back(log_density(from) - log_density(to));
      products.push_back(f.samples[0][n] * f.samples[3][n]);
    }
    check(f.samples[k], from.location, "mean");
    check(squares, std::exp(-from.log_precision), "variance");
    check(ratios, f.kls[k][0], "divergence");
    check(products, std::pow(normal(0).location, 2), "two streams are independent");
  }
}

TEMPLATE_TEST_CASE("results do not depend on how the rows are split over calls", "", float,
                   double) {
  using T = TestType;
  auto whole = some_experts<T, 3>(2, 11, 70);
  whole.first_row = 5;
  whole.products = {{3}, {1, true}};
  whole.divergences = {{0, 1}};
  whole.draws = {{0, 4}, {1, 9}};
  whole.weigh_everything();
  whole.run();
  for (int n = 0; n < 11; ++n) {
    auto part = whole;
    part.first_row = 5 + n;
    part.rows = 1;
    part.experts = row_of(whole.experts, n, 6);
    part.posterior_weight = row_of(whole.posterior_weight, n, 6);
    part.kl_weight = row_of(whole.kl_weight, n, 1);
    part.sample_weight = row_of(whole.sample_weight, n, 3);
    part.run();
    CHECK(part.samples == row_of(whole.samples, n, 3));
    CHECK(part.kls == row_of(whole.kls, n, 1));
    CHECK(part.gradients == row_of(whole.gradients, n, 6));
  }
}
