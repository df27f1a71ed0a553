// SPDX-License-Identifier: MIT
// Models as compositions: sizes, what every term is made of, what is refused.
#include "digit_model.hpp"

#include <algorithm>
#include <set>

namespace {

using namespace poe;
using namespace poe::test;

using Pair = Small<Top, Bottom>;
using Triple = Small<Top, Middle, Bottom>;
struct Fourth {
  static constexpr const char* name = "fourth";
};
struct Fifth {
  static constexpr const char* name = "fifth";
};
using Five = Small<Top, Middle, Bottom, Fourth, Fifth>;

// clang-format off
struct ThirdFeatures : Net<Shape<1, 9, 28>,
    Conv2d<64, kernel(4).stride(2).pad(1).no_bias()>, Relu,
    Conv2d<128, kernel(4).stride(2).pad(1).no_bias()>, Relu,
    Conv2d<256, kernel(4).stride(2).pad(1).no_bias()>, Relu, Flatten> {};
struct ThirdDecoder : Net<Shape<64>,
    Linear<512>, Relu, Linear<112>, Relu, Reshape<112, 1, 1>,
    ConvTranspose2d<56, kernel(2, 5).stride(2)>, Relu,
    ConvTranspose2d<28, kernel(2, 5).stride(2)>, Relu,
    ConvTranspose2d<1, kernel(2, 4).stride(2).output_pad(1, 0)>> {};
// clang-format on
template <class... Tags>
struct Thirds : Modalities<Modality<Tags, ThirdFeatures, ThirdDecoder, Bernoulli>...> {};

/// Adds `shift` to the raw scales that every network of a small model puts out.
template <class V>
void shift_raw_scales(Trial<V>& trial, double shift) {
  for (const ParameterInfo& p : trial.model.description().parameters)
    if (p.name.ends_with("head.2.bias"))
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
      CHECK(t.total == 3);
      CHECK(t.paired);
      if (t.divergence == noise)
        CHECK(t.sum == Approx(naive_term(trial, batch.group, t)).epsilon(1e-11));
    }
    terms = trial.terms.size();
  }
  return terms;
}

}  // namespace

TEST_CASE("models of MNIST-Split have as many parameters as published") {
  CHECK(Svae<float, Digit, Head>().parameter_count() == 4'880'394);
  CHECK(SvaeStar<float, Digit, Head>().parameter_count() == 4'880'394);
  CHECK(Vaevae<float, Digit, Head>().parameter_count() == 4'814'218);
  CHECK(VaevaeStar<float, Digit, Head>().parameter_count() == 4'814'218);
  CHECK(VaevaeA<float, Digit, Head>().parameter_count() == 2'648'842);
  using Three = Thirds<Top, Middle, Bottom>;
  CHECK(Svae<float, Three, Head>().parameter_count() == 10'550'319);
  CHECK(Vaevae<float, Three, Head>().parameter_count() == 13'566'767);
}

TEST_CASE("every term is what its name says, for two, three and five modalities") {
  for (const VaeOptions& options : {VaeOptions::paper(), VaeOptions::official()}) {
    CHECK(check_terms<PlainVae<double, Small<Top>, SmallHead>>(options) == 2);
    CHECK(check_terms<Svae<double, Pair, SmallHead>>(options) == 8);
    CHECK(check_terms<SvaeStar<double, Pair, SmallHead>>(options) == 4);
    CHECK(check_terms<Vaevae<double, Pair, SmallHead>>(options) == 4);
    CHECK(check_terms<VaevaeA<double, Pair, SmallHead>>(options) == 4);
    CHECK(check_terms<Svae<double, Triple, SmallHead>>(options) == 24);
    CHECK(check_terms<VaevaeStar<double, Triple, SmallHead>>(options) == 24);
    CHECK(check_terms<Svae<double, Five, SmallHead>>(options) == 160);
  }
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
