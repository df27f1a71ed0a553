// SPDX-License-Identifier: MIT
// Canonical correlations: against known ones, against scipy, and what must not change them.
// sanitizers: none, nearly all of it is Eigen
#include "files.hpp"

#include <poe/eval/cca.hpp>
#include <poe/io/safetensors.hpp>

#include <Eigen/QR>

#include <string>
#include <utility>

namespace {

using namespace poe;
using namespace poe::test;

using Rows = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

SampleRows<double> view(const Rows& rows) { return {rows.data(), rows.rows(), rows.cols()}; }

Rows random_rows(Eigen::Index rows, Eigen::Index columns, std::uint32_t stream) {
  const auto numbers = normals<double>(static_cast<std::size_t>(rows * columns), stream);
  return Eigen::Map<const Rows>(numbers.data(), rows, columns);
}

CanonicalCorrelations fit(const Rows& x, const Rows& y, Eigen::Index k,
                          const CcaRidge& ridge = {}) {
  PairedMoments moments(x.cols(), y.cols());
  moments.add(view(x), view(y));
  return canonical_correlations(moments, k, ridge);
}

/// Columns that are centred and orthonormal.
Rows orthonormal_columns(Eigen::Index rows, Eigen::Index columns, std::uint32_t stream) {
  Rows centred = random_rows(rows, columns, stream);
  centred.rowwise() -= Eigen::RowVectorXd(centred.colwise().mean());
  const Eigen::HouseholderQR<Eigen::MatrixXd> qr(centred);
  return qr.householderQ() * Eigen::MatrixXd::Identity(rows, columns);
}

/// A world with known answers. The columns of U and V are orthonormal, and U'V is diagonal with
/// `rho` on it; X = 30 U M_x and Y = 30 V M_y with invertible M, plus means.
struct KnownWorld {
  Eigen::VectorXd rho{{0.95, 0.8, 0.5, 0.1}};
  Rows mix_x = random_rows(4, 4, 2), mix_y = random_rows(4, 4, 3);
  Rows u, v, x, y;

