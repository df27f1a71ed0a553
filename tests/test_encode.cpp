// SPDX-License-Identifier: MIT
// Locations and scales of many samples' posteriors, against products in closed form.
#include "linear_world.hpp"

#include <poe/eval/encode.hpp>

#include <array>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

namespace {

using namespace poe;
using namespace poe::test::world;

template <class Family>
using WorldVae = Vae<double, World, Family, Elbo>;
using Single = WorldVae<UnimodalExperts<GaussianHead<latent>>>;
using StandIns = Vae<double, World, PoeWithStandIns<GaussianHead<latent>>, SvaeLoss>;
using Mixture = WorldVae<MixtureOfProducts<GaussianHead<latent>>>;

/// N(slope x + shift, scale^2), element by element.
struct Expert {
  double slope, shift, scale;
};
constexpr Expert experts[] = {{0.5, 0.1, 0.4}, {-1.5, 0.2, 0.7}, {2, -0.3, 1.3}};

void set_expert(Learner<double>& learner, const std::string& name, const Expert& e) {
  const double raw = raw_scale(e.scale);
  set<double>(learner, "encoders." + name + ".head.weight", {e.slope, 0, 0, e.slope, 0, 0, 0, 0});
  set<double>(learner, "encoders." + name + ".head.bias", {e.shift, e.shift, raw, raw});
}

struct Answer {
  std::vector<double> location, scale;
};
/// The product of these experts, each of the modality beside it, for every row of the data.
Answer product(const WorldData& data, const std::vector<std::pair<Expert, int>>& of,
               bool with_prior = false) {
  Answer answer;
  for (int n = 0; n < data.rows; ++n)
    for (int i = 0; i < latent; ++i) {
      double precision = with_prior ? 1 : 0, pull = 0;
      for (const auto& [e, m] : of) {
        const double location = e.slope * data.sample(n)[m * latent + i] + e.shift;
        precision += 1 / (e.scale * e.scale);
        pull += location / (e.scale * e.scale);
      }
      answer.location.push_back(pull / precision);
      answer.scale.push_back(1 / std::sqrt(precision));
    }
  return answer;
}

template <class V>
void require_answer(const Codes<V>& codes, const Answer& answer) {
  test::require_close(codes.location.flat(), answer.location, 1e-12, "locations");
  test::require_close(codes.scale.flat(), answer.scale, 1e-12, "scales");
}

std::vector<std::pair<Expert, int>> members(Subset s) {
  std::vector<std::pair<Expert, int>> of;
  for (int m = 0; m < 3; ++m)
    if (contains(s, m)) of.emplace_back(experts[m], m);
  return of;
}

void set_experts(Learner<double>& learner) {
  for (int m = 0; m < 3; ++m) set_expert(learner, World::name(m), experts[m]);
}

TEST_CASE("the code of every subset is the product of its members' experts") {
  const bool with_prior = GENERATE(false, true);
  VaeOptions options = plain();
  options.prior_expert = with_prior;
  const Single model(options);
  const WorldData data;
  for (const int threads : {1, 3}) {
    Learner<double> learner(model.description(), 1, threads);
    set_experts(learner);
    for (Subset s = 1; s < 8; ++s) {
      const auto codes = encode(model, learner, data.group, s);
      REQUIRE(codes.size() == 1);
      require_answer(codes[0], product(data, members(s), with_prior && size_of(s) > 1));
    }
  }
}

TEST_CASE("a subset with several posteriors has codes of each: stand-ins, components") {
  const WorldData data;
  const StandIns stand_ins(plain());
  Learner<double> learner(stand_ins.description(), 1, 2);
  set_experts(learner);
  const Expert c_from_a{3, 0, 0.9}, c_from_b{-2, 1, 0.3};
  set_expert(learner, "c_from_a", c_from_a);
  set_expert(learner, "c_from_b", c_from_b);
  const auto codes = encode(stand_ins, learner, data.group, 3);
  REQUIRE(codes.size() == 2);
  auto with_a = members(3), with_b = members(3);
  with_a.emplace_back(c_from_a, 0);
  with_b.emplace_back(c_from_b, 1);
  require_answer(codes[0], product(data, with_a));
  require_answer(codes[1], product(data, with_b));

  const Mixture mixture(plain());
  Learner<double> of_mixture(mixture.description(), 1, 2);
  set_experts(of_mixture);
  const auto components = encode(mixture, of_mixture, data.group, 7);
  REQUIRE(components.size() == 7);
  for (Subset t = 1; t < 8; ++t) require_answer(components[t - 1], product(data, members(t)));
}

TEST_CASE("stored samples are encoded in blocks, each from the rows that it shows") {
  const Single model(plain());
  const WorldData data;
  Learner<double> learner(model.description(), 1, 2);
  set_experts(learner);
  constexpr int rows = 700;  // more than one block of each rank
  Samples<double, World> samples(data.group);
  std::vector<std::uint32_t> of_a(rows), of_b(rows);
  for (std::uint32_t n = 0; n < rows; ++n) of_a[n] = n % 41, of_b[n] = (7 * n + 3) % 41;
  samples.rows = rows;
  samples.at[0] = of_a;
  samples.at[1] = of_b;
  std::get<2>(samples.stored) = {};  // not asked for, not read
  const auto codes = encode(model, learner, samples, 3);
  const auto of_group = [&](Subset s) { return encode(model, learner, data.group, s); };
  const auto a = of_group(1), b = of_group(2);
  std::vector<double> got, want;
  for (int n = 0; n < rows; ++n)
    for (int i = 0; i < latent; ++i) {
      const auto at = static_cast<std::size_t>(n);
      const double p = std::pow(experts[0].scale, -2), q = std::pow(experts[1].scale, -2);
      got.push_back(codes[0].location(n, i));
      want.push_back((p * a[0].location(static_cast<int>(of_a[at]), i) +
                      q * b[0].location(static_cast<int>(of_b[at]), i)) /
                     (p + q));
    }
  test::require_close(got, want, 1e-12, "stored samples");

  const auto none = encode(model, learner, samples.slice(5, 0), 3);
  CHECK(none[0].location.rows() == 0);
}

TEST_CASE("what is not there cannot be encoded") {
  const Single model(plain());
  const WorldData data;
  Learner<double> learner(model.description(), 1, 1);
  Group<double, World> only_a = data.group;
  only_a.observed = 1;
  CHECK_THROWS_WITH(encode(model, learner, only_a, 3),
                    "encode: modalities 'a,b' asked, 'a' observed");
  CHECK_THROWS_WITH(encode(model, learner, only_a, 0), "encode: modalities '' asked, 'a' observed");
  CHECK_THROWS_WITH(encode(model, learner, only_a.slice(0, 0), 8),
                    "encode: modalities '' asked, 'a' observed");
  const Samples<double, World> samples(data.group);
  CHECK_THROWS_WITH(encode(model, learner, samples, 0),
                    "encode: modalities with the bits 0b0 asked, of 3 modalities");
  CHECK_THROWS_WITH(encode(model, learner, samples, 9),
                    "encode: modalities with the bits 0b1001 asked, of 3 modalities");
}

}  // namespace
