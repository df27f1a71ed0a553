// SPDX-License-Identifier: MIT
// Oracle accuracy and figures, against a model whose answers are known.
#include "linear_world.hpp"

#include <poe/eval/accuracy.hpp>
#include <poe/eval/report_figures.hpp>

#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace poe;
using namespace poe::test::world;

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
