// SPDX-License-Identifier: MIT
// Gradients of whole losses: finite differences, and what took no part gets exactly 0.
// sanitizers: none, what it composes is tested with them alone
#include "digit_model.hpp"

#include <poe/autograd/gradcheck.hpp>

#include <algorithm>
#include <memory>

namespace {

using namespace poe;
using namespace poe::test;

using Pair = Small<Top, Bottom>;
using Triple = Small<Top, Middle, Bottom>;
constexpr Subset top = 1, bottom = 2, both = 3;

/// The naive bound of a mixture of experts.
template <class T, class M, class Head>
using Naive = Vae<T, M, MixtureOfExperts<Head>, Elbo>;

template <class V>
using Groups = std::vector<Group<double, typename V::ModalitySet>>;

/// Weights that are all different.
VaeOptions weighted(VaeOptions options) {
  options.beta = 0.6;
  options.lambda = {1.5, 0.7, 1.2, 1, 1};
  return options;
}

/// Group g is loader g's, or all are loader 0's.
template <class V>
void check_gradient(const std::vector<Subset>& observed, VaeOptions extra = {},
                    bool one_loader = false) {
  for (const VaeOptions& preset : {VaeOptions::paper(), VaeOptions::official()}) {
    CAPTURE(preset.prior_expert);
    VaeOptions options = weighted(preset);
    options.random_subsets = extra.random_subsets;
    options.alpha = extra.alpha;
    options.reconstruct_all = extra.reconstruct_all;
    options.reverse_pair_kl = extra.reverse_pair_kl;
    Trial<V> trial(options);
    trial.choice = trial.model.choices() - 1;
    std::vector<std::unique_ptr<Batch<double, typename V::ModalitySet>>> batches;
    Groups<V> groups;
    for (std::size_t g = 0; g < observed.size(); ++g) {
      const auto number = static_cast<int>(g);
      batches.push_back(std::make_unique<Batch<double, typename V::ModalitySet>>(
          one_loader ? 0 : static_cast<std::uint32_t>(g), observed[g], 10 * number,
          1 + number % 2));
      groups.push_back(batches.back()->group);
    }
    trial.run(groups);
    const std::vector<double> analytic(trial.gradients.begin(), trial.gradients.end());
    const auto error = gradcheck({trial.parameters.data(), trial.parameters.size()}, analytic,
                                 [&] { return trial.run(groups); });
    INFO(error.message());
    CHECK(error.ok(1e-7));
  }
}

/// Nodes that one encoder and one decoder of a small model leave on the tape.
struct Nodes {
  long encoder, decoder;
};
Nodes small_nodes() {
  Trial<VaevaeA<double, Pair, SmallHead>> trial;
  const Batch<double, Pair> batch(0, top, 0, 2);
  auto ctx = trial.context();
  (void)trial.model.posterior(ctx, batch.group, top);
  const long encoder = trial.tape.size() - 1;  // without the fused operation
  const Tensor<double, Shape<3>> z(2);
  (void)trial.model.decode<0>(ctx, trial.tape.leaf(z.view()));
  return {encoder, trial.tape.size() - encoder - 1};
}

/// The networks with these prefixes, and no others, are run and get a gradient: numbers of the
/// others are not even read.
template <class V>
void check_only(const Groups<V>& groups, const std::vector<std::string>& used,
                const VaeOptions& options = {}) {
  Trial<V> trial(options), poisoned(options);
  const double loss = trial.run(groups);
  const auto is_used = [&](const std::string& name) {
    return std::any_of(used.begin(), used.end(),
                       [&](const auto& u) { return name.starts_with(u); });
  };
  for (const ParameterInfo& p : trial.model.description().parameters) {
    INFO(p.name);
    if (is_used(p.name)) {
      CHECK(trial.largest_gradient(p.name) > 0);
      continue;
    }
    CHECK(trial.largest_gradient(p.name) == 0);
    std::fill_n(poisoned.parameters.data() + p.offset, p.count(), std::nan(""));
  }
  CHECK(poisoned.run(groups) == loss);
  CHECK(std::equal(trial.gradients.begin(), trial.gradients.end(), poisoned.gradients.begin()));
}

}  // namespace

TEST_CASE("gradients of every loss agree with central differences") {
  check_gradient<PlainVae<double, Small<Top>, SmallHead>>({top});
  check_gradient<Svae<double, Pair, SmallHead>>({both, top, bottom});
  check_gradient<SvaeStar<double, Pair, SmallHead>>({both, top, bottom});
  check_gradient<Vaevae<double, Pair, SmallHead>>({both, top, bottom});
  check_gradient<VaevaeStar<double, Pair, SmallHead>>({both, top, bottom});
  check_gradient<VaevaeA<double, Pair, SmallHead>>({both, top, bottom});
  check_gradient<Svae<double, Triple, SmallHead>>({0b111, 0b101, 0b010});
  check_gradient<Vaevae<double, Triple, SmallHead>>({0b111, 0b110, 0b001});
  check_gradient<Jmvae<double, Pair, SmallHead>>({both, top});
  check_gradient<Mvae<double, Pair, SmallHead>>({both, top, bottom});
  check_gradient<BridgedVae<double, Pair, SmallHead>>({both, top, bottom});
  check_gradient<Mopoe<double, Pair, SmallHead>>({both, top, bottom});
  check_gradient<Mvtcae<double, Pair, SmallHead>>({both, top, bottom});
  check_gradient<Naive<double, Pair, SmallHead>>({both, top, bottom});
}

