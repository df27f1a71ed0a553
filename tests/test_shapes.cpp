// SPDX-License-Identifier: MIT
// Procedural pictures with captions: what they depend on, and that they show their attributes.
#include "some_shapes.hpp"
#include "support.hpp"

#include <poe/core/random.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace {

using Catch::Matchers::Contains;
using poe::ShapeAttributes;
using poe::ShapeSet;

using poe::test::image_bytes, poe::test::picture, poe::test::shapes, poe::test::values;

struct Pixel {
  double r, g, b;
  double high() const { return std::max({r, g, b}); }
  double chroma() const { return high() - std::min({r, g, b}); }
  double hue() const {  // degrees
    const double sector = high() == r   ? (g - b) / chroma()
                          : high() == g ? 2 + (b - r) / chroma()
                                        : 4 + (r - g) / chroma();
    return std::fmod(360 + 60 * sector, 360.0);
  }
};
Pixel pixel(const ShapeSet& set, std::size_t i, std::size_t row, std::size_t column) {
  const auto p = picture(set, i).subspan((row * 64 + column) * 3, 3);
  return {static_cast<double>(p[0]), static_cast<double>(p[1]), static_cast<double>(p[2])};
}

/// Hues of the pixels that are too vivid for any background.
std::vector<double> vivid_hues(const ShapeSet& set, std::size_t i) {
  std::vector<double> hues;
  for (std::size_t row = 0; row < 64; ++row)
    for (std::size_t column = 0; column < 64; ++column) {
      const Pixel p = pixel(set, i, row, column);
      if (p.chroma() > 75) hues.push_back(p.hue());
    }
  return hues;
}

}  // namespace

TEST_CASE("a captioned picture is a function of the random source and its number") {
  const poe::Random random{8, 2, 0};
  const ShapeSet few = poe::make_shapes(6, random, 3), many = poe::make_shapes(20, random, 5);
  CHECK(few.images == 6);
  CHECK(few.captions_per_image == 3);
  CHECK(few.pixels.size() == 6 * image_bytes);
  CHECK(few.features.size() == 6 * 512);
  CHECK(few.captions.size() == 18);
  CHECK(few.attributes.size() == 6);
  const auto begins = [](const auto& whole, const auto& part) {
    return std::equal(part.begin(), part.end(), whole.begin());
  };
  CHECK(begins(many.pixels, few.pixels));
  CHECK(begins(many.features, few.features));
  CHECK(begins(many.attributes, few.attributes));
  for (std::size_t i = 0; i < 6; ++i)
    for (std::size_t c = 0; c < 3; ++c) CHECK(few.captions[3 * i + c] == many.captions[5 * i + c]);

  for (const poe::Random& other :
       {random.at_step(1), random.with_stream(3), poe::Random{9, 2, 0}}) {
    const ShapeSet set = poe::make_shapes(6, other, 3);
    CHECK(set.pixels != few.pixels);
    CHECK(set.features != few.features);
    CHECK(set.captions != few.captions);
  }
  CHECK(std::set<std::vector<std::uint8_t>>{{picture(many, 0).begin(), picture(many, 0).end()},
                                            {picture(many, 1).begin(), picture(many, 1).end()}}
            .size() == 2);

  CHECK(poe::make_shapes(0, random).captions.empty());
  CHECK(poe::make_shapes(2, random, 0).captions.empty());
  CHECK_THROWS_WITH(poe::make_shapes(-1, random), Contains("got -1 and 10"));
  CHECK_THROWS_WITH(poe::make_shapes(1, random, -2), Contains("got 1 and -2"));
  CHECK_THROWS_WITH(poe::make_shapes(1000, random, std::numeric_limits<int>::max()),
                    Contains("got 1000"));
}

TEST_CASE("every attribute takes each of its values about as often as the others") {
  constexpr std::array<int, 5> kinds_of{8, 8, 3, 3, 4};
  const double n = shapes().images;
  for (std::size_t k = 0; k < 5; ++k) {
    std::vector<int> counts(static_cast<std::size_t>(kinds_of[k]));
    for (const ShapeAttributes& a : shapes().attributes)
      ++counts.at(static_cast<std::size_t>(values(a)[k]));
    const double share = 1.0 / kinds_of[k];
    INFO("attribute " << k);
    for (const int count : counts)
      CHECK(std::abs(count - n * share) < 4.5 * std::sqrt(n * share * (1 - share)));
  }
}

