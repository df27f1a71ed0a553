// SPDX-License-Identifier: MIT
// Elementary functions against the standard library in long double, over the whole range of floats.
#include "support.hpp"

#include <poe/core/math.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

namespace {

namespace math = poe::math;

template <class T>
constexpr T inf = std::numeric_limits<T>::infinity();
template <class T>
constexpr T not_a_number = std::numeric_limits<T>::quiet_NaN();
template <class T>
constexpr T tiny = std::numeric_limits<T>::min();

/// Numbers whose bit patterns lie evenly between those of a and b, 0 <= a < b: all exponents get
/// the same share, and the ends are among them.
template <class T, class F>
void for_bit_patterns(T a, T b, F&& f) {
  using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
  const Bits first = std::bit_cast<Bits>(a), last = std::bit_cast<Bits>(b);
  const Bits step = std::max<Bits>(1, (last - first) / 200'003);
  for (Bits bits = first; bits < last && bits >= first; bits += step) f(std::bit_cast<T>(bits));
  f(b);
}

/// The largest |f(x) / reference(x) - 1| in units of epsilon, for x from a to b and, with
/// `both_signs`, from -b to -a.
template <class T, class F, class R>
double worst_error(T a, T b, bool both_signs, F&& f, R&& reference) {
  double worst = 0;
  T at = 0;
  const auto look = [&](T x) {
    const auto want = static_cast<long double>(reference(static_cast<long double>(x)));
    const auto got = static_cast<long double>(f(x));
    const auto relative = want == 0 ? std::abs(got) : std::abs(got - want) / std::abs(want);
    const auto units = static_cast<double>(relative / std::numeric_limits<T>::epsilon());
    if (!(units <= worst)) worst = units, at = x;
  };
  for_bit_patterns(a, b, look);
  if (both_signs) for_bit_patterns(a, b, [&](T x) { look(-x); });
  UNSCOPED_INFO("worst at " << at);
  return worst;
}

long double softplus(long double x) {
  return std::max(x, 0.0L) + std::log1p(std::exp(-std::abs(x)));
}
long double sigmoid(long double x) {
  return x >= 0 ? 1 / (1 + std::exp(-x)) : std::exp(x) / (1 + std::exp(x));
}

/// Beyond +-edge the exponential of T leaves the range of normal numbers.
template <class T>
constexpr T edge = std::is_same_v<T, float> ? T(87.3) : T(708.3);

}  // namespace

TEMPLATE_TEST_CASE("exp and log are exact to two units in the last place", "", float, double) {
  using T = TestType;
  const auto exp = [](T x) { return math::exp(x); };
  const auto log = [](T x) { return math::log(x); };
  CHECK(worst_error<T>(0, edge<T>, true, exp, [](auto x) { return std::exp(x); }) <= 2);
  CHECK(worst_error<T>(tiny<T>, std::numeric_limits<T>::max(), false, log,
                       [](auto x) { return std::log(x); }) <= 2);
  // Around 1 the logarithm is small, and its relative error must stay small too.
  CHECK(worst_error<T>(T(0.5), T(2), false, log, [](auto x) { return std::log(x); }) <= 2);
}

TEST_CASE("exp in float is exact up to the largest float and infinite above") {
  const auto exp = [](float x) { return math::exp(x); };
  CHECK(worst_error<float>(80.0F, 88.72283F, false, exp, [](auto x) { return std::exp(x); }) <= 2);
  CHECK(math::exp(std::nextafter(88.72283F, 100.0F)) == inf<float>);
  CHECK(math::exp(-87.31F) == 0);
  CHECK(math::exp(-std::numeric_limits<float>::max()) == 0);
}

TEMPLATE_TEST_CASE("exp and log of special numbers", "", float, double) {
  using T = TestType;
  for (const T zero : {T(0), -T(0), std::numeric_limits<T>::denorm_min(), -tiny<T>})
    CHECK(math::exp(zero) == 1);
  CHECK(math::exp(inf<T>) == inf<T>);
  CHECK(math::exp(std::numeric_limits<T>::max()) == inf<T>);
  CHECK(math::exp(-inf<T>) == 0);
  CHECK(std::isnan(math::exp(not_a_number<T>)));
  CHECK(std::isnan(math::exp(-not_a_number<T>)));
  CHECK(math::log(T(1)) == 0);
  CHECK(math::log(T(0)) == -inf<T>);
  CHECK(math::log(-T(0)) == -inf<T>);
  CHECK(math::log(inf<T>) == inf<T>);
  for (const T bad : {not_a_number<T>, -not_a_number<T>, T(-1), -tiny<T>, -inf<T>})
    CHECK(std::isnan(math::log(bad)));
}

TEST_CASE("log in float takes denormals for the smallest normal number") {
  CHECK(math::log(std::numeric_limits<float>::denorm_min()) == math::log(tiny<float>));
  CHECK(math::log(0.9F * tiny<float>) == math::log(tiny<float>));
}

TEMPLATE_TEST_CASE("log1p, softplus and sigmoid keep their relative accuracy", "", float, double) {
  using T = TestType;
  CHECK(worst_error<T>(
            0, std::numeric_limits<T>::max(), false, [](T x) { return math::log1p(x); },
            [](auto x) { return std::log1p(x); }) <= 3);
  // Each is an exponential, a sum and a logarithm or a quotient, within two units each.
  CHECK(worst_error<T>(
            0, edge<T>, true, [](T x) { return math::softplus(x); }, softplus) <= 4);
  CHECK(worst_error<T>(
            0, edge<T>, true, [](T x) { return math::sigmoid(x); }, sigmoid) <= 4);
}

TEMPLATE_TEST_CASE("softplus and sigmoid do not overflow and pass NaN on", "", float, double) {
  using T = TestType;
  for (const T large : {2 * edge<T>, T(1e13), std::numeric_limits<T>::max(), inf<T>}) {
    CHECK(math::softplus(large) == large);
    CHECK(math::softplus(-large) == 0);
    CHECK(math::sigmoid(large) == 1);
    CHECK(math::sigmoid(-large) == 0);
  }
  CHECK(math::sigmoid(T(0)) == T(0.5));
  CHECK(std::isnan(math::softplus(not_a_number<T>)));
  CHECK(std::isnan(math::sigmoid(not_a_number<T>)));
  CHECK(std::isnan(math::log1p(not_a_number<T>)));
  CHECK(math::log1p(T(0)) == 0);
}

TEMPLATE_TEST_CASE("cosine and sine of turns are exact to two units of 1", "", float, double) {
  using T = TestType;
  const long double turn = 2 * std::acos(-1.0L);
  long double worst = 0;
  const auto look = [&](T u) {
    T c = 0, s = 0;
    math::cos_sin_turns(u, c, s);
    const auto angle = turn * static_cast<long double>(u);
    worst = std::max({worst, std::abs(static_cast<long double>(c) - std::cos(angle)),
                      std::abs(static_cast<long double>(s) - std::sin(angle))});
  };
  for (int i = 0; i <= 100'000; ++i) look(static_cast<T>(i) / 100'000);
  for (const T eighth : {T(0.125), T(0.375), T(0.625), T(0.875), T(0.25), T(0.5), T(0.75), T(1)})
    look(std::nextafter(eighth, T(0))), look(eighth);
  for_bit_patterns(T(0), T(1), look);
  // In double the angle itself is rounded, by half a unit of 2 pi.
  CHECK(static_cast<double>(worst / std::numeric_limits<T>::epsilon()) <= 4);
}

TEMPLATE_TEST_CASE("max, abs, sqrt and the constants", "", float, double) {
  using T = TestType;
  CHECK(math::max(T(2), T(3)) == 3);
  CHECK(math::max(T(-2), T(-3)) == -2);
  CHECK(math::abs(T(-2)) == 2);
  CHECK(math::abs(T(2)) == 2);
  CHECK(math::sqrt(T(9)) == 3);
  CHECK(math::half_log_two_pi<T> == static_cast<T>(0.5L * std::log(2 * std::acos(-1.0L))));
}
