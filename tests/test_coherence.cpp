// SPDX-License-Identifier: MIT
// Coherences of a linear model whose codes, and so whose classes, are known.
#include "linear_world.hpp"

#include <poe/eval/coherence.hpp>

#include <array>
#include <cmath>
#include <cstdint>
#include <functional>
#include <tuple>
#include <vector>

namespace {

using namespace poe;
using namespace poe::test::world;

using Joint = Vae<double, World, JointEncoders<GaussianHead<latent>>, VaevaeLoss>;
using Code = Shape<latent>;
using Rule = std::function<bool(double, double)>;

/// Finds z in the decoded mean of a modality, and says whether it obeys a rule: class 1, or 0.
struct Judge {
  int modality;
  Rule rule;

  bool of(double z0, double z1) const { return rule(z0, z1); }
  std::vector<std::uint8_t> predict(View<double, Code> x) const {
    std::vector<std::uint8_t> seen;
    for (int n = 0; n < x.rows; ++n) {
      const double* const mean = x.data + n * latent;
      seen.push_back(of((mean[0] - shift[modality]) / slope[modality],
                        (mean[1] - shift[modality]) / slope[modality]));
    }
    return seen;
  }
};

/// q(z | x_m) = N(x_m, sigma^2) for single modalities, N(0, sigma^2) for any more of them.
void set_encoders(Learner<double>& learner, double sigma) {
  set_all(learner, 0.0);
  set_decoders(learner);
  const double raw = raw_scale(sigma);
  for (Subset s = 1; s < 8; ++s) {
    const std::string name = "encoders." + names_of<World>(s, "_") + ".head";
    set<double>(learner, name + ".bias", {0, 0, raw, raw});
    if (size_of(s) == 1) set<double>(learner, name + ".weight", {1, 0, 0, 1, 0, 0, 0, 0});
  }
}

TEST_CASE("shares and means over classes of counts by hand") {
  ClassCounts counts;
  const std::uint8_t labels[] = {0, 0, 0, 1, 7}, seen[] = {0, 0, 1, 1, 0};
  for (int n = 0; n < 5; ++n) counts.add(labels[n], seen[n]);
  CHECK(counts.accuracy() == Approx(3.0 / 5));
  CHECK(counts.class_mean() == Approx((2.0 / 3 + 1 + 0) / 3));
  CHECK(counts.samples[0] == 3);
  CHECK(counts.right[0] == 2);
  CHECK(counts.samples[7] == 1);
  CHECK(counts.right[7] == 0);
  counts.add(255, 255);
  CHECK(counts.class_mean() == Approx((2.0 / 3 + 1 + 0 + 1) / 4));
  CHECK_THROWS_WITH(ClassCounts{}.accuracy(), Catch::Contains("no samples"));
  CHECK_THROWS_WITH(ClassCounts{}.class_mean(), Catch::Contains("no samples"));
}

TEST_CASE("joint coherence is the share of prior draws that every modality's judge sees alike") {
  const Joint model(plain());
  constexpr int count = 5000;
  const Random random{5, 3, 1};
  Judge a{0, [](double z0, double) { return z0 > -0.5; }};
  Judge b{1, [](double z0, double) { return z0 > 0.7; }};
  Judge c{2, [](double, double z1) { return z1 > 0; }};
  int equal = 0;
  for (std::uint64_t n = 0; n < count; ++n) {
    const auto z0 = random.normal<double>(2 * n), z1 = random.normal<double>(2 * n + 1);
    equal += (z0 > 0.7 && z1 > 0) || (z0 <= -0.5 && z1 <= 0);
  }
  const auto below = [](double z) { return 0.5 * std::erfc(-z / std::sqrt(2.0)); };
  const double exact = 0.5 * (1 - below(0.7)) + 0.5 * below(-0.5);
  for (const int threads : {1, 3}) {
    Learner<double> learner(model.description(), 1, threads);
    set_decoders(learner);
    const double got = joint_coherence(model, learner, count, std::tie(a, b, c), random).share;
    CHECK(got == static_cast<double>(equal) / count);
    CHECK(std::abs(got - exact) < 5 * std::sqrt(exact * (1 - exact) / count));
  }
  Learner<double> learner(model.description(), 1, 1);
  CHECK_THROWS_WITH(joint_coherence(model, learner, 0, std::tie(a, b, c), random),
                    Catch::Contains("got 0"));
}

TEST_CASE("agreement beyond chance is Cohen's kappa") {
  using Classes = std::vector<std::uint8_t>;
  const auto agreement = [](const std::vector<Classes>& seen) {
    return poe::detail::agreement(seen);
  };
  // Cohen's (1960) definition by hand: agreed 4 of 6; chance 3/6 2/6 + 2/6 2/6 + 1/6 2/6 = 12/36.
  const auto two = agreement({{0, 0, 0, 1, 1, 2}, {0, 0, 1, 1, 2, 2}});
  CHECK(two.share == Approx(4.0 / 6));
  CHECK(two.beyond_chance == Approx((4.0 / 6 - 1.0 / 3) / (1 - 1.0 / 3)));
  // Three oracles, two classes: chance (1/2)^3 + (1/2)^3.
  const auto three = agreement({{5, 5, 7, 7}, {5, 5, 7, 7}, {5, 7, 7, 5}});
  CHECK(three.share == Approx(0.5));
  CHECK(three.beyond_chance == Approx((0.5 - 0.25) / 0.75));
  CHECK(agreement({{3, 3, 3}, {3, 3, 3}}).share == 1);
  CHECK(agreement({{3, 3, 3}, {3, 3, 3}}).beyond_chance == 0);
  CHECK(agreement({{1, 2, 1, 2}, {2, 1, 2, 1}}).beyond_chance == Approx(-1));
}

TEST_CASE("cross-coherence counts labels that survive from what is given to each target") {
  const Joint model(plain());
  Learner<double> learner(model.description(), 1, 2);
  set_encoders(learner, 1e-3);
  // Six samples, z = x_a or x_b up to noise that no rule notices.
  Tensor<double, Code> of_a(6), of_b(6);
  const double a[] = {-2, -1, 1, 2, 3, 4}, b[] = {1, 1, -1, -1, -1, 1};
  for (int n = 0; n < 6; ++n) {
    of_a(n, 0) = a[n], of_a(n, 1) = 1;
    of_b(n, 0) = b[n], of_b(n, 1) = 1;
  }
  const std::uint8_t labels[] = {0, 0, 0, 1, 1, 1};
  const Group<double, World> group{0b011, 6, 6, 0, 0, {of_a.view(), of_b.view(), {}}};
  const Judge above_0{0, [](double z0, double) { return z0 > 0; }};
  const Judge above_2{1, [](double z0, double) { return z0 > 2.5; }};
  const Judge always{2, [](double, double z1) { return z1 > 0; }};
  const std::tuple judges(above_0, above_2, always);

  const auto from_a = cross_coherence(model, learner, {group}, labels, 0b001, judges, {1, 0, 0});
  CHECK(from_a[0].accuracy() == Approx(5.0 / 6));  // sample 2 shows class 1
  CHECK(from_a[0].right[0] == 2);
  CHECK(from_a[1].accuracy() == Approx(5.0 / 6));  // sample 3 shows class 0
  CHECK(from_a[1].right[0] == 3);
  CHECK(from_a[1].right[1] == 2);
  CHECK(from_a[2].accuracy() == Approx(0.5));
  CHECK(from_a[2].class_mean() == Approx(0.5));

  const auto from_b = cross_coherence(model, learner, {group}, labels, 0b010, judges, {1, 0, 0});
  CHECK(from_b[0].right[0] == 1);
  CHECK(from_b[0].right[1] == 1);
  CHECK(from_b[1].accuracy() == Approx(0.5));

  CHECK_THROWS_WITH(cross_coherence(model, learner, {group}, labels, 0b100, judges, {1, 0, 0}),
                    Catch::Contains("'c'"));
  CHECK_THROWS_WITH(cross_coherence(model, learner, {group}, std::span(labels).first(5), 0b001,
                                    judges, {1, 0, 0}),
                    Catch::Contains("6 and 5 labels"));
}

TEST_CASE("pairs are gathered block by block, each with a draw of its own, whatever the ranks") {
  const Joint model(plain());
  constexpr int count = 10'000;  // three blocks
  Tensor<double, Code> stored(3);
  const double location[] = {-0.6, 0.1, 0.8};
  for (int n = 0; n < 3; ++n) stored(n, 0) = location[n], stored(n, 1) = 0;
  Samples<double, World> samples;
  std::vector<std::uint32_t> rows;
  std::vector<std::uint8_t> labels;
  for (std::uint32_t n = 0; n < count; ++n) {
    rows.push_back(n * n % 3 + (n % 7 == 0));
    labels.push_back(n % 5 < 2);
  }
  samples.rows = count;
  std::get<1>(samples.stored) = stored.view();
  samples.at[1] = rows;

  const Random random{8, 2, 6};
  ClassCounts want;
  for (std::uint32_t n = 0; n < count; ++n) {
    const double z0 = location[rows[n]] + 0.5 * random.normal<double>(std::uint64_t{2} * n);
    want.add(labels[n], z0 > 0);
  }
  const Rule positive = [](double z0, double) { return z0 > 0; };
  const std::tuple judges(Judge{0, positive}, Judge{1, positive}, Judge{2, positive});
  for (const int threads : {1, 3}) {
    Learner<double> learner(model.description(), 1, threads);
    set_encoders(learner, 0.5);
    const auto got = cross_coherence(model, learner, samples, labels, 0b010, judges, random);
    for (const ClassCounts& target : got) {
      CHECK(target.samples == want.samples);
      CHECK(target.right == want.right);
    }
  }
}

}  // namespace
