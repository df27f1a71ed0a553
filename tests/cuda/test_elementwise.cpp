// SPDX-License-Identifier: MIT
// Elementwise kernels against their definitions in double: ragged sizes, arrays that begin
// anywhere.
#include <cmath>

#include <poe/ops/elementwise.hpp>

#include "placed.hpp"

namespace {

using poe::Sink;
using poe::test::normals;
using poe::test::require_close;
using tests::OnDevice;
using tests::Placed;
using tests::same_in_every_order;
using On = poe::Executor<poe::Cuda>;

// The last one has more 16-byte packs, and more numbers, than threads that run at one time.
const std::vector<std::size_t> sizes{1, 3, 4, 31, 32, 33, 100, 1009};
constexpr std::size_t large = 1'100'003;

/// Offsets of up to four arrays: all aligned, each of them not, none.
const std::vector<std::vector<std::size_t>> places{{0, 0, 0, 0}, {1, 0, 0, 0}, {0, 1, 0, 0},
                                                   {0, 0, 1, 0}, {0, 0, 0, 1}, {1, 1, 1, 1}};

/// A few units in the last place: the functions take up to four roundings.
template <class T>
double pointwise_tolerance() {
  return 8 * static_cast<double>(std::numeric_limits<T>::epsilon());
}

struct Relu {
  using Function = poe::ReluFunction;
  static double value(double x) { return std::fmax(x, 0); }
  static double slope(double x) { return x > 0 ? 1 : 0; }
};
struct Elu {
  using Function = poe::EluFunction;
  static double value(double x) { return x > 0 ? x : std::expm1(x); }
  static double slope(double x) { return x > 0 ? 1 : std::exp(x); }
};
struct Sigmoid {
  using Function = poe::SigmoidFunction;
  static double value(double x) { return 1 / (1 + std::exp(-x)); }
  static double slope(double x) { return std::exp(-x) / std::pow(1 + std::exp(-x), 2); }
};
struct Softplus {
  using Function = poe::SoftplusFunction;
  static double value(double x) { return std::log1p(std::exp(x)); }
  static double slope(double x) { return 1 / (1 + std::exp(-x)); }
};

template <class F, class T>
void check_function(std::size_t n, const std::vector<std::size_t>& place) {
  const auto x = normals<T>(n, 1, 3), dy = normals<T>(n, 2), old = normals<T>(n, 3);
  std::vector<T> y(n);
  std::vector<double> value(n), gradient(n), added(n);
  for (std::size_t i = 0; i < n; ++i) {
    const auto at = static_cast<double>(x[i]);
    value[i] = F::value(at);
    y[i] = static_cast<T>(value[i]);
    gradient[i] = static_cast<double>(dy[i]) * F::slope(at);
    added[i] = static_cast<double>(old[i]) + gradient[i];
  }
  On on;
  Placed<T> dx(x, place[0]), dyy(y, place[1]), ddy(dy, place[2]);
  const auto got = same_in_every_order([&] {
    Placed<T> result(n, place[3]);
    poe::map_values<typename F::Function>(n, dx.data(), result.data(), on);
    return result.read(on);
  });
  require_close(got, value, pointwise_tolerance<T>(), "value");
  const auto put = same_in_every_order([&] {
    Placed<T> result(n, place[3]);
    poe::map_gradient<typename F::Function>(n, dx.data(), dyy.data(), ddy.data(),
                                            Sink<T>{result.data(), false}, on);
    return result.read(on);
  });
  require_close(put, gradient, pointwise_tolerance<T>(), "gradient");
  const auto sum = same_in_every_order([&] {
    Placed<T> result(old, place[3]);
    poe::map_gradient<typename F::Function>(n, dx.data(), dyy.data(), ddy.data(),
                                            Sink<T>{result.data(), true}, on);
    return result.read(on);
  });
  require_close(sum, added, pointwise_tolerance<T>(), "gradient added");
}

}  // namespace

