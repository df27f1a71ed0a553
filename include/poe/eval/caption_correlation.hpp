// SPDX-License-Identifier: MIT
// Does a caption describe its image? The correlation of the two in a space fitted to true pairs.
#pragma once

#include <poe/core/error.hpp>
#include <poe/data/vocabulary.hpp>
#include <poe/eval/cca.hpp>
#include <poe/eval/sentences.hpp>

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <span>
#include <utility>
#include <vector>

namespace poe {

/// Pairs of an image feature and a caption. An image that has several captions is there once.
struct CaptionedFeatures {
  SampleRows<float> features;           ///< (images, p)
  SampleRows<TokenId> captions;         ///< (pairs, tokens)
  std::span<const std::int32_t> image;  ///< by pair: its row of `features`; empty: row i for pair i
};

namespace detail {

/// Calls use(features, captions) with blocks of pairs, row by row; throws Error for rows that are
/// not there.
template <class Use>
void for_each_block(const CaptionedFeatures& pairs, Use&& use) {
  const Eigen::Index count = pairs.captions.rows(), p = pairs.features.cols();
  expect(
      std::cmp_equal(count, pairs.image.empty() ? pairs.features.rows()
                                                : static_cast<Eigen::Index>(pairs.image.size())),
      "caption correlation: expected an image for each of {} captions, got {}", count,
      pairs.image.empty() ? static_cast<std::size_t>(pairs.features.rows()) : pairs.image.size());
  constexpr Eigen::Index block = 256;
  Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> gathered(block, p);
  for (Eigen::Index first = 0; first < count; first += block) {
    const Eigen::Index rows = std::min(block, count - first);
    for (Eigen::Index i = 0; i < rows; ++i) {
      const Eigen::Index row =
          pairs.image.empty() ? first + i : pairs.image[static_cast<std::size_t>(first + i)];
      expect(row >= 0 && row < pairs.features.rows(),
             "caption correlation: pair {} has image {}; there are {}", first + i, row,
             pairs.features.rows());
      gathered.row(i) = pairs.features.row(row);
    }
    use(first, SampleRows<float>(gathered.data(), rows, p),
        SampleRows<TokenId>(pairs.captions.row(first).data(), rows, pairs.captions.cols()));
  }
}

}  // namespace detail

/// A mean and its standard error.
struct MeanScore {
  double mean = 0;
  double standard_error = 0;  ///< not a number where there are fewer than two clusters
};

/// The mean of values that may depend on each other within a cluster (the captions of one image),
/// but not beyond it: SE^2 = G / (G - 1) * sum over clusters (sum over its values (v - mean))^2 /
/// n^2 with G clusters and n values, which is the usual s^2 / n where each value is a cluster of
/// its own. `cluster` names that of each value; empty: each has its own. Throws Error for no
/// values, and for a cluster too few or too many.
inline MeanScore clustered_mean(std::span<const double> values,
                                std::span<const std::int32_t> cluster = {}) {
  expect(!values.empty() && (cluster.empty() || cluster.size() == values.size()),
         "clustered mean: expected values with a cluster for each, got {} and {}", values.size(),
         cluster.size());
  const auto n = static_cast<double>(values.size());
  MeanScore score;
  for (const double v : values) score.mean += v;
  score.mean /= n;
  std::map<std::int32_t, double> deviation;  // by cluster
  for (std::size_t i = 0; i < values.size(); ++i)
    deviation[cluster.empty() ? static_cast<std::int32_t>(i) : cluster[i]] +=
        values[i] - score.mean;
  double squares = 0;
  for (const auto& [of, sum] : deviation) squares += sum * sum;
  const auto clusters = static_cast<double>(deviation.size());
  score.standard_error = clusters < 2 ? std::numeric_limits<double>::quiet_NaN()
                                      : std::sqrt(clusters / (clusters - 1) * squares) / n;
  return score;
}

/// What the correlation of captions and images is fitted with.
struct CaptionCorrelationOptions {
  int components = 40;  ///< as published
  CcaRidge ridge{};
};

/// The measure of CUB-Captions (Massiceti et al. 2018; Shi et al. 2019): canonical correlations of
/// image features and sentence vectors, fitted on the training pairs; the score of a pair is the
/// cosine of its two projections. Absolute values depend on the features, the word vectors and the
/// training pairs; compare only scores of one fit.
class CaptionCorrelation {
 public:
  CaptionCorrelation(SentenceVectors sentences, const CaptionedFeatures& training,
                     const CaptionCorrelationOptions& options = {})
      : sentences_(std::move(sentences)) {
    PairedMoments moments(training.features.cols(), sentences_.size());
    detail::for_each_block(training, [&](Eigen::Index, auto features, auto captions) {
      moments.add(features, view(sentences_(captions)));
    });
    cca_ = canonical_correlations(moments, options.components, options.ridge);
  }

  const CanonicalCorrelations& cca() const { return cca_; }
  const SentenceVectors& sentences() const { return sentences_; }

