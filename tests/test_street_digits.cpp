// SPDX-License-Identifier: MIT
// Procedural house numbers.
#include "support.hpp"

#include <poe/core/random.hpp>
#include <poe/data/digit_set.hpp>
#include <poe/data/digits.hpp>
#include <poe/data/street_digits.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <set>
#include <span>
#include <vector>

namespace {

using Catch::Matchers::Contains;
using poe::Digits;

std::size_t size_of(const Digits& digits) {
  return static_cast<std::size_t>(digits.height * digits.width * digits.channels);
}
std::vector<std::uint8_t> image(const Digits& digits, std::size_t i) {
  const auto pixels = std::span(digits.pixels).subspan(i * size_of(digits), size_of(digits));
  return {pixels.begin(), pixels.end()};
}

/// Lightness of each pixel, less its mean, of unit length.
std::vector<float> outline(const Digits& digits, std::size_t i) {
  const auto pixels = image(digits, i);
  const auto channels = static_cast<std::size_t>(digits.channels);
  std::vector<float> grey(pixels.size() / channels);
  for (std::size_t p = 0; p < pixels.size(); ++p) grey[p / channels] += pixels[p];
  float mean = 0, square = 0;
  for (const float g : grey) mean += g / static_cast<float>(grey.size());
  for (float& g : grey) g -= mean, square += g * g;
  for (float& g : grey) g /= std::sqrt(square);
  return grey;
}

/// Share of `queries` with the label of that known image with which they correlate most, in either
/// direction of contrast.
double nearest_accuracy(const Digits& known, const Digits& queries) {
  std::vector<std::vector<float>> outlines;
  for (std::size_t k = 0; k < known.labels.size(); ++k) outlines.push_back(outline(known, k));
  int right = 0;
  for (std::size_t q = 0; q < queries.labels.size(); ++q) {
    const auto mine = outline(queries, q);
    float best = -1;
    std::uint8_t label = 255;
    for (std::size_t k = 0; k < outlines.size(); ++k) {
      float product = 0;
      for (std::size_t p = 0; p < mine.size(); ++p) product += mine[p] * outlines[k][p];
      if (std::abs(product) > best) best = std::abs(product), label = known.labels[k];
    }
    right += label == queries.labels[q];
  }
  return right / static_cast<double>(queries.rows);
}

}  // namespace

TEST_CASE("house numbers are a function of the random source, balanced and shuffled") {
  const poe::Random random{21, 4, 0};
  const Digits a = poe::make_street_digits(205, random), b = poe::make_street_digits(205, random);
  CHECK(a.rows == 205);
  CHECK_NOTHROW(poe::check_sizes(a, 32, 32, 3));
  CHECK_THAT(a.source, Contains("house numbers"));
  CHECK(a.pixels == b.pixels);
  CHECK(a.labels == b.labels);
  for (const poe::Random& other : {random.at_step(1), random.with_stream(5), poe::Random{22, 4, 0}})
    CHECK(poe::make_street_digits(205, other).pixels != a.pixels);
  std::vector<int> counts(10);
  for (const std::uint8_t label : a.labels) ++counts.at(label);
  for (const int n : counts) CHECK((n == 20 || n == 21));
  CHECK(!std::is_sorted(a.labels.begin(), a.labels.end()));

  std::set<std::vector<std::uint8_t>> distinct;
  for (std::size_t i = 0; i < 205; ++i) distinct.insert(image(a, i));
  CHECK(distinct.size() == 205);
  CHECK(poe::make_street_digits(0, random).pixels.empty());
  CHECK_THROWS_WITH(poe::make_street_digits(-1, random), Contains("got -1"));
}

TEST_CASE("a house number is a function of its number and label, however many there are") {
  const poe::Random random{5, 0, 0};
  const Digits few = poe::make_street_digits(150, random);
  const Digits many = poe::make_street_digits(400, random);
  int same_label = 0, same = 0, alike = 0;
  for (std::size_t i = 0; i < 150; ++i) {
    const bool equal = image(few, i) == image(many, i);
    if (few.labels[i] == many.labels[i])
      ++same_label, same += equal;
    else
      alike += equal;
  }
  CHECK(same_label > 0);
  CHECK(same == same_label);
  CHECK(alike == 0);
}

TEST_CASE("house numbers are lighter or darker than their ground, some grey and some coloured") {
  const Digits digits = poe::make_street_digits(600, {3, 0, 0});
  int lighter = 0, medium = 0, coloured = 0, grey = 0, faint = 0, dark = 0, bright = 0;
  for (std::size_t i = 0; i < 600; ++i) {
    const auto pixels = image(digits, i);
    double middle = 0, corners = 0, mean = 0, square = 0, colour = 0;
    for (std::size_t p = 0; p < 1024; ++p) {
      const double r = pixels[3 * p], g = pixels[3 * p + 1], b = pixels[3 * p + 2];
      const double light = (r + g + b) / 3;
      const std::size_t row = p / 32, column = p % 32;
      mean += light / 1024, square += light * light / 1024;
      colour += (std::max({r, g, b}) - std::min({r, g, b})) / 1024;
      if (row >= 8 && row < 24 && column >= 11 && column < 21) middle += light / 160;
      if (row < 4 || row >= 28) corners += light / 256;
    }
    const bool medium_ground = corners > 100 && corners < 150;  // leaves room in both directions
    medium += medium_ground;
    lighter += medium_ground && middle > corners;
    coloured += colour > 50;
    grey += colour < 25;
    faint += std::sqrt(std::max(square - mean * mean, 0.0)) < 4;
    dark += mean < 85;
    bright += mean > 170;
  }
  CHECK(medium > 60);
  CHECK((4 * lighter > medium && 4 * lighter < 3 * medium));
  CHECK((coloured > 60 && coloured < 300));
  CHECK(grey > 200);
  CHECK(faint < 30);
  CHECK(dark > 60);
  CHECK(bright > 60);
}

TEST_CASE("house numbers can be told apart, with more doubt than grey digits") {
  const double street = nearest_accuracy(poe::make_street_digits(1200, {1, 0, 0}),
                                         poe::make_street_digits(250, {2, 0, 0}));
  const double grey =
      nearest_accuracy(poe::make_digits(1200, {1, 0, 0}), poe::make_digits(250, {2, 0, 0}));
  INFO("nearest of 1,200: street " << street << ", grey " << grey);
  CHECK(street > 0.3);  // 0.1 by chance
  CHECK(street < grey - 0.2);
}
