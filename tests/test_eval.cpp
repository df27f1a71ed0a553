// SPDX-License-Identifier: MIT
// Draws and importance sampling, against models whose answers are known.
#include "linear_world.hpp"

#include <array>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace poe;
using namespace poe::test::world;

using Joint = Vae<double, World, JointEncoders<GaussianHead<latent>>, VaevaeLoss>;
using StandIns = Vae<double, World, PoeWithStandIns<GaussianHead<latent>>, SvaeLoss>;

/// Every encoder of `learner` becomes the true posterior of what it sees.
void set_exact_posteriors(Learner<double>& learner) {
  for (Subset s = 1; s < 8; ++s) {
    const auto members = static_cast<std::size_t>(size_of(s));
    double precision = 1, bias = 0;
    for (int m = 0; m < 3; ++m)
      if (contains(s, m)) {
        precision += slope[m] * slope[m] / (scale[m] * scale[m]);
        bias -= slope[m] * shift[m] / (scale[m] * scale[m]);
      }
    std::vector<double> weight(2 * latent * members * latent, 0.0);
    std::size_t column = 0;
    for (int m = 0; m < 3; ++m)
      for (std::size_t i = 0; contains(s, m) && i < latent; ++i, ++column)
        weight[i * members * latent + column] = slope[m] / (scale[m] * scale[m]) / precision;
    const double raw = raw_scale(1 / std::sqrt(precision));
    const std::string name = "encoders." + names_of<World>(s, "_") + ".head";
    set(learner, name + ".weight", weight);
    set<double>(learner, name + ".bias", {bias / precision, bias / precision, raw, raw});
  }
}

TEST_CASE("with the exact posterior as proposal every weight is the likelihood") {
  const Joint model(plain());
  Learner<double> learner(model.description(), 1, 2);
  set_decoders(learner);
  set_exact_posteriors(learner);
  const WorldData data;
  for (Subset s = 1; s < 8; ++s)
    for (const int particles : {1, 3, 300}) {
      const auto estimate =
          importance_log_likelihood(model, learner, data.group, s, s, particles, {4, 0, 0});
      std::vector<double> exact;
      double mean = 0, squares = 0;
      for (int n = 0; n < data.rows; ++n) exact.push_back(exact_log_p(data.sample(n), s));
      for (const double v : exact) mean += v / data.rows;
      for (const double v : exact) squares += (v - mean) * (v - mean);
      test::require_close(estimate.samples, exact, 1e-11, names_of<World>(s));
      CHECK(estimate.mean == Approx(mean).epsilon(1e-11));
      CHECK(estimate.standard_error ==
            Approx(std::sqrt(squares / (data.rows - 1) / data.rows)).epsilon(1e-9));
    }
}

TEST_CASE("with an inexact proposal the estimate is below the likelihood and converges to it") {
  const Joint model(plain());
  Learner<double> learner(model.description(), 1, 2);
  set_decoders(learner);
  set_exact_posteriors(learner);
  const WorldData data;
  for (const auto& [given, target] : {std::pair<Subset, Subset>{2, 7}, {2, 3}, {4, 1}}) {
    double exact = 0, before = -1e300;
    for (int n = 0; n < data.rows; ++n) exact += exact_log_p(data.sample(n), target) / data.rows;
    for (const int particles : {1, 4, 16}) {
      const double mean =
          importance_log_likelihood(model, learner, data.group, given, target, particles, {4, 0, 0})
              .mean;
      CHECK(mean > before);
      CHECK(mean < exact);
      before = mean;
    }
    const double many =
        importance_log_likelihood(model, learner, data.group, given, target, 20000, {4, 0, 0}).mean;
    CHECK(many == Approx(exact).margin(0.02));
  }
}

