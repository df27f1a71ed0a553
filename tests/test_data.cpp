// SPDX-License-Identifier: MIT
// Halves and thirds of digits, and procedural digits.
#include "support.hpp"

#include "poe/core/error.hpp"
#include "poe/core/random.hpp"
#include "poe/data/digits.hpp"
#include "poe/data/split_digits.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <set>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace {

using Catch::Matchers::Contains;

/// Digits whose pixel at (image, row, column) is a formula and whose labels are 0, 1, ... 9, 0, ...
std::uint8_t formula(int image, int row, int column) {
  return static_cast<std::uint8_t>((37 * image + 29 * row + 3 * column) % 256);
}
poe::Digits formula_digits(int rows) {
  poe::Digits digits;
  digits.rows = rows;
  for (int i = 0; i < rows; ++i) {
    digits.labels.push_back(static_cast<std::uint8_t>(i % 10));
    for (int r = 0; r < 28; ++r)
      for (int c = 0; c < 28; ++c) digits.pixels.push_back(formula(i, r, c));
  }
  digits.source = "a formula";
  return digits;
}

}  // namespace

TEST_CASE("halves of a digit are rows 0-13, 14-27, thirds 0-8, 9-17, 18-26, as byte / 255") {
  const auto check = []<int Parts>(const poe::SplitDigits<Parts>& split, int height) {
    REQUIRE(split.rows == 20);
    REQUIRE(split.labels.size() == 20);
    REQUIRE(split.parts.size() == Parts);
    for (const auto& part : split.parts)
      REQUIRE(part.size() == static_cast<std::size_t>(20 * height * 28));
    int wrong = 0;
    for (int i = 0; i < 20; ++i) {
      wrong += split.labels[static_cast<std::size_t>(i)] != (i + 3) % 10;
      for (int m = 0; m < Parts; ++m)
        for (int r = 0; r < height; ++r)
          for (int c = 0; c < 28; ++c) {
            const auto at = static_cast<std::size_t>((i * height + r) * 28 + c);
            const float expected = static_cast<float>(formula(i + 3, m * height + r, c)) / 255.0F;
            wrong += split.parts[static_cast<std::size_t>(m)][at] != expected;
            wrong +=
                split.part(m).slice(i, 1).flat()[static_cast<std::size_t>(r * 28 + c)] != expected;
          }
    }
    CHECK(wrong == 0);
  };
  check(poe::split_digits<2>(formula_digits(25), 3, 20), 14);
  check(poe::split_digits<3>(formula_digits(25), 3, 20), 9);
  CHECK(poe::split_digits<2>(formula_digits(4), 4, 0).rows == 0);
  CHECK(poe::split_digits<3>(formula_digits(4), 0, 0).parts[2].size() == 0);

  const auto names = []<std::size_t N>(const std::array<const char*, N>& all) {
    return std::vector<std::string>(all.begin(), all.end());
  };
  CHECK(names(poe::SplitDigits<2>::names) == std::vector<std::string>{"top", "bottom"});
  CHECK(names(poe::SplitDigits<3>::names) == std::vector<std::string>{"top", "middle", "bottom"});
}

TEST_CASE("every image row is in one part; of thirds, the last row is in none") {
  poe::Digits digits = formula_digits(2);
  const auto holders = [&]<int Parts>(std::integral_constant<int, Parts>, int row) {
    std::fill(digits.pixels.begin(), digits.pixels.end(), std::uint8_t{0});
    digits.pixels[static_cast<std::size_t>((28 + row) * 28 + 5)] = 255;  // image 1, column 5
    const auto split = poe::split_digits<Parts>(digits, 0, 2);
    std::vector<int> found;
    for (int m = 0; m < Parts; ++m)
      for (const float pixel : split.parts[static_cast<std::size_t>(m)])
        if (pixel == 1) found.push_back(m);
    return found;
  };
  for (int row = 0; row < 28; ++row) {
    INFO("row " << row);
    CHECK(holders(std::integral_constant<int, 2>{}, row) == std::vector<int>{row < 14 ? 0 : 1});
    const auto third = row == 27 ? std::vector<int>{} : std::vector<int>{row / 9};
    CHECK(holders(std::integral_constant<int, 3>{}, row) == third);
  }
}

TEMPLATE_TEST_CASE_SIG("images that are not there cannot be split", "", ((int Parts), Parts), 2,
                       3) {
  const poe::Digits digits = formula_digits(10);
  for (const auto& [first, count] :
       {std::pair{-1, 2}, {0, -1}, {0, 11}, {6, 5}, {11, 0}, {5, std::numeric_limits<int>::max()}})
    CHECK_THROWS_WITH(poe::split_digits<Parts>(digits, first, count),
                      Contains("10 from a formula") && Contains(std::to_string(count)));
  poe::Digits damaged = digits;
  damaged.pixels.pop_back();
  CHECK_THROWS_WITH(poe::split_digits<Parts>(damaged, 0, 10),
                    Contains("expected 7840 pixels and 10 labels, got 7839 and 10"));
  damaged = digits;
  damaged.labels.push_back(0);
  CHECK_THROWS_WITH(poe::split_digits<Parts>(damaged, 0, 10),
                    Contains("10 labels, got 7840 and 11"));
  damaged = digits;
  damaged.width = 27;
  CHECK_THROWS_WITH(poe::split_digits<Parts>(damaged, 0, 10), Contains("28 x 27"));
}

