// SPDX-License-Identifier: MIT
// Word vectors that fastText learns from captions: repeatable, and near for words of one use.
#include <catch2/catch.hpp>

#include <cmath>

#include "../examples/support/word_vectors.hpp"

namespace {

/// Colours stand before shapes, and nothing else ever does.
std::vector<std::vector<std::string>> sentences() {
  const std::vector<std::string> colours{"red", "blue", "green"}, shapes{"ring", "star", "cube"};
  std::vector<std::vector<std::string>> all;
  for (std::size_t i = 0; i < 600; ++i)
    all.push_back({"there", "is", "a", colours[i % 3], shapes[i / 3 % 3], "on", "the", "left"});
  return all;
}

examples::WordVectorOptions small(int seed) {
  examples::WordVectorOptions o;
  o.dimension = 20;
  o.epochs = 20;
  o.ngram_rows = 2000;
  o.seed = seed;
  return o;
}

double cosine(const std::vector<float>& v, std::size_t a, std::size_t b) {
  double ab = 0, aa = 0, bb = 0;
  for (std::size_t i = 0; i < 20; ++i) {
    const double x = v[a * 20 + i], y = v[b * 20 + i];
    ab += x * y, aa += x * x, bb += y * y;
  }
  return ab / std::sqrt(aa * bb);
}

}  // namespace

TEST_CASE("the same captions and seed give the same vectors") {
  const std::vector<std::string> words{"red", "ring", "unheard"};
  const auto captions = sentences();
  const auto first = examples::learn_word_vectors(captions, words, small(3));
  CHECK(first.size() == 60);
  CHECK(first == examples::learn_word_vectors(captions, words, small(3)));
  CHECK(first != examples::learn_word_vectors(captions, words, small(4)));
  for (const float x : first) REQUIRE(std::isfinite(x));
}

TEST_CASE("words of one use lie near to each other") {
  const auto v = examples::learn_word_vectors(
      sentences(), std::vector<std::string>{"red", "blue", "ring", "star"}, small(3));
  CHECK(cosine(v, 0, 1) > cosine(v, 0, 2));
  CHECK(cosine(v, 0, 1) > cosine(v, 1, 3));
  CHECK(cosine(v, 2, 3) > cosine(v, 0, 3));
}

TEST_CASE("captions without words are refused") {
  const std::vector<std::string> words{"red"};
  CHECK_THROWS_WITH(
      examples::learn_word_vectors(std::vector<std::vector<std::string>>{{}, {}}, words, small(3)),
      Catch::Contains("cannot learn from 2 captions"));
}
