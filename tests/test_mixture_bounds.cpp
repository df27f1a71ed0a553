// SPDX-License-Identifier: MIT
// Bounds of mixtures where log p(x) is known: ordered, tight where the posterior is true, and what
// closed forms say they are.
// sanitizers: none, what it composes is tested with them alone
#include "linear_gaussian.hpp"

namespace {

using namespace poe;
using namespace poe::test;
using namespace poe::test::linear;
using particles::Estimator;

using LinearMmvae = Mmvae<double, LinearPair, LinearHead>;
using LinearMopoe = Mopoe<double, LinearPair, LinearHead>;
using LinearNaive = Vae<double, LinearPair, MixtureOfExperts<LinearHead>, Elbo>;

VaeOptions estimated_by(Estimator estimator, int count) {
  VaeOptions options;
  options.estimator = estimator;
  options.particles = count;
  options.decoded_rows = 1 << 14;
  return options;
}

/// A mean over samples of z, and its standard error.
struct Estimate {
  double mean = 0, standard_error = 0;
};
/// Of -loss: steps have noise of their own.
template <class V>
Estimate average_bound(const VaeOptions& options, const Sample& sample, int steps = 25) {
  constexpr int rows = 800;
  Trial<V> trial(options);
  set_truth(trial);
  const Repeated data(sample.x, rows);
  double sum = 0, squares = 0;
  for (int step = 0; step < steps; ++step) {
    trial.noise.step = static_cast<std::uint32_t>(step);
    const double bound = -trial.run({data.group});
    sum += bound / steps, squares += bound * bound / steps;
  }
  return {sum, std::sqrt((squares - sum * sum) / (steps - 1))};
}

double divergence_from_prior(const Gaussians& q) {
  double kl = 0;
  for (const auto& [location, variance] : q)
    kl += 0.5 * (variance + location * location - 1 - std::log(variance));
  return kl;
}
/// E_q[log p(x_1, x_2 | z)] - KL(q || p), averaged over the components of q(z | x_1, x_2).
template <class V>
double exact_naive_bound(const Sample& sample) {
  Trial<V> trial;
  set_truth(trial);
  const Repeated data(sample.x, 1);
  const int components = trial.model.posteriors(3).count;
  double sum = 0;
  for (int c = 0; c < components; ++c) {
    const Gaussians q = posterior(trial, data, 3, c);
    sum += reconstruction(q, 0, sample.x[0]).mean + reconstruction(q, 1, sample.x[1]).mean -
           divergence_from_prior(q);
  }
  return sum / components;
}

void check_below(const Estimate& lower, const Estimate& upper) {
  INFO(lower.mean << " +- " << lower.standard_error << ", " << upper.mean << " +- "
                  << upper.standard_error);
  CHECK(lower.mean + 3 * (lower.standard_error + upper.standard_error) < upper.mean);
}

}  // namespace

TEST_CASE("bounds of a mixture are ordered, and rise to log p with the number of particles") {
  const Sample sample(5);
  const Estimate exact{log_joint(sample.x), 0}, naive{exact_naive_bound<LinearMmvae>(sample), 0};
  const auto bound = [&](Estimator estimator, int count) {
    return average_bound<LinearMmvae>(estimated_by(estimator, count), sample);
  };
  const Estimate looser = bound(Estimator::iwae_looser, 1),
                 looser8 = bound(Estimator::iwae_looser, 8);
  const Estimate one = bound(Estimator::iwae, 1), eight = bound(Estimator::iwae, 8);
  const Estimate many = bound(Estimator::iwae, 100);
  // Where components are far apart, that their mixture is wider counts; then that a mean of
  // logarithms is less than the logarithm of the mean.
  check_below(naive, looser);
  check_below(looser, looser8);
  check_below(looser, one);
  check_below(looser8, eight);
  check_below(one, eight);
  check_below(eight, many);
  CHECK(many.mean < exact.mean + 3 * many.standard_error);
  CHECK(many.mean == Approx(exact.mean).margin(0.03));
}

