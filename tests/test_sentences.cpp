// SPDX-License-Identifier: MIT
// Sentence vectors, worked by hand, and the correlation of captions and images.
// sanitizers: none, nearly all of it is Eigen
#include "files.hpp"

#include <poe/eval/caption_correlation.hpp>

#include <array>
#include <limits>
#include <numeric>

namespace {

using namespace poe;
using namespace poe::test;

using Ids = std::vector<TokenId>;
using Counts = std::vector<std::uint64_t>;

SampleRows<TokenId> rows_of(const Ids& ids, Eigen::Index length) {
  return {ids.data(), static_cast<Eigen::Index>(ids.size()) / length, length};
}
SampleRows<float> rows_of(const std::vector<float>& numbers, Eigen::Index width) {
  return {numbers.data(), static_cast<Eigen::Index>(numbers.size()) / width, width};
}

/// Counts of 1000 in all: with a = 0.1 the weights are 0.1 / 0.2 = 1/2 for unknown words, 1/3 for
/// word 3 and 1/8 for word 4, which makes (1, -8) and (10, -8) of the two vectors.
struct Words {
  std::vector<float> vectors{7, 7, 8, 8, 9, 9, 3, -24, 80, -64};  // those of the markers are unused
  Counts counts{100, 0, 0, 200, 700};
  SampleRows<float> rows() const { return rows_of(vectors, 2); }
};

void check_vector(const Eigen::RowVectorXd& got, const std::vector<double>& want) {
  require_close(std::vector<double>(got.begin(), got.end()), want, 1e-14);
}

TEST_CASE("the common direction is removed from vectors that keep their mean") {
  // With a = 1/2 both weights are 1/2: the words become (1, 5) and (-1, 5), which differ along
  // (1, 0) only. That goes; the 5 that they share, their mean, stays.
  const std::vector<float> words{0, 0, 0, 0, 0, 0, 2, 10, -2, 10};
  const SentenceVectors vectors(rows_of(words, 2), Counts{0, 0, 0, 500, 500},
                                rows_of(Ids{3, 2, 4, 2}, 2), 0.5);
  CHECK(std::abs(vectors.common_direction()(0)) == Approx(1).epsilon(1e-14));
  check_vector(vectors(Ids{3, 2}), {0, 2.5});
  check_vector(vectors(Ids{4, 4, 4, 2}), {0, 3.75});
}

TEST_CASE("sentence vectors worked by hand") {
  // The training sentences differ by the direction (1, 0) only: what remains is the second number.
  const Words w;
  const SentenceVectors vectors(w.rows(), w.counts, rows_of(Ids{3, 2, 4, 2}, 2), 0.1);
  CHECK(vectors.size() == 2);
  check_vector(vectors(Ids{3, 4, 2}), {0, -16.0 / 3});  // the end counts as a token
  check_vector(vectors(Ids{0, 2}), {0, -0.25});         // (-1, -1) / 2, over two tokens
  check_vector(vectors(Ids{3, 1, 2}), {0, -8.0 / 3});   // padding before the end counts too
  check_vector(vectors(Ids{3, 2, 1, 1, 1}), {0, -4});   // what follows the first end does not
  check_vector(vectors(Ids{3, 3}), {0, -8});            // no end: every token
  check_vector(vectors(Ids{2, 1, 1}), {0, 0});
  const auto both = vectors(rows_of(Ids{3, 2, 0, 2}, 2));
  check_vector(both.row(0), {0, -4});
  check_vector(both.row(1), {0, -0.25});
}

TEST_CASE("the common direction is the first right singular vector of the centred sentences") {
  constexpr int d = 5, words = 12, sentences = 60, length = 6;
  const auto numbers = normals<float>((words + 3) * d, 21);
  Counts counts(words + 3);
  std::iota(counts.begin() + 3, counts.end(), 5u);
  counts[0] = 40;
  Ids ids;
  for (int i = 0; i < sentences * length; ++i)
    ids.push_back(i % length == 5 ? 2 : (i * 7 + i / 6) % 15);
  const auto captions = rows_of(ids, length);
  const double a = 0.02;
  const SentenceVectors vectors(rows_of(numbers, d), counts, captions, a);

  // The definition, literally.
  const double total = std::accumulate(counts.begin(), counts.end(), 0.0);
  Eigen::MatrixXd plain = Eigen::MatrixXd::Zero(sentences, d);
  for (int s = 0; s < sentences; ++s) {
    int tokens = 0;
    for (int t = 0; t < length; ++t) {
      const TokenId id = captions(s, t);
      ++tokens;
      if (id == 2) break;
      if (id == 1) continue;
      const auto at = static_cast<std::size_t>(id);
      for (int j = 0; j < d; ++j)
        plain(s, j) += a / (a + static_cast<double>(counts[at]) / total) *
                       (id == 0 ? -1.0 : static_cast<double>(numbers[at * d + std::size_t(j)]));
    }
    plain.row(s) /= tokens;
  }
  const Eigen::MatrixXd centred = plain.rowwise() - plain.colwise().mean();
  const Eigen::JacobiSVD<Eigen::MatrixXd> svd(centred, Eigen::ComputeThinU | Eigen::ComputeThinV);
  const Eigen::VectorXd v = svd.matrixV().col(0);
  CHECK(std::abs(vectors.common_direction().dot(v)) == Approx(1).epsilon(1e-12));
  const Eigen::MatrixXd want = plain - plain * v * v.transpose();
  CHECK((vectors(captions) - want).cwiseAbs().maxCoeff() < 1e-13);
}

TEST_CASE("sentence vectors: what is refused, and in which words") {
  const Words w;
  const Ids training{3, 2, 4, 2};
  const auto message = [&](const std::vector<float>& vectors, const Counts& counts, const Ids& ids,
                           double a = 1e-3) {
    return error_of([&] { SentenceVectors(rows_of(vectors, 2), counts, rows_of(ids, 2), a); });
  };
  CHECK(contains(message(w.vectors, {1, 2, 3}, training), "5 vectors of 2 numbers and 3 counts"));
  CHECK(contains(message({1, 2, 3, 4, 5, 6}, {0, 0, 0}, training), "at least 4 ids, got 3"));
  CHECK(contains(message(w.vectors, {0, 0, 0, 0, 0}, training), "words that occur"));
  CHECK(contains(message(w.vectors, w.counts, training, 0), "a > 0"));
  CHECK(contains(message(w.vectors, w.counts, {3, 2}), "2 training sentences, got 1"));
  CHECK(contains(message(w.vectors, w.counts, {3, 2, 3, 2}), "alike"));
  CHECK(contains(message(w.vectors, w.counts, {3, 5, 3, 2}), "ids from 0 to 4, got 5"));
  CHECK(contains(message(w.vectors, w.counts, {3, -1, 3, 2}), "got -1"));
  auto broken = w.vectors;
  broken[8] = std::numeric_limits<float>::infinity();
  CHECK(contains(message(broken, w.counts, training), "vector of id 4"));
  const SentenceVectors vectors(w.rows(), w.counts, rows_of(training, 2));
  CHECK(contains(error_of([&] { vectors(Ids{}); }), "at least one token"));
}

/// A world in which an image is two numbers and its captions say the first word as often as the
/// first number says: features follow from captions, up to a little noise.
struct World {
  static constexpr int images = 120, captions_per_image = 3, length = 9, p = 4, words = 4;
  std::vector<float> vectors = normals<float>((words + 3) * 3, 31);
  Counts counts{10, 0, 0, 300, 300, 300, 300};
  std::vector<float> features = normals<float>(images * p, 32, 0.3);
  Ids ids;
  std::vector<std::int32_t> image;

