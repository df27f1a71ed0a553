// SPDX-License-Identifier: MIT
// What cub_captions shows and scores: images that differ, the nearest of all training images, and
// samples that are all alike.
// sanitizers: none, nearly all of it is Eigen
#include "files.hpp"

#include <poe/eval/caption_correlation.hpp>

#include <set>

#include "../examples/support/cub_page.hpp"

namespace {

using namespace examples;

CubSource stand_ins(int limit) {
  Options o;
  o.limit = limit;
  return load_captions(o, {.split = "images"}, 32, 1590);
}

std::span<const float> feature_of(const CubSource& source, std::uint32_t row) {
  const auto width = static_cast<std::size_t>(source.data.width);
  return std::span(source.data.features).subspan(row * width, width);
}

}  // namespace

TEST_CASE("the images that are shown differ") {
  const CubSource source = stand_ins(0);
  const CubSamples shown = detail::distinct_images(source.test, 8);
  REQUIRE(shown.rows() == 8);
  CHECK(std::set(shown.feature.begin(), shown.feature.end()).size() == 8);
  for (std::size_t n = 0; n < 8; ++n) {
    const auto& caption = source.data.captions[shown.caption[n]];
    CHECK(source.data.feature[static_cast<std::size_t>(caption.image)] ==
          static_cast<std::int32_t>(shown.feature[n]));
  }
  CubSamples few;  // two images; samples that lack a side are not shown
  for (const auto& [caption, feature] : {std::pair(3, 5), {4, 5}, {-1, 6}, {7, -1}, {8, 2}})
    few.add(caption, feature);
  const CubSamples both = detail::distinct_images(few, 8);
  CHECK(both.caption == std::vector<std::uint32_t>{3, 8});
  CHECK(both.feature == std::vector<std::uint32_t>{5, 2});
}

TEST_CASE("the nearest image is sought among all for training, whatever the limit") {
  // 1,000 images without the features of 100; of the 800 with both sides, 80 each are held out.
  const CubSource source = stand_ins(4);
  REQUIRE(source.train.rows() == 4);
  const detail::TrainingImages images(source);
  REQUIRE(images.rows.size() == 900 - 160);
  const std::set<std::uint32_t> rows(images.rows.begin(), images.rows.end());
  CHECK(rows.size() == images.rows.size());
  for (const std::uint32_t row : {images.rows.front(), images.rows[333], images.rows.back()})
    CHECK(images.nearest(feature_of(source, row)) == row);
  for (const CubSamples* held_out : {&source.validation, &source.test})
    for (const std::uint32_t row : held_out->feature) {
      CHECK_FALSE(rows.contains(row));
      CHECK(rows.contains(images.nearest(feature_of(source, row))));
    }
}

TEST_CASE("samples that are all alike score something, and gain nothing") {
  const CubSource source = stand_ins(0);
  std::vector<float> words(static_cast<std::size_t>(source.vocabulary.size()) * 8);
  poe::fill_normal<float>(poe::Random{4, 0, 0}, 0, words);
  std::vector<std::uint64_t> counts;
  for (poe::TokenId id = 0; id < source.vocabulary.size(); ++id)
    counts.push_back(source.vocabulary.count(id));
  const StoredPairs training(source, source.all_train);
  const auto pairs = training.view(source, training.image);
  const poe::CaptionCorrelation metric(
      poe::SentenceVectors({words.data(), source.vocabulary.size(), 8}, counts, pairs.captions),
      pairs, {4, {}});

  ScoredPairs alike, true_pairs;
  for (std::size_t n = 0; n < source.test.masks.size(); ++n) {
    alike.add(source.sentence(source.test.caption[0]), feature_of(source, source.test.feature[0]));
    true_pairs.add(source.sentence(source.test.caption[n]),
                   feature_of(source, source.test.feature[n]));
  }
  const auto collapsed = detail::joint_correlations(alike, metric);
  REQUIRE(collapsed.size() == 3);
  CHECK(collapsed[0].name == "correlation_joint");
  CHECK(std::abs(collapsed[0].score.mean) > 0.1);
  CHECK(collapsed[1].name == "correlation_joint_shuffled");
  CHECK(collapsed[1].score.mean == Approx(collapsed[0].score.mean).epsilon(1e-10));
  CHECK(collapsed[2].name == "correlation_joint_gain");
  CHECK(std::abs(collapsed[2].score.mean) < 1e-10);
  CHECK(collapsed[2].score.standard_error < 1e-10);

  const auto honest = detail::joint_correlations(true_pairs, metric);
  CHECK(honest[2].score.mean > 3 * honest[2].score.standard_error);
  CHECK(honest[2].score.mean == Approx(honest[0].score.mean - honest[1].score.mean).epsilon(1e-10));
  const poe::Scores scores = scores_of(honest);
  CHECK(scores.values.size() == 3);
  CHECK(scores.values[2].first == "correlation_joint_gain");
  CHECK(scores.values[2].second == honest[2].score.mean);
}
