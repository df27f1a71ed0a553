// SPDX-License-Identifier: MIT
// Random numbers: published vectors, a second implementation, distributions, and the identities
// that make them a function of (seed, stream, step, element).
#include "support.hpp"

#include <poe/core/random.hpp>
#include <poe/io/safetensors.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <vector>

namespace {

using poe::Random;
using poe::Words;

/// Standard errors by which a statistic of fixed seeds may miss its expectation.
constexpr double sigmas = 5;

double mean(const std::vector<double>& x) {
  double sum = 0;
  for (const double v : x) sum += v;
  return sum / static_cast<double>(x.size());
}

/// sqrt(n) times the largest distance of the empirical distribution from `cdf`: above 2.5 with
/// probability 8e-6 if the distribution is right.
template <class F>
double kolmogorov_smirnov(std::vector<double> x, F&& cdf) {
  std::sort(x.begin(), x.end());
  const auto n = static_cast<double>(x.size());
  double worst = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double f = cdf(x[i]);
    worst = std::max({worst, f - static_cast<double>(i) / n, static_cast<double>(i + 1) / n - f});
  }
  return std::sqrt(n) * worst;
}

double normal_cdf(double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); }

/// sqrt(n) times the correlation of two standard normal sequences: N(0, 1) if they are independent.
double correlation(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum / std::sqrt(static_cast<double>(a.size()));
}

std::vector<double> normals_of(const Random& random, std::size_t n) {
  std::vector<double> x(n);
  poe::fill_normal<double>(random, 0, x);
  return x;
}

}  // namespace

