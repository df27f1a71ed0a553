// SPDX-License-Identifier: MIT
// Every model on the device: trained, the losses and parameters of the CPU step by step, and the
// same bytes from graphs in any order of their branches; evaluated, the numbers of the CPU.
#include <poe/eval/importance.hpp>
#include <poe/models/paper.hpp>

#include <memory>

#include "training.hpp"

namespace {
using namespace poe;
using namespace poe::test;
using particles::Estimator;

using Two = Small<Top, Bottom>;
using Three = Small<Top, Middle, Bottom>;
using Five = Small<Top, Middle, Bottom, Fourth, Fifth>;
template <class T, class M, class Head, class D>
using GeometricSvae = Vae<T, M, PoeWithStandIns<Head, StandIns::geometric>, SvaeLoss, D>;

constexpr int steps = 16;  // four epochs

/// One model on both devices, as what all models over M have in common.
template <class M>
struct Twins {
  std::unique_ptr<MultimodalVae<float, M, Cpu>> cpu;
  std::unique_ptr<MultimodalVae<float, M, Cuda>> gpu;
};
template <template <class, class, class, class> class Model, class M, class Head = SmallHead>
Twins<M> twins(const VaeOptions& options = {}) {
  return {std::make_unique<Model<float, M, Head, Cpu>>(options),
          std::make_unique<Model<float, M, Head, Cuda>>(options)};
}

/// Half of the samples are paired.
template <class M>
SupervisionOptions half_paired() {
  SupervisionOptions o = in_batches<M>();
  o.level = 0.5;
  return o;
}
/// One sample lacks the first modality, one the last, one shows only the second; the others show
/// all, so that most steps are alike.
template <class M>
SupervisionOptions masked() {
  std::vector<Subset> masks(training_samples, all_of(M::count));
  masks[17] &= ~only(0);
  masks[4] &= ~only(M::count - 1);
  masks[11] = only(1);
  return in_batches<M>(masks);
}

template <class M>
void check(const Twins<M>& model, SupervisionOptions supervision) {
  if (!model.cpu->singles_from_all()) supervision.unpaired_pool = UnpairedPool::only_unpaired;
  const Outcome expected = train(*model.cpu, supervision, steps);
  const Outcome eager = train(*model.gpu, supervision, steps, {.use_graphs = false});
  require_agreement(eager, expected);
  // Rounding decides the slope of a Laplace density for a particle at its kink: a step of Adam.
  const bool kinks = model.cpu->distribution() == particles::Distribution::laplace;
  require_close(eager.parameters, expected.parameters, kinks ? 2e-3 : 1e-5);
  tests::for_each_order([&](const std::string& order) {
    INFO("order: " << order);
    require_same(train(*model.gpu, supervision, steps), eager);
  });
}

VaeOptions estimated_by(Estimator estimator) {
  VaeOptions options;
  options.estimator = estimator;
  options.particles = 2;
  options.learn_prior = true;
  options.decoded_rows = 18;  // so 8 samples are taken in two parts, or three
  if (!particles::rule_of(estimator).importance) options.beta = 0.7;
  options.lambda = {1.5, 0.7, 1.2};
  return options;
}

}  // namespace

TEST_CASE("models of two modalities train on the device as on the CPU") {
  SECTION("VAEVAE (a)") { check(twins<VaevaeA, Two>(), half_paired<Two>()); }
  SECTION("JMVAE") { check(twins<Jmvae, Two>(), half_paired<Two>()); }
  SECTION("MVAE") { check(twins<Mvae, Two>(), half_paired<Two>()); }
  SECTION("bridged VAE") { check(twins<BridgedVae, Two>(), half_paired<Two>()); }
  SECTION("MoPoE") { check(twins<Mopoe, Two>(), half_paired<Two>()); }
  SECTION("MVTCAE") { check(twins<Mvtcae, Two>(), half_paired<Two>()); }
}

TEST_CASE("models of three modalities train on the device as on the CPU") {
  VaeOptions drawn;
  drawn.random_subsets = 1;
  SECTION("VAEVAE*") { check(twins<VaevaeStar, Three>(), masked<Three>()); }
  SECTION("SVAE, geometric stand-ins") { check(twins<GeometricSvae, Three>(), masked<Three>()); }
  SECTION("JMVAE") { check(twins<Jmvae, Three>(), masked<Three>()); }
  SECTION("MVAE, subsets drawn at every step") {
    const auto model = twins<Mvae, Three>(drawn);
    REQUIRE(model.gpu->choices() == 3);
    check(model, masked<Three>());
    check(model, in_batches<Three>());
  }
  SECTION("bridged VAE") { check(twins<BridgedVae, Three>(), masked<Three>()); }
  SECTION("MoPoE") { check(twins<Mopoe, Three>(), masked<Three>()); }
  SECTION("MVTCAE") { check(twins<Mvtcae, Three>(), masked<Three>()); }
}

