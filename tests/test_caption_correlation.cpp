// SPDX-License-Identifier: MIT
// The correlation of captions and images: of true pairs, of exchanged ones, and its errors.
// sanitizers: none, nearly all of it is Eigen
#include "files.hpp"

#include <poe/eval/caption_correlation.hpp>

#include <array>
#include <limits>

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

// As published.
static_assert(CaptionCorrelationOptions{}.components == 40);
static_assert(CaptionCorrelationOptions{}.ridge.x == 0 && CaptionCorrelationOptions{}.ridge.y == 0);
static_assert(CaptionCorrelationOptions{}.ridge.absolute == 1e-12);

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
  const double truth = correlation.score(test).mean;
  CHECK(truth > 0.7);
  // Words repeat every fourth image: an odd rotation always shows another word's image.
  auto shifted = test;
  std::vector<std::int32_t> images(test.image.begin(), test.image.end());
  for (auto& i : images) i = 80 + (i + 1) % 40;
  shifted.image = images;
  CHECK(correlation.score(shifted).mean < 0.1);

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
  const Eigen::VectorXd scores = correlation.scores(test);
  const std::span<const double> values(scores.data(), 120);
  CHECK(correlation.score(test).standard_error == clustered_mean(values).standard_error);
  CHECK(correlation.score(test, test.image).standard_error ==
        clustered_mean(values, test.image).standard_error);

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

TEST_CASE("standard errors of means of clusters, worked by hand") {
  using Values = std::vector<double>;
  using Clusters = std::vector<std::int32_t>;
  // Every value by itself: s^2 = 4, so SE^2 = 4 / 3.
  const MeanScore own = clustered_mean(Values{1, 3, 5});
  CHECK(own.mean == 3);
  CHECK(own.standard_error == Approx(std::sqrt(4.0 / 3)).epsilon(1e-14));
  // Mean 4; the clusters deviate by -3 - 2 - 1 = -6 and 2 + 4 = 6: SE^2 = 2 / 1 * 72 / 5^2.
  const MeanScore two = clustered_mean(Values{1, 6, 2, 3, 8}, Clusters{70, 5, 70, 70, 5});
  CHECK(two.mean == 4);
  CHECK(two.standard_error == Approx(2.4).epsilon(1e-14));
  // Deviations -6, 0 and 6: SE^2 = 3 / 2 * 72 / 6^2 = 3.
  const MeanScore three = clustered_mean(Values{0, 0, 3, 6, 6, 3}, Clusters{2, 2, 1, 0, 0, 1});
  CHECK(three.mean == 3);
  CHECK(three.standard_error == Approx(std::sqrt(3.0)).epsilon(1e-14));
  // Ten equal captions of an image say no more than one.
  Values once, tenfold;
  Clusters image;
  const auto numbers = normals<double>(7, 41);
  for (std::int32_t i = 0; i < 7; ++i) {
    once.push_back(numbers[static_cast<std::size_t>(i)]);
    tenfold.insert(tenfold.end(), 10, once.back());
    image.insert(image.end(), 10, i);
  }
  CHECK(clustered_mean(tenfold, image).standard_error ==
        Approx(clustered_mean(once).standard_error).epsilon(1e-12));
  CHECK(std::isnan(clustered_mean(Values{1, 2}, Clusters{3, 3}).standard_error));
  CHECK(std::isnan(clustered_mean(Values{1}).standard_error));
  CHECK(contains(error_of([] { clustered_mean(Values{}); }), "got 0 and 0"));
  CHECK(contains(error_of([] { clustered_mean(Values{1, 2}, Clusters{3}); }), "got 2 and 1"));
}

TEST_CASE("what pairs score when they are exchanged, by all exchanges") {
  const World world;
  const auto training = world.pairs(0, 80);
  const CaptionCorrelation correlation(world.sentences(training), training, {2, {}});
  auto pairs = world.pairs(80, 5);  // 15 captions
  constexpr Eigen::Index n = 15;
  Eigen::MatrixXd cosines(n, n);  // (caption, image)
  for (Eigen::Index shift = 0; shift < n; ++shift) {
    std::vector<std::int32_t> other;
    for (Eigen::Index i = 0; i < n; ++i)
      other.push_back(pairs.image[static_cast<std::size_t>((i + shift) % n)]);
    const Eigen::VectorXd scores = correlation.scores({pairs.features, pairs.captions, other});
    for (Eigen::Index i = 0; i < n; ++i) cosines(i, (i + shift) % n) = scores(i);
  }
  const Eigen::VectorXd others = correlation.scores_of_others(pairs);
  const double mean = (cosines.sum() - cosines.trace()) / (n * (n - 1));
  REQUIRE(others.size() == n);
  CHECK(others.mean() == Approx(mean).epsilon(1e-12));
  // The jackknife's error of the mean, which is (n - 1) / (n - 2) times ours, exactly.
  double squares = 0;
  for (Eigen::Index i = 0; i < n; ++i) {
    const double without = cosines.sum() - cosines.trace() - cosines.row(i).sum() -
                           cosines.col(i).sum() + 2 * cosines(i, i);
    const double deviation = without / ((n - 1) * (n - 2)) - mean;
    squares += deviation * deviation;
  }
  const double jackknife = std::sqrt(squares * (n - 1) / n);
  CHECK(clustered_mean({others.data(), n}).standard_error ==
        Approx(jackknife * (n - 2) / (n - 1)).epsilon(1e-10));
  const auto one = world.pairs(80, 1);
  const CaptionedFeatures single{one.features, {one.captions.data(), 1, 9}, one.image.first(1)};
  CHECK(contains(error_of([&] { correlation.scores_of_others(single); }), "2 pairs to exchange"));
}

TEST_CASE("pairs that are all alike gain nothing over exchanged ones") {
  const World world;
  const auto training = world.pairs(0, 80);
  const CaptionCorrelation correlation(world.sentences(training), training, {2, {}});
  const auto first = world.pairs(80, 1);
  Ids ids;
  for (int i = 0; i < 20; ++i)
    ids.insert(ids.end(), first.captions.data(), first.captions.data() + World::length);
  const std::vector<std::int32_t> same(20, 80);
  const CaptionedFeatures alike{first.features, rows_of(ids, World::length), same};
  CHECK(correlation.score(alike).mean > 0.5);  // which is no merit
  const Eigen::VectorXd gain = correlation.scores(alike) - correlation.scores_of_others(alike);
  CHECK(gain.cwiseAbs().maxCoeff() < 1e-12);
  // True pairs of different images do gain.
  const auto test = world.pairs(80, 40);
  CHECK((correlation.scores(test) - correlation.scores_of_others(test)).mean() > 0.5);
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