TEST_CASE("Philox4x32-10 gives the known answers of Random123") {
  constexpr std::uint32_t ones = 0xffffffff;
  CHECK(poe::philox4x32({0, 0, 0, 0}, 0, 0) ==
        Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  CHECK(poe::philox4x32({ones, ones, ones, ones}, ones, ones) ==
        Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(poe::philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, 0xa4093822, 0x299f31d0) ==
        Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("the counter is (low, high word of the block, step, stream), the key the seed") {
  constexpr Random random{.seed = 0x0123456789abcdef, .stream = 77, .step = 5};
  constexpr std::uint64_t block = 0x0000000300000002;
  constexpr Words want = poe::philox4x32({2, 3, 5, 77}, 0x89abcdef, 0x01234567);
  static_assert(random.block(block) == want);
  CHECK(random.bits(4 * block) == want.x);
  CHECK(random.bits(4 * block + 1) == want.y);
  CHECK(random.bits(4 * block + 2) == want.z);
  CHECK(random.bits(4 * block + 3) == want.w);
  CHECK(random.with_stream(6).at_step(9).block(1) ==
        poe::philox4x32({1, 0, 9, 6}, 0x89abcdef, 0x01234567));
}

TEST_CASE("normal numbers are those of the implementation in Python") {
  const auto file = poe::SafetensorsFile::open(POE_TESTS_DIR "/vectors/layers.safetensors");
  // The first array that layers.py draws: stream 1 of seed 11, rounded to float.
  const auto want = file.read<double>("conv0.x");
  std::vector<double> got(want.size());
  for (std::size_t i = 0; i < got.size(); ++i)
    got[i] = static_cast<double>(static_cast<float>(Random{11, 1, 0}.normal<double>(i)));
  poe::test::require_close(got, want, poe::test::sum_tolerance<float>(1));
}

TEST_CASE("a uniform number is (bits + 1/2) / 2^32") {
  const Random random{.seed = 6};
  for (std::uint64_t i = 0; i < 1000; ++i) {
    const double want = std::ldexp(random.bits(i) + 0.5, -32);
    REQUIRE(random.uniform<double>(i) == want);
    REQUIRE(random.uniform<float>(i) == static_cast<float>(want));
  }
}

TEMPLATE_TEST_CASE("uniform numbers are uniform and never 0", "", float, double) {
  std::vector<double> x(1 << 17);
  for (std::size_t i = 0; i < x.size(); ++i) {
    x[i] = static_cast<double>(Random{3, 1, 4}.uniform<TestType>(i));
    REQUIRE(x[i] > 0);
    REQUIRE(x[i] <= 1);
  }
  CHECK(kolmogorov_smirnov(x, [](double v) { return v; }) < 2.5);
  CHECK(std::abs(mean(x) - 0.5) < sigmas / std::sqrt(12.0 * static_cast<double>(x.size())));
}

TEMPLATE_TEST_CASE("normal numbers have the moments and the distribution of N(0, 1)", "", float,
                   double) {
  std::vector<TestType> samples(1 << 18);
  poe::fill_normal<TestType>(Random{9, 2, 6}, 0, samples);
  const std::vector<double> x(samples.begin(), samples.end());
  CHECK(kolmogorov_smirnov(x, normal_cdf) < 2.5);
  // E x^k and the variance of x^k, which is E x^2k - (E x^k)^2.
  const double moments[][3] = {{1, 0, 1}, {2, 1, 2}, {3, 0, 15}, {4, 3, 96}, {6, 15, 10170}};
  for (const auto& [power, expected, variance] : moments) {
    std::vector<double> powers = x;
    for (double& v : powers) v = std::pow(v, power);
    INFO("moment " << power);
    CHECK(std::abs(mean(powers) - expected) <
          sigmas * std::sqrt(variance / static_cast<double>(x.size())));
  }
}

TEST_CASE("normal numbers in float are those in double, rounded on the way") {
  constexpr std::size_t n = 1 << 18;
  std::vector<float> x(n);
  std::vector<double> want(n);
  poe::fill_normal<float>(Random{4, 4, 4}, 0, x);
  poe::fill_normal<double>(Random{4, 4, 4}, 0, want);
  double worst = 0;
  for (std::size_t i = 0; i < n; i += 2) {
    // A pair is radius * (cos, sin), radius = sqrt(-2 log u). A relative error e of u and of each
    // function changes the radius by e / radius and each factor by e.
    const double radius = std::hypot(want[i], want[i + 1]);
    for (const std::size_t k : {i, i + 1})
      worst =
          std::max(worst, std::abs(static_cast<double>(x[k]) - want[k]) / (radius + 1 / radius));
  }
  CHECK(worst <= 4 * static_cast<double>(std::numeric_limits<float>::epsilon()));
}

TEST_CASE("neighbours, streams, steps and seeds are uncorrelated") {
  constexpr std::size_t n = 1 << 16;
  const Random random{.seed = 1, .stream = 2, .step = 3};
  const std::vector<double> x = normals_of(random, n);
  for (const std::size_t lag : {1U, 2U, 3U, 4U}) {
    std::vector<double> shifted(n);
    poe::fill_normal<double>(random, lag, shifted);
    CHECK(std::abs(correlation(x, shifted)) < sigmas);
  }
  const Random others[] = {random.with_stream(3),
                           random.with_stream(2 + (1U << 16)),
                           random.at_step(4),
                           random.at_step(2).with_stream(3),
                           {2, 2, 3},
                           {1 + (std::uint64_t{1} << 32), 2, 3}};
  for (const Random& other : others) CHECK(std::abs(correlation(x, normals_of(other, n))) < sigmas);
}

TEMPLATE_TEST_CASE("fill_normal gives the same elements at any offset and length", "", float,
                   double) {
  const Random choose{.seed = 5};
  for (std::uint32_t trial = 0; trial < 200; ++trial) {
    const Random random{.seed = trial, .stream = 3, .step = trial};
    const std::uint64_t far = trial % 2 == 0 ? 0 : std::uint64_t{choose.bits(3 * trial)} << 6;
    const std::uint64_t first = far + choose.below(150, 3 * trial + 1);
    std::vector<TestType> out(choose.below(200, 3 * trial + 2));
    poe::fill_normal<TestType>(random, first, out);
    for (std::size_t i = 0; i < out.size(); ++i)
      REQUIRE(out[i] == random.normal<TestType>(first + i));
  }
}

TEST_CASE("integers below n are in range and equally frequent") {
  const Random random{.seed = 8};
  for (const std::uint32_t n : {1U, 2U, 7U, 10U, 1000U}) {
    const std::uint32_t draws = 1000 * n;
    std::vector<double> counts(n);
    for (std::uint32_t i = 0; i < draws; ++i) {
      const std::uint32_t k = random.below(n, i);
      REQUIRE(k < n);
      ++counts[k];
    }
    double chi_square = 0;  // n - 1 degrees of freedom: mean n - 1, variance 2 (n - 1)
    for (const double c : counts) chi_square += (c - 1000) * (c - 1000) / 1000;
    CHECK(chi_square <= n - 1 + sigmas * std::sqrt(2.0 * n));
  }
  CHECK(random.below(0xffffffff, 3) < 0xffffffff);
}

TEST_CASE("a permutation contains every number once and depends on the source alone") {
  for (const std::uint32_t n : {0U, 1U, 2U, 3U, 17U, 1000U, 60000U}) {
    auto p = poe::permutation(n, {.seed = n});
    CHECK(p == poe::permutation(n, {.seed = n}));
    if (n > 10) CHECK(p != poe::permutation(n, {.seed = n, .step = 1}));
    std::sort(p.begin(), p.end());
    for (std::uint32_t i = 0; i < n; ++i) REQUIRE(p[i] == i);
    CHECK(p.size() == n);
  }
}

TEST_CASE("all permutations of four numbers are equally frequent") {
  constexpr std::uint32_t draws = 24 * 500;
  std::map<std::vector<std::uint32_t>, double> counts;
  for (std::uint32_t step = 0; step < draws; ++step)
    ++counts[poe::permutation(4, {.seed = 12, .step = step})];
  CHECK(counts.size() == 24);
  double chi_square = 0;  // 23 degrees of freedom: above 64 with probability 1e-5
  for (const auto& [p, c] : counts) chi_square += (c - 500) * (c - 500) / 500;
  CHECK(chi_square < 64);
}
