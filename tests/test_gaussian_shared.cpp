// SPDX-License-Identifier: MIT
// Products in which some of the experts count with a power: textbook formulas, laws, gradients,
// errors.
#include "fusion.hpp"

#include <poe/autograd/gradcheck.hpp>

namespace {

using namespace poe;
using gaussian::Product, gaussian::ScaleLink;
using test::Fusion, test::join, test::require_close, test::some_experts;

/// Location and log-precision of a product, one number at a time.
template <class T, int L>
std::vector<double> textbook(const Fusion<T, L>& f, const Product& product) {
  std::vector<double> q;
  for (std::size_t n = 0; n < static_cast<std::size_t>(f.rows); ++n) {
    double location[L], log_precision[L];
    for (std::size_t i = 0; i < L; ++i) {
      double precision = product.prior ? 1 : 0, weighted = 0;
      for (std::size_t e = 0; e < f.experts.size(); ++e) {
        if ((product.experts >> e & 1U) == 0) continue;
        if (!f.observed.empty() && f.observed[n * f.experts.size() + e] == 0) continue;
        const auto mean = static_cast<double>(f.experts[e][2 * L * n + i]);
        const auto raw = static_cast<double>(f.experts[e][2 * L * n + L + i]);
        const double scale = std::log(1 + std::exp(raw)) + product.link.floor;
        double own = 1 / (product.link.variance ? scale : scale * scale);
        if ((product.shared >> e & 1U) != 0) own /= product.share;
        precision += own;
        weighted += own * mean;
      }
      if (precision == 0) precision = 1;  // the prior
      location[i] = weighted / precision;
      log_precision[i] = std::log(precision);
    }
    q.insert(q.end(), location, location + L);
    q.insert(q.end(), log_precision, log_precision + L);
  }
  return q;
}

/// Three experts, shared in every way, for 8 samples; with `masked`, each has another set of them.
template <class T>
Fusion<T, 3> some_products(bool prior, ScaleLink link, bool masked) {
  auto f = some_experts<T, 3>(3, 8, 500);
  for (std::uint8_t set = 0; masked && set < 8; ++set)
    for (int e = 0; e < 3; ++e) f.observed.push_back(set >> e & 1);
  f.products = {{0b111, prior, link, 0b110, 2}, {0b011, prior, link, 0b011, 3},
                {0b100, prior, link, 0b100, 2}, {0b101, prior, link, 0b001, 0.75},
                {0b111, prior, link},           {0b001, false, link}};
  f.divergences = {{0}, {0, 1}, {1, 4}, {2, 5}, {4, 0}, {3, 2}};
  f.draws = {{0, 1}, {1, 2}, {2, 3}};
  f.weigh_everything();
  return f;
}

template <class F>
void with_every_option(F&& f) {
  for (const bool prior : {false, true})
    for (const bool variance : {false, true})
      for (const bool masked : {false, true}) {
        CAPTURE(prior, variance, masked);
        f(prior, ScaleLink{0.01, variance}, masked);
      }
}

}  // namespace

TEMPLATE_TEST_CASE("shared experts count with the power 1 / share", "", float, double) {
  with_every_option([](bool prior, ScaleLink link, bool masked) {
    auto f = some_products<TestType>(prior, link, masked);
    f.run();
    for (std::size_t p = 0; p < f.products.size(); ++p) {
      CAPTURE(p);
      require_close(f.posteriors[p], textbook(f, f.products[p]),
                    32 * static_cast<double>(std::numeric_limits<TestType>::epsilon()));
    }
  });
}

TEST_CASE("gradients of shared experts agree with central differences") {
  with_every_option([](bool prior, ScaleLink link, bool masked) {
    auto f = some_products<double>(prior, link, masked);
    f.run();
    const auto analytic = f.gradients;
    for (std::size_t e = 0; e < analytic.size(); ++e) {
      const auto error = gradcheck(f.experts[e], analytic[e], [&] { return f.run(); });
      INFO("expert " << e << ": " << error.message());
      CHECK(error.ok(1e-7));
    }
  });
}

TEST_CASE("three copies of an expert that share are the expert") {
  auto f = some_experts<double, 3>(2, 5, 600);
  f.experts.push_back(std::vector(f.experts[1]));
  f.experts.push_back(std::vector(f.experts[1]));
  f.products = {
      {0b1110, false, {}, 0b1110, 3}, {0b0010}, {0b1111, true, {}, 0b1110, 3}, {0b0011, true}};
  f.run();
  require_close(f.posteriors[0], f.posteriors[1], 1e-14, "alone");
  require_close(f.posteriors[2], f.posteriors[3], 1e-14, "in a product");
}

TEST_CASE("a share of 1 changes no bit") {
  auto f = some_products<double>(false, {}, true);
  for (Product& p : f.products) p.share = 1;
  f.run();
  auto plain = f;
  for (Product& p : plain.products) p.shared = 0;
  plain.run();
  CHECK(f.posteriors == plain.posteriors);
  CHECK(f.gradients == plain.gradients);
}

TEST_CASE("a product that shares what it does not have, or to no power, is refused") {
  const auto refuses = [](std::uint32_t shared, double share, const std::string& part) {
    auto f = some_experts<double, 2>(3, 2, 1);
    f.products = {{0b011, false, {}, 0b010, 2}};
    f.run();
    f.products = {{0b011, false, {}, shared, share}};
    CHECK_THROWS_AS(f.run(), Error);
    CHECK_THROWS_WITH(f.run(), Catch::Contains(part));
  };
  refuses(0b110, 2, "a product of experts 0b11 shares experts 0b110");
  refuses(0b010, 0, "to the power 1 / 0");
  refuses(0b010, -1, "to the power 1 / -1");
  refuses(0b010, std::nan(""), "to the power 1 / nan");
  refuses(0b010, std::numeric_limits<double>::infinity(), "to the power 1 / inf");
}
