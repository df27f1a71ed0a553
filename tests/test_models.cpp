// SPDX-License-Identifier: MIT
// Models as compositions: sizes, what every term is made of, what is refused.
// sanitizers: none, what it composes is tested with them alone
#include "digit_model.hpp"

#include <algorithm>
#include <set>

namespace {

using namespace poe;
using namespace poe::test;

using Pair = Small<Top, Bottom>;
using Triple = Small<Top, Middle, Bottom>;
using Five = Small<Top, Middle, Bottom, Fourth, Fifth>;

/// Adds `shift` to the raw scales that every network of a small model puts out.
template <class V>
void shift_raw_scales(Trial<V>& trial, double shift) {
  for (const ParameterInfo& p : trial.model.description().parameters)
    if (p.name.ends_with("head.2.bias") || p.name == "bridge.bias")
      for (std::size_t i = p.count() / 2; i < p.count(); ++i)
        trial.parameters[p.offset + i] += shift;
}

/// Samples that are their posterior's locations: e^-60 is less than a rounding error.
VaeOptions without_noise(VaeOptions options = {}) {
  options.scale_floor = 0;
  return options;
}

/// The terms of one group from their definition, with posterior() and decode(): divergences from
/// the closed form; log-likelihoods at the posterior's locations.
template <class V>
double naive_term(Trial<V>& trial, const Group<double, typename V::ModalitySet>& group,
                  const TermValue& term) {
  constexpr int n = V::modalities, latent = V::latent;
  const auto posteriors = [&](Subset s) {
    std::vector<std::vector<double>> all;
    const int count = s == 0 ? 1 : V::PosteriorFamily::posteriors(n, s).count;
    for (int a = 0; a < count; ++a) {
      if (s == 0) {
        all.emplace_back(static_cast<std::size_t>(group.rows * 2 * latent));
        continue;
      }
      auto ctx = trial.context();
      const auto q = trial.model.posterior(ctx, group, s, a);
      all.emplace_back(q.value, q.value + q.count());
    }
    return all;
  };
  double sum = 0;
  for (const auto& q : posteriors(term.from)) {
    if (term.divergence) {
      for (const auto& p : posteriors(term.to))
        for (std::size_t i = 0; i < q.size(); ++i) {
          if (i % (2 * latent) >= latent) continue;
          const double vq = std::exp(-q[i + latent]), vp = std::exp(-p[i + latent]);
          sum += 0.5 * (std::log(vp / vq) + (vq + std::pow(q[i] - p[i], 2)) / vp - 1);
        }
      continue;
    }
    Tensor<double, Shape<latent>> z(group.rows);
    for (int r = 0; r < group.rows; ++r)
      for (int i = 0; i < latent; ++i) z(r, i) = q[static_cast<std::size_t>(r * 2 * latent + i)];
    const auto score = [&]<int I>(std::integral_constant<int, I>) {
      if (term.to != only(I)) return;
      auto ctx = trial.context();
      const auto logits = trial.model.template decode<I>(ctx, trial.tape.constant(z.view()));
      const auto x = std::get<I>(group.x).flat();
      for (std::size_t i = 0; i < x.size(); ++i) {
        const double on = 1 / (1 + std::exp(-logits.value[i]));
        sum += x[i] * std::log(on) + (1 - x[i]) * std::log(1 - on);
      }
    };
    [&]<int... I>(std::integer_sequence<int, I...>) {
      (score(std::integral_constant<int, I>{}), ...);
    }
    (std::make_integer_sequence<int, n>{});
  }
  return sum;
}

/// Every term of a fully observed group against its definition. -> the number of terms.
template <class V>
std::size_t check_terms(VaeOptions options) {
  const Batch<double, typename V::ModalitySet> batch(0, all_of(V::modalities), 0, 3);
  std::size_t terms = 0;
  for (const bool noise : {true, false}) {
    Trial<V> trial(noise ? options : without_noise(options));
    if (!noise) shift_raw_scales(trial, -60);
    trial.run({batch.group});
    std::set<std::string> names;
    for (const TermValue& t : trial.terms) {
      const std::string name = t.name<typename V::ModalitySet>();
      INFO(name);
      CHECK(names.insert(name).second);
      const int components = V::PosteriorFamily::mixture ? trial.model.posteriors(t.from).count : 1;
      CHECK(t.total == 3 * components);
      CHECK(t.paired);
      if (t.divergence == noise)
        CHECK(t.sum == Approx(naive_term(trial, batch.group, t)).epsilon(1e-11));
    }
    terms = trial.terms.size();
  }
  return terms;
}

}  // namespace

