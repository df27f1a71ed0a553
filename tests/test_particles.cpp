// SPDX-License-Identifier: MIT
// Clouds of particles: published numbers, exact posteriors, scales, extreme inputs, misuse.
#include "gradients.hpp"
#include "particles.hpp"

#include <poe/particles/scale.hpp>

namespace {

using namespace poe;
using namespace poe::test;
using Catch::Contains;

/// p(z) = N(0, 1), x | z ~ N(z, 1), one component q = N(m, s): its value and derivatives.
struct Toy {
  double value, by_m, by_s, by_w;
};

/// The particles are put where the caller wants them: z = m + s eps.
Toy toy(Estimator estimator, double m, double s, const Numbers& eps, double x) {
  Tape<double> tape;
  Context<double> ctx{.tape = tape};
  const double component[] = {m, -2 * std::log(s)};
  const auto q = tape.leaf(View<double, Shape<2>>{component, 1});
  const Rows<double, Shape<2>> components[] = {q};
  const int numbers[] = {0};
  const auto cloud = draw<1>(
      ctx, components,
      {.numbers = numbers, .particles = static_cast<int>(eps.size()), .estimator = estimator});
  for (std::size_t k = 0; k < eps.size(); ++k) cloud.z.value[k] = m + s * eps[k];
  poe::particles::detail::score_particles<1>(cloud.memory);
  double by_w = 0;
  auto log_p = decode<1, double>(ctx, cloud.z, std::span(&x, 1), 1.0, &by_w);
  for (std::size_t k = 0; k < eps.size(); ++k) log_p.value[k] -= math::half_log_two_pi<double>;
  const Decoded<double> decoded[] = {{log_p}};
  const auto found = estimate(ctx, cloud, decoded, 1.0);
  tape.backward();
  return {found.rows[0], q.gradient->data[0], q.gradient->data[1] * -2 / s, by_w};
}

double divergence(Distribution distribution, double m, double scale, double prior_scale) {
  Tape<double> tape;
  Context<double> ctx{.tape = tape};
  const double component[] = {m, -2 * std::log(scale)}, prior[] = {-2 * std::log(prior_scale)};
  const Rows<double, Shape<2>> components[] = {tape.constant(View<double, Shape<2>>{component, 1})};
  const int numbers[] = {0};
  const auto cloud =
      draw<1>(ctx, components,
              {.numbers = numbers, .distribution = distribution, .estimator = Estimator::elbo},
              tape.constant(View<double, Shape<1>>{prior, 1}));
  return cloud.memory.divergence[0];
}

}  // namespace

TEST_CASE("importance weights of a toy model", "[particles]") {
  const Numbers eps{.3, -1.1, .6};
  const auto near = [](double x) { return Approx(x).epsilon(1e-10); };
  for (const auto e : {Estimator::iwae, Estimator::iwae_looser}) {
    const Toy got = toy(e, .4, .9, eps, 1.2);
    CHECK(got.value == near(-1.54611125839));
    CHECK(got.by_m == near(.0731393721854));
    CHECK(got.by_s == near(.467559743887));
    CHECK(got.by_w == near(.0630879475305));
  }
  for (const auto e : {Estimator::dreg, Estimator::dreg_looser}) {
    const Toy got = toy(e, .4, .9, eps, 1.2);
    CHECK(got.value == near(-1.54611125839));
    CHECK(got.by_m == near(.0649493361908));
    CHECK(got.by_s == near(-.0303665222483));
    CHECK(got.by_w == near(.0630879475305));
  }
  const Toy published = toy(Estimator::dreg_published, .4, .9, eps, 1.2);
  CHECK(published.value == near(-1.54611125839));
  CHECK(published.by_m == near(.274905191824));
  CHECK(published.by_s == near(-.20146058803));
  CHECK(published.by_w == near(.0630879475305));
}

// p(z | x) = N(x / 2, 1/2): every weight is p(x), and its logarithm does not depend on q there.
TEST_CASE("with the exact posterior every weight is p(x)", "[particles]") {
  for (const auto e : {Estimator::iwae, Estimator::iwae_looser, Estimator::dreg}) {
    const Toy got = toy(e, .6, std::sqrt(.5), {.3, -1.1, .6, 4, -2}, 1.2);
    CHECK(got.value == Approx(-1.62551212348).epsilon(1e-11));
  }
  const Toy dreg = toy(Estimator::dreg, .6, std::sqrt(.5), {.3, -1.1, .6, 4, -2}, 1.2);
  CHECK(std::abs(dreg.by_m) < 1e-14);
  CHECK(std::abs(dreg.by_s) < 1e-14);
}

