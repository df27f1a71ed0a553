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

/// What the correlation of captions and images is fitted with.
struct CaptionCorrelationOptions {
  int components = 40;
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

  /// Their mean; throws Error when there is no pair.
  double score(const CaptionedFeatures& pairs) const {
    expect(pairs.captions.rows() > 0, "caption correlation: expected a pair to score");
    return scores(pairs).mean();
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
