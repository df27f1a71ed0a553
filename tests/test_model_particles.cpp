// SPDX-License-Identifier: MIT
// Whole models that estimate from particles: gradients against finite differences, where the
// gradient is that of the value, and what the estimators have in common.
#include "digit_model.hpp"

#include <poe/autograd/gradcheck.hpp>

namespace {

using namespace poe;
using namespace poe::test;
using particles::Estimator;

using Pair = Small<Top, Bottom>;
using Triple = Small<Top, Middle, Bottom>;

VaeOptions estimated_by(Estimator estimator) {
  VaeOptions options;
  options.estimator = estimator;
  options.particles = 2;
  options.learn_prior = true;
  options.beta = 0.6;
  options.lambda = {1.5, 0.7, 1.2};
  return options;
}

/// A trial whose prior has different scales, and groups of one loader and another.
template <class V>
struct Estimated {
  using M = typename V::ModalitySet;
  Trial<V> trial;
  Batch<double, M> complete{0, all_of(M::count), 0, 2},
      incomplete{0, 1U | only(M::count - 1), 5, 1}, single{1, 2, 10, 2};
  std::vector<Group<double, M>> groups;

  explicit Estimated(const VaeOptions& options) : trial(options) {
    incomplete.group.first_row = 2;
    groups = {complete.group, single.group};
    if (M::count > 2) groups.push_back(incomplete.group);
    if (!options.learn_prior) return;
    const ParameterInfo& scale = trial.info("prior.scale");
    for (std::size_t i = 0; i < scale.count(); ++i)
      trial.parameters[scale.offset + i] = 0.4 - 0.5 * static_cast<double>(i);
  }
  double run() { return trial.run(groups); }
};

template <class V>
void check_gradient(const VaeOptions& options) {
  CAPTURE(particles::name_of(options.estimator), options.learn_prior, options.softmax_scale,
          V::modalities);
  Estimated<V> estimated(options);
  estimated.run();
  Trial<V>& trial = estimated.trial;
  const std::vector<double> analytic(trial.gradients.begin(), trial.gradients.end());
  if (options.learn_prior) CHECK(trial.largest_gradient("prior.scale") > 1e-3);
  const auto error = gradcheck({trial.parameters.data(), trial.parameters.size()}, analytic,
                               [&] { return estimated.run(); });
  INFO(error.message());
  CHECK(error.ok(1e-7));
}

/// Gradients of the decoders and of the prior, which see the weights of particles as they are.
template <class V>
void check_same_generator(Estimator estimator, Estimator other) {
  CAPTURE(particles::name_of(estimator), particles::name_of(other), V::modalities);
  Estimated<V> one(estimated_by(estimator)), two(estimated_by(other));
  CHECK(one.run() == two.run());
  double difference = 0;
  for (const ParameterInfo& p : one.trial.model.description().parameters) {
    const auto got = to_file_order(p, one.trial.gradients.data());
    const auto want = to_file_order(p, two.trial.gradients.data());
    if (!p.name.starts_with("encoders.")) require_close(got, want, 1e-14, p.name);
    for (std::size_t i = 0; i < got.size(); ++i)
      difference = std::max(difference, std::abs(got[i] - want[i]));
  }
  CHECK(difference > 1e-3);  // of encoders
}

}  // namespace

TEMPLATE_TEST_CASE("gradients of estimates agree with central differences", "",
                   (Mmvae<double, Pair, SmallHead>), (Mmvae<double, Pair, SmallLaplaceHead>),
                   (Mmvae<double, Triple, SmallHead>), (Mmvae<double, Triple, SmallLaplaceHead>)) {
  for (const Estimator estimator : {Estimator::elbo, Estimator::iwae, Estimator::iwae_looser}) {
    VaeOptions options = estimated_by(estimator);
    check_gradient<TestType>(options);
    options.learn_prior = options.softmax_scale = false;
    check_gradient<TestType>(options);
  }
}

TEST_CASE("gradients of estimates from a mixture of products agree with central differences") {
  using V = Vae<double, Triple, MixtureOfProducts<SmallHead>, ParticleBound>;
  for (const Estimator estimator : {Estimator::elbo, Estimator::iwae, Estimator::iwae_looser})
    check_gradient<V>(estimated_by(estimator));
}

TEMPLATE_TEST_CASE("doubly reparameterised gradients differ for the encoders only", "",
                   (Mmvae<double, Pair, SmallHead>), (Mmvae<double, Triple, SmallLaplaceHead>)) {
  check_same_generator<TestType>(Estimator::dreg, Estimator::iwae);
  check_same_generator<TestType>(Estimator::dreg_looser, Estimator::iwae_looser);
  check_same_generator<TestType>(Estimator::dreg_published, Estimator::iwae_looser);
}
