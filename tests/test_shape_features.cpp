// SPDX-License-Identifier: MIT
// Features of procedural pictures: how they are computed, and what they carry.
#include "some_shapes.hpp"
#include "support.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <set>
#include <span>
#include <vector>

namespace {

using Catch::Matchers::Contains;
using poe::ShapeAttributes;
using poe::ShapeSet;

using poe::test::image_bytes, poe::test::picture, poe::test::shapes, poe::test::values;

}  // namespace

TEST_CASE("features are pooled responses of the filters, by naive convolution") {
  using namespace poe::detail::shapes;
  for (const std::size_t i : {0U, 7U}) {
    const auto pixels = picture(shapes(), i);
    std::vector<double> got, want(512);
    for (std::size_t f = 0; f < 512; ++f) got.push_back(shapes().features[512 * i + f]);
    const auto block = [&](std::size_t row, std::size_t column, std::size_t c) {
      double sum = 0;
      for (std::size_t p = 0; p < 9; ++p)
        sum += pixels[((3 * row + p / 3) * 64 + 3 * column + p % 3) * 3 + c];
      return sum / 9 / 255 - 0.5;
    };
    for (std::size_t f = 0; f < 256; ++f)
      for (std::size_t row = 0; row < 17; ++row)
        for (std::size_t column = 0; column < 17; ++column) {
          double response = 0;
          for (std::size_t y = 0; y < 5; ++y)
            for (std::size_t x = 0; x < 5; ++x)
              for (std::size_t c = 0; c < 3; ++c)
                response += block(row + y, column + x, c) *
                            static_cast<double>(filter_bank()[((y * 5 + x) * 3 + c) * 256 + f]);
          want[f] += std::max(response, 0.0) / 289;
          want[256 + f] = std::max(want[256 + f], response);
        }
    poe::test::require_close(got, want, 1e-4, "features");
  }
  const auto of_second = poe::picture_features(picture(shapes(), 1));
  CHECK(std::equal(of_second.begin(), of_second.end(), shapes().features.begin() + 512));
  CHECK_THROWS_WITH(poe::picture_features(picture(shapes(), 0).first(100)),
                    Contains("expected 12288 bytes, got 100"));
}

TEST_CASE("features are not negative, of mean 0.5 to 1, and none is constant") {
  double mean = 0;
  int below = 0, constant = 0;
  for (const float f : shapes().features) {
    mean += static_cast<double>(f) / static_cast<double>(shapes().features.size());
    below += !(f >= 0);
  }
  for (std::size_t f = 0; f < 512; ++f) {
    std::set<float> seen;
    for (std::size_t i = 0; i < 100; ++i) seen.insert(shapes().features[512 * i + f]);
    constant += seen.size() < 20;
  }
  CHECK(below == 0);
  CHECK(constant == 0);
  CHECK((mean > 0.5 && mean < 1));
}

namespace {

/// Solves `matrix` x = `right` in place for a symmetric positive definite matrix (n, n), which its
/// Cholesky factor replaces, and right sides (columns, n).
void solve(std::vector<double>& matrix, std::size_t n, std::vector<double>& right) {
  const auto m = [&](std::size_t i, std::size_t j) -> double& { return matrix[i * n + j]; };
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j <= i; ++j) {
      for (std::size_t k = 0; k < j; ++k) m(i, j) -= m(i, k) * m(j, k);
      m(i, j) = i == j ? std::sqrt(m(i, i)) : m(i, j) / m(j, j);
    }
  for (std::size_t c = 0; c < right.size(); c += n) {
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t k = 0; k < i; ++k) right[c + i] -= m(i, k) * right[c + k];
      right[c + i] /= m(i, i);
    }
    for (std::size_t i = n; i-- > 0;) {
      for (std::size_t k = i + 1; k < n; ++k) right[c + i] -= m(k, i) * right[c + k];
      right[c + i] /= m(i, i);
    }
  }
}

}  // namespace

TEST_CASE("a linear map of the features tells the attributes of pictures it has not seen") {
  constexpr std::size_t known = 700, all = 900, size = 513;  // the last feature is constant
  std::vector<double> x(all * size, 1);
  for (std::size_t f = 0; f < 512; ++f) {
    double mean = 0, square = 0;
    for (std::size_t i = 0; i < known; ++i) {
      const auto value = static_cast<double>(shapes().features[512 * i + f]);
      mean += value / known, square += value * value / known;
    }
    for (std::size_t i = 0; i < all; ++i)
      x[size * i + f] = (static_cast<double>(shapes().features[512 * i + f]) - mean) /
                        std::sqrt(square - mean * mean + 1e-12);
  }
  constexpr std::array<std::size_t, 5> classes{8, 8, 3, 3, 4}, first{0, 8, 16, 19, 22};
  std::vector<double> normal(size * size), weights(26 * size);  // ridge regression on indicators
  for (std::size_t i = 0; i < known; ++i) {
    const double* row = &x[size * i];
    for (std::size_t f = 0; f < size; ++f)
      for (std::size_t g = 0; g <= f; ++g) normal[size * f + g] += row[f] * row[g];
    for (std::size_t k = 0; k < 5; ++k) {
      const auto value = static_cast<std::size_t>(values(shapes().attributes[i])[k]);
      for (std::size_t f = 0; f < size; ++f) weights[(first[k] + value) * size + f] += row[f];
    }
  }
  for (std::size_t f = 0; f < size; ++f) normal[size * f + f] += 30;
  solve(normal, size, weights);

  // By chance: 0.125, 0.125, 0.33, 0.33, 0.25.
  constexpr std::array<double, 5> least{0.45, 0.75, 0.65, 0.45, 0.9};
  for (std::size_t k = 0; k < 5; ++k) {
    int right = 0;
    for (std::size_t i = known; i < all; ++i) {
      std::vector<double> scores(classes[k]);
      for (std::size_t c = 0; c < classes[k]; ++c)
        for (std::size_t f = 0; f < size; ++f)
          scores[c] += weights[(first[k] + c) * size + f] * x[size * i + f];
      right += std::max_element(scores.begin(), scores.end()) - scores.begin() ==
               values(shapes().attributes[i])[k];
    }
    INFO("attribute " << k << ": right " << right << " of 200");
    CHECK(right > 200 * least[k]);
  }
}