TEMPLATE_TEST_CASE("functions and their gradients", "", float, double) {
  for (const std::size_t n : sizes)
    for (const auto& place : places) {
      INFO(n << " numbers, offsets " << place[0] << place[1] << place[2] << place[3]);
      check_function<Relu, TestType>(n, place);
      check_function<Elu, TestType>(n, place);
      check_function<Sigmoid, TestType>(n, place);
      check_function<Softplus, TestType>(n, place);
    }
}

TEMPLATE_TEST_CASE("NaN stays NaN", "", float, double) {
  using T = TestType;
  On on;
  auto x = normals<T>(9, 1);
  x[0] = x[6] = std::numeric_limits<T>::quiet_NaN();
  const OnDevice<T> values(x);
  const auto check = [&]<class F>(F) {
    OnDevice<T> result(x.size());
    poe::map_values<F>(x.size(), values.data(), result.data(), on);
    const auto y = result.read(on);
    for (std::size_t i = 0; i < y.size(); ++i) REQUIRE(std::isnan(y[i]) == (i == 0 || i == 6));
  };
  check(poe::ReluFunction{});
  check(poe::EluFunction{});
  check(poe::SigmoidFunction{});
  check(poe::SoftplusFunction{});
}

TEMPLATE_TEST_CASE("a grid that is smaller than its array", "", float, double) {
  check_function<Relu, TestType>(large, {0, 0, 0, 0});
  check_function<Relu, TestType>(large, {0, 1, 0, 0});
}

TEMPLATE_TEST_CASE("sums and copies", "", float, double) {
  using T = TestType;
  On on;
  for (const std::size_t n : sizes)
    for (const auto& place : places) {
      INFO(n << " numbers, offsets " << place[0] << place[1] << place[2]);
      const auto a = normals<T>(n, 4), b = normals<T>(n, 5);
      std::vector<T> sum(n), more(n);
      for (std::size_t i = 0; i < n; ++i) sum[i] = a[i] + b[i], more[i] = a[i] + T(2.5);
      Placed<T> da(a, place[0]), db(b, place[1]);
      REQUIRE(same_in_every_order([&] {
                Placed<T> y(n, place[2]);
                poe::add_values(n, da.data(), db.data(), y.data(), on);
                return y.read(on);
              }) == sum);
      REQUIRE(same_in_every_order([&] {
                Placed<T> y(n, place[2]);
                poe::pass_on(n, da.data(), Sink<T>{y.data(), false}, on);
                return y.read(on);
              }) == a);
      REQUIRE(same_in_every_order([&] {
                Placed<T> y(b, place[2]);
                poe::pass_on(n, da.data(), Sink<T>{y.data(), true}, on);
                return y.read(on);
              }) == sum);
      REQUIRE(same_in_every_order([&] {
                Placed<T> y(a, place[2]);
                poe::add_number(n, T(2.5), y.data(), on);
                return y.read(on);
              }) == more);
      REQUIRE(same_in_every_order([&] {
                Placed<T> y(a, place[2]);
                poe::clear_values(n, y.data(), on);
                return y.read(on);
              }) == std::vector<T>(n));
      // In place.
      REQUIRE(same_in_every_order([&] {
                Placed<T> y(a, place[2]);
                poe::add_values(n, y.data(), db.data(), y.data(), on);
                return y.read(on);
              }) == sum);
    }
  // Nothing to do is no launch.
  poe::add_values<T>(0, nullptr, nullptr, nullptr, on);
  poe::pass_on<T>(0, nullptr, Sink<T>{}, on);
}

