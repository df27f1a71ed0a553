// SPDX-License-Identifier: MIT
// Log-likelihoods: published numbers, reference vectors, normalisation, gradients, refusals.
#include "support.hpp"

#include <poe/autograd/gradcheck.hpp>
#include <poe/io/safetensors.hpp>
#include <poe/likelihood/likelihood.hpp>

namespace {

using namespace poe;
using test::normals, test::require_close;

template <class T>
struct Scored {
  std::vector<T> log_p, slope;  // of each sample; of the sum of weight * log_p
};

/// log p of x under `parameters`, both of them rows of P and S numbers; x in pieces of these sizes.
template <class Likelihood, int P, int S, class T>
Scored<T> score(const std::vector<T>& parameters, const std::vector<T>& x,
                const std::vector<T>& weight = {}, const std::vector<int>& pieces = {}) {
  Tape<T> tape;
  Context<T> ctx{.tape = tape};
  const auto leaf =
      tape.leaf(View<T, Shape<P>>{parameters.data(), static_cast<int>(parameters.size()) / P});
  const View<T, Shape<S>> all{x.data(), static_cast<int>(x.size()) / S};
  std::vector<View<T, Shape<S>>> parts;
  int first = 0;
  for (const int n : pieces.empty() ? std::vector{all.rows} : pieces) {
    parts.push_back(all.slice(first, n));
    first += n;
  }
  const auto y = log_likelihood<Likelihood, T, Shape<P>, Shape<S>, Cpu>(ctx, leaf, parts);
  for (std::size_t n = 0; n < y.count(); ++n)
    seed(Rows(y, static_cast<int>(n), 1), weight.empty() ? T(1) : weight[n]);
  tape.backward();
  const T* const g = leaf.gradient->data;
  return {{y.value, y.value + y.count()}, {g, g + leaf.count()}};
}

template <class Likelihood>
double log_p(double parameter, double x) {
  return score<Likelihood, 1, 1, double>({parameter}, {x}).log_p[0];
}

template <class T>
std::vector<T> rounded(const std::vector<double>& v, double factor = 1) {
  std::vector<T> out;
  for (const double x : v) out.push_back(static_cast<T>(factor * x));
  return out;
}

/// float32(0.01) as a fraction.
constexpr int hundredth = 10737418, one = 1 << 30;

}  // namespace

TEST_CASE("log-likelihoods are the published numbers") {
  CHECK(log_p<Bernoulli>(1.3, 1) == Approx(-.241008453833).epsilon(1e-11));
  CHECK(log_p<Bernoulli>(1.3, 0) == Approx(-1.54100845383).epsilon(1e-11));
  CHECK(log_p<Bernoulli>(1.3, 0.25) == Approx(-1.21600845383).epsilon(1e-11));
  CHECK(log_p<Bernoulli>(40, 0) == Approx(-40).epsilon(1e-14));
  CHECK(log_p<Bernoulli>(-40, 1) == Approx(-40).epsilon(1e-14));
  CHECK(log_p<Normal<3, 4>>(-0.2, 0.3) == Approx(-.853478682975).epsilon(1e-11));
  CHECK(log_p<Laplace<3, 4>>(-0.2, 0.3) == Approx(-1.07213177477).epsilon(1e-11));
  CHECK(log_p<Laplace<1, 100>>(-0.2, 0.3) == Approx(-46.0879769946).epsilon(1e-11));
  const double want[] = {-2.2524059381, -3.3524059381, -.352405938103, -1.8524059381};
  for (int id = 0; id < 4; ++id) {
    const auto got =
        score<Categorical<>, 4, 1, double>({0.1, -1, 2, 0.5}, {static_cast<double>(id)});
    CHECK(got.log_p[0] == Approx(want[id]).epsilon(1e-10));
  }
}