TEST_CASE("divergences to the prior", "[particles]") {
  const auto near = [](double x) { return Approx(x).epsilon(1e-11); };
  CHECK(divergence(Distribution::normal, .5, .8, 1) == near(.168143551314));
  CHECK(divergence(Distribution::normal, -.2, 1.5, 1) == near(.239534891892));
  CHECK(divergence(Distribution::normal, .7, .8, 1.5) == near(.379719770533));  // moved by .2
  CHECK(divergence(Distribution::laplace, .5, .8, 1) == near(.151352694129));
  CHECK(divergence(Distribution::laplace, .7, .8, 1.5) == near(.317601736584));
  CHECK(divergence(Distribution::laplace, 0, 1.5, 1.5) == 0);
}

TEST_CASE("the density of a mixture", "[particles]") {
  Tape<double> tape;
  Context<double> ctx{.tape = tape};
  const double q1[] = {.5, -2 * std::log(.8)}, q2[] = {-.2, -2 * std::log(1.5)};
  const Rows<double, Shape<2>> components[] = {tape.constant(View<double, Shape<2>>{q1, 1}),
                                               tape.constant(View<double, Shape<2>>{q2, 1})};
  const int numbers[] = {0, 1};
  const auto cloud = draw<1>(ctx, components, {.numbers = numbers});
  for (const int p : {0, 1}) cloud.z.value[p] = .25;
  poe::particles::detail::score_particles<1>(cloud.memory);
  // Nothing decoded: log w = log p(z) - log q(z).
  const auto found = estimate(ctx, cloud, {}, 1.0);
  const double log_prior = -0.5 * .25 * .25 - math::half_log_two_pi<double>;
  CHECK(log_prior - found.rows[0] == Approx(-1.0089930881).epsilon(1e-10));
}

TEST_CASE("scales of a softmax", "[particles]") {
  Tape<double> tape;
  Context<double> ctx{.tape = tape};
  const double raw[] = {7, 8, 9, .2, -1, .7};
  const auto q = components<3>(ctx, Rows(tape.leaf(View<double, Shape<6>>{raw, 1})),
                               {.softmax = true, .floor = 1e-6});
  const Numbers want{1.01697928893, .306308974267, 1.6767147368};
  for (int i = 0; i < 3; ++i) {
    CHECK(q.value[i] == raw[i]);
    CHECK(std::exp(-q.value[3 + i] / 2) ==
          Approx(want[static_cast<std::size_t>(i)]).epsilon(1e-10));
  }
  Numbers gradient(3);
  const auto prior = learnt_prior<3>(ctx, Parameter<double>{raw + 3, gradient.data()});
  for (int i = 0; i < 3; ++i)
    CHECK(std::exp(-prior.value[i] / 2) ==
          Approx(want[static_cast<std::size_t>(i)] - 1e-6).epsilon(1e-10));
}

TEST_CASE("gradients of scales", "[particles]") {
  for (const bool softmax : {false, true})
    for (const double floor : {0.0, 1e-6, 0.3}) {
      INFO("softmax " << softmax << ", floor " << floor);
      const auto rows = [=](auto& ctx, auto x) {
        return components<4>(ctx, Rows<double, Shape<8>>(x, 1, 2), {softmax, floor});
      };
      check_gradient(rows, normal_tensor<Shape<8>>(4, 1));
      const auto one = [=](auto& ctx, auto x) {
        return components<1>(ctx, Rows<double, Shape<2>>(x), {softmax, floor});
      };
      check_gradient(one, normal_tensor<Shape<2>>(3, 2));
    }
  check_gradient([](auto& ctx, auto s) { return learnt_prior<5>(ctx, parameter(s)); },
                 normal_tensor<Shape<5>>(1, 3));
}

// Scales of 1e-9 and 1e9, locations of 1e15, likelihoods that differ by 1e6: no NaN anywhere.
TEMPLATE_TEST_CASE("extreme numbers stay numbers", "[particles]", float, double) {
  using T = TestType;
  constexpr int L = 4, K = 3, R = 2;
  for (const auto& [name, estimator] : estimator_names)
    for (const Distribution distribution : {Distribution::normal, Distribution::laplace})
      for (const double size : {1.0, 1e3, 1e6, 1e15})
        for (const double spread : {0.0, 40.0, 400.0}) {
          INFO(name << ", " << (distribution == Distribution::laplace ? "laplace" : "normal")
                    << ", locations " << size << ", l " << spread);
          Tape<T> tape;
          Context<T> ctx{.tape = tape};
          std::vector<Variable<T, Shape<2 * L>>> leaves;
          std::vector<Rows<T, Shape<2 * L>>> parts;
          for (std::uint32_t c = 0; c < 3; ++c) {
            auto numbers = normals<T>(R * 2 * L, c, size);
            for (std::size_t i = 0; i < numbers.size(); ++i)
              if (i % (2 * L) >= L)
                numbers[i] = static_cast<T>((i + c) % 2 == 0 ? spread : -spread);
            leaves.push_back(tape.leaf(View<T, Shape<2 * L>>{numbers.data(), R}));
            parts.push_back(leaves.back());
          }
          const T l[L] = {T(0), static_cast<T>(spread), static_cast<T>(-spread), T(2)};
          const auto prior = tape.leaf(View<T, Shape<L>>{l, 1});
          const int numbers[] = {0, 1, 2};
          const auto cloud = draw<L>(ctx, parts,
                                     {.numbers = numbers,
                                      .particles = K,
                                      .distribution = distribution,
                                      .estimator = estimator},
                                     prior);
          std::vector<Decoded<T>> decoded;
          for (int d = 0; d < 3; ++d) {
            const bool own = estimator == Estimator::elbo_published;
            auto log_p = tape.template make<Scalar>(own ? K * R : 3 * K * R, true);
            for (int i = 0; i < log_p.rows; ++i) log_p.value[i] = static_cast<T>(-1e6 * (i % 4));
            decoded.push_back({log_p, 1, own ? d : Decoded<T>::all});
          }
          const auto found = estimate(ctx, cloud, decoded, T(-0.5));
          tape.backward();
          for (int r = 0; r < R; ++r) REQUIRE_FALSE(std::isnan(found.rows[r]));
          for (const auto& d : decoded)
            for (int i = 0; i < d.log_p.rows; ++i)
              REQUIRE_FALSE(std::isnan(d.log_p.gradient->data[i]));
          for (const auto& leaf : leaves)
            for (const T* g = add_sink(Rows(leaf)); g != add_sink(Rows(leaf)) + R * 2 * L; ++g)
              REQUIRE_FALSE(std::isnan(*g));
          for (int i = 0; i < L; ++i) REQUIRE_FALSE(std::isnan(add_sink(Rows(prior))[i]));
        }
}