TEST_CASE("a picture shows a shape of its colour, on its background") {
  struct Hues {
    std::string color;
    double from, to;
  };
  const Hues named[] = {{"red", -15, 13},    {"orange", 15, 38},     {"yellow", 39, 60},
                        {"green", 110, 155}, {"blue", 205, 235},     {"purple", 255, 295},
                        {"pink", 320, 345},  {"turquoise", 170, 198}};
  int right_hue = 0, right_ground = 0;
  std::size_t least = image_bytes;
  for (std::size_t i = 0; i < 900; ++i) {
    const ShapeAttributes& a = shapes().attributes[i];
    auto hues = vivid_hues(shapes(), i);
    least = std::min(least, hues.size());
    if (hues.empty()) continue;
    const bool red = std::string(poe::shape_colors[a.color]) == "red";
    for (double& hue : hues)
      if (red && hue > 180) hue -= 360;
    std::nth_element(hues.begin(), hues.begin() + static_cast<std::ptrdiff_t>(hues.size() / 2),
                     hues.end());
    const double median = hues[hues.size() / 2];
    for (const Hues& range : named)
      right_hue +=
          range.color == poe::shape_colors[a.color] && median > range.from && median < range.to;

    Pixel frame{0, 0, 0};
    for (std::size_t k = 0; k < 64; ++k)
      for (const Pixel p : {pixel(shapes(), i, 0, k), pixel(shapes(), i, 63, k),
                            pixel(shapes(), i, k, 0), pixel(shapes(), i, k, 63)})
        frame = {frame.r + p.r / 256, frame.g + p.g / 256, frame.b + p.b / 256};
    const std::string ground = frame.high() < 80     ? "black"
                               : frame.chroma() > 30 ? "beige"
                               : frame.high() > 205  ? "white"
                                                     : "grey";
    right_ground += ground == poe::shape_backgrounds[a.background];
  }
  INFO("fewest vivid pixels " << least);
  CHECK(least >= 15);
  CHECK(right_hue >= 873);  // 97 %: neighbouring tones may touch
  CHECK(right_ground >= 882);
}

TEST_CASE("a larger size covers more, and a pattern has two colours") {
  std::map<std::pair<int, int>, std::pair<double, double>> areas;  // of plain shapes: least, most
  std::array<double, 3> spread{}, count{};  // of the lightness of a shape, by pattern
  for (std::size_t i = 0; i < 900; ++i) {
    const ShapeAttributes& a = shapes().attributes[i];
    if (a.background == 3) continue;  // beige is vivid enough to be taken for a shape
    std::vector<double> lights;
    for (std::size_t row = 0; row < 64; ++row)
      for (std::size_t column = 0; column < 64; ++column) {
        const Pixel p = pixel(shapes(), i, row, column);
        if (p.chroma() > 40) lights.push_back(p.high());
      }
    const auto area = static_cast<double>(lights.size());
    double mean = 0, square = 0;
    for (const double light : lights) mean += light / area, square += light * light / area;
    const double deviation = std::sqrt(std::max(square - mean * mean, 0.0));
    spread.at(a.pattern) += deviation, ++count.at(a.pattern);
    if (a.pattern != 0) continue;
    auto& [low, high] = areas.try_emplace({a.kind, a.size}, 1e9, 0.0).first->second;
    low = std::min(low, area), high = std::max(high, area);
  }
  for (int kind = 0; kind < 8; ++kind) {
    INFO(poe::shape_kinds[static_cast<std::size_t>(kind)]);
    const auto small = areas.at({kind, 0}), medium = areas.at({kind, 1}),
               large = areas.at({kind, 2});
    CHECK(small.first > 30);
    CHECK(small.second < medium.first);
    CHECK(medium.second < large.first);
    CHECK(large.second < 2100);
  }
  CHECK(spread[1] / count[1] > 1.5 * spread[0] / count[0]);
  CHECK(spread[2] / count[2] > 1.5 * spread[0] / count[0]);
}

TEST_CASE("shapes contain the points that their names promise") {
  struct Point {
    std::string kind;
    double x, y;
    bool in;
  };
  const Point points[] = {
      {"circle", 0, 0, true},       {"circle", 0.6, 0.6, true},     {"circle", 0.7, 0.7, false},
      {"square", 0.7, 0.7, true},   {"square", 0.85, 0, false},     {"triangle", 0, -0.85, true},
      {"triangle", 0.8, 0.6, true}, {"triangle", 0.5, -0.5, false}, {"triangle", 0, 0.8, false},
      {"star", 0, -0.95, true},     {"star", 0, 0.6, false},        {"star", 0.54, 0.75, true},
      {"star", 0, 0.4, true},       {"star", 0.6, -0.6, false},     {"ring", 0, 0, false},
      {"ring", 0, 0.75, true},      {"ring", -0.75, 0, true},       {"cross", 0, 0.85, true},
      {"cross", -0.85, 0, true},    {"cross", 0.5, 0.5, false},     {"cross", 0, 0, true},
      {"diamond", 0, 0.9, true},    {"diamond", 0.5, 0.5, false},   {"diamond", 0.6, 0, true},
      {"heart", 0, 0.8, true},      {"heart", 0.5, -0.6, true},     {"heart", 0, -0.8, false},
      {"heart", 0.6, 0.6, false}};
  for (const Point& p : points) {
    INFO(p.kind << " at " << p.x << ", " << p.y);
    const auto kind = static_cast<std::size_t>(
        std::find(poe::shape_kinds.begin(), poe::shape_kinds.end(), p.kind) -
        poe::shape_kinds.begin());
    REQUIRE(kind < 8);
    CHECK(poe::detail::shapes::inside(kind, p.x, p.y) == p.in);
    CHECK(poe::detail::shapes::inside(kind, -p.x, p.y) == p.in);
  }
}
