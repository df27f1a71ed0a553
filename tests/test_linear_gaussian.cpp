// SPDX-License-Identifier: MIT
// Where every posterior and every density is known, the bounds that make up a loss are equalities.
// sanitizers: none, what it composes is tested with them alone
#include "linear_gaussian.hpp"

namespace {

using namespace poe;
using namespace poe::test;
using namespace poe::test::linear;

/// What E_q[log p(x_m | z)] - KL(q || prior) amounts to, and by how much that is less than log
/// p(x_m) under this prior: the divergence of q from the prior's true posterior.
struct Bound {
  double value = 0, gap = 0;
};
Bound exact_bound(const Gaussians& q, const Gaussians& prior, int m, const Vector& x) {
  Bound bound;
  for (std::size_t d = 0; d < dims; ++d) {
    const auto [location, variance] = prior[d];
    const double precision = 1 / variance + information(m, d);
    const double h = a[m][d] * (x[d] - b[m][d]) / (s[m] * s[m]);
    const double off = q[d].location - (location / variance + h) / precision;
    const double ratio = q[d].variance * precision;
    bound.gap += 0.5 * (ratio - 1 - std::log(ratio) + off * off * precision);
    bound.value +=
        log_normal(x[d] - a[m][d] * location - b[m][d], a[m][d] * a[m][d] * variance + s[m] * s[m]);
  }
  bound.value -= bound.gap;
  return bound;
}

/// The bounds that make up the loss: L1, L2 of log p(x_m); L21, L12 of log p(x_m | the other).
/// Divergences are the loss's, log-likelihoods their exact expectations.
struct Part {
  int m;
  Subset from, prior;
};
constexpr Part parts[4] = {{0, 1, 0}, {1, 2, 0}, {0, 3, 2}, {1, 3, 1}};
template <class V>
std::array<double, 4> bounds(Trial<V>& trial, const Vector (&x)[2]) {
  const Repeated data(x, 1);
  trial.run({data.group});
  std::array<double, 4> bound{};
  for (std::size_t i = 0; i < 4; ++i) {
    const auto [m, from, prior] = parts[i];
    bound[i] = reconstruction(posterior(trial, data, from), m, x[m]).mean;
    for (const TermValue& t : trial.terms)
      if (t.divergence && t.from == from && t.to == prior) bound[i] -= t.sum;
  }
  return bound;
}

using LinearSvae = Svae<double, LinearPair, LinearHead>;
using LinearVaevae = VaevaeStar<double, LinearPair, LinearHead>;

}  // namespace

TEMPLATE_TEST_CASE("with the true posteriors each bound is the log-density it bounds", "",
                   LinearSvae, LinearVaevae) {
  Trial<TestType> trial;
  set_truth(trial);
  for (std::uint32_t i = 0; i < 10; ++i) {
    const Sample sample(i);
    const auto bound = bounds(trial, sample.x);
    const double p1 = log_marginal(0, sample.x[0]), p2 = log_marginal(1, sample.x[1]);
    const double p12 = log_joint(sample.x);
    require_close(bound, std::array{p1, p2, p12 - p2, p12 - p1}, 1e-12, "L1, L2, L21, L12");
    CHECK(bound[0] + bound[1] + bound[2] + bound[3] == Approx(2 * p12).epsilon(1e-12));
  }
}

// L12 bounds log p(x_2 | x_1) of a model whose prior of z is q(z | x_1): only where that is the
// true posterior is it the log-density of the data.
TEMPLATE_TEST_CASE(
    "with other posteriors each bound is lower by their divergence from the true one", "",
    LinearSvae, LinearVaevae) {
  const Sample sample(3);
  const TestType model;
  for (const ParameterInfo& p : model.description().parameters) {
    if (!p.name.starts_with("encoders.")) continue;
    INFO(p.name);
    Trial<TestType> trial;
    set_truth(trial);
    for (std::size_t e = 0; e < p.count(); ++e) trial.parameters[p.offset + e] += 0.1;
    const auto bound = bounds(trial, sample.x);
    const Repeated data(sample.x, 1);
    double gap = 0;
    for (std::size_t i = 0; i < 4; ++i) {
      const auto [m, from, prior] = parts[i];
      const Bound exact =
          exact_bound(posterior(trial, data, from), posterior(trial, data, prior), m, sample.x[m]);
      CHECK(bound[i] == Approx(exact.value).epsilon(1e-12));
      gap += exact.gap;
    }
    CHECK(gap > 1e-4);
  }
}

TEMPLATE_TEST_CASE("averaged over samples of z, the loss is -2 log p(x_1, x_2)", "", LinearSvae,
                   LinearVaevae) {
  constexpr int rows = 50000;
  Trial<TestType> trial;
  set_truth(trial);
  const Sample sample(5);
  const Repeated data(sample.x, rows);
  const double loss = trial.run({data.group});
  double standard_errors = 0;
  for (const TermValue& t : trial.terms) {
    if (t.divergence) continue;
    const int m = std::countr_zero(t.to);
    const auto expected = reconstruction(posterior(trial, data, t.from), m, sample.x[m]);
    const double standard_error = std::sqrt(expected.variance / rows);
    INFO(t.name<LinearPair>() << ": " << t.sum / rows << " of " << expected.mean << " +- "
                              << standard_error);
    CHECK(std::abs(t.sum / rows - expected.mean) < 4 * standard_error);
    standard_errors += standard_error;
  }
  CHECK(standard_errors < 0.05);
  CHECK(std::abs(loss + 2 * log_joint(sample.x)) < 4 * standard_errors);
}