TEST_CASE("the plans of five modalities fit the device") {
  const auto agree = [](const Twins<Five>& model) {
    const auto data = in_batches<Five>();
    require_agreement(train(*model.gpu, data, 2, {.use_graphs = false}),
                      train(*model.cpu, data, 2));
  };
  for (const VaeOptions& options : {VaeOptions::paper(), VaeOptions::official()}) {
    agree(twins<Svae, Five>(options));
    agree(twins<VaevaeStar, Five>(options));
    agree(twins<Mopoe, Five>(options));
  }
}

TEST_CASE("MMVAE trains on the device as on the CPU") {
  const auto estimator =
      GENERATE(Estimator::elbo, Estimator::elbo_published, Estimator::iwae, Estimator::iwae_looser,
               Estimator::dreg, Estimator::dreg_looser, Estimator::dreg_published);
  const VaeOptions options = estimated_by(estimator);
  INFO("estimator: " << particles::name_of(estimator));
  SECTION("normal, two modalities") { check(twins<Mmvae, Two>(options), half_paired<Two>()); }
  SECTION("Laplace, three modalities") {
    check(twins<Mmvae, Three, SmallLaplaceHead>(options), masked<Three>());
  }
}

TEST_CASE("MMVAE with a fixed prior, and scales each for itself") {
  VaeOptions options = estimated_by(GENERATE(Estimator::elbo_published, Estimator::dreg));
  options.learn_prior = options.softmax_scale = false;
  SECTION("normal, three modalities") { check(twins<Mmvae, Three>(options), half_paired<Three>()); }
  SECTION("Laplace, two modalities") {
    check(twins<Mmvae, Two, SmallLaplaceHead>(options), masked<Two>());
  }
}

TEST_CASE("the size of its parts changes nothing that MMVAE computes but the last bits") {
  const auto estimator = GENERATE(Estimator::elbo, Estimator::iwae);
  VaeOptions options = estimated_by(estimator);
  const auto of_parts = [&](int rows) {
    options.decoded_rows = rows;
    return train(*twins<Mmvae, Three>(options).gpu, in_batches<Three>(), steps);
  };
  const Outcome whole = of_parts(0);
  for (const int rows : {1, 18, 24}) {
    INFO("estimator: " << particles::name_of(estimator) << ", " << rows << " samples of z a part");
    require_agreement(of_parts(rows), whole);
  }
}

namespace {

/// The same parameters on both devices; a prior's scales, where they are learnt, differ.
template <class M>
void check_evaluation(const Twins<M>& model) {
  Learner<float> cpu(model.cpu->description(), 11, 1);
  Learner<float, Cuda> gpu(model.gpu->description(), 11);
  for (const ParameterInfo& p : model.cpu->description().parameters)
    if (p.name == "prior.scale")
      for (std::size_t i = 0; i < p.count(); ++i) {
        const float scale = 0.9F - 0.8F * static_cast<float>(i);
        cpu.state().parameters[p.offset + i] = gpu.state().parameters[p.offset + i] = scale;
      }
  const auto require_close_images = [](const auto& got, const auto& expected) {
    each_index<M::count>([&]<int I>(std::integral_constant<int, I>) {
      require_close(std::get<I>(got).flat(), std::get<I>(expected).flat(), 1e-5, M::name(I));
    });
  };
  const auto samples = grey_images<M>().slice(1, 6);
  const Random random{3, 2, 0};
  require_close_images(draw_from_prior(*model.gpu, gpu, 40, random),
                       draw_from_prior(*model.cpu, cpu, 40, random));
  for (Subset given = 1; given <= all_of(M::count); ++given) {
    INFO("given " << names_of<M>(given));
    require_close_images(complete(*model.gpu, gpu, samples, given, random),
                         complete(*model.cpu, cpu, samples, given, random));
    // More particles than are decoded at a time on the CPU.
    const auto likelihood = [&](const auto& of, auto& learner) {
      return importance_log_likelihood(of, learner, samples, given, all_of(M::count), 130, random)
          .samples;
    };
    require_close(likelihood(*model.gpu, gpu), likelihood(*model.cpu, cpu), 1e-5);
  }
}

}  // namespace

TEST_CASE("completions, codes of the prior and likelihoods on the device are those of the CPU") {
  const VaeOptions options = estimated_by(Estimator::dreg);
  SECTION("SVAE") { check_evaluation(twins<Svae, Three>()); }
  SECTION("SVAE, geometric stand-ins") { check_evaluation(twins<GeometricSvae, Three>()); }
  SECTION("JMVAE") { check_evaluation(twins<Jmvae, Three>()); }
  SECTION("MVAE") { check_evaluation(twins<Mvae, Three>()); }
  SECTION("bridged VAE") { check_evaluation(twins<BridgedVae, Three>()); }
  SECTION("MoPoE") { check_evaluation(twins<Mopoe, Three>()); }
  SECTION("MMVAE, normal") { check_evaluation(twins<Mmvae, Three>(options)); }
  SECTION("MMVAE, Laplace") { check_evaluation(twins<Mmvae, Three, SmallLaplaceHead>(options)); }
}