TEST_CASE("with the true posterior in every component each weight is log p, whatever the noise") {
  const Sample sample(2);
  const Repeated data(sample.x, 7);
  for (const Estimator estimator : {Estimator::iwae, Estimator::iwae_looser, Estimator::dreg,
                                    Estimator::dreg_looser, Estimator::dreg_published})
    for (const int count : {1, 3}) {
      CAPTURE(particles::name_of(estimator), count);
      Trial<LinearMmvae> trial(estimated_by(estimator, count));
      set_truth(trial);
      const auto single = data.group.slice(0, 4);
      auto top = single;
      top.observed = 1, top.total = 4, std::get<1>(top.x) = {};
      CHECK(trial.run({top}) == Approx(-log_marginal(0, sample.x[0])).epsilon(1e-12));
      // Both experts become p(z | x_1, x_2) of this sample, as constants.
      std::vector<double> weight(2 * dims * dims), bias(2 * dims);
      for (std::size_t d = 0; d < dims; ++d) {
        const double precision = 1 + information(0, d) + information(1, d);
        for (std::size_t m = 0; m < 2; ++m)
          bias[d] += a[m][d] * (sample.x[m][d] - b[m][d]) / (s[m] * s[m]) / precision;
        bias[dims + d] = std::log(std::expm1(1 / std::sqrt(precision) - 1e-6));
      }
      for (const char* name : names) {
        const std::string head = std::string("encoders.") + name + ".head.";
        from_file_order<double>(trial.info(head + "weight"), weight, trial.parameters.data());
        from_file_order<double>(trial.info(head + "bias"), bias, trial.parameters.data());
      }
      CHECK(trial.run({data.group}) == Approx(-log_joint(sample.x)).epsilon(1e-12));
      for (const TermValue& t : trial.terms)
        if (t.estimate) CHECK(t.sum == Approx(7 * log_joint(sample.x)).epsilon(1e-12));
    }
}

TEST_CASE("the naive bound of particles is that of terms") {
  for (std::uint32_t i = 0; i < 3; ++i) {
    const Sample sample(i);
    const Repeated data(sample.x, 3);
    Trial<LinearMmvae> estimated(estimated_by(Estimator::elbo, 1));
    Trial<LinearNaive> terms;
    set_truth(estimated);
    set_truth(terms);
    estimated.run({data.group});
    terms.run({data.group});
    const auto mean = [](const auto& trial, bool divergence, Subset to) {
      for (const TermValue& t : trial.terms)
        if (!t.estimate && t.divergence == divergence && t.to == to) return t.sum / t.total;
      FAIL("no such term");
      return 0.0;
    };
    CHECK(mean(estimated, true, 0) == Approx(mean(terms, true, 0)).epsilon(1e-12));

    const double exact = exact_naive_bound<LinearMmvae>(sample);
    CHECK(exact < log_joint(sample.x));
    for (const Estimate& bound :
         {average_bound<LinearMmvae>(estimated_by(Estimator::elbo, 1), sample),
          average_bound<LinearMmvae>(estimated_by(Estimator::elbo, 4), sample, 10),
          average_bound<LinearNaive>({}, sample)}) {
      INFO(bound.mean << " of " << exact << " +- " << bound.standard_error);
      CHECK(std::abs(bound.mean - exact) < 4 * bound.standard_error);
      CHECK(bound.standard_error < 0.2);
    }
  }
}

TEST_CASE("the bound of a mixture of products is what its components say, and below log p") {
  const Sample sample(1);
  const double exact = exact_naive_bound<LinearMopoe>(sample);
  CHECK(exact < log_joint(sample.x));
  const Estimate bound = average_bound<LinearMopoe>({}, sample);
  INFO(bound.mean << " of " << exact << " +- " << bound.standard_error);
  CHECK(std::abs(bound.mean - exact) < 4 * bound.standard_error);
  CHECK(bound.standard_error < 0.2);
}
