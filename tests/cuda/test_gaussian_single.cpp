// SPDX-License-Identifier: MIT
// The single operations on Gaussians and log-mean-exp on the GPU against textbook formulas in
// double.
#include <poe/gaussian/single_cuda.hpp>

#include "gaussian.hpp"

namespace {

using namespace poe;
using namespace tests;
using gaussian::ScaleLink;
using poe::test::normals, poe::test::require_close;
using On = Executor<Cuda>;

/// One kernel's result, the same in every order, in an array that begins with `old`.
template <class T, class F>
std::vector<T> result_of(const std::vector<T>& old, std::size_t offset, F&& run) {
  On on;
  return same_in_every_order([&] {
    Placed<T> array(old, offset);
    run(array.data(), on);
    return array.read(on);
  });
}
template <class T>
std::vector<T> unwritten(std::size_t n) {
  return std::vector<T>(n, std::numeric_limits<T>::quiet_NaN());
}

/// Rows of `latent` locations and as many log-precisions, and where element (row, dim) is.
struct Grid {
  int rows, latent;
  std::size_t size() const { return 2 * static_cast<std::size_t>(rows * latent); }
  template <class F>
  void each(F&& f) const {
    for (int row = 0; row < rows; ++row)
      for (int dim = 0; dim < latent; ++dim)
        f(static_cast<std::size_t>(row), static_cast<std::size_t>(row * 2 * latent + dim),
          static_cast<std::size_t>(row * 2 * latent + latent + dim),
          static_cast<std::size_t>(row * latent + dim));
  }
};

template <class T>
Moments moments(const std::vector<T>& normal, std::size_t location, std::size_t scale) {
  return {static_cast<double>(normal[location]), std::exp(-static_cast<double>(normal[scale]))};
}

template <class T>
void check_link(const Grid& grid, ScaleLink link, std::size_t offset) {
  const auto x = normals<T>(grid.size(), 1), g = normals<T>(grid.size(), 2),
             old = normals<T>(grid.size(), 3);
  Placed<T> dx(x, offset), dg(g, offset);
  std::vector<double> value(grid.size()), gradient(old.begin(), old.end());
  grid.each([&](std::size_t, std::size_t m, std::size_t l, std::size_t) {
    const double r = static_cast<double>(x[l]);
    value[m] = static_cast<double>(x[m]);
    value[l] = -std::log(expert_of(0, r, link).variance);
    gradient[m] += static_cast<double>(g[m]);
    gradient[l] -= static_cast<double>(g[l]) * (link.variance ? 1 : 2) / (1 + std::exp(-r)) /
                   (softplus(r) + link.floor);
  });
  const auto got = result_of(unwritten<T>(grid.size()), offset, [&](T* y, On& on) {
    gaussian::to_log_precision<T>(dx.data(), grid.rows, grid.latent, link, y, on);
  });
  require_close(got, value, tolerance<T>(1), "log-precision");
  const auto slope = result_of(old, offset, [&](T* y, On& on) {
    gaussian::to_log_precision_gradient<T>(dx.data(), dg.data(), grid.rows, grid.latent, link, y,
                                           on);
  });
  require_close(slope, gradient, tolerance<T>(1), "gradient of log-precision");
}

template <class T>
void check_product(const Grid& grid, int factors, bool with_prior, bool masked,
                   std::size_t offset) {
  const auto count = static_cast<std::size_t>(factors);
  const Lists<T> x = lists_of_normals<T>(count, grid.size(), 1000);
  Lists<T> old = lists_of_normals<T>(count, grid.size(), 5000);
  const auto mask = random_mask(masked ? static_cast<std::size_t>(grid.rows) * count : 0);
  const auto g = normals<T>(grid.size(), 7);
  const auto observed = [&](std::size_t row, std::size_t e) {
    return !masked || mask[row * count + e] != 0;
  };
  std::vector<double> value(grid.size());
  Lists<double> gradients;
  for (const auto& list : old) gradients.emplace_back(list.begin(), list.end());
  grid.each([&](std::size_t row, std::size_t m, std::size_t l, std::size_t) {
    double precision = with_prior ? 1 : 0, weighted = 0;
    for (std::size_t e = 0; e < count; ++e) {
      if (!observed(row, e)) continue;
      const Moments one = moments(x[e], m, l);
      precision += 1 / one.variance;
      weighted += one.mean / one.variance;
    }
    if (precision == 0) return;
    value[m] = weighted / precision;
    value[l] = std::log(precision);
    for (std::size_t e = 0; e < count; ++e) {
      if (!observed(row, e)) continue;
      const Moments one = moments(x[e], m, l);
      const double w = 1 / one.variance / precision;
      gradients[e][m] += w * static_cast<double>(g[m]);
      gradients[e][l] +=
          w * ((one.mean - value[m]) * static_cast<double>(g[m]) + static_cast<double>(g[l]));
    }
  });
  const ListsOnDevice<T> experts(x, offset);
  const OnDevice<std::uint8_t> mask_on_device(mask);
  const std::uint8_t* const seen = masked ? mask_on_device.data() : nullptr;
  const auto got = result_of(unwritten<T>(grid.size()), offset, [&](T* y, On& on) {
    gaussian::product<T>(experts.values(), seen, with_prior, grid.rows, grid.latent, y, on);
  });
  require_close(got, value, tolerance<T>(factors), "product");

  Placed<T> posterior(got, offset), dg(g, offset);
  if (factors > 1) {  // nobody wants this gradient
    old[0].clear();
    gradients[0].clear();
  }
  const auto slopes = same_in_every_order([&] {
    On on;
    const ListsOnDevice<T> sinks(old, offset);
    gaussian::product_gradient<T>(experts.values(), seen, posterior.data(), dg.data(), grid.rows,
                                  grid.latent, sinks.pointers(), on);
    return join(sinks.read(on));
  });
  require_close(slopes, join(gradients), tolerance<T>(factors), "gradient of product");
}

template <class T>
void check_divergence(const Grid& grid, bool to_prior, std::size_t offset) {
  const auto q = normals<T>(grid.size(), 1), p = normals<T>(grid.size(), 2);
  const auto weight = normals<T>(static_cast<std::size_t>(grid.rows), 3);
  const auto old = normals<T>(grid.size(), 4);
  std::vector<double> value(weight.size()), by_q(old.begin(), old.end()), by_p = by_q;
  grid.each([&](std::size_t row, std::size_t m, std::size_t l, std::size_t) {
    const Moments from = moments(q, m, l), to = to_prior ? Moments{} : moments(p, m, l);
    const double w = static_cast<double>(weight[row]), d = from.mean - to.mean;
    value[row] += kl(from, to);
    by_q[m] += w * d / to.variance;
    by_q[l] += w * (0.5 - 0.5 * from.variance / to.variance);
    by_p[m] -= w * d / to.variance;
    by_p[l] += w * 0.5 * ((from.variance + d * d) / to.variance - 1);
  });
  Placed<T> dq(q, offset), dp(p, offset), dw(weight, offset);
  const T* const target = to_prior ? nullptr : dp.data();
  const auto got = result_of(unwritten<T>(weight.size()), offset, [&](T* y, On& on) {
    gaussian::divergence_rows<T>(dq.data(), target, grid.rows, grid.latent, y, on);
  });
  require_close(got, value, tolerance<T>(grid.latent), "divergence");
  const auto first = result_of(old, offset, [&](T* y, On& on) {
    gaussian::divergence_rows_gradient<T>(dq.data(), target, dw.data(), grid.rows, grid.latent, y,
                                          nullptr, on);
  });
  require_close(first, by_q, tolerance<T>(1), "gradient of divergence");
  if (to_prior) return;
  // Both at once; the result is the second.
  const auto second = result_of(old, offset, [&](T* y, On& on) {
    Placed<T> other(old, offset);
    gaussian::divergence_rows_gradient<T>(dq.data(), target, dw.data(), grid.rows, grid.latent,
                                          other.data(), y, on);
    REQUIRE(other.read(on) == first);
  });
  require_close(second, by_p, tolerance<T>(1), "gradient of the target");
}

template <class T>
void check_sample(const Grid& grid, std::size_t offset) {
  const auto q = normals<T>(grid.size(), 1), old = normals<T>(grid.size(), 2);
  const auto g = normals<T>(grid.size() / 2, 3);
  const Random random{4, 5, 6};
  const int first_row = 11;
  std::vector<double> value(g.size()), gradient(old.begin(), old.end());
  grid.each([&](std::size_t row, std::size_t m, std::size_t l, std::size_t i) {
    const Moments from = moments(q, m, l);
    const std::uint64_t element = (first_row + row) * static_cast<std::size_t>(grid.latent) + i -
                                  row * static_cast<std::size_t>(grid.latent);
    const double noise = std::sqrt(from.variance) * normal_of<T>(random, element);
    value[i] = from.mean + noise;
    gradient[m] += static_cast<double>(g[i]);
    gradient[l] -= 0.5 * noise * static_cast<double>(g[i]);
  });
  Placed<T> dq(q, offset), dg(g, offset);
  const auto z = result_of(unwritten<T>(g.size()), offset, [&](T* y, On& on) {
    gaussian::sample<T>(dq.data(), random, first_row, grid.rows, grid.latent, y, on);
  });
  require_close(z, value, tolerance<T>(1), "sample");
  Placed<T> dz(z, offset);
  const auto slope = result_of(old, offset, [&](T* y, On& on) {
    gaussian::sample_gradient<T>(dq.data(), dz.data(), dg.data(), grid.rows, grid.latent, y, on);
  });
  require_close(slope, gradient, tolerance<T>(1), "gradient of sample");
}

template <class T>
void check_log_mean_exp(int rows, int count, double scale, std::size_t offset) {
  INFO(rows << " rows of " << count << ", scale " << scale << ", offset " << offset);
  const auto n = static_cast<std::size_t>(rows), k = static_cast<std::size_t>(count);
  const auto x = normals<T>(n * k, 1, scale), weight = normals<T>(n, 2), old = normals<T>(n * k, 3);
  std::vector<double> value(n), gradient(old.begin(), old.end());
  for (std::size_t row = 0; row < n; ++row) {
    long double sum = 0;  // its range is enough without taking the largest out
    for (std::size_t i = 0; i < k; ++i) sum += std::exp(static_cast<long double>(x[row * k + i]));
    value[row] = static_cast<double>(std::log(sum / count));
    for (std::size_t i = 0; i < k; ++i)
      gradient[row * k + i] += static_cast<double>(
          weight[row] * std::exp(static_cast<long double>(x[row * k + i])) / sum);
  }
  Placed<T> dx(x, offset), dw(weight, offset);
  const auto got = result_of(unwritten<T>(n), offset, [&](T* y, On& on) {
    gaussian::log_mean_exp<T>(dx.data(), rows, count, y, on);
  });
  require_close(got, value, tolerance<T>(1), "log-mean-exp");
  Placed<T> dy(got, offset);
  const auto slope = result_of(old, offset, [&](T* y, On& on) {
    gaussian::log_mean_exp_gradient<T>(dx.data(), dy.data(), dw.data(), rows, count, y, on);
  });
  // The result is rounded relative to its size, and e is taken of it.
  require_close(slope, gradient, tolerance<T>(1) * (1 + scale), "gradient of log-mean-exp");
}

/// Every operation once; `turn` chooses among the variants.
template <class T>
void check_operations(const Grid& grid, int turn, std::size_t offset) {
  INFO(grid.rows << " rows, " << grid.latent << " dimensions, offset " << offset);
  check_link<T>(grid, {1e-6, turn % 2 == 1}, offset);
  check_product<T>(grid, 1 + turn % 5, turn % 2 == 1, turn % 4 >= 2, offset);
  check_divergence<T>(grid, turn % 2 == 1, offset);
  check_divergence<T>(grid, turn % 2 == 0, offset);
  check_sample<T>(grid, offset);
}

}  // namespace