TEST_CASE("every term is what its name says, for two, three and five modalities") {
  for (VaeOptions options : {VaeOptions::paper(), VaeOptions::official()}) {
    if (options.reconstruct_all)  // three pairs have one more to reconstruct
      CHECK(check_terms<Svae<double, Triple, SmallHead>>(options) == 30);
    options.reconstruct_all = false;
    CHECK(check_terms<PlainVae<double, Small<Top>, SmallHead>>(options) == 2);
    CHECK(check_terms<Svae<double, Pair, SmallHead>>(options) == 8);
    CHECK(check_terms<SvaeStar<double, Pair, SmallHead>>(options) == 4);
    CHECK(check_terms<Vaevae<double, Pair, SmallHead>>(options) == 4);
    CHECK(check_terms<VaevaeA<double, Pair, SmallHead>>(options) == 4);
    CHECK(check_terms<Svae<double, Triple, SmallHead>>(options) == 27);
    CHECK(check_terms<VaevaeStar<double, Triple, SmallHead>>(options) == 27);
    CHECK(check_terms<Svae<double, Five, SmallHead>>(options) == 185);
    CHECK(check_terms<Jmvae<double, Triple, SmallHead>>(options) == 7);
    CHECK(check_terms<Mvae<double, Triple, SmallHead>>(options) == 10);
    CHECK(check_terms<BridgedVae<double, Triple, SmallHead>>(options) == 21);
    CHECK(check_terms<Mopoe<double, Triple, SmallHead>>(options) == 4);
    CHECK(check_terms<Mopoe<double, Five, SmallHead>>(options) == 6);
    CHECK(check_terms<Mvtcae<double, Five, SmallHead>>(options) == 11);
    CHECK(check_terms<Vae<double, Triple, MixtureOfExperts<SmallHead>, Elbo>>(options) == 4);
  }
}

TEST_CASE("every posterior of MVAE is a product with the prior") {
  Trial<Mvae<double, Triple, SmallHead>> trial;
  Trial<VaevaeA<double, Triple, SmallHead>> experts;  // the same networks, each by itself
  constexpr int rows = 2, latent = 3;
  const Batch<double, Triple> batch(0, 0b111, 0, rows);
  for (Subset s = 1; s < 8; ++s) {
    std::vector<double> precision(rows * latent, 1), location(rows * latent), got, want;
    for (int m = 0; m < 3; ++m) {
      if (!contains(s, m)) continue;
      auto ctx = experts.context();
      const double* const q = experts.model.posterior(ctx, batch.group, only(m)).value;
      for (std::size_t i = 0; i < precision.size(); ++i) {
        const std::size_t at = i / latent * 2 * latent + i % latent;
        precision[i] += std::exp(q[at + latent]);
        location[i] += q[at] * std::exp(q[at + latent]);
      }
    }
    auto ctx = trial.context();
    const auto q = trial.model.posterior(ctx, batch.group, s);
    for (std::size_t i = 0; i < precision.size(); ++i) {
      const std::size_t at = i / latent * 2 * latent + i % latent;
      got.insert(got.end(), {q.value[at], q.value[at + latent]});
      want.insert(want.end(), {location[i] / precision[i], std::log(precision[i])});
    }
    require_close(got, want, 1e-12, names_of<Triple>(s));
  }
}

TEST_CASE("a single network's posterior is the same alone and as a component of a mixture") {
  for (const VaeOptions& options : {VaeOptions::paper(), VaeOptions::official()}) {
    Trial<Mopoe<double, Pair, SmallHead>> trial(options);
    const Batch<double, Pair> batch(0, 0b11, 0, 3);
    const auto posterior = [&](Subset s, int alternative) {
      auto ctx = trial.context();
      const auto q = trial.model.posterior(ctx, batch.group, s, alternative);
      return std::vector<double>(q.value, q.value + q.count());
    };
    CHECK(posterior(0b11, 0) == posterior(0b01, 0));
    CHECK(posterior(0b11, 1) == posterior(0b10, 0));
    CHECK(posterior(0b11, 2) != posterior(0b10, 0));
  }
}

namespace {

/// Twice the same divergence, and a weight that depends on what was observed.
struct Weighted : ObjectiveDefaults {
  static constexpr Terms terms(const Observation& o) {
    Terms t;
    t.elbo(o.observed);
    t.diverge(o.observed, 0, 5);
    t.reconstruct(only(0), only(0), 1.0 / size_of(o.observed));
    return t;
  }
};
/// A term of the prior's own, and one of what was not observed.
template <Subset from>
struct Misplaced : ObjectiveDefaults {
  static constexpr Terms terms(const Observation&) {
    Terms t;
    t.diverge(from, 0b01);
    return t;
  }
};

}  // namespace