TEMPLATE_TEST_CASE("log-likelihoods match PyTorch", "", double, float) {
  using T = TestType;
  const auto file = SafetensorsFile::open(POE_TESTS_DIR "/vectors/layers.safetensors");
  // One rounding of the scaled distance, squared: relative to values of up to 1e5 in normal1.
  const double tolerance = 8 * static_cast<double>(std::numeric_limits<T>::epsilon());
  const auto check = [&]<class Likelihood, int P, int S>(const std::string& name, double sign) {
    INFO(name);
    const auto get = [&](const char* what) { return file.read<double>(name + "." + what); };
    const auto got = score<Likelihood, P, S>(rounded<T>(get("x")), rounded<T>(get("target")),
                                             rounded<T>(get("g"), sign));
    require_close(got.log_p, rounded<double>(get("y"), sign), tolerance, "log p");
    require_close(got.slope, get("dx"), tolerance, "gradient");
  };
  check.template operator()<Bernoulli, 6, 6>("bernoulli0", 1);
  check.template operator()<Bernoulli, 4, 4>("bernoulli1", 1);
  check.template operator()<Normal<3, 4>, 6, 6>("normal0", 1);
  check.template operator()<Normal<hundredth, one>, 6, 6>("normal1", 1);
  check.template operator()<Laplace<3, 4>, 6, 6>("laplace0", 1);
  check.template operator()<Laplace<hundredth, one>, 6, 6>("laplace1", 1);
  check.template operator()<LaplacePixels<3, 4>, 6, 6>("laplace_pixels0", 1);
  check.template operator()<LaplacePixels<3, 4, 1>, 4, 4>("laplace_pixels1", 1);
  check.template operator()<Categorical<0>, 28, 4>("cross_entropy0", -1);
  check.template operator()<Categorical<0>, 15, 3>("cross_entropy1", -1);
}

TEST_CASE("probabilities add up to 1") {
  for (const double t : {-3.0, 0.0, 0.7, 12.0})
    CHECK(std::exp(log_p<Bernoulli>(t, 0)) + std::exp(log_p<Bernoulli>(t, 1)) == Approx(1));
  double normal = 0, laplace = 0, categorical = 0;
  constexpr double step = 1e-3;
  for (int i = -20000; i <= 20000; ++i) {
    normal += step * std::exp(log_p<Normal<5, 4>>(0.3, i * step));
    laplace += step * std::exp(log_p<Laplace<5, 4>>(0.3, i * step));
  }
  for (int id = 0; id < 5; ++id)
    categorical +=
        std::exp(score<Categorical<>, 5, 1, double>({3, -700, 0.2, 710, 709}, {id * 1.0}).log_p[0]);
  CHECK(normal == Approx(1).epsilon(1e-9));
  CHECK(laplace == Approx(1).epsilon(1e-6));  // the trapezoidal rule at the kink
  CHECK(categorical == Approx(1).epsilon(1e-12));
}

TEMPLATE_TEST_CASE("Bernoulli logits of any size give finite numbers and the right slope", "",
                   float, double) {
  using T = TestType;
  for (const T t : {T(-1000), T(-40), T(40), T(1000)})
    for (const T x : {T(0), T(0.25), T(1)}) {
      CAPTURE(t, x);
      const auto got = score<Bernoulli, 1, 1, T>({t}, {x});
      CHECK(got.log_p[0] == Approx(x * t - (t > 0 ? t : 0)).margin(1e-15));
      CHECK(got.slope[0] == Approx(x - (t > 0 ? 1 : 0)).margin(1e-15));
    }
}