TEST_CASE("several stand-ins are sampled and weighed as their mixture") {
  const StandIns model(plain());
  Learner<double> learner(model.description(), 1, 2);
  set_all(learner, 0.0);
  set_decoders(learner);
  const WorldData data;
  const auto experts = [&](double sigma, double from_a, double from_b) {
    for (const char* name : {"a", "b", "c_from_a", "c_from_b"}) {
      const double at = name == std::string("c_from_a")   ? from_a
                        : name == std::string("c_from_b") ? from_b
                                                          : 0;
      set<double>(learner, std::string("encoders.") + name + ".head.bias",
                  {at, at, raw_scale(sigma), raw_scale(sigma)});
    }
  };
  // Three experts of equal scale: the product has a third of the variance and the mean location.
  experts(0.01, 3, -3);
  const Random random{9, 2, 0};
  const auto decoded = complete(model, learner, data.group, 3, random);
  int from_a = 0;
  for (int n = 0; n < data.rows; ++n) {
    const auto a = std::get<0>(decoded).row(n);
    const bool positive = a[0] > shift[0];
    from_a += positive;
    for (std::size_t i = 0; i < latent; ++i) {
      const double epsilon = random.normal<double>(static_cast<std::uint64_t>(n) * latent + i);
      const double z = (positive ? 1 : -1) + 0.01 / std::sqrt(3.0) * epsilon;
      CHECK(a[i] == Approx(slope[0] * z + shift[0]).epsilon(1e-9));
    }
  }
  CHECK(from_a > 8);  // of 41 fair draws, 8 or fewer have probability 5e-5
  CHECK(from_a < 33);

  experts(2, 1.5, -1.5);  // wider than the true posterior, so that weights are bounded
  double exact = 0;
  for (int n = 0; n < data.rows; ++n) exact += exact_log_p(data.sample(n), 7) / data.rows;
  const auto estimate = importance_log_likelihood(model, learner, data.group, 3, 7, 20000, random);
  CHECK(estimate.mean == Approx(exact).margin(0.02));
}

TEST_CASE("a completion decodes one reparameterised draw per sample, whatever the ranks") {
  const Joint model(plain());
  const WorldData data;
  const Random random{5, 3, 1};
  std::vector<double> first_run;
  for (const int threads : {1, 3}) {
    Learner<double> learner(model.description(), 1, threads);
    set_decoders(learner);
    set_exact_posteriors(learner);
    const auto decoded = complete(model, learner, data.group, 1, random);
    std::vector<double> got, want;
    const double precision = 1 + slope[0] * slope[0] / (scale[0] * scale[0]);
    for (int n = 0; n < data.rows; ++n)
      for (int i = 0; i < latent; ++i) {
        const double gain = slope[0] / (scale[0] * scale[0]) / precision;
        const double z = gain * (data.sample(n)[i] - shift[0]) +
                         random.normal<double>(static_cast<std::uint64_t>(n * latent + i)) /
                             std::sqrt(precision);
        want.push_back(slope[2] * z + shift[2]);
        got.push_back(std::get<2>(decoded)(n, i));
      }
    test::require_close(got, want, 1e-12, "modality c from a");

    const auto part = complete(model, learner, data.group.slice(7, 5), 1, random);
    for (int i = 0; i < latent; ++i)
      CHECK(std::get<2>(part)(2, i) == Approx(std::get<2>(decoded)(9, i)).epsilon(1e-12));

    const auto prior = draw_from_prior(model, learner, 300, random);
    for (int n = 0; n < 300; ++n)
      CHECK(std::get<1>(prior)(n, 1) ==
            Approx(slope[1] * random.normal<double>(static_cast<std::uint64_t>(n) * latent + 1) +
                   shift[1])
                .epsilon(1e-12));
    const auto estimate =
        importance_log_likelihood(model, learner, data.group, 2, 5, 150, random).samples;
    if (first_run.empty()) first_run = estimate;
    test::require_close(estimate, first_run, 1e-12, "estimates of one and three ranks");
  }
  Learner<double> learner(model.description(), 1, 1);
  Group<double, World> only_a = data.group;
  only_a.observed = 1;
  CHECK_THROWS_WITH(complete(model, learner, only_a, 2, random), Catch::Contains("'b'"));
  CHECK_THROWS_WITH(complete(model, learner, only_a, 0, random), Catch::Contains("'a'"));
  CHECK_THROWS_WITH(importance_log_likelihood(model, learner, only_a, 1, 3, 10, random),
                    Catch::Contains("'a,b'"));
}

}  // namespace