TEMPLATE_TEST_CASE("dropout draws the elements of its random sequence", "", float, double) {
  using T = TestType;
  On on;
  const OnDevice<std::uint32_t> step(std::vector<std::uint32_t>{7});
  const poe::Random random{.seed = 99, .stream = 5, .step = 3};
  for (const std::size_t n : {1U, 2U, 31U, 33U, 100U, 1009U, 1'100'003U})
    for (const std::uint64_t first : {0ULL, 1ULL, 2ULL, 3ULL, (1ULL << 34) + 5})
      for (const bool replay : {false, true}) {
        if (n > 2000 && first > 1) continue;
        INFO(n << " units from " << first << ", step from the device: " << replay);
        const double p = 0.3;
        const poe::Random used = replay ? random.at_step(7) : random;
        std::vector<T> want(n);
        for (std::size_t i = 0; i < n; ++i) {
          const double u = (used.bits(first + i) + 0.5) / 4294967296.0;
          want[i] = static_cast<T>(u) < static_cast<T>(p) ? T(0) : static_cast<T>(1 / (1 - p));
        }
        on.step = replay ? step.data() : nullptr;
        REQUIRE(same_in_every_order([&] {
                  Placed<T> factors(n, 1);
                  poe::draw_dropout(poe::DropoutDraw{random, first, p}, n, factors.data(), on);
                  return factors.read(on);
                }) == want);
      }
}

TEMPLATE_TEST_CASE("units of a sample times their factors", "", float, double) {
  using T = TestType;
  On on;
  struct Shape {
    int rows, size, units;
  };
  // Units that divide the size, and not; more rows than a grid has; rows of several blocks.
  for (const Shape s : {Shape{1, 1, 1},
                        {3, 12, 4},
                        {3, 8, 2},
                        {5, 31, 31},
                        {33, 100, 100},
                        {7, 9 * 32, 32},
                        {2, 1200, 1200},
                        {4, 10, 3},
                        {2200, 131, 131},
                        {2200, 516, 4}})
    for (const auto& place : places) {
      // Long ones at two places only.
      if (s.rows > 1000 && place[1] + place[2] + place[3] > 0) continue;
      INFO(s.rows << " x " << s.size << ", " << s.units << " units, offsets " << place[0]
                  << place[1] << place[2]);
      const auto rows = static_cast<std::size_t>(s.rows), wide = static_cast<std::size_t>(s.size),
                 narrow = static_cast<std::size_t>(s.units);
      const auto factors = normals<T>(rows * narrow, 6), from = normals<T>(rows * wide, 7),
                 old = normals<T>(rows * wide, 8);
      std::vector<double> put(rows * wide), added(rows * wide);
      for (std::size_t e = 0; e < put.size(); ++e) {
        put[e] = static_cast<double>(from[e]) *
                 static_cast<double>(factors[e / wide * narrow + e % wide % narrow]);
        added[e] = static_cast<double>(old[e]) + put[e];
      }
      Placed<T> f(factors, place[0]), x(from, place[1]);
      for (const bool accumulate : {false, true}) {
        const auto got = same_in_every_order([&] {
          Placed<T> y = accumulate ? Placed<T>(old, place[2]) : Placed<T>(rows * wide, place[2]);
          poe::scale_units(s.rows, s.size, s.units, f.data(), x.data(),
                           Sink<T>{y.data(), accumulate}, on);
          return y.read(on);
        });
        require_close(got, accumulate ? added : put, pointwise_tolerance<T>());
      }
    }
}

TEMPLATE_TEST_CASE("small arrays", "[small]", float, double) {
  for (const std::size_t n : {1U, 33U, 700U}) {
    check_function<Elu, TestType>(n, {0, 0, 0, 0});
    check_function<Elu, TestType>(n, {1, 1, 1, 1});
  }
  On on;
  const OnDevice<TestType> factors(std::vector<TestType>{2, 3, 4}),
      from(std::vector<TestType>{1, 10, 100, 1000, 10000, 100000});
  OnDevice<TestType> to(6), drawn(5);
  poe::scale_units(1, 6, 3, factors.data(), from.data(), Sink<TestType>{to.data(), false}, on);
  REQUIRE(to.read(on) == std::vector<TestType>{2, 30, 400, 2000, 30000, 400000});
  poe::draw_dropout(poe::DropoutDraw{{}, 3, 0.0}, 5, drawn.data(), on);
  REQUIRE(drawn.read(on) == std::vector<TestType>(5, 1));
}
