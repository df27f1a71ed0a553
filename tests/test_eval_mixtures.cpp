// SPDX-License-Identifier: MIT
// Draws and importance sampling of mixtures: Gaussian and Laplace experts, priors that were learnt.
// sanitizers: none, what it composes is tested with them alone
#include "linear_world.hpp"

#include <poe/models/paper.hpp>

namespace {

using namespace poe;
using namespace poe::test::world;

template <class Head>
using MixedExperts = Mmvae<double, World, Head>;
using NormalMixture = MixedExperts<GaussianHead<latent>>;
using LaplaceMixture = MixedExperts<LaplaceHead<latent>>;
using ProductMixture = Mopoe<double, World, GaussianHead<latent>>;

/// A model whose decoders are those of the world, whose prior has the raw scales 0.5 and -0.3.
template <class V>
struct Subject {
  V model;
  Learner<double> learner;
  std::array<double, latent> prior{1, 1};

  explicit Subject(const VaeOptions& options) : model(options), learner(model.description(), 1, 2) {
    set_all(learner, 0.0);
    set_decoders(learner);
    if (!options.learn_prior) return;
    set<double>(learner, "prior.scale", {0.5, -0.3});
    const double total = std::exp(0.5) + std::exp(-0.3);
    prior = {latent * std::exp(0.5) / total, latent * std::exp(-0.3) / total};
  }
  /// Expert m: location gain (x - shift) + at, raw scales.
  void set_expert(int m, double gain, double at, const std::array<double, latent>& raw) {
    const std::string head = std::string("encoders.") + World::name(m) + ".head.";
    set<double>(learner, head + "weight", {gain, 0, 0, gain, 0, 0, 0, 0});
    const double bias = at - gain * shift[m];
    set<double>(learner, head + "bias", {bias, bias, raw[0], raw[1]});
  }
  /// The true posterior of each single modality under a standard prior, with other scales.
  void set_proposals(const std::array<double, latent>& raw) {
    for (int m = 0; m < 3; ++m) {
      const double precision = 1 + slope[m] * slope[m] / (scale[m] * scale[m]);
      set_expert(m, slope[m] / (scale[m] * scale[m]) / precision, 0, raw);
    }
  }
};

/// log p(x_T) under a Laplace prior by the trapezium rule.
double laplace_log_p(const double* x, Subset target, const std::array<double, latent>& prior) {
  constexpr int steps = 20000;  // even: a node on the kink
  double log_p = 0;
  for (int i = 0; i < latent; ++i) {
    const double b = prior[static_cast<std::size_t>(i)], reach = 30 * b, step = 2 * reach / steps;
    double sum = 0;
    for (int k = 0; k <= steps; ++k) {
      const double z = step * k - reach;
      double exponent = -std::abs(z) / b - std::log(2 * b);
      for (int m = 0; m < 3; ++m) {
        if (!contains(target, m)) continue;
        const double u = (x[m * latent + i] - slope[m] * z - shift[m]) / scale[m];
        exponent -= 0.5 * (u * u + std::log(2 * std::numbers::pi)) + std::log(scale[m]);
      }
      sum += step * std::exp(exponent);
    }
    log_p += std::log(sum);
  }
  return log_p;
}

template <class V>
void check_likelihood(Subject<V>& subject) {
  constexpr int particles = 10000;
  const WorldData data;
  const bool laplace = subject.model.distribution() == particles::Distribution::laplace;
  for (const auto& [given, target] : {std::pair<Subset, Subset>{7, 7}, {3, 7}, {5, 2}}) {
    CAPTURE(given, target);
    std::vector<double> exact;
    double mean = 0;
    for (int n = 0; n < data.rows; ++n) {
      const double* const x = data.sample(n);
      exact.push_back(laplace ? laplace_log_p(x, target, subject.prior)
                              : exact_log_p(x, target, subject.prior));
      mean += exact.back() / data.rows;
    }
    const auto estimate = importance_log_likelihood(subject.model, subject.learner, data.group,
                                                    given, target, particles, {4, 0, 0});
    CHECK(estimate.mean == Approx(mean).margin(0.01));
    for (std::size_t n = 0; n < exact.size(); ++n)
      CHECK(estimate.samples[n] == Approx(exact[n]).margin(0.15));
    const auto one = importance_log_likelihood(subject.model, subject.learner, data.group, given,
                                               target, 1, {4, 0, 0});
    CHECK(one.mean < mean);
  }
}

/// Draws of 900 samples fall on these first locations, equally often.
template <class V>
void check_uniform(Subject<V>& subject, Subset given, const std::vector<double>& locations) {
  constexpr int rows = 900;
  const Tensor<double, Shape<latent>> zeros(rows);
  const Group<double, World> group{7, rows, rows, 0, 0, {zeros, zeros, zeros}};
  const auto decoded = complete(subject.model, subject.learner, group, given, Random{9, 2, 0});
  std::vector<int> counts(locations.size());
  for (int n = 0; n < rows; ++n) {
    const double z = (std::get<0>(decoded)(n, 0) - shift[0]) / slope[0];
    int found = 0;
    for (std::size_t c = 0; c < locations.size(); ++c)
      if (std::abs(z - locations[c]) < 0.05) ++counts[c], ++found;
    CHECK(found == 1);
  }
  double chi_square = 0;
  const double expected = static_cast<double>(rows) / static_cast<double>(locations.size());
  for (const int count : counts) chi_square += (count - expected) * (count - expected) / expected;
  CHECK(chi_square < 28);  // six degrees of freedom: once in 10,000
}

}  // namespace