TEST_CASE("gradients for three modalities, any of them missing, agree with central differences") {
  const std::vector<Subset> masks{0b111, 0b101, 0b010};
  check_gradient<Jmvae<double, Triple, SmallHead>>(masks, {.alpha = 0.7}, true);
  check_gradient<Mvae<double, Triple, SmallHead>>(masks, {.random_subsets = 2}, true);
  check_gradient<BridgedVae<double, Triple, SmallHead>>(masks, {}, true);
  check_gradient<Mopoe<double, Triple, SmallHead>>(masks, {}, true);
  check_gradient<Mvtcae<double, Triple, SmallHead>>(masks, {.alpha = 0.7}, true);
  check_gradient<Naive<double, Triple, SmallHead>>(masks, {}, true);
  check_gradient<Svae<double, Triple, SmallHead>>(masks, {.reconstruct_all = true}, true);
  check_gradient<Vaevae<double, Triple, SmallHead>>(masks, {.reverse_pair_kl = true}, true);
  check_gradient<Vae<double, Triple, PoeWithStandIns<SmallHead, StandIns::each>, SvaeLoss>>(masks);
}

TEST_CASE("networks that a batch does not need are not run and get gradient 0") {
  using S = Svae<double, Pair, SmallHead>;
  using V = Vaevae<double, Pair, SmallHead>;
  using A = VaevaeA<double, Pair, SmallHead>;
  const Batch<double, Pair> paired(0, both, 0, 3), tops(1, top, 10, 2), bottoms(2, bottom, 20, 2);
  check_only<S>({tops.group}, {"encoders.top.", "encoders.bottom_from_top.", "decoders.top."});
  check_only<S>({bottoms.group},
                {"encoders.bottom.", "encoders.top_from_bottom.", "decoders.bottom."});
  check_only<S>({paired.group}, {"encoders.", "decoders."});
  check_only<V>({tops.group, bottoms.group}, {"encoders.top.", "encoders.bottom.", "decoders."});
  check_only<V>({tops.group}, {"encoders.top.", "decoders.top."});
  check_only<A>({tops.group}, {"encoders.top.", "decoders.top."});
  check_only<SvaeStar<double, Pair, SmallHead>>({paired.group}, {"encoders.", "decoders."});

  using J = Jmvae<double, Pair, SmallHead>;
  using B = BridgedVae<double, Pair, SmallHead>;
  check_only<J>({tops.group, bottoms.group}, {});
  check_only<J>({paired.group, tops.group}, {"encoders.", "decoders."});
  check_only<B>({tops.group}, {"encoders.top.", "decoders.top."});
  check_only<B>({tops.group, bottoms.group}, {"encoders.", "decoders."});
  check_only<B>({paired.group}, {"encoders.", "bridge.", "decoders."});
}

TEMPLATE_TEST_CASE("of a modality that is missing everywhere nothing is run or gets a gradient", "",
                   (Mvae<double, Triple, SmallHead>), (VaevaeA<double, Triple, SmallHead>),
                   (Mopoe<double, Triple, SmallHead>), (Mvtcae<double, Triple, SmallHead>),
                   (Naive<double, Triple, SmallHead>), (Mmvae<double, Triple, SmallHead>)) {
  const Batch<double, Triple> pair(0, 0b101, 0, 3), single(1, 0b100, 10, 2);
  for (const auto& [name, estimator] : particles::estimator_names) {
    CAPTURE(name);
    if (!TestType::ObjectiveType::particles && name != "elbo") continue;
    const VaeOptions options{.random_subsets = 2, .estimator = estimator, .particles = 2};
    check_only<TestType>({pair.group, single.group},
                         {"encoders.top.", "encoders.bottom.", "decoders.top.", "decoders.bottom."},
                         options);
    check_only<TestType>({single.group}, {"encoders.bottom.", "decoders.bottom."}, options);
  }
}

TEST_CASE("of a modality that is missing everywhere only stand-ins are run") {
  const Batch<double, Triple> pair(0, 0b101, 0, 3);
  check_only<Svae<double, Triple, SmallHead>>(
      {pair.group}, {"encoders.top.", "encoders.bottom.", "encoders.middle_from_top.",
                     "encoders.middle_from_bottom.", "encoders.top_from_bottom.",
                     "encoders.bottom_from_top.", "decoders.top.", "decoders.bottom."});
  check_only<Vaevae<double, Triple, SmallHead>>(
      {pair.group}, {"encoders.top.", "encoders.bottom.", "encoders.top_bottom.", "decoders.top.",
                     "decoders.bottom."});
  check_only<BridgedVae<double, Triple, SmallHead>>(
      {pair.group}, {"encoders.top.", "encoders.bottom.", "decoders.top.", "decoders.bottom."});
}

TEST_CASE("every network and every decoder runs once, on the samples of all groups together") {
  const Nodes n = small_nodes();
  const Batch<double, Pair> paired(0, both, 0, 3), tops(1, top, 10, 2), bottoms(2, bottom, 20, 2);
  Trial<Svae<double, Pair, SmallHead>> trial;
  // A decoder is preceded by the concatenation of its samples; the log-likelihood gives it its
  // gradient at once and leaves no node.
  trial.run({tops.group});
  CHECK(trial.tape.size() == 2 * n.encoder + 1 + n.decoder);
  trial.run({paired.group});
  CHECK(trial.tape.size() == 4 * n.encoder + 1 + 2 * (1 + n.decoder));
  trial.run({paired.group, tops.group, bottoms.group});
  CHECK(trial.tape.size() == 4 * n.encoder + 3 + 2 * (1 + n.decoder));
}
