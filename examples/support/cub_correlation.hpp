// SPDX-License-Identifier: MIT
// The correlations by which captions and images that a model generates are judged.
#pragma once

#include <poe/eval/decode.hpp>
#include <poe/train/trainer.hpp>

#include <optional>

#include "cub_data.hpp"
#include "log_likelihoods.hpp"
#include "oracles.hpp"
#include "word_vectors.hpp"

namespace examples {

/// A figure of the metric.
struct Correlation {
  std::string name;
  poe::MeanScore score;
};

/// Captions as ids beside features, row by row, ready to be scored.
struct ScoredPairs {
  std::vector<poe::TokenId> ids;
  std::vector<float> features;
  int length = 0, width = 0;

  void add(std::span<const poe::TokenId> sentence, std::span<const float> feature) {
    ids.insert(ids.end(), sentence.begin(), sentence.end());
    features.insert(features.end(), feature.begin(), feature.end());
    length = static_cast<int>(sentence.size());
    width = static_cast<int>(feature.size());
  }
  poe::CaptionedFeatures view() const {
    const auto rows = static_cast<Eigen::Index>(features.size()) / width;
    return {{features.data(), rows, width}, {ids.data(), rows, length}, {}};
  }
};

/// The ids of a generated caption: the most probable token of every position. A vocabulary may
/// have fewer words than the networks have classes; classes that stand for none are unknown words.
inline std::vector<poe::TokenId> ids_of(const poe::Vocabulary& vocabulary,
                                        std::span<const float> values) {
  std::vector<poe::TokenId> ids(values.begin(), values.end());
  for (poe::TokenId& id : ids)
    if (id >= vocabulary.size()) id = poe::Vocabulary::unknown;
  return ids;
}

/// Pairs of the data set, in the features that it stores.
struct StoredPairs {
  std::vector<poe::TokenId> ids;
  std::vector<std::int32_t> image;