TEMPLATE_TEST_CASE_SIG("train, validation and test share no image: halves of the held-out file", "",
                       ((int Parts), Parts), 2, 3) {
  for (const int held_out : {10, 11, 0, 1}) {
    const auto splits = poe::split_digits<Parts>(formula_digits(7), formula_digits(held_out));
    CHECK(splits.train.rows == 7);
    CHECK(splits.test.rows == held_out / 2);
    CHECK(splits.validation.rows == held_out - held_out / 2);
    if (held_out < 10) continue;
    CHECK(splits.test.labels == std::vector<std::uint8_t>{0, 1, 2, 3, 4});
    CHECK(splits.validation.labels[0] == 5);
    const int first_row = 28 / Parts;  // of the second part
    CHECK(splits.test.parts[1][0] == static_cast<float>(formula(0, first_row, 0)) / 255.0F);
    CHECK(splits.validation.parts[1][0] == static_cast<float>(formula(5, first_row, 0)) / 255.0F);
  }
}

namespace {

/// Share of `queries` whose nearest image in `known`, by pixels [from, to), has the same label.
double nearest_accuracy(const poe::Digits& known, const poe::Digits& queries, int from, int to) {
  int right = 0;
  for (int q = 0; q < queries.rows; ++q) {
    int best = std::numeric_limits<int>::max();
    std::uint8_t label = 255;
    for (int k = 0; k < known.rows; ++k) {
      int distance = 0;
      for (int p = from; p < to; ++p) {
        const int d = known.pixels[static_cast<std::size_t>(784 * k + p)] -
                      queries.pixels[static_cast<std::size_t>(784 * q + p)];
        distance += d * d;
      }
      if (distance < best) best = distance, label = known.labels[static_cast<std::size_t>(k)];
    }
    right += label == queries.labels[static_cast<std::size_t>(q)];
  }
  return static_cast<double>(right) / queries.rows;
}

}  // namespace

TEST_CASE("procedural digits are a function of the random source, balanced and shuffled") {
  const poe::Random random{21, 4, 0};
  const poe::Digits a = poe::make_digits(205, random), b = poe::make_digits(205, random);
  CHECK(a.rows == 205);
  CHECK(a.source == "procedural digits (embedded generator)");
  CHECK(a.pixels == b.pixels);
  CHECK(a.labels == b.labels);
  CHECK(poe::make_digits(205, random.at_step(1)).pixels != a.pixels);
  std::vector<int> counts(10);
  for (const std::uint8_t label : a.labels) ++counts.at(label);
  for (const int n : counts) CHECK((n == 20 || n == 21));
  CHECK(!std::is_sorted(a.labels.begin(), a.labels.end()));

  std::set<std::vector<std::uint8_t>> distinct;
  for (std::size_t i = 0; i < 205; ++i)
    distinct.emplace(a.pixels.begin() + static_cast<std::ptrdiff_t>(784 * i),
                     a.pixels.begin() + static_cast<std::ptrdiff_t>(784 * (i + 1)));
  CHECK(distinct.size() == 205);
  CHECK(poe::make_digits(0, random).pixels.empty());
  CHECK_THROWS_WITH(poe::make_digits(-1, random), Contains("got -1"));
}

TEST_CASE("procedural digits lie in their images as those of MNIST do") {
  const poe::Digits digits = poe::make_digits(500, {3, 0, 0});
  bool inside = true, centred = true, sized = true, inked = true;
  for (std::size_t i = 0; i < 500; ++i) {
    double ink = 0, x = 0, y = 0;
    int top = 28, bottom = -1, left = 28, right = -1, darkest = 0;
    for (int r = 0; r < 28; ++r)
      for (int c = 0; c < 28; ++c) {
        const int p = digits.pixels[784 * i + static_cast<std::size_t>(28 * r + c)];
        ink += p, x += p * c, y += p * r, darkest = std::max(darkest, p);
        if (p < 128) continue;
        top = std::min(top, r), bottom = std::max(bottom, r);
        left = std::min(left, c), right = std::max(right, c);
      }
    inside &= top >= 1 && bottom <= 26 && left >= 1 && right <= 26;
    centred &= std::abs(x / ink - 13.5) < 2.5 && std::abs(y / ink - 13.5) < 2.5;
    const int side = std::max(bottom - top, right - left) + 1;
    sized &= side >= 17 && side <= 22;  // MNIST: a box of 20 x 20
    inked &= darkest >= 200 && ink / 255 > 15 && ink / 255 < 300;
  }
  CHECK(inside);
  CHECK(centred);
  CHECK(sized);
  CHECK(inked);
}

TEST_CASE("procedural digits are told apart by their nearest neighbours, less so by one half") {
  const poe::Digits known = poe::make_digits(1000, {1, 0, 0}),
                    queries = poe::make_digits(200, {2, 0, 0});
  const double whole = nearest_accuracy(known, queries, 0, 784);
  const double top = nearest_accuracy(known, queries, 0, 392);
  const double bottom = nearest_accuracy(known, queries, 392, 784);
  INFO("whole " << whole << ", top " << top << ", bottom " << bottom);
  CHECK(whole > 0.75);
  CHECK(top > 0.5);
  CHECK(bottom > 0.5);
  CHECK(top < whole);
  CHECK(bottom < whole);
}