// Relative to itself: beside the slopes of other pixels those of sure ones would be nothing.
TEST_CASE("the slope of a pixel ends where its mean is kept from 0 and 1") {
  for (const double t : {-30.0, -13.9, -13.7, -3.0, 2.0, 13.7, 13.9, 30.0}) {
    const double p = 1 / (1 + std::exp(-t)), slope = p / (1 + std::exp(t)) / 0.75;
    const bool kept = p < 1e-6 || p > 1 - 1e-6;
    CAPTURE(t);
    CHECK(score<LaplacePixels<3, 4>, 1, 1, double>({t}, {0.3}).slope[0] ==
          Approx(p < 0.3 ? slope : -slope).epsilon(1e-9));
    CHECK(score<LaplacePixels<3, 4, 1>, 1, 1, double>({t}, {0.3}).slope[0] ==
          Approx(kept ? 0 : (p < 0.3 ? slope : -slope)).epsilon(1e-9));
    double mean = 0;
    LaplacePixels<3, 4, 1>::mean(&t, 1, 1, &mean);
    CHECK(mean == Approx(std::min(std::max(p, 1e-6), 1 - 1e-6)).epsilon(1e-12));
    CHECK(log_p<LaplacePixels<3, 4, 1>>(t, 0.3) ==
          Approx(-std::abs(0.3 - mean) / 0.75 - std::log(1.5)).epsilon(1e-12));
  }
}

TEST_CASE("gradients of log-likelihoods agree with central differences") {
  const auto check = [](auto&& f, std::vector<double> parameters) {
    const auto weight = normals<double>(3, 9);
    const auto value = [&] {
      const auto y = f(parameters, weight).log_p;
      return y[0] * weight[0] + y[1] * weight[1] + y[2] * weight[2];
    };
    const auto error = gradcheck(parameters, f(parameters, weight).slope, value);
    INFO(error.message());
    CHECK(error.ok(1e-8));
  };
  const std::vector<double> grey{0, 0.1, 1, 0.5, 0.25, 0.9, 1, 0, 0.7, 0.3, 0.6, 0.4};
  const std::vector<double> ids{4, 0, 1, 2, 3, 1, 0, 0};
  using W = const std::vector<double>&;
  check([&](W p, W w) { return score<Bernoulli, 4, 4>(p, grey, w); }, normals<double>(12, 1, 3));
  check([&](W p, W w) { return score<Normal<2, 3>, 4, 4>(p, grey, w); }, normals<double>(12, 2));
  check([&](W p, W w) { return score<Laplace<2, 3>, 4, 4>(p, grey, w); }, normals<double>(12, 3));
  check([&](W p, W w) { return score<LaplacePixels<2, 3>, 4, 4>(p, grey, w); },
        normals<double>(12, 5, 2));
  check(
      [&](W p, W w) {
        return score<Categorical<1>, 10, 2>(p, {4, 0, 1, 2, 1, 1}, w);
      },
      normals<double>(30, 4, 2));
}

TEMPLATE_TEST_CASE("rows of any length add up, with and without a gradient", "", float, double) {
  using T = TestType;
  const auto check = [&]<int N>(std::integral_constant<int, N>) {
    const auto t = normals<T>(2 * N, 5, 3), raw = normals<T>(2 * N, 6);
    std::vector<T> x;
    for (const T v : raw) x.push_back(v > 0 ? 1 : T(0.25));
    const auto got = score<Bernoulli, N, N>(t, x).log_p;
    for (std::size_t n = 0; n < 2; ++n) {
      double sum = 0, size = 0;
      for (std::size_t i = n * N; i < (n + 1) * N; ++i) {
        const auto logit = static_cast<double>(t[i]);
        sum += static_cast<double>(x[i]) * logit - std::log(1 + std::exp(logit));
        size += 1 + std::abs(logit);
      }
      const double margin = size * test::sum_tolerance<T>(1);
      CHECK(got[n] == Approx(sum).epsilon(0).margin(margin));
      const T* const row = t.data() + n * N;
      CHECK(Bernoulli::row<T>(row, x.data() + n * N, N, N, nullptr) ==
            Approx(sum).epsilon(0).margin(margin));
    }
  };
  const auto each = [&]<int... N>(std::integer_sequence<int, N...>) {
    (check(std::integral_constant<int, N>{}), ...);
  };
  each(std::integer_sequence<int, 1, 2, 15, 16, 17, 31, 32, 33, 392>{});
}