  StoredPairs(const CubSource& source, const CubSamples& set) {
    for (std::size_t n = 0; n < set.masks.size(); ++n) {
      if (set.masks[n] != 3) continue;
      const auto sentence = source.sentence(set.caption[n]);
      ids.insert(ids.end(), sentence.begin(), sentence.end());
      image.push_back(static_cast<std::int32_t>(set.feature[n]));
    }
  }
  /// With those images, or with others.
  poe::CaptionedFeatures view(const CubSource& source, std::span<const std::int32_t> images) const {
    return {{source.data.features.data(), source.data.rows, source.data.width},
            {ids.data(), static_cast<Eigen::Index>(image.size()), source.length},
            images};
  }
};

/// The metric, fitted on all training pairs: sentences from word vectors that fastText learns from
/// the training captions, or has learnt before, which are kept in the directory `cache`.
inline poe::CaptionCorrelation fit_correlation(const CubSource& source,
                                               const poe::CaptionCorrelationOptions& options,
                                               const std::filesystem::path& cache) {
  std::vector<std::vector<std::string>> captions;
  std::vector<poe::TokenId> ids;
  std::vector<bool> used(source.tokens.size());
  const CubSamples& train = source.all_train;
  for (std::size_t n = 0; n < train.masks.size(); ++n) {
    const std::uint32_t caption = train.caption[n];
    if ((train.masks[n] & 1U) == 0 || used[caption]) continue;
    used[caption] = true;
    captions.push_back(source.tokens[caption]);
    const auto sentence = source.sentence(caption);
    ids.insert(ids.end(), sentence.begin(), sentence.end());
  }
  const poe::Vocabulary& v = source.vocabulary;
  std::vector<std::string> words;
  std::vector<std::uint64_t> counts;
  for (poe::TokenId id = 0; id < v.size(); ++id) {
    words.push_back(v.word(id));
    counts.push_back(v.count(id));
  }
  const WordVectorOptions how;
  const KeptWordVectors vectors =
      load_or_learn_word_vectors(captions, words, how, oracle_cache(cache));
  if (!vectors.file.empty()) fmt::print("word vectors: from {}\n", vectors.file.string());
  poe::SentenceVectors sentences(
      {vectors.values.data(), v.size(), how.dimension}, counts,
      {ids.data(), static_cast<Eigen::Index>(captions.size()), source.length});
  const StoredPairs pairs(source, train);
  return {std::move(sentences), pairs.view(source, pairs.image), options};
}

namespace detail {

/// What pairs score whose captions and features were decoded from one code each; what they score
/// when they are exchanged; and the difference, which is 0 for samples that are all alike.
inline std::vector<Correlation> joint_correlations(const ScoredPairs& pairs,
                                                   const poe::CaptionCorrelation& metric) {
  const Eigen::VectorXd own = metric.scores(pairs.view());
  const Eigen::VectorXd others = metric.scores_of_others(pairs.view());
  const Eigen::VectorXd gain = own - others;
  const auto mean = [](const Eigen::VectorXd& values) {
    return poe::clustered_mean({values.data(), static_cast<std::size_t>(values.size())});
  };
  return {{"correlation_joint", mean(own)},
          {"correlation_joint_shuffled", mean(others)},
          {"correlation_joint_gain", mean(gain)}};
}

}  // namespace detail

/// The mean correlations of `count` samples of the prior, and of what the model makes of either
/// side of the pairs of a set.
template <class Model>
std::vector<Correlation> correlations(const Model& model, poe::LearnerOf<Model>& learner,
                                      const CubSource& source, const CubSamples& set,
                                      const poe::CaptionCorrelation& metric, int count) {
  using M = typename Model::ModalitySet;
  const auto drawn = poe::draw_from_prior(model, learner, count, evaluation_noise);
  ScoredPairs joint, from_image, from_caption;
  const auto& [captions, features] = drawn;
  for (int n = 0; n < count; ++n)
    joint.add(ids_of(source.vocabulary, captions.row(n)), features.row(n));
  const auto samples = source.samples<M>(set);
  constexpr int block = 1024;  // samples that are in memory
  for (int first = 0; first < samples.rows; first += block) {
    const auto part = poe::gather(samples, 3, first, std::min(block, samples.rows - first));
    const auto by_image = poe::complete(model, learner, part.group(), 2, evaluation_noise);
    const auto by_caption = poe::complete(model, learner, part.group(), 1, evaluation_noise);
    const auto true_features = std::get<1>(part.group().x);
    for (int n = 0; n < part.group().rows; ++n) {
      const auto caption = set.caption[static_cast<std::size_t>(first + n)];
      from_image.add(ids_of(source.vocabulary, std::get<0>(by_image).row(n)),
                     true_features.slice(n, 1).flat());
      from_caption.add(source.sentence(caption), std::get<1>(by_caption).row(n));
    }
  }
  const std::vector<std::int32_t> image(set.feature.begin(), set.feature.end());
  auto all = detail::joint_correlations(joint, metric);
  all.push_back({"correlation_image_to_caption", metric.score(from_image.view(), image)});
  all.push_back({"correlation_caption_to_image", metric.score(from_caption.view(), image)});
  return all;
}

/// What real pairs of a set score, and the same captions with images of others.
inline std::vector<Correlation> reference_correlations(const CubSource& source,
                                                       const CubSamples& set,
                                                       const poe::CaptionCorrelation& metric) {
  const StoredPairs pairs(source, set);
  const auto others = poe::mismatched_images(pairs.image);
  return {{"correlation_ground_truth", metric.score(pairs.view(source, pairs.image), pairs.image)},
          {"correlation_shuffled", metric.score(pairs.view(source, others), pairs.image)}};
}

/// For the log of an epoch.
inline poe::Scores scores_of(const std::vector<Correlation>& all) {
  poe::Scores scores;
  for (const Correlation& c : all) scores.values.emplace_back(c.name, c.score.mean);
  return scores;
}

}  // namespace examples
