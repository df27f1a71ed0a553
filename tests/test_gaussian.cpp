// SPDX-License-Identifier: MIT
// Products of Gaussian experts and their divergences: published numbers, reference vectors, errors.
#include "fusion.hpp"

#include <poe/io/safetensors.hpp>

namespace {

using namespace poe;
using gaussian::ScaleLink;
using test::Fusion, test::join, test::require_close;

constexpr ScaleLink no_floor{0, false}, variance{0, true};

/// The raw output whose softplus is s.
double raw_of(double s) { return s + std::log(-std::expm1(-s)); }

std::string word(const std::string& text, const std::string& key) {
  const auto at = text.find(key + "=") + key.size() + 1;
  return text.substr(at, text.find(' ', at) - at);
}
ScaleLink link_of(const std::string& text) {
  return {std::stod(word(text, "floor")), word(text, "head") == "variance"};
}

/// Two arrays (rows, L) side by side, as (rows, 2 L).
template <class T>
std::vector<T> beside(std::span<const double> a, std::span<const double> b, std::size_t width) {
  std::vector<T> both;
  for (std::size_t i = 0; i < a.size(); i += width)
    for (const auto& part : {a, b})
      for (std::size_t k = 0; k < width; ++k) both.push_back(static_cast<T>(part[i + k]));
  return both;
}

}  // namespace

TEST_CASE("products and divergences of N(.5, .8) and N(-.2, 1.5) are the published numbers") {
  Fusion<double, 1> f;
  f.experts = {{0.5, raw_of(0.8)}, {-0.2, raw_of(1.5)}};
  f.products = {{1, false, no_floor},
                {2, false, no_floor},
                {3, false, no_floor},
                {3, true, no_floor},
                {3, true, variance}};
  f.divergences = {{0}, {1}, {0, 1}, {1, 0}, {2}, {2, 0}, {3}, {3, 0}, {4}};
  f.run();
  const std::vector want{.168143551314,  .239534891892, .379719770533, 1.01201634058, .156948173657,
                         .0332102209344, .243252431239, .143979907025, .220857440545};
  require_close(join(f.kls), want, 1e-11, "divergences");
  const double mean[] = {0.5, -0.2, .344982698962, .23025404157, .168571428571};
  const double var[] = {0.64, 2.25, .498269896194, .332563510393, .342857142857};
  for (std::size_t p = 0; p < f.products.size(); ++p) {
    CHECK(f.posteriors[p][0] == Approx(mean[p]).epsilon(1e-11));
    CHECK(std::exp(-f.posteriors[p][1]) == Approx(var[p]).epsilon(1e-11));
  }

  const gaussian::Normal<double> a{0.5, -2 * std::log(0.8)}, b{-0.2, -2 * std::log(1.5)};
  CHECK(gaussian::divergence(a, b) == Approx(.379719770533).epsilon(1e-11));
}

TEMPLATE_TEST_CASE("a product of variances e^60 and e^-60 is the narrow expert", "", float,
                   double) {
  Fusion<TestType, 1> f;
  f.experts = {{3, static_cast<TestType>(std::exp(30.0))},
               {7, static_cast<TestType>(raw_of(std::exp(-30.0)))}};
  f.products = {{3, false, no_floor}, {1, false, no_floor}};
  f.run();
  CHECK(f.posteriors[0][0] == TestType(7));
  CHECK(f.posteriors[0][1] == Approx(60).epsilon(1e-6));
  CHECK(f.posteriors[1][1] == Approx(-60).epsilon(1e-6));
}

// A log-precision of 60, of which exp is taken, is rounded by half a unit: 60 eps / 2 relative to
// the result, and there are two of them in a ratio. Three times that.
template <class T>
constexpr double tolerance = 200 * std::numeric_limits<T>::epsilon();

TEMPLATE_TEST_CASE("products of experts match 150-digit arithmetic", "", double, float) {
  using T = TestType;
  const auto file = SafetensorsFile::open(POE_TESTS_DIR "/vectors/gaussian.safetensors");
  int cases = 0;
  for (const auto& [name, text] : file.metadata()) {
    if (!name.starts_with("poe")) continue;
    CAPTURE(name, text);
    ++cases;
    const auto get = [&, &n = name](const char* what) { return file.read<double>(n + "." + what); };
    const auto mu = get("mu"), raw = get("raw"), mask = get("mask");
    Fusion<T, 3> f;
    f.rows = 4;
    const std::size_t count = std::stoul(word(text, "experts"));
    const auto of_expert = [](const std::vector<double>& v, std::size_t e) {
      return std::span(v).subspan(e * 12, 12);
    };
    for (std::size_t e = 0; e < count; ++e)
      f.experts.push_back(beside<T>(of_expert(mu, e), of_expert(raw, e), 3));
    for (std::size_t n = 0; n < 4; ++n)
      for (std::size_t e = 0; e < count; ++e) f.observed.push_back(mask[e * 4 + n] != 0);
    f.products = {{(1U << count) - 1, word(text, "prior") == "1", link_of(text)}};
    f.divergences = {{0}};
    f.posterior_weight = {beside<T>(get("g_mu"), get("g_l"), 3)};
    f.run();
    require_close(f.posteriors[0], beside<double>(get("mu_out"), get("l_out"), 3), tolerance<T>,
                  "posterior");
    require_close(f.kls[0], get("kl"), tolerance<T>, "kl");
    const auto check = [&](const std::vector<double>& dmu, const std::vector<double>& draw) {
      for (std::size_t e = 0; e < count; ++e)
        require_close(f.gradients[e], beside<double>(of_expert(dmu, e), of_expert(draw, e), 3),
                      tolerance<T>, "gradient of expert " + std::to_string(e));
    };
    check(get("dmu"), get("draw"));
    f.posterior_weight.clear();
    const auto g_kl = get("g_kl");
    f.kl_weight = {{g_kl.begin(), g_kl.end()}};
    f.run();
    check(get("dmu_kl"), get("draw_kl"));
  }
  CHECK(cases == 40);
}