TEMPLATE_TEST_CASE("single operations on a few rows", "[small]", float, double) {
  check_operations<TestType>({3, 20}, 2, 0);
  check_operations<TestType>({5, 33}, 3, 1);
  check_log_mean_exp<TestType>(3, 20, 1, 0);
  check_log_mean_exp<TestType>(2, 133, 1, 1);
}

TEMPLATE_TEST_CASE("single operations agree with the textbook", "", float, double) {
  int turn = 0;
  for (const int latent : latents) {
    check_operations<TestType>({turn % 2 == 0 ? 3 : 33, latent}, turn, turn % 3 == 2 ? 1 : 0);
    ++turn;
  }
  check_product<TestType>({5, 12}, 32, true, true, 0);
  check_sample<TestType>({1009, 20}, 0);
  check_divergence<TestType>({4001, 8}, false, 0);
}

TEMPLATE_TEST_CASE("a product of one factor is that factor, bit by bit", "", float, double) {
  const auto x = normals<TestType>(2 * 5 * 12, 1, 30);
  const OnDevice<TestType> factor(x);
  const TestType* const factors[] = {factor.data()};
  const auto got = result_of(unwritten<TestType>(x.size()), 0, [&](TestType* y, On& on) {
    gaussian::product<TestType>(factors, nullptr, false, 5, 12, y, on);
  });
  CHECK(got == x);
}

