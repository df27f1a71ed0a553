// SPDX-License-Identifier: MIT
// Word vectors that fastText learns from captions: repeatable, and near for words of one use.
#include "files.hpp"

#include <cmath>
#include <fstream>

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

// As published.
static_assert(examples::WordVectorOptions{}.dimension == 300);
static_assert(examples::WordVectorOptions{}.window == 3);
static_assert(examples::WordVectorOptions{}.min_count == 3);
static_assert(examples::WordVectorOptions{}.epochs == 10);

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

TEST_CASE("vectors that were learnt are kept, for the same captions, words and options alone") {
  const poe::test::Directory dir;
  const auto cache = dir.path / "made" / "here";
  const auto captions = sentences();
  const std::vector<std::string> words{"red", "ring"};
  const auto load = [&](const auto& c, const std::vector<std::string>& w, int seed) {
    return examples::load_or_learn_word_vectors(c, w, small(seed), cache);
  };
  const auto learnt = load(captions, words, 3);
  CHECK(learnt.file.empty());
  CHECK(learnt.values == examples::learn_word_vectors(captions, words, small(3)));
  const auto kept = load(captions, words, 3);
  REQUIRE_FALSE(kept.file.empty());
  CHECK(kept.values == learnt.values);

  auto others = captions;
  others.back().back() = "right";
  CHECK(load(others, words, 3).file.empty());
  CHECK(load(captions, {"ring", "red"}, 3).file.empty());
  CHECK(load(captions, words, 4).file.empty());
  CHECK(load(captions, words, 3).values == learnt.values);
  CHECK(std::distance(std::filesystem::directory_iterator(cache), {}) == 4);

  // Any damage is found: a changed number, the settings of others, a part, no file at all.
  std::ifstream file(kept.file, std::ios::binary);
  const std::string bytes(std::istreambuf_iterator<char>(file), {});
  const auto flipped = [&](std::size_t at) {
    std::string damaged = bytes;
    damaged[at] = static_cast<char>(damaged[at] ^ 1);
    return damaged;
  };
  for (const std::string& damaged : {flipped(bytes.size() - 3), flipped(bytes.find("window")),
                                     bytes.substr(0, bytes.size() - 8), std::string()}) {
    std::ofstream(kept.file, std::ios::binary) << damaged;
    const auto again = load(captions, words, 3);
    CHECK(again.file.empty());
    CHECK(again.values == learnt.values);
    CHECK(load(captions, words, 3).file == kept.file);  // it was mended
  }
}

TEST_CASE("a cache that cannot be written costs nothing but time") {
  const poe::test::Directory dir;
  std::ofstream(dir / "file") << "no directory";
  const std::vector<std::string> words{"red"};
  const auto learnt =
      examples::load_or_learn_word_vectors(sentences(), words, small(3), dir / "file");
  CHECK(learnt.file.empty());
  CHECK(learnt.values.size() == 20);
  CHECK(examples::load_or_learn_word_vectors(sentences(), words, small(3), {}).values ==
        learnt.values);
  CHECK(dir.count() == 1);
}