TEMPLATE_TEST_CASE("ignored positions contribute exactly 0, whatever their logits", "", float,
                   double) {
  using T = TestType;
  auto logits = normals<T>(12, 8);
  const auto alone = score<Categorical<7>, 4, 1, T>({logits.begin() + 4, logits.begin() + 8}, {2});
  logits[0] = std::numeric_limits<T>::quiet_NaN();
  const auto got = score<Categorical<7>, 12, 3, T>(logits, {7, 2, 7});
  CHECK(got.log_p == alone.log_p);
  for (std::size_t i = 0; i < 12; ++i)
    CHECK(got.slope[i] == (i / 4 == 1 ? alone.slope[i - 4] : T(0)));
  CHECK(score<Categorical<7>, 12, 3, T>(logits, {7, 7, 7}).log_p[0] == 0);
}

TEST_CASE("targets in several pieces are targets in one") {
  const auto t = normals<double>(7 * 5, 1), x = normals<double>(7 * 5, 2),
             w = normals<double>(7, 3);
  const auto one_piece = score<Normal<>, 5, 5>(t, x, w);
  const auto three = score<Normal<>, 5, 5>(t, x, w, {3, 0, 4});
  CHECK(three.log_p == one_piece.log_p);
  CHECK(three.slope == one_piece.slope);
}

TEST_CASE("a gradient is added to what the parameters have already received") {
  const std::vector<double> t{0.3, -2}, x{1, 0};
  Tape<double> tape;
  Context<double> ctx{.tape = tape};
  const auto leaf = tape.leaf(View<double, Shape<2>>{t.data(), 1});
  const View<double, Shape<2>> target{x.data(), 1};
  for (int i = 0; i < 2; ++i)
    seed(Rows(log_likelihood<Bernoulli, double, Shape<2>, Shape<2>, Cpu>(ctx, leaf, {&target, 1})),
         1.0);
  tape.backward();
  const auto once = score<Bernoulli, 2, 2>(t, x).slope;
  for (std::size_t i = 0; i < 2; ++i) CHECK(leaf.gradient->data[i] == 2 * once[i]);
}

TEST_CASE("the mean of a likelihood") {
  const double t[] = {-800, -1, 0, 2, 800, 2};
  double out[6];
  Bernoulli::mean(t, 6, 6, out);
  const double low = 1 / (1 + std::exp(1)), high = 1 / (1 + std::exp(-2));
  require_close(out, std::vector{0.0, low, 0.5, high, 1.0, high}, 1e-15);
  Normal<>::mean(t, 6, 6, out);
  require_close(out, t, 0);
  Laplace<1, 2>::mean(t, 6, 6, out);
  require_close(out, t, 0);
  Categorical<>::mean(t, 2, 6, out);  // two positions of three classes; the first of equals
  CHECK(out[0] == 2);
  CHECK(out[1] == 1);
}

TEST_CASE("wrong targets are refused, and the message says what") {
  using Catch::Contains;
  const auto t = normals<double>(12, 1);
  CHECK_THROWS_WITH((score<Bernoulli, 4, 4>(t, std::vector<double>(8))),
                    Contains("3 decoded samples, but 2 observed ones"));
  CHECK_THROWS_AS((score<Bernoulli, 4, 4>(t, std::vector<double>(16))), Error);
  const auto classify = [&](double id) { return score<Categorical<-1>, 12, 3>(t, {0, -1, id}); };
  CHECK_NOTHROW(classify(3));
  CHECK_THROWS_WITH(classify(4), Contains("position 2 has class 4; there are 4 classes"));
  for (const double id : {-2.0, 2.5, -0.5, 1e300, -1e300, std::nan("")}) {
    CAPTURE(id);
    CHECK_THROWS_AS(classify(id), Error);
  }
}