TEMPLATE_TEST_CASE("divergences match 150-digit arithmetic", "", double, float) {
  using T = TestType;
  const auto file = SafetensorsFile::open(POE_TESTS_DIR "/vectors/gaussian.safetensors");
  int cases = 0;
  const auto check = [&]<int L>(const std::string& name, const std::string& text, Fusion<T, L> f) {
    CAPTURE(name, text);
    ++cases;
    const auto get = [&](const char* what) { return file.read<double>(name + "." + what); };
    const auto g = get("g");
    f.rows = static_cast<int>(g.size());
    f.experts = {beside<T>(get("mu_q"), get("raw_q"), L), beside<T>(get("mu_p"), get("raw_p"), L)};
    f.products = {{1, false, link_of(text)}, {2, false, link_of(text)}};
    f.divergences = {{0, 1}};
    f.kl_weight = {{g.begin(), g.end()}};
    f.run();
    require_close(f.kls[0], get("kl"), tolerance<T>, "kl");
    require_close(f.gradients[0], beside<double>(get("dmu_q"), get("draw_q"), L), tolerance<T>,
                  "q");
    require_close(f.gradients[1], beside<double>(get("dmu_p"), get("draw_p"), L), tolerance<T>,
                  "p");
  };
  for (const auto& [name, text] : file.metadata()) {
    if (!name.starts_with("kl")) continue;
    if (word(text, "scales") != "overflow")
      check(name, text, Fusion<T, 3>{});
    else if (std::is_same_v<T, double>)  // 1e52 and more: not for float
      check(name, text, Fusion<T, 2>{});
  }
  CHECK(cases == (std::is_same_v<T, double> ? 6 : 5));
}

TEMPLATE_TEST_CASE("a scale of any size gives finite posteriors, samples and gradients", "", float,
                   double) {
  using T = TestType;
  const T largest = std::is_same_v<T, float> ? T(1e30) : T(1e200);
  const T raw[] = {-largest, -1000, -200, -104, -88, -15, 0, 15, 88, 1000, largest};
  for (const T a : raw)
    for (const T b : raw)
      for (const ScaleLink link : {no_floor, variance, ScaleLink{}}) {
        CAPTURE(a, b, link.floor, link.variance);
        Fusion<T, 1> f;
        f.experts = {{1, a}, {-2, b}};
        f.products = {{3, false, link}, {3, true, link}, {1, false, link}};
        f.draws = {{0, 0}, {1, 1}};
        f.weigh_everything();
        f.run();
        for (const auto* values : {&f.posteriors, &f.gradients})
          for (const T v : join(*values)) REQUIRE(std::isfinite(v));
        for (const auto& z : f.samples) REQUIRE(std::isfinite(z[0]));
      }
}

TEST_CASE("a plan that names what does not exist is refused, and the message says what") {
  using Catch::Contains;
  const auto refuses = [](auto&& change, const std::string& part) {
    auto f = test::some_experts<double, 2>(2, 3, 1);
    f.products = {{3}, {1}};
    f.run();
    change(f);
    CHECK_THROWS_AS(f.run(), Error);
    CHECK_THROWS_WITH(f.run(), Contains(part));
  };
  refuses([](auto& f) { f.products.push_back({4}); },
          "a product of experts 0b100, but there are 2");
  refuses([](auto& f) { f.divergences = {{2, 0}}; }, "KL from product 2 to 0, but there are 2");
  refuses([](auto& f) { f.divergences = {{-1, 0}}; }, "KL from product -1 to 0");
  refuses([](auto& f) { f.divergences = {{0, 2}}; }, "KL from product 0 to 2");
  refuses([](auto& f) { f.divergences = {{0, -2}}; }, "KL from product 0 to -2");
  refuses([](auto& f) { f.draws = {{2, 0}}; }, "a sample of product 2, but there are 2");
  refuses([](auto& f) { f.experts[1].resize(8); }, "experts of 3 and 2 samples");
  refuses([](auto& f) { f.experts.resize(33, f.experts[0]); }, "at most 32 experts, got 33");
}
