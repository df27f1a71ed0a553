// SPDX-License-Identifier: MIT
// SVAE with the geometric mean of stand-ins: its posteriors by formula, and gradients of its loss.
// sanitizers: none, what it composes is tested with them alone
#include "digit_model.hpp"

#include <poe/autograd/gradcheck.hpp>

#include <memory>

namespace {

using namespace poe;
using namespace poe::test;

struct Left {
  static constexpr const char* name = "left";
};
using Pair = Small<Top, Bottom>;
using Triple = Small<Top, Middle, Bottom>;
using Four = Small<Top, Middle, Bottom, Left>;

template <class M, StandIns choice, class Loss = SvaeLoss>
using Model = Vae<double, M, PoeWithStandIns<SmallHead, choice>, Loss>;
template <class M>
using Geometric = Model<M, StandIns::geometric>;
template <class M>
using One = Model<M, StandIns::one>;

constexpr int rows = 3, latent = 3;

/// q(z | x_S) of a batch in which `observed` are there.
template <class V>
std::vector<double> posterior(Trial<V>& trial, Subset observed, Subset s) {
  const Batch<double, typename V::ModalitySet> batch(0, observed, 0, rows);
  trial.tape.reset();
  auto ctx = trial.context();
  const auto q = trial.model.posterior(ctx, batch.group, s);
  return {q.value, q.value + q.count()};
}

/// Location and raw scale of every network, run on a batch with everything in it: (rows, 2 latent).
template <class V>
std::vector<std::vector<double>> experts(Trial<V>& trial) {
  constexpr int n = V::modalities;
  const Batch<double, typename V::ModalitySet> batch(0, all_of(n), 0, rows);
  trial.tape.reset();
  auto ctx = trial.context();
  Encoded<typename V::Expert> encoded;
  encoded.networks = (Experts{1} << V::networks) - 1;
  trial.model.encode(ctx, {&batch.group, 1}, {&encoded, 1});
  std::vector<std::vector<double>> outputs;
  for (const auto& e : encoded.outputs()) {
    const double* const first = e.of.value + e.offset();
    outputs.emplace_back(first, first + rows * 2 * latent);
  }
  return outputs;
}

/// prod_{j in S} q_jj prod_{k not in S} prod_{j in S} q_kj^(1 / |S|): location and log-precision.
std::vector<double> formula(const std::vector<std::vector<double>>& experts, int n, Subset s,
                            const VaeOptions& options) {
  std::vector<double> q(rows * 2 * latent);
  for (int row = 0; row < rows; ++row)
    for (int i = 0; i < latent; ++i) {
      const auto at = static_cast<std::size_t>(row * 2 * latent + i);
      double precision = options.prior_expert ? 1 : 0, weighted = 0;
      for (int k = 0; k < n; ++k)
        for (int j = 0; j < n; ++j) {
          if (!contains(s, j) || (contains(s, k) && k != j)) continue;
          const auto& q_kj = experts[static_cast<std::size_t>(j * n + k)];
          const double scale = std::log(1 + std::exp(q_kj[at + latent])) + options.scale_floor;
          const double variance = options.variance_link ? scale : scale * scale;
          const double power = k == j ? 1 : 1.0 / size_of(s);
          precision += power / variance;
          weighted += power / variance * q_kj[at];
        }
      q[at] = weighted / precision;
      q[at + latent] = std::log(precision);
    }
  return q;
}

template <class M>
void check_posteriors() {
  constexpr int n = M::count;
  for (const VaeOptions& options : {VaeOptions::paper(), VaeOptions::official()}) {
    Trial<Geometric<M>> trial(options);
    const auto networks = experts(trial);
    for (Subset s = 1; s <= all_of(n); ++s) {
      CAPTURE(options.prior_expert, n, s);
      CHECK(trial.model.posteriors(s).count == 1);
      const auto want = formula(networks, n, s, options);
      require_close(posterior(trial, all_of(n), s), want, 1e-13, "all observed");
      require_close(posterior(trial, s, s), want, 1e-13, "only S observed");
    }
  }
}

/// Loss and gradients of groups of a loader each.
template <class V>
double run(Trial<V>& trial, const std::vector<Subset>& observed) {
  using M = typename V::ModalitySet;
  std::vector<std::unique_ptr<Batch<double, M>>> batches;
  std::vector<Group<double, M>> groups;
  for (std::size_t g = 0; g < observed.size(); ++g) {
    const auto number = static_cast<int>(g);
    batches.push_back(std::make_unique<Batch<double, M>>(static_cast<std::uint32_t>(g), observed[g],
                                                         10 * number, 1 + number % 2));
    groups.push_back(batches.back()->group);
  }
  return trial.run(groups);
}

template <class V>
void check_gradient(const std::vector<Subset>& observed, bool reconstruct_all = false) {
  for (VaeOptions options : {VaeOptions::paper(), VaeOptions::official()}) {
    CAPTURE(options.prior_expert);
    options.beta = 0.6;
    options.lambda = {1.5, 0.7, 1.2, 0.9, 1};
    options.reconstruct_all = reconstruct_all;
    Trial<V> trial(options);
    run(trial, observed);
    const std::vector<double> analytic(trial.gradients.begin(), trial.gradients.end());
    const auto error = gradcheck({trial.parameters.data(), trial.parameters.size()}, analytic,
                                 [&] { return run(trial, observed); });
    INFO(error.message());
    CHECK(error.ok(1e-7));
  }
}

}  // namespace