  /// The cosine of every pair.
  Eigen::VectorXd scores(const CaptionedFeatures& pairs) const {
    Eigen::VectorXd cosines(pairs.captions.rows());
    detail::for_each_block(pairs, [&](Eigen::Index first, auto features, auto captions) {
      cosines.segment(first, captions.rows()) =
          projected_cosines(cca_, features, view(sentences_(captions)));
    });
    return cosines;
  }

  /// Their mean; pairs of one `cluster`, which is that of every pair or empty, depend on each
  /// other. Throws Error when there is no pair.
  MeanScore score(const CaptionedFeatures& pairs,
                  std::span<const std::int32_t> cluster = {}) const {
    expect(pairs.captions.rows() > 0, "caption correlation: expected a pair to score");
    const Eigen::VectorXd cosines = scores(pairs);
    return clustered_mean({cosines.data(), static_cast<std::size_t>(cosines.size())}, cluster);
  }

  /// What the same captions and images would score if they were put together at random: the mean
  /// of the result is the mean cosine over all combinations of the caption of one pair with the
  /// image of another. Element i is a_i + b_i - mean, where a_i is the mean cosine of caption i
  /// with the images of the others, and b_i that of image i with their captions, so that for
  /// independent pairs clustered_mean() of the elements has the standard error of that mean (a
  /// U-statistic, Hoeffding 1948), and of their differences from scores() that of the difference.
  /// Throws Error for fewer than two pairs.
  Eigen::VectorXd scores_of_others(const CaptionedFeatures& pairs) const {
    const Eigen::Index n = pairs.captions.rows(), k = cca_.w_x.cols();
    expect(n >= 2, "caption correlation: expected at least 2 pairs to exchange, got {}", n);
    SentenceVectors::Matrix images(n, k), captions(n, k);  // projections of length 1
    detail::for_each_block(pairs, [&](Eigen::Index first, auto features, auto ids) {
      const auto project = [&](const auto& rows, const auto& mean, const auto& w, auto& to) {
        const Eigen::MatrixXd projected = (rows.template cast<double>().rowwise() - mean) * w;
        to.middleRows(first, rows.rows()) = projected.rowwise().normalized();
      };
      project(features, cca_.mean_x, cca_.w_x, images);
      project(sentences_(ids), cca_.mean_y, cca_.w_y, captions);
    });
    const Eigen::VectorXd own = images.cwiseProduct(captions).rowwise().sum();
    const Eigen::RowVectorXd all_images = images.colwise().sum(), all = captions.colwise().sum();
    const auto others = static_cast<double>(n - 1);
    const double mean = (all_images.dot(all) - own.sum()) / (static_cast<double>(n) * others);
    return ((captions * all_images.transpose() + images * all.transpose() - 2 * own) / others)
               .array() -
           mean;
  }

 private:
  static SampleRows<double> view(const SentenceVectors::Matrix& rows) {
    return {rows.data(), rows.rows(), rows.cols()};
  }

  SentenceVectors sentences_;
  CanonicalCorrelations cca_;
};

/// Images for the same captions, none with its own: of the images that occur, in the order of their
/// rows, each caption gets the one that is half of them further on. In CUB, where neighbours are of
/// one species, that is another bird. Scores of such pairs are what a score means that is no better
/// than chance. Throws Error when there is only one image.
inline std::vector<std::int32_t> mismatched_images(std::span<const std::int32_t> image) {
  std::map<std::int32_t, std::size_t> place;
  for (const std::int32_t i : image) place.emplace(i, 0);
  expect(place.size() >= 2, "mismatched images: expected at least 2 images, got {}", place.size());
  std::vector<std::int32_t> occurring;
  for (auto& [row, at] : place) {
    at = occurring.size();
    occurring.push_back(row);
  }
  std::vector<std::int32_t> other;
  for (const std::int32_t i : image)
    other.push_back(occurring[(place[i] + occurring.size() / 2) % occurring.size()]);
  return other;
}

/// A row and its distance.
struct NearestRow {
  Eigen::Index row = 0;
  double distance = 0;
};

/// The row of `features` that is nearest to `feature`, the first of equals, to show a picture for a
/// generated feature. The distance is sqrt(1e-5 + |d|^2), as in the published code.
inline NearestRow nearest_row(SampleRows<float> features, std::span<const float> feature) {
  expect(features.rows() > 0 && std::cmp_equal(feature.size(), features.cols()),
         "nearest row: expected rows of {} numbers, got {} rows of {}", feature.size(),
         features.rows(), features.cols());
  const Eigen::Map<const Eigen::RowVectorXf> wanted(feature.data(), features.cols());
  NearestRow nearest;
  const double square =
      (features.rowwise() - wanted).cast<double>().rowwise().squaredNorm().minCoeff(&nearest.row);
  expect(std::isfinite(square), "nearest row: expected finite numbers");
  nearest.distance = std::sqrt(1e-5 + square);
  return nearest;
}

}  // namespace poe