  World() {
    const auto choices = normals<double>(images * captions_per_image * length, 33);
    for (int i = 0; i < images; ++i)
      for (int c = 0; c < captions_per_image; ++c) {
        const int word = i % words;
        image.push_back(i);
        for (int t = 0; t < length; ++t) {
          const bool own = choices[ids.size()] > -0.8;
          ids.push_back(t == length - 1 ? 2 : own ? 3 + word : 3 + (i * 7 + c + t) % words);
        }
        if (c == 0) features[static_cast<std::size_t>(i * p + word)] += 4;
      }
  }
  CaptionedFeatures pairs(int first_image, int count) const {
    const auto n = static_cast<std::size_t>(captions_per_image);
    return {rows_of(features, p),
            {ids.data() + first_image * captions_per_image * length, count * captions_per_image,
             length},
            std::span(image).subspan(static_cast<std::size_t>(first_image) * n,
                                     static_cast<std::size_t>(count) * n)};
  }
  SentenceVectors sentences(const CaptionedFeatures& training) const {
    return {rows_of(vectors, 3), counts, training.captions};
  }
};

TEST_CASE("true pairs score high, mismatched ones about zero") {
  const World world;
  const auto training = world.pairs(0, 80), test = world.pairs(80, 40);
  const CaptionCorrelation correlation(world.sentences(training), training, {2, {}});
  const double truth = correlation.score(test);
  CHECK(truth > 0.7);
  // Words repeat every fourth image: an odd rotation always shows another word's image.
  auto shifted = test;
  std::vector<std::int32_t> images(test.image.begin(), test.image.end());
  for (auto& i : images) i = 80 + (i + 1) % 40;
  shifted.image = images;
  CHECK(correlation.score(shifted) < 0.1);

  // By definition, from its parts.
  const auto& cca = correlation.cca();
  double sum = 0;
  for (Eigen::Index i = 0; i < test.captions.rows(); ++i) {
    const auto row = test.image[static_cast<std::size_t>(i)];
    const Eigen::RowVectorXd x = test.features.row(row).cast<double>() - cca.mean_x;
    const Eigen::RowVectorXd y =
        correlation.sentences()(std::span(test.captions.row(i).data(), World::length)) - cca.mean_y;
    const Eigen::RowVectorXd a = x * cca.w_x, b = y * cca.w_y;
    sum += a.dot(b) / std::sqrt(a.dot(a) * b.dot(b));
  }
  CHECK(truth == Approx(sum / 120).epsilon(1e-12));
  CHECK(correlation.scores(test).size() == 120);

  // The means are those of the training pairs.
  Eigen::RowVectorXd mean = Eigen::RowVectorXd::Zero(World::p);
  for (const auto i : training.image) mean += training.features.row(i).cast<double>() / 240;
  CHECK((cca.mean_x - mean).norm() < 1e-12);
}

TEST_CASE("pairs may have a feature each; blocks do not change scores") {
  const World world;
  const auto all = world.pairs(0, 120);
  const CaptionCorrelation correlation(world.sentences(all), all, {2, {}});
  std::vector<float> repeated;  // 360 rows, more than a block
  for (const auto i : all.image)
    for (int j = 0; j < World::p; ++j) repeated.push_back(all.features(i, j));
  const CaptionedFeatures pairs{rows_of(repeated, World::p), all.captions, {}};
  CHECK((correlation.scores(all) - correlation.scores(pairs)).cwiseAbs().maxCoeff() == 0);
  const auto some = world.pairs(100, 20);
  CHECK((correlation.scores(all).tail(60) - correlation.scores(some)).cwiseAbs().maxCoeff() == 0);
}

TEST_CASE("the correlation of captions: what is refused") {
  const World world;
  const auto training = world.pairs(0, 120);
  const auto fit = [&](const CaptionedFeatures& pairs, int components = 2) {
    return CaptionCorrelation(world.sentences(world.pairs(0, 120)), pairs, {components, {}});
  };
  auto fewer = training;
  fewer.image = fewer.image.first(7);
  CHECK(contains(error_of([&] { fit(fewer); }), "each of 360 captions, got 7"));
  auto without = training;
  without.image = {};
  CHECK(contains(error_of([&] { fit(without); }), "each of 360 captions, got 120"));
  std::vector<std::int32_t> wrong(training.image.begin(), training.image.end());
  wrong[300] = 120;
  auto beyond = training;
  beyond.image = wrong;
  CHECK(contains(error_of([&] { fit(beyond); }), "pair 300 has image 120; there are 120"));
  CHECK(contains(error_of([&] { fit(training, 4); }), "expected 1 to 3 components"));
  const auto correlation = fit(training);
  const CaptionedFeatures none{rows_of(world.features, 4), {nullptr, 0, 9}, {}};
  CHECK(contains(error_of([&] { correlation.score(none); }), "expected a pair"));
}

TEST_CASE("mismatched images: none stays with its own") {
  const std::vector<std::int32_t> image{4, 4, 9, 2, 9, 7, 7, 7, 1};
  // Those that occur are 1 2 4 7 9; half of five is two further on.
  const std::vector<std::int32_t> want{9, 9, 2, 7, 2, 1, 1, 1, 4};
  CHECK(mismatched_images(image) == want);
  CHECK(mismatched_images(std::vector<std::int32_t>{3, 5, 5}) ==
        std::vector<std::int32_t>{5, 3, 3});
  CHECK(contains(error_of([] { mismatched_images(std::vector<std::int32_t>{3, 3}); }), "got 1"));
}

TEST_CASE("the nearest row, the first of equals") {
  const std::vector<float> rows{0, 0, 3, 4, 3, 4, 10, 10};
  const auto nearest = nearest_row(rows_of(rows, 2), std::array{3.0f, 5.0f});
  CHECK(nearest.row == 1);
  CHECK(nearest.distance == Approx(std::sqrt(1 + 1e-5)).epsilon(1e-12));
  CHECK(nearest_row(rows_of(rows, 2), std::array{0.0f, 0.0f}).distance ==
        Approx(std::sqrt(1e-5)).epsilon(1e-12));
  CHECK(contains(error_of([&] { nearest_row(rows_of(rows, 2), std::array{1.0f}); }), "rows of 1"));
  const auto nan = std::numeric_limits<float>::quiet_NaN();
  CHECK(contains(error_of([&] {
                   nearest_row(rows_of(rows, 2), std::array{nan, 1.0f});
                 }),
                 "finite"));
}

}  // namespace