  KnownWorld() {
    const Rows columns = orthonormal_columns(500, 8, 1);
    const Eigen::VectorXd rest = (1 - rho.array().square()).sqrt();
    u = columns.leftCols(4);
    v = u * rho.asDiagonal() + columns.rightCols(4) * rest.asDiagonal();
    x = ((30 * u * mix_x).rowwise() + Eigen::RowVector4d(1, -2, 300, 4)).eval();
    y = ((30 * v * mix_y).rowwise() + Eigen::RowVector4d(-1, 2, 0, 1e4)).eval();
  }
};

double largest_difference(const Eigen::MatrixXd& a, const Eigen::MatrixXd& b) {
  REQUIRE((a.rows() == b.rows() && a.cols() == b.cols()));
  return (a - b).cwiseAbs().maxCoeff();
}

TEST_CASE("canonical correlations that are known by construction") {
  const KnownWorld world;
  const CanonicalCorrelations cca = fit(world.x, world.y, 4);
  CHECK(largest_difference(cca.correlations, world.rho) < 1e-9);
  CHECK(largest_difference(cca.mean_x, world.x.colwise().mean()) < 1e-10);
  CHECK(largest_difference(cca.mean_y, world.y.colwise().mean()) < 1e-8);

  const Rows projected_x = (world.x.rowwise() - cca.mean_x) * cca.w_x;
  const Rows projected_y = (world.y.rowwise() - cca.mean_y) * cca.w_y;
  for (Eigen::Index j = 0; j < 4; ++j) {
    // Direction j is column j of U, of which v is the partner with correlation rho_j.
    const Eigen::VectorXd a = projected_x.col(j).normalized(), b = projected_y.col(j).normalized();
    CHECK(std::abs(a.dot(world.u.col(j))) == Approx(1).epsilon(1e-9));
    CHECK(std::abs(b.dot(world.v.col(j))) == Approx(1).epsilon(1e-9));
    CHECK(a.dot(b) == Approx(world.rho(j)).epsilon(1e-9));
    CHECK(cca.w_x.col(j).squaredNorm() + cca.w_y.col(j).squaredNorm() == Approx(1).epsilon(1e-12));
    CHECK(cca.w_x.col(j).maxCoeff() == cca.w_x.col(j).cwiseAbs().maxCoeff());
  }
}

TEST_CASE("canonical correlations do not depend on the coordinates of a block") {
  const Rows x = random_rows(300, 6, 4), map_x = random_rows(6, 6, 5);
  Rows y = random_rows(300, 3, 6);
  y += x.leftCols(3);
  const auto before = fit(x, y, 3, {0});
  const auto mapped = fit((x * map_x).rowwise() + Eigen::RowVectorXd::Constant(6, 7.0), y, 3, {0});
  CHECK(largest_difference(before.correlations, mapped.correlations) < 1e-10);
  // The same directions up to their length: x m w' is a multiple of x w.
  const Rows back = map_x * mapped.w_x;
  for (Eigen::Index j = 0; j < 3; ++j)
    CHECK(std::abs(back.col(j).normalized().dot(before.w_x.col(j).normalized())) ==
          Approx(1).epsilon(1e-9));

  const auto swapped = fit(y, x, 3, {0});
  CHECK(largest_difference(before.correlations, swapped.correlations) < 1e-12);
  for (Eigen::Index j = 0; j < 3; ++j)
    CHECK(std::abs(swapped.w_y.col(j).dot(before.w_x.col(j))) ==
          Approx(before.w_x.col(j).squaredNorm()).epsilon(1e-9));
}

TEST_CASE("a ridge of x or y is a share of the block's mean variance") {
  const Rows x = random_rows(200, 3, 7);
  Rows y = random_rows(200, 2, 8);
  y += x.leftCols(2);
  const CcaRidge ridge{0, 0.3, 0.1};
  const auto plain = fit(x, y, 2, ridge);
  const auto scaled = fit(1000 * x, 0.01 * y, 2, ridge);
  CHECK(largest_difference(plain.correlations, scaled.correlations) < 1e-12);

  // One column each: correlation = cov / sqrt((1.3 var_x) (1.1 var_y)).
  const Rows x1 = x.leftCols(1), y1 = y.leftCols(1);
  const double without = fit(x1, y1, 1, {0}).correlations(0);
  CHECK(without > 0.3);
  CHECK(fit(x1, y1, 1, ridge).correlations(0) == Approx(without / std::sqrt(1.3 * 1.1)));
}

TEST_CASE("canonical correlations and cosines against scipy") {
  const auto file = SafetensorsFile::open(POE_TESTS_DIR "/vectors/cca.safetensors");
  const auto read = [&](const std::string& name) -> Rows {
    const auto& shape = file.entry(name).shape;
    const auto numbers = file.read<double>(name);
    return Eigen::Map<const Rows>(numbers.data(), shape[0], shape.size() > 1 ? shape[1] : 1);
  };
  const Rows x = read("x"), y = read("y"), x_test = read("x_test"), y_test = read("y_test");
  // The numbers are floats: both precisions must give the same moments.
  const Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> xf = x.cast<float>();
  for (const auto& [name, ridge] : {std::pair("plain", 1e-12), std::pair("ridge", 0.25)}) {
    CAPTURE(name);
    const std::string prefix = std::string(name) + ".";
    PairedMoments moments(x.cols(), y.cols());
    moments.add(SampleRows<float>(xf.data(), xf.rows(), xf.cols()), view(y));
    const auto cca = canonical_correlations(moments, 4, {ridge});
    CHECK(largest_difference(cca.correlations, read(prefix + "correlations")) < 1e-9);
    CHECK(largest_difference(cca.w_x, read(prefix + "w_x")) < 1e-8);
    CHECK(largest_difference(cca.w_y, read(prefix + "w_y")) < 1e-8);
    const auto cosines = projected_cosines(cca, view(x_test), view(y_test));
    CHECK(cosines.size() == x_test.rows());
    CHECK(cosines.mean() == Approx(read(prefix + "score")(0)).epsilon(1e-8));
  }
}

TEST_CASE("moments do not depend on how the pairs arrive") {
  // Means a million times the deviations: centring after summing would keep three digits.
  const Rows x = (random_rows(1000, 4, 9).array() + 1e6).matrix();
  const Rows y = (random_rows(1000, 2, 10).array() - 1e6).matrix();
  PairedMoments whole(4, 2), parts(4, 2);
  whole.add(view(x), view(y));
  for (const auto& [first, rows] : {std::pair(0, 1), std::pair(1, 299), std::pair(300, 700)})
    parts.add(SampleRows<double>(x.row(first).data(), rows, 4),
              SampleRows<double>(y.row(first).data(), rows, 2));
  CHECK(whole.count() == 1000);
  CHECK(parts.count() == 1000);

  const Rows dx = x.rowwise() - x.colwise().mean(), dy = y.rowwise() - y.colwise().mean();
  const Eigen::MatrixXd xx = dx.transpose() * dx / 999, xy = dx.transpose() * dy / 999;
  const Eigen::MatrixXd yy = dy.transpose() * dy / 999;
  for (const PairedMoments* m : {&whole, &parts}) {
    CHECK(largest_difference(m->covariance_xy(), xy) < 1e-9);
    CHECK((m->covariance_x() - xx).triangularView<Eigen::Lower>().toDenseMatrix().norm() < 1e-9);
    CHECK((m->covariance_y() - yy).triangularView<Eigen::Lower>().toDenseMatrix().norm() < 1e-9);
  }
}

TEST_CASE("canonical correlations: what is refused, and in which words") {
  const Rows x = random_rows(50, 4, 11), y = random_rows(50, 3, 12);
  CHECK(contains(error_of([&] { fit(x, y, 4); }), "expected 1 to 3 components"));
  CHECK(contains(error_of([&] { fit(x, y, 0); }), "got 0"));
  for (const CcaRidge& ridge : {CcaRidge{-1}, CcaRidge{0, -1}, CcaRidge{0, 0, -1}})
    CHECK(contains(error_of([&] { fit(x, y, 1, ridge); }), "not negative, got -1"));
  CHECK(contains(error_of([&] { fit(x.topRows(1), y.topRows(1), 1); }), "at least 2 pairs, got 1"));
  CHECK(contains(error_of([&] { fit(x, y.topRows(49), 1); }), "got 50 and 49"));
  CHECK(contains(error_of([&] {
                   PairedMoments moments(4, 2);
                   moments.add(view(x), view(y));
                 }),
                 "expected rows of 4 and 2 numbers, got 4 and 3"));
  CHECK(contains(error_of([&] { PairedMoments(4, 0); }), "got 4 and 0"));
  for (const double bad : {std::numeric_limits<double>::quiet_NaN(), HUGE_VAL}) {
    Rows broken = y;
    broken(17, 2) = bad;
    CHECK(contains(error_of([&] { fit(x, broken, 1); }), "pair 17"));
  }

  Rows dependent = y;
  dependent.col(2) = 2 * y.col(0) - y.col(1);
  const std::string message = error_of([&] { fit(x, dependent, 1, {0}); });
  CHECK(contains(message, "covariance of y with a ridge of 0 is not positive"));
  CHECK(contains(message, "ridge"));
  CHECK(fit(x, dependent, 1).correlations(0) < 1);          // the default ridge is enough
  for (std::uint32_t stream = 20; stream < 40; ++stream) {  // whichever way rounding goes
    dependent = random_rows(50, 3, stream);
    dependent.col(2) = 2 * dependent.col(0) - dependent.col(1);
    CHECK(contains(error_of([&] { fit(x, dependent, 1, {0}); }), "not positive definite"));
  }

  Rows constant = x;
  constant.col(1).setConstant(3);
  CHECK(contains(error_of([&] { fit(constant, y, 1, {0}); }), "covariance of x"));
  CHECK(contains(error_of([&] { fit(x.topRows(3), y.topRows(3), 1, {0}); }), "too few samples"));

  const auto cca = fit(x, y, 2);
  CHECK(contains(error_of([&] { projected_cosines(cca, view(y), view(y)); }), "rows of 4"));
}

TEST_CASE("the cosine of a projection that vanishes is 0") {
  const Rows x = random_rows(50, 4, 13), y = random_rows(50, 3, 14);
  const auto cca = fit(x, y, 2);
  const Rows at_mean = cca.mean_x;
  const Rows one = y.topRows(1);
  CHECK(projected_cosines(cca, view(at_mean), view(one))(0) == 0);
}

}  // namespace
