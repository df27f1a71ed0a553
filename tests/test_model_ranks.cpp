// SPDX-License-Identifier: MIT
// Ranks that share the samples of every group, and chunks of particles: the terms and the gradient
// of one pass over everything.
#include "digit_model.hpp"

namespace {

using namespace poe;
using namespace poe::test;

using Pair = Small<Top, Bottom>;
using Triple = Small<Top, Middle, Bottom>;
template <class T, class M, class Head>
using Naive = Vae<T, M, MixtureOfExperts<Head>, Elbo>;

/// Batches of three loaders; that of the first is of samples with different sets of modalities.
template <class M>
struct Batches {
  static constexpr Subset all = all_of(M::count), first = 1, last = only(M::count - 1);
  Batch<double, M> complete{0, all, 0, 5}, incomplete{0, first | last, 5, 3},
      firsts{1, first, 10, 4}, lasts{2, last, 20, 2};
  std::vector<Group<double, M>> groups;

  Batches() {
    incomplete.group.first_row = 5;
    if (M::count == 2) incomplete.group.observed = last, std::get<0>(incomplete.group.x) = {};
    groups = {complete.group, incomplete.group, firsts.group, lasts.group};
  }
};

template <class V>
void check_ranks(const VaeOptions& options) {
  const Batches<typename V::ModalitySet> batches;
  Trial<V> whole(options), split(options);
  whole.choice = split.choice = whole.model.choices() - 1;
  whole.run(batches.groups);
  CHECK(whole.largest_gradient("encoders.") > 0);
  for (const int ranks : {2, 3, 7}) {
    CAPTURE(ranks);
    split.gradients.clear();
    std::vector<double> sums(whole.terms.size()), expected;
    for (int rank = 0; rank < ranks; ++rank) {
      std::vector<Group<double, typename V::ModalitySet>> mine;
      for (const auto& g : batches.groups) {
        const int first = rank * g.rows / ranks, last = (rank + 1) * g.rows / ranks;
        mine.push_back(g.slice(first, last - first));
      }
      split.accumulate(mine);
      REQUIRE(split.terms.size() == whole.terms.size());
      for (std::size_t t = 0; t < sums.size(); ++t) {
        CHECK(split.terms[t].same_term(whole.terms[t]));
        CHECK(split.terms[t].total == whole.terms[t].total);
        CHECK(split.terms[t].weight == whole.terms[t].weight);
        sums[t] += split.terms[t].sum;
      }
    }
    for (const TermValue& t : whole.terms) expected.push_back(t.sum);
    require_close(sums, expected, 1e-13, "terms");
    require_close(split.gradients, whole.gradients, 1e-12, "gradient");
  }
}

/// Options of every estimator.
std::vector<VaeOptions> estimators() {
  std::vector<VaeOptions> all;
  for (const auto& [name, estimator] : particles::estimator_names) {
    VaeOptions options;
    options.estimator = estimator;
    options.particles = 3;
    options.learn_prior = true;
    options.beta = 0.7;
    options.lambda = {1.2, 0.6, 0.9};
    all.push_back(options);
  }
  return all;
}

/// The whole batch at a time, one sample at a time, and sizes in between that do not divide it.
template <class V>
void check_chunks() {
  const Batches<typename V::ModalitySet> batches;
  for (VaeOptions options : estimators()) {
    CAPTURE(particles::name_of(options.estimator));
    options.decoded_rows = 1 << 20;
    Trial<V> whole(options);
    const double loss = whole.run(batches.groups);
    for (const int rows : {1, 12, 20, 27}) {
      CAPTURE(rows);
      options.decoded_rows = rows;
      Trial<V> chunked(options);
      CHECK(chunked.run(batches.groups) == Approx(loss).epsilon(1e-13));
      CHECK((rows >= 27 || chunked.tape.size() > whole.tape.size()));
      REQUIRE(chunked.terms.size() == whole.terms.size());
      for (std::size_t t = 0; t < whole.terms.size(); ++t) {
        CHECK(chunked.terms[t].same_term(whole.terms[t]));
        CHECK(chunked.terms[t].total == whole.terms[t].total);
        CHECK(chunked.terms[t].sum == Approx(whole.terms[t].sum).epsilon(1e-13));
      }
      require_close(chunked.gradients, whole.gradients, 1e-12, "gradient");
    }
  }
}

}  // namespace

TEMPLATE_TEST_CASE("ranks that share the groups give the terms and the gradient of one", "",
                   (Svae<double, Pair, SmallHead>), (SvaeStar<double, Pair, SmallHead>),
                   (Vaevae<double, Pair, SmallHead>), (VaevaeStar<double, Pair, SmallHead>),
                   (VaevaeA<double, Pair, SmallHead>), (Jmvae<double, Pair, SmallHead>),
                   (Mvae<double, Triple, SmallHead>), (BridgedVae<double, Triple, SmallHead>),
                   (Mopoe<double, Triple, SmallHead>), (Mvtcae<double, Triple, SmallHead>),
                   (Naive<double, Triple, SmallHead>)) {
  for (VaeOptions options : {VaeOptions::paper(), VaeOptions::official()}) {
    options.random_subsets = 2;
    check_ranks<TestType>(options);
  }
}

TEST_CASE("ranks that share the groups give the estimates and the gradient of one") {
  for (const VaeOptions& options : estimators()) {
    CAPTURE(particles::name_of(options.estimator));
    check_ranks<Mmvae<double, Triple, SmallHead>>(options);
    check_ranks<Mmvae<double, Pair, SmallLaplaceHead>>(options);
  }
}

TEST_CASE("how many particles are decoded at a time does not matter") {
  check_chunks<Mmvae<double, Triple, SmallHead>>();
  check_chunks<Mmvae<double, Pair, SmallLaplaceHead>>();
}
