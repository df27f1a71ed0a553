// SPDX-License-Identifier: MIT
// A batch of samples that were observed in any modalities: means over the samples that have a term,
// or over the batch, from runs of every sample alone.
// sanitizers: none, what it composes is tested with them alone
#include "digit_model.hpp"

#include <algorithm>
#include <map>

namespace {

using namespace poe;
using namespace poe::test;

using Triple = Small<Top, Middle, Bottom>;
using Groups = std::vector<Group<double, Triple>>;
template <class T, class M, class Head>
using Naive = Vae<T, M, MixtureOfExperts<Head>, Elbo>;

/// One loader's batch of ten samples, and one of another loader.
struct MixedBatch {
  static constexpr int rows = 10;
  Batch<double, Triple> all{0, 0b111, 0, 3}, tops{0, 0b001, 3, 1}, ends{0, 0b101, 4, 2},
      middles{0, 0b010, 6, 1}, lower{0, 0b110, 7, 3}, apart{1, 0b101, 20, 2};
  Groups groups{all.group, tops.group, ends.group, middles.group, lower.group, apart.group};

  MixedBatch() {
    int row = 0;
    for (auto& g : groups)
      if (g.loader == 0) g.first_row = row, row += g.rows;
    REQUIRE(row == rows);
  }
};

VaeOptions settings() {
  VaeOptions options;
  options.beta = 0.6;
  options.lambda = {1.5, 0.7, 1.2};
  options.alpha = 0.3;
  options.random_subsets = 2;
  options.particles = 2;
  return options;
}

/// What is known of a term from runs of one sample each.
struct Expected {
  double sum = 0, weight = 0;
  int total = 0, samples = 0, batch = 0;
};

template <class V>
void check_means(const VaeOptions& options) {
  constexpr bool particles = V::ObjectiveType::particles;
  const MixedBatch batch;
  Trial<V> whole(options), alone(options);
  whole.choice = alone.choice = whole.model.choices() - 1;
  const bool whole_batch = particles || whole.model.terms(0b111, 0).whole_batch;
  std::map<std::string, Expected> expected;
  std::vector<double> gradient(alone.gradients.size());
  for (const auto& group : batch.groups)
    for (int i = 0; i < group.rows; ++i) {
      auto sample = group.slice(i, 1);
      sample.total = 1;
      alone.run({sample});
      const int size = group.loader == 0 ? MixedBatch::rows : 2;
      for (const TermValue& t : alone.terms) {
        Expected& e = expected[t.name<Triple>()];
        CHECK((e.samples == 0 || e.weight == Approx(t.weight).epsilon(1e-14)));
        e.sum += t.sum, e.weight = t.weight, e.total += t.total, e.batch = size;
        ++e.samples;
      }
      for (std::size_t p = 0; p < gradient.size(); ++p) gradient[p] += alone.gradients[p] / size;
    }
  double loss = 0;
  const double got = whole.run(batch.groups);
  CHECK(whole.terms.size() == expected.size());
  for (const TermValue& t : whole.terms) {
    INFO(t.name<Triple>());
    REQUIRE(expected.contains(t.name<Triple>()));
    const Expected& e = expected[t.name<Triple>()];
    CHECK(t.sum == Approx(e.sum).epsilon(1e-12).margin(1e-12));
    CHECK(t.total == e.total);
    // One run has one sample in its batch: there the two kinds of mean are the same.
    const double share = whole_batch ? static_cast<double>(e.samples) / e.batch : 1;
    CHECK(t.weight == Approx(e.weight * share).epsilon(1e-14));
    loss += e.weight * share * e.sum / e.total;
  }
  CHECK(got == Approx(loss).epsilon(1e-12));
  if (whole_batch) require_close(whole.gradients, gradient, 1e-11, "gradient");
}

}  // namespace

TEMPLATE_TEST_CASE("terms of a mixed batch are means over the samples that have them", "",
                   (Svae<double, Triple, SmallHead>), (VaevaeStar<double, Triple, SmallHead>),
                   (VaevaeA<double, Triple, SmallHead>), (Jmvae<double, Triple, SmallHead>),
                   (BridgedVae<double, Triple, SmallHead>)) {
  check_means<TestType>(settings());
}

TEMPLATE_TEST_CASE("bounds of a mixed batch are means over the batch", "",
                   (Mvae<double, Triple, SmallHead>), (Mopoe<double, Triple, SmallHead>),
                   (Mvtcae<double, Triple, SmallHead>), (Naive<double, Triple, SmallHead>)) {
  check_means<TestType>(settings());
}

TEMPLATE_TEST_CASE("estimates of a mixed batch are means over the batch", "",
                   (Mmvae<double, Triple, SmallHead>), (Mmvae<double, Triple, SmallLaplaceHead>)) {
  for (const auto& [name, estimator] : particles::estimator_names) {
    CAPTURE(name);
    VaeOptions options = settings();
    options.estimator = estimator;
    options.learn_prior = true;
    check_means<TestType>(options);
  }
}

TEST_CASE("JMVAE does not see incomplete samples") {
  const MixedBatch batch;
  using V = Jmvae<double, Triple, SmallHead>;
  Trial<V> mixed(settings()), complete(settings());
  const double loss = complete.run({batch.all.group});
  CHECK(mixed.run(batch.groups) == loss);
  require_close(mixed.gradients, complete.gradients, 1e-14, "gradient");
  mixed.run({batch.groups.begin() + 1, batch.groups.end()});
  CHECK(mixed.terms.empty());
  CHECK(mixed.largest_gradient("") == 0);
}

TEMPLATE_TEST_CASE("groups without samples change nothing, and no number is lost", "",
                   (Mmvae<double, Triple, SmallHead>), (Mmvae<double, Triple, SmallLaplaceHead>),
                   (Mopoe<double, Triple, SmallHead>), (Jmvae<double, Triple, SmallHead>),
                   (Mvae<double, Triple, SmallHead>), (Mvtcae<double, Triple, SmallHead>),
                   (BridgedVae<double, Triple, SmallHead>)) {
  const Batch<double, Triple> some(0, 0b111, 0, 3), none(0, 0b011, 5, 0), nobody(1, 0b111, 7, 0);
  for (const auto& [name, estimator] : particles::estimator_names) {
    CAPTURE(name);
    VaeOptions options = settings();
    options.estimator = estimator;
    Trial<TestType> with(options), without(options);
    without.run({some.group});
    with.run({none.group, some.group, nobody.group});
    std::size_t matched = 0;
    for (const TermValue& t : with.terms) {
      INFO(t.name<Triple>());
      CHECK(std::isfinite(t.weight));
      if (t.total == 0) {
        CHECK(t.sum == 0);
        continue;
      }
      const auto same = std::find_if(without.terms.begin(), without.terms.end(),
                                     [&](const TermValue& o) { return o.same_term(t); });
      REQUIRE(same != without.terms.end());
      CHECK(t.total == same->total);
      CHECK(t.weight == same->weight);
      CHECK(t.sum == same->sum);
      ++matched;
    }
    CHECK(matched == without.terms.size());
    CHECK(std::equal(with.gradients.begin(), with.gradients.end(), without.gradients.begin()));
    with.run({none.group, nobody.group});
    CHECK(with.largest_gradient("") == 0);
    if (!TestType::ObjectiveType::particles) break;
  }
}
