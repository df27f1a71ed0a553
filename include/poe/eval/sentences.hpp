// SPDX-License-Identifier: MIT
// Sentence vectors by smooth inverse frequency (Arora, Liang, Ma 2017): frequent words count less.
#pragma once

#include <poe/core/error.hpp>
#include <poe/data/vocabulary.hpp>
#include <poe/eval/cca.hpp>

#include <Eigen/Core>
#include <Eigen/SVD>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace poe {

/// Vectors of sentences, which are rows of ids as Vocabulary::encode() makes them.
class SentenceVectors {
 public:
  using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  static constexpr double published_a = 1e-3;

  /// A vector and a count for every id: words (V, d), and how often each occurred in the training
  /// captions, where the count of Vocabulary::unknown is that of all unknown words together.
  ///
  /// A word's weight is a / (a + its share of all counts); an unknown word's vector is -1 in every
  /// entry, and padding and the end have weight 0, whatever their rows of `words` hold. What the
  /// training sentences (N, tokens) have most in common, the first principal direction v of their
  /// vectors, is then removed from every sentence s, as s - (s v) v.
  ///
  /// Throws Error for sizes that differ, counts of 0, ids out of range, and numbers that are not
  /// finite.
  SentenceVectors(SampleRows<float> words, std::span<const std::uint64_t> counts,
                  SampleRows<TokenId> training, double a = published_a)
      : table_(weighted(words, counts, a)) {
    expect(training.rows() >= 2, "sentence vectors: expected at least 2 training sentences, got {}",
           training.rows());
    Matrix sentences = (*this)(training);
    sentences.rowwise() -= Eigen::RowVectorXd(sentences.colwise().mean());
    const Eigen::MatrixXd scatter = sentences.transpose() * sentences;
    const Eigen::JacobiSVD<Eigen::MatrixXd> svd(scatter, Eigen::ComputeThinU | Eigen::ComputeThinV);
    expect(svd.singularValues()(0) > 0, "sentence vectors: all training sentences are alike");
    common_ = svd.matrixU().col(0).transpose();
    // A sentence is linear in its words, so removing v from the words removes it from sentences.
    table_ -= (table_ * common_.transpose()).eval() * common_;
  }

  Eigen::Index size() const { return table_.cols(); }
  const Eigen::RowVectorXd& common_direction() const { return common_; }

  /// The mean over the tokens up to the first end, which counts as one of them.
  Eigen::RowVectorXd operator()(std::span<const TokenId> ids) const {
    const auto tokens = sentence_of(ids);
    expect(!tokens.empty(), "sentence vectors: expected a sentence of at least one token");
    Eigen::RowVectorXd sum = Eigen::RowVectorXd::Zero(size());
    for (const TokenId id : tokens) {
      expect(id >= 0 && id < table_.rows(), "sentence vectors: expected ids from 0 to {}, got {}",
             table_.rows() - 1, id);
      sum += table_.row(id);
    }
    return sum / static_cast<double>(tokens.size());
  }

  /// One sentence per row.
  Matrix operator()(SampleRows<TokenId> sentences) const {
    Matrix vectors(sentences.rows(), size());
    const auto length = static_cast<std::size_t>(sentences.cols());
    for (Eigen::Index i = 0; i < sentences.rows(); ++i)
      vectors.row(i) = (*this)(std::span(sentences.row(i).data(), length));
    return vectors;
  }

 private:
  static Matrix weighted(SampleRows<float> words, std::span<const std::uint64_t> counts, double a) {
    expect(a > 0 && std::isfinite(a), "sentence vectors: expected a > 0, got {}", a);
    expect(words.rows() > Vocabulary::first_word && words.cols() > 0 &&
               static_cast<std::size_t>(words.rows()) == counts.size(),
           "sentence vectors: expected a vector and a count for each of at least {} ids, got {} "
           "vectors of {} numbers and {} counts",
           Vocabulary::first_word + 1, words.rows(), words.cols(), counts.size());
    double total = 0;
    for (const std::uint64_t count : counts) total += static_cast<double>(count);
    expect(total > 0, "sentence vectors: expected words that occur, got counts of 0");
    Matrix table = words.cast<double>();
    table.row(Vocabulary::unknown).setConstant(-1);
    for (Eigen::Index id = 0; id < table.rows(); ++id) {
      const double share = static_cast<double>(counts[static_cast<std::size_t>(id)]) / total;
      table.row(id) *= a / (a + share);
    }
    table.row(Vocabulary::pad).setZero();
    table.row(Vocabulary::end).setZero();
    for (Eigen::Index id = 0; id < table.rows(); ++id)
      expect(table.row(id).allFinite(),
             "sentence vectors: the vector of id {} holds a number that is not finite", id);
    return table;
  }

  Matrix table_;  // (V, d): weight * vector, without its part along the common direction
  Eigen::RowVectorXd common_;
};

}  // namespace poe