TEST_CASE("log p of a mixture of Gaussian experts, standard and learnt prior") {
  for (const bool learnt : {false, true}) {
    CAPTURE(learnt);
    Subject<NormalMixture> subject({.learn_prior = learnt});
    subject.set_proposals({0.4, 0.1});
    check_likelihood(subject);
  }
}

TEST_CASE("log p of a mixture of Laplace experts, standard and learnt prior") {
  for (const bool softmax : {false, true}) {
    CAPTURE(softmax);
    Subject<LaplaceMixture> subject({.learn_prior = softmax, .softmax_scale = softmax});
    subject.set_proposals({0.2, -0.2});
    check_likelihood(subject);
  }
}

TEST_CASE("log p of a mixture of products") {
  Subject<ProductMixture> subject({});
  subject.set_proposals({0.8, 0.4});
  check_likelihood(subject);
}

TEST_CASE("codes from a learnt prior have its scales") {
  constexpr int rows = 20000;
  const auto check = [](auto& subject, double square, double fourth) {
    const auto decoded = draw_from_prior(subject.model, subject.learner, rows, Random{3, 1, 0});
    for (int i = 0; i < latent; ++i) {
      const double b = subject.prior[static_cast<std::size_t>(i)];
      double mean = 0, squares = 0;
      for (int n = 0; n < rows; ++n) {
        const double z = (std::get<1>(decoded)(n, i) - shift[1]) / slope[1] / b;
        mean += z / rows, squares += z * z / rows;
      }
      CHECK(std::abs(mean) < 4 * std::sqrt(square / rows));
      CHECK(std::abs(squares - square) < 4 * std::sqrt((fourth - square * square) / rows));
    }
  };
  Subject<NormalMixture> normal({.learn_prior = true});
  check(normal, 1, 3);
  Subject<LaplaceMixture> laplace({.learn_prior = true});
  check(laplace, 2, 24);
  Subject<LaplaceMixture> standard({});
  check(standard, 2, 24);
}

TEST_CASE("completions draw from every component of a mixture equally often") {
  const std::array<double, latent> narrow{raw_scale(0.001), raw_scale(0.001)};
  Subject<NormalMixture> normal({});
  Subject<LaplaceMixture> laplace({.softmax_scale = false});
  Subject<ProductMixture> products({});
  for (int m = 0; m < 3; ++m) {
    const double at = 1 << m;
    normal.set_expert(m, 0, at, narrow);
    laplace.set_expert(m, 0, at, narrow);
    products.set_expert(m, 0, at, narrow);
  }
  check_uniform(normal, 7, {1, 2, 4});
  check_uniform(normal, 5, {1, 4});
  check_uniform(laplace, 7, {1, 2, 4});
  check_uniform(products, 7, {1, 2, 4, 1.5, 2.5, 3, 7.0 / 3});
  check_uniform(products, 6, {2, 4, 3});
}
