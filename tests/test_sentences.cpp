// SPDX-License-Identifier: MIT
// Sentence vectors, worked by hand.
// sanitizers: none, nearly all of it is Eigen
#include "files.hpp"

#include <poe/eval/sentences.hpp>

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

// As published.
static_assert(SentenceVectors::published_a == 1e-3);

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

}  // namespace
