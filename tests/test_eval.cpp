// SPDX-License-Identifier: MIT
// Draws, oracle accuracy, importance sampling and figures, against models whose answers are known.
#include "support.hpp"

#include "poe/eval/accuracy.hpp"
#include "poe/eval/importance.hpp"
#include "poe/eval/report_figures.hpp"

#include <array>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace poe;

// A linear-Gaussian world of three modalities: z ~ N(0, I) in two dimensions,
//   x_m[i] ~ N(slope[m] z[i] + shift[m], scale[m]^2).
constexpr int latent = 2;
constexpr double slope[] = {1.5, -0.8, 0.6}, shift[] = {0.3, -0.2, 1.0};
constexpr double scale[] = {0.5, 0.75, 1};

struct A {
  static constexpr const char* name = "a";
};
struct B {
  static constexpr const char* name = "b";
};
struct C {
  static constexpr const char* name = "c";
};
struct Identity : Net<Shape<latent>> {};
struct Line : Net<Shape<latent>, Linear<latent>> {};
struct World : Modalities<Modality<A, Identity, Line, Normal<1, 2>>,
                          Modality<B, Identity, Line, Normal<3, 4>>,
                          Modality<C, Identity, Line, Normal<1, 1>>> {};
using Joint = Vae<double, World, JointEncoders<GaussianHead<latent>>, VaevaeLoss>;
using StandIns = Vae<double, World, PoeWithStandIns<GaussianHead<latent>>, SvaeLoss>;

/// Sets a parameter, numbers in file order.
template <class T>
void set(Learner<T>& learner, const std::string& name, const std::vector<T>& values) {
  for (const ParameterInfo& p : learner.description().parameters)
    if (p.name == name) {
      REQUIRE(p.count() == values.size());
      from_file_order<T>(p, values, learner.state().parameters.data());
      return;
    }
  FAIL("no parameter " << name);
}
template <class T>
void set_all(Learner<T>& learner, T value) {
  for (T& x : learner.state().parameters) x = value;
}

double raw_scale(double sigma) { return std::log(std::expm1(sigma)); }

void set_decoders(Learner<double>& learner) {
  for (int m = 0; m < 3; ++m) {
    const std::string name = std::string("decoders.") + World::name(m) + ".0";
    set<double>(learner, name + ".weight", {slope[m], 0, 0, slope[m]});
    set<double>(learner, name + ".bias", {shift[m], shift[m]});
  }
}

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

/// log p(x_T) of one sample, one observation after the other: predict, score, update.
double exact_log_p(const double* x, Subset target) {
  double log_p = 0;
  for (int i = 0; i < latent; ++i) {
    double mean = 0, variance = 1;
    for (int m = 0; m < 3; ++m) {
      if (!contains(target, m)) continue;
      const double expected = slope[m] * mean + shift[m];
      const double spread = slope[m] * slope[m] * variance + scale[m] * scale[m];
      const double error = x[m * latent + i] - expected;
      log_p -= 0.5 * (error * error / spread + std::log(2 * std::numbers::pi * spread));
      const double gain = variance * slope[m] / spread;
      mean += gain * error;
      variance -= gain * slope[m] * variance;
    }
  }
  return log_p;
}

struct WorldData {
  static constexpr int rows = 41;
  std::vector<double> all;  // (rows, 3, latent), drawn from the world
  std::array<Tensor<double, Shape<latent>>, 3> x{Tensor<double, Shape<latent>>(rows),
                                                 Tensor<double, Shape<latent>>(rows),
                                                 Tensor<double, Shape<latent>>(rows)};
  Group<double, World> group;

  WorldData() : all(test::normals<double>(rows * 3 * latent, 1)) {
    const auto z = test::normals<double>(rows * latent, 2);
    for (int n = 0; n < rows; ++n)
      for (int m = 0; m < 3; ++m)
        for (int i = 0; i < latent; ++i) {
          double& here = all[static_cast<std::size_t>((n * 3 + m) * latent + i)];
          here =
              slope[m] * z[static_cast<std::size_t>(n * latent + i)] + shift[m] + scale[m] * here;
          x[static_cast<std::size_t>(m)](n, i) = here;
        }
    group = {7, rows, rows, 0, 0, {x[0], x[1], x[2]}};
  }
  const double* sample(int n) const {
    return all.data() + static_cast<std::ptrdiff_t>(n) * 3 * latent;
  }
};