TEMPLATE_TEST_CASE("log-mean-exp of rows", "", float, double) {
  for (const int count : {1, 2, 3, 31, 32, 33, 64, 100, 1009})
    for (const double scale : {1.0, 300.0})
      check_log_mean_exp<TestType>(count < 64 ? 33 : 4, count, scale, count % 2 == 0 ? 0 : 1);
  check_log_mean_exp<TestType>(1, 4096, 1, 0);
  check_log_mean_exp<TestType>(1009, 4, 1, 1);
}

TEMPLATE_TEST_CASE("log-mean-exp of numbers that are not finite", "", float, double) {
  constexpr TestType inf = std::numeric_limits<TestType>::infinity();
  const std::vector<TestType> x{-inf, -inf, -inf, 0, -inf, std::log(TestType(2)),  //
                                -inf, inf,  inf,  1, inf,  2};
  const OnDevice<TestType> dx(x), weight(std::vector<TestType>(4, 3));
  const auto got = result_of(unwritten<TestType>(4), 0, [&](TestType* y, On& on) {
    gaussian::log_mean_exp<TestType>(dx.data(), 4, 3, y, on);
  });
  CHECK(got[0] == -inf);
  CHECK(got[1] == Approx(0).margin(1e-6));
  CHECK(got[2] == inf);
  CHECK(got[3] == inf);
  const OnDevice<TestType> dy(got);
  const auto slope = result_of(std::vector<TestType>(12, 1), 0, [&](TestType* y, On& on) {
    gaussian::log_mean_exp_gradient<TestType>(dx.data(), dy.data(), weight.data(), 4, 3, y, on);
  });
  const std::vector<double> want{1, 1, 1, 2, 1, 3, 1, 1, 1, 1, 1, 1};
  require_close(slope, want, tolerance<TestType>(1));
}