TEST_CASE("Laplace noise is finite and has the right moments", "[particles]") {
  REQUIRE(std::isfinite(LaplaceDensity::noise(1.0F)));
  REQUIRE(std::isfinite(LaplaceDensity::noise(0x1p-33F)));
  constexpr int n = 200000;
  double mean = 0, size = 0, square = 0;
  for (int i = 0; i < n; ++i) {
    const auto e =
        LaplaceDensity::noise(Random{.seed = 3}.uniform<float>(static_cast<std::uint64_t>(i)));
    REQUIRE(std::isfinite(e));
    mean += e, size += std::abs(e), square += static_cast<double>(e) * e;
  }
  // Standard errors: sqrt(2 / n), sqrt(1 / n), sqrt(20 / n).
  CHECK(std::abs(mean / n) < 5 * std::sqrt(2.0 / n));
  CHECK(std::abs(size / n - 1) < 5 * std::sqrt(1.0 / n));
  CHECK(std::abs(square / n - 2) < 5 * std::sqrt(20.0 / n));
}

TEST_CASE("names of estimators", "[particles]") {
  for (const auto& [name, estimator] : estimator_names) {
    CHECK(estimator_named(name) == estimator);
    CHECK(name_of(estimator) == name);
  }
  CHECK_THROWS_WITH(estimator_named("dregs"),
                    Contains("expected one of elbo, elbo-published, iwae") && Contains("'dregs'"));
}

TEST_CASE("clouds that do not fit together", "[particles]") {
  Tape<double> tape;
  Context<double> ctx{.tape = tape};
  const double q[8] = {};
  const auto two = tape.constant(View<double, Shape<2>>{q, 2});
  const auto three = tape.constant(View<double, Shape<2>>{q, 3});
  const int numbers[] = {0, 1};
  const Rows<double, Shape<2>> same[] = {two, two}, different[] = {two, three};
  CHECK_THROWS_WITH(draw<1>(ctx, different, {.numbers = numbers}), Contains("2 and 3 samples"));
  CHECK_THROWS_WITH(draw<1>(ctx, {}, {}), Contains("expected 1 to 32 components, got 0"));
  CHECK_THROWS_WITH(draw<1>(ctx, same, {}), Contains("2 components, but 0 numbers"));
  CHECK_THROWS_WITH(draw<1>(ctx, same, {.numbers = numbers, .particles = 0}), Contains("got 0"));
  CHECK_THROWS_WITH(draw<1>(ctx, same, {.numbers = numbers, .particles = 1 << 30}),
                    Contains("take fewer rows"));
  const auto cloud = draw<1>(ctx, same, {.numbers = numbers, .particles = 3});
  const Decoded<double> few[] = {{tape.make<Scalar>(11, true)}};
  CHECK_THROWS_WITH(estimate(ctx, cloud, few, 1.0), Contains("11 log-likelihoods of 12 samples"));
  const Decoded<double> own[] = {{tape.make<Scalar>(6, true), 1, 0}};
  CHECK_THROWS_WITH(estimate(ctx, cloud, own, 1.0), Contains("component 0 of 2"));
  const auto published = draw<1>(
      ctx, same, {.numbers = numbers, .particles = 3, .estimator = Estimator::elbo_published});
  const Decoded<double> all[] = {{tape.make<Scalar>(12, true)}};
  CHECK_THROWS_WITH(estimate(ctx, published, all, 1.0), Contains("expects one component"));
}