VaeOptions plain() {
  VaeOptions options;
  options.scale_floor = 0;
  return options;
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

// Two strips of a small picture. z is read from the first pixel; decoding writes it to all.
struct Strip : Net<Shape<1, 2, 4>, Flatten> {};
struct Painter : Net<Shape<1>, Linear<8>, Reshape<1, 2, 4>> {};
struct Strips : Modalities<Modality<A, Strip, Painter, Normal<1, 1>>,
                           Modality<B, Strip, Painter, Normal<1, 1>>> {};
using Painting = Vae<float, Strips, JointEncoders<GaussianHead<1>>, VaevaeLoss>;
using Picture = Shape<1, 5, 4>;

struct PaintingData {
  static constexpr int rows = 150;
  Painting model{plain()};
  Learner<float> learner{model.description(), 1, 2};
  Tensor<float, Shape<1, 2, 4>> a{rows}, b{rows};
  std::vector<std::uint8_t> labels;
  Group<float, Strips> group;

  /// a shows the label; b shows it for two samples of three, and the next class for the third.
  PaintingData() {
    set_all(learner, 0.0F);
    for (const auto& [name, inputs] : {std::pair{"a", 8U}, {"b", 8U}, {"a_b", 16U}}) {
      std::vector<float> weight(2 * inputs, 0.0F);
      weight[0] = 1;
      set(learner, std::string("encoders.") + name + ".head.weight", weight);
      set<float>(learner, std::string("encoders.") + name + ".head.bias", {0, -8});
    }
    for (const char* name : {"a", "b"})
      set(learner, std::string("decoders.") + name + ".0.weight", std::vector<float>(8, 1.0F));
    set(learner, "decoders.b.0.bias", std::vector<float>(8, 0.25F));
    for (int n = 0; n < rows; ++n) {
      labels.push_back(static_cast<std::uint8_t>(n * 7 % 10));
      const auto shown = static_cast<float>(labels.back());
      a.row(n)[0] = shown;
      b.row(n)[0] = n % 3 == 0 ? shown + 1 : shown;
    }
    group = {3, rows, rows, 0, 0, {a, b}};
  }
};

/// Takes the first pixel for the class and remembers what it saw.
struct FirstPixel {
  std::vector<float> seen;
  std::vector<std::uint8_t> predict(View<float, Picture> images) {
    seen.assign(images.flat().begin(), images.flat().end());
    std::vector<std::uint8_t> classes;
    for (int n = 0; n < images.rows; ++n)
      classes.push_back(static_cast<std::uint8_t>(std::lround(images.data[n * Picture::size])));
    return classes;
  }
};

TEST_CASE("oracle accuracy counts completions that still show their label") {
  PaintingData data;
  FirstPixel oracle;
  const Subset given[] = {1, 2, 3};
  const auto accuracy = oracle_accuracy(data.model, data.learner, data.group, data.labels, given,
                                        oracle, Random{1, 0, 0}, StackRows<Picture>{});
  CHECK(accuracy == std::vector<double>{1, 2.0 / 3, 1});
  // The glued image: strip a, strip b (a quarter brighter), an empty row. sigma = log(1 + e^-8).
  for (int p = 0; p < Picture::size; ++p) {
    const double z = static_cast<double>(data.labels[10]) +
                     std::log1p(std::exp(-8)) * Random{1, 0, 0}.normal<double>(10);
    const double want = p < 8 ? z : p < 16 ? z + 0.25 : 0;
    CHECK(oracle.seen[static_cast<std::size_t>(10 * Picture::size + p)] ==
          Approx(want).epsilon(1e-5));
  }
  CHECK_THROWS_WITH(
      oracle_accuracy(data.model, data.learner, data.group, std::span(data.labels).first(3), given,
                      oracle, Random{}, StackRows<Picture>{}),
      Catch::Contains("150 and 3"));
}

TEST_CASE("figures show the first samples of each class and what is made of them") {
  PaintingData data;
  data.labels[20] = 9;  // instead of 0
  const Subset given[] = {1, 2, 3};
  auto filled = reconstruction_grid(data.model, data.learner, data.group, data.labels, given, 3,
                                    Random{1, 0, 0});
  const auto moved = std::move(filled);
  const GridFigure& figure = moved.figure;
  REQUIRE(figure.groups.size() == 10);
  CHECK(figure.groups[9].label == "9");
  CHECK(figure.groups[9].columns == 3);
  REQUIRE(figure.bands.size() == 4);
  CHECK(figure.bands[0].label == "samples");
  CHECK(figure.bands[1].label == "from a");
  CHECK(figure.bands[3].label == "from a + b");
  int column = 0;
  for (std::uint8_t c = 0; c < 10; ++c)
    for (int n = 0, found = 0; n < data.rows && found < 3; ++n) {
      if (data.labels[static_cast<std::size_t>(n)] != c) continue;
      const float a = data.a.row(n)[0], b = data.b.row(n)[0];
      CHECK(figure.bands[0].parts[0].images[column].values[0] == a);
      CHECK(figure.bands[0].parts[1].images[column].values[0] == b);
      CHECK(figure.bands[1].parts[0].images[column].values[5] == Approx(a).margin(0.01));
      CHECK(figure.bands[2].parts[1].images[column].values[5] == Approx(b + 0.25).margin(0.01));
      ++column, ++found;
    }
  CHECK(column == 30);
  CHECK_FALSE(figure.bands[0].parts[0].generated);
  CHECK(figure.bands[3].parts[1].generated);
  CHECK(draw(figure).width > 30 * 4);

  FirstPixel oracle;
  const auto samples = prior_samples(data.model, data.learner, 12, oracle, Random{3, 1, 0},
                                     [](const Decoded<Painting>& decoded) {
                                       auto whole = StackRows<Picture>{}(decoded);
                                       for (float& x : whole.flat()) x += 5;
                                       return whole;
                                     });
  REQUIRE(samples.figure.captions.size() == 12);
  for (std::size_t n = 0; n < 12; ++n) {
    const double z = Random{3, 1, 0}.normal<double>(n);
    CHECK(samples.figure.captions[n] == std::to_string(std::lround(5 + z)));
    CHECK(samples.figure.images[static_cast<int>(n)].values[0] == Approx(5 + z).epsilon(1e-5));
  }
  CHECK(draw(samples.figure).height > 5);
}

}  // namespace