TEST_CASE("the geometric mean of stand-ins is the product by formula") {
  check_posteriors<Pair>();
  check_posteriors<Triple>();
  check_posteriors<Four>();
}

TEST_CASE("one stand-in or none: the geometric mean is no other posterior, bit by bit") {
  for (const VaeOptions& options : {VaeOptions::paper(), VaeOptions::official()}) {
    Trial<Geometric<Triple>> geometric(options);
    Trial<One<Triple>> one(options);
    for (const Subset s : {0b001U, 0b010U, 0b100U, 0b111U}) {
      CAPTURE(options.prior_expert, s);
      CHECK(posterior(geometric, s, s) == posterior(one, s, s));
    }
    CHECK(posterior(geometric, 0b011, 0b011) != posterior(one, 0b011, 0b011));

    Trial<Geometric<Pair>> pair(options);
    Trial<One<Pair>> pair_of_one(options);
    CHECK(run(pair, {0b11, 0b01, 0b10}) == run(pair_of_one, {0b11, 0b01, 0b10}));
    CHECK(std::equal(pair.gradients.begin(), pair.gradients.end(), pair_of_one.gradients.begin()));
  }
}

TEST_CASE("networks of the geometric mean, and which of them share a power") {
  using Family = PoeWithStandIns<SmallHead, StandIns::geometric>;
  for (int n = 2; n <= 5; ++n)
    for (Subset s = 1; s <= all_of(n); ++s) {
      CAPTURE(n, s);
      const Alternatives q = Family::posteriors(n, s);
      REQUIRE(q.count == 1);
      const int members = size_of(s);
      CHECK(std::popcount(q.products[0]) == members + members * (n - members));
      for (int i = 0; i < Family::networks(n); ++i) {
        const Network network = Family::network(n, i);
        const bool own = network.inputs == only(network.stands_for);
        const bool stand_in = within(network.inputs, s) && !contains(s, network.stands_for);
        CHECK((q.products[0] >> i & 1U) == ((own && within(network.inputs, s)) || stand_in));
        CHECK((Family::shared(n, s) >> i & 1U) == (stand_in && members > 1));
      }
      CHECK(PoeWithStandIns<SmallHead>::shared(n, s) == 0);
    }
}

TEST_CASE("gradients of losses with geometric means of stand-ins agree with central differences") {
  check_gradient<Geometric<Triple>>({0b111, 0b101, 0b010});
  check_gradient<Geometric<Triple>>({0b111, 0b011}, true);
  check_gradient<Model<Triple, StandIns::geometric, VaevaeLoss>>({0b111, 0b110});
  check_gradient<Geometric<Four>>({0b1011, 0b0110});
}
