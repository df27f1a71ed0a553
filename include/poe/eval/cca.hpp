// SPDX-License-Identifier: MIT
// Canonical correlation analysis: the directions of two blocks of features that vary together.
#pragma once

#include <poe/core/error.hpp>

#include <Eigen/Cholesky>
#include <Eigen/Core>
#include <Eigen/SVD>

#include <algorithm>
#include <cmath>
#include <limits>

namespace poe {

/// Samples as rows: a view of contiguous numbers, row after row.
template <class T>
using SampleRows =
    Eigen::Map<const Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>>;

/// Means and covariances of pairs (x, y) of rows, p and q numbers wide, collected in double and in
/// one pass. Blocks are centred before they are multiplied (Chan, Golub, LeVeque 1983), so large
/// means cost no digits; apart from the p x p, p x q and q x q results, memory is that of a block.
class PairedMoments {
 public:
  PairedMoments(Eigen::Index p, Eigen::Index q)
      : mean_x_(Eigen::RowVectorXd::Zero(p)),
        mean_y_(Eigen::RowVectorXd::Zero(q)),
        xx_(Eigen::MatrixXd::Zero(p, p)),
        xy_(Eigen::MatrixXd::Zero(p, q)),
        yy_(Eigen::MatrixXd::Zero(q, q)) {
    expect(p > 0 && q > 0, "canonical correlations: expected blocks of columns, got {} and {}", p,
           q);
  }

  /// Adds pairs: row i of x with row i of y. Throws Error for sizes that differ and for numbers
  /// that are not finite.
  template <class X, class Y>
  void add(SampleRows<X> x, SampleRows<Y> y) {
    expect(x.rows() == y.rows(),
           "canonical correlations: expected as many rows of x as of y, got {} and {}", x.rows(),
           y.rows());
    expect(x.cols() == p() && y.cols() == q(),
           "canonical correlations: expected rows of {} and {} numbers, got {} and {}", p(), q(),
           x.cols(), y.cols());
    constexpr Eigen::Index block = 256;
    for (Eigen::Index first = 0; first < x.rows(); first += block) {
      const Eigen::Index rows = std::min(block, x.rows() - first);
      add_block(x.middleRows(first, rows).template cast<double>(),
                y.middleRows(first, rows).template cast<double>());
    }
  }

  Eigen::Index p() const { return mean_x_.size(); }
  Eigen::Index q() const { return mean_y_.size(); }
  Eigen::Index count() const { return count_; }
  const Eigen::RowVectorXd& mean_x() const { return mean_x_; }
  const Eigen::RowVectorXd& mean_y() const { return mean_y_; }

  /// Covariances with 1 / (count - 1). Of the symmetric ones only the lower triangle is filled.
  Eigen::MatrixXd covariance_x() const { return xx_ / divisor(); }
  Eigen::MatrixXd covariance_y() const { return yy_ / divisor(); }
  Eigen::MatrixXd covariance_xy() const { return xy_ / divisor(); }

 private:
  void add_block(Eigen::MatrixXd x, Eigen::MatrixXd y) {
    for (Eigen::Index i = 0; i < x.rows(); ++i)
      expect(x.row(i).allFinite() && y.row(i).allFinite(),
             "canonical correlations: pair {} holds a number that is not finite", count_ + i);
    const Eigen::RowVectorXd mean_x = x.colwise().mean(), mean_y = y.colwise().mean();
    x.rowwise() -= mean_x;
    y.rowwise() -= mean_y;
    const auto before = static_cast<double>(count_), rows = static_cast<double>(x.rows());
    const double share = rows / (before + rows), weight = before * share;
    const Eigen::RowVectorXd step_x = mean_x - mean_x_, step_y = mean_y - mean_y_;
    xx_.selfadjointView<Eigen::Lower>().rankUpdate(x.transpose());
    xx_.selfadjointView<Eigen::Lower>().rankUpdate(step_x.transpose(), weight);
    yy_.selfadjointView<Eigen::Lower>().rankUpdate(y.transpose());
    yy_.selfadjointView<Eigen::Lower>().rankUpdate(step_y.transpose(), weight);
    xy_.noalias() += x.transpose() * y;
    xy_.noalias() += weight * step_x.transpose() * step_y;
    mean_x_ += share * step_x;
    mean_y_ += share * step_y;
    count_ += x.rows();
  }

  double divisor() const {
    expect(count_ >= 2, "canonical correlations: expected at least 2 pairs, got {}", count_);
    return static_cast<double>(count_ - 1);
  }