TEST_CASE("weights of terms add up, and differ between groups of one loader") {
  using V = Vae<double, Pair, UnimodalExperts<SmallHead>, Weighted>;
  Trial<V> trial;
  const Batch<double, Pair> pairs(0, 0b11, 0, 3), tops(0, 0b01, 10, 2);
  const double loss = trial.run({pairs.group, tops.group});
  double sum = 0;
  int shares = 0;
  for (const TermValue& t : trial.terms) {
    INFO(t.name<Pair>());
    if (t.divergence) CHECK(t.weight == 6);
    if (!t.divergence && t.from == 0b01) {
      CHECK(t.weight == (t.total == 3 ? -0.5 : -2));  // alone: 1 of its bound, 1 / 1 more
      ++shares;
    }
    sum += t.weight * t.sum / t.total;
  }
  CHECK(shares == 2);
  CHECK(loss == Approx(sum));
}

TEST_CASE("terms and groups that mean nothing are refused") {
  using Catch::Contains;
  const Batch<double, Pair> top(0, 0b01, 0, 3);
  CHECK_THROWS_WITH(
      (Trial<Vae<double, Pair, UnimodalExperts<SmallHead>, Misplaced<0>>>().run({top.group})),
      Contains("a term from '' to 'top' of samples observed in 'top'"));
  CHECK_THROWS_WITH(
      (Trial<Vae<double, Pair, UnimodalExperts<SmallHead>, Misplaced<0b10>>>().run({top.group})),
      Contains("a term from 'bottom' to 'top' of samples observed in 'top'"));
  for (const Subset wrong : {Subset{0}, Subset{0b111}}) {
    auto group = top.group;
    group.observed = wrong;
    CHECK_THROWS_WITH((Trial<Mmvae<double, Pair, SmallHead>>().run({group})),
                      Contains("of 2 modalities"));
    CHECK_THROWS_WITH((Trial<Mvae<double, Pair, SmallHead>>().run({group})),
                      Contains("of 2 modalities"));
  }
  Trial<Mvae<double, Triple, SmallHead>> trial;
  const Batch<double, Triple> all(0, 0b111, 0, 2);
  trial.choice = 1;
  CHECK_THROWS_WITH(trial.run({all.group}), Contains("choice 1 of 1"));
}

TEST_CASE("a loader for whose noise there are no random numbers left is refused") {
  using Catch::Contains;
  Trial<Mopoe<double, Five, SmallHead>> many;  // 31 products, 32 subsets, 8 draws of each
  const Batch<double, Five> five(0, 0b11111, 0, 2);
  auto group = five.group;
  group.loader = 7;
  CHECK_NOTHROW(many.run({group}));
  group.loader = 8;
  CHECK_THROWS_WITH(many.run({group}), "loss: loader 8: number those of this model from 0 to 7");
  Trial<Svae<double, Pair, SmallHead>> few;
  const Batch<double, Pair> two(0, 0b11, 0, 2);
  auto pair = two.group;
  pair.loader = 255;
  CHECK_NOTHROW(few.run({pair}));
  pair.loader = 256;
  CHECK_THROWS_WITH(few.run({pair}), Contains("from 0 to 255"));
}

TEST_CASE("posteriors and groups that do not exist are refused, and the message says what") {
  using Catch::Contains;
  Trial<Svae<double, Triple, SmallHead>> trial;
  const Batch<double, Triple> batch(0, 0b011, 0, 3);
  const auto posterior = [&](Subset s, int alternative) {
    auto ctx = trial.context();
    return trial.model.posterior(ctx, batch.group, s, alternative).rows;
  };
  CHECK(posterior(0b011, 1) == 3);
  CHECK_THROWS_WITH(posterior(0b011, 2), Contains("alternative 2 of 2"));
  CHECK_THROWS_WITH(posterior(0b011, -1), Contains("alternative -1 of 2"));
  CHECK_THROWS_WITH(posterior(0b110, 0), Contains("'middle,bottom' asked, 'top,middle' observed"));
  CHECK_THROWS_AS(posterior(0, 0), Error);

  auto group = batch.group;
  std::get<1>(group.x).rows = 2;
  CHECK_THROWS_WITH(trial.run({group}), Contains("3 samples has 2 of modality 'middle'"));
  group.x = batch.group.x;
  group.observed = 0b111;
  CHECK_THROWS_WITH(trial.run({group}), Contains("3 samples has 0 of modality 'bottom'"));

  const Tensor<double, Shape<1, 4, 6>> three(3), two(2);
  const auto observed = trial.model.observe(5, given<Bottom>(three), given<Top>(three));
  CHECK(observed.observed == 0b101);
  CHECK(observed.rows == 3);
  CHECK(observed.total == 3);
  CHECK(observed.loader == 5);
  CHECK(std::get<0>(observed.x).data == three.data());
  CHECK(std::get<1>(observed.x).rows == 0);
  CHECK_THROWS_WITH(trial.model.observe(0, given<Top>(three), given<Bottom>(two)),
                    Contains("2 samples of modality 'bottom', 3 of the others"));
  CHECK_THROWS_AS(observed.slice(2, 2), Error);
}