  Eigen::Index count_ = 0;
  Eigen::RowVectorXd mean_x_, mean_y_;
  Eigen::MatrixXd xx_, xy_, yy_;  // sums of products of deviations from the means
};

/// What is added to the variances of each block before the correlations are computed: `absolute`,
/// which is the published code's 1e-12, and for x or y a multiple of the block's mean variance.
/// Where the samples are few for the number of columns, a multiple of about 0.1 counters
/// overfitting; not for a block whose variances span many orders of magnitude, in which it would
/// drown the small ones.
struct CcaRidge {
  double absolute = 1e-12;
  double x = 0, y = 0;
};

/// The k directions of x and of y with the largest correlations.
struct CanonicalCorrelations {
  Eigen::RowVectorXd mean_x, mean_y;  ///< (p), (q)
  Eigen::MatrixXd w_x, w_y;           ///< (p, k), (q, k): column j is direction j of x, and of y
  Eigen::VectorXd correlations;       ///< (k), descending
};

namespace detail {

/// The lower Cholesky factor of a covariance with ridge; only its lower triangle is read.
inline Eigen::MatrixXd cholesky_with_ridge(Eigen::MatrixXd covariance, double absolute,
                                           double relative, const char* block) {
  const double mean_variance = covariance.diagonal().mean();
  const double added = absolute + relative * mean_variance;
  covariance.diagonal().array() += added;
  const Eigen::LLT<Eigen::MatrixXd> llt(covariance);
  const double rounding =
      8 * std::numeric_limits<double>::epsilon() * covariance.diagonal().maxCoeff();
  if (llt.info() == Eigen::Success) {
    Eigen::MatrixXd factor = llt.matrixL();
    if (factor.diagonal().array().square().minCoeff() > rounding) return factor;
  }
  expect(mean_variance > 0, "canonical correlations: every column of {} is constant", block);
  fail(
      "canonical correlations: the covariance of {} with a ridge of {:.3g} is not positive "
      "definite: columns are constant, or depend on each other, or there are too few samples ({} "
      "columns, mean variance {:.3g}). A ridge of {:.1g} would do",
      block, added, covariance.cols(), mean_variance, 1e-6 * mean_variance);
}

}  // namespace detail

/// Solves A v = lambda B v for the k largest lambda, where A holds the cross-covariances off its
/// diagonal and B the covariances of the two blocks on it, the ridge added to B's diagonal. The
/// stacked v = (w_x column, w_y column) has unit L2 norm, as scipy.linalg.eig returns it (eigh
/// would scale it to v' B v = 1), which weighs the components of a cosine between projections; of
/// the two signs, the entry of w_x with the largest magnitude is positive. Throws Error if k >
/// min(p, q), if there are too few pairs, or if a covariance is singular in spite of the ridge.
///
/// Computed as the singular value decomposition of Lx^-1 Cxy Ly^-T with B = L L^T: a p x q problem
/// instead of a (p + q) x (p + q) one.
inline CanonicalCorrelations canonical_correlations(const PairedMoments& moments, Eigen::Index k,
                                                    const CcaRidge& ridge = {}) {
  const Eigen::Index most = std::min(moments.p(), moments.q());
  expect(k >= 1 && k <= most,
         "canonical correlations: expected 1 to {} components for blocks of {} and {} columns, got "
         "{}",
         most, moments.p(), moments.q(), k);
  for (const double r : {ridge.absolute, ridge.x, ridge.y})
    expect(r >= 0 && std::isfinite(r),
           "canonical correlations: expected a ridge that is not negative, got {}", r);
  const Eigen::MatrixXd factor_x =
      detail::cholesky_with_ridge(moments.covariance_x(), ridge.absolute, ridge.x, "x");
  const Eigen::MatrixXd factor_y =
      detail::cholesky_with_ridge(moments.covariance_y(), ridge.absolute, ridge.y, "y");
  const auto lower_x = factor_x.triangularView<Eigen::Lower>();
  const auto lower_y = factor_y.triangularView<Eigen::Lower>();
  const Eigen::MatrixXd half = lower_x.solve(moments.covariance_xy());
  const Eigen::MatrixXd whitened = lower_y.solve(half.transpose()).transpose();
  const Eigen::JacobiSVD<Eigen::MatrixXd> svd(whitened, Eigen::ComputeThinU | Eigen::ComputeThinV);

  CanonicalCorrelations result{
      moments.mean_x(), moments.mean_y(), lower_x.transpose().solve(svd.matrixU().leftCols(k)),
      lower_y.transpose().solve(svd.matrixV().leftCols(k)), svd.singularValues().head(k)};
  for (Eigen::Index j = 0; j < k; ++j) {
    auto x = result.w_x.col(j);
    auto y = result.w_y.col(j);
    Eigen::Index largest = 0;
    x.cwiseAbs().maxCoeff(&largest);
    const double norm = std::hypot(x.norm(), y.norm());
    const double scale = x(largest) < 0 ? -1 / norm : 1 / norm;
    x *= scale;
    y *= scale;
  }
  return result;
}

/// The cosine between (x - mean_x) w_x and (y - mean_y) w_y for every pair of rows; 0 where a
/// projection vanishes.
template <class X, class Y>
Eigen::VectorXd projected_cosines(const CanonicalCorrelations& cca, SampleRows<X> x,
                                  SampleRows<Y> y) {
  expect(x.rows() == y.rows() && x.cols() == cca.w_x.rows() && y.cols() == cca.w_y.rows(),
         "cosine of projections: expected as many rows of {} as of {} numbers, got {} of {} and {} "
         "of {}",
         cca.w_x.rows(), cca.w_y.rows(), x.rows(), x.cols(), y.rows(), y.cols());
  Eigen::VectorXd cosines(x.rows());
  for (Eigen::Index i = 0; i < x.rows(); ++i) {
    const Eigen::RowVectorXd a = (x.row(i).template cast<double>() - cca.mean_x) * cca.w_x;
    const Eigen::RowVectorXd b = (y.row(i).template cast<double>() - cca.mean_y) * cca.w_y;
    const double norms = a.norm() * b.norm();
    cosines(i) = norms > 0 ? a.dot(b) / norms : 0;
  }
  return cosines;
}

}  // namespace poe
