// SPDX-License-Identifier: MIT
// Randomness as a function: Philox4x32-10 keyed by (seed, stream, step, element).
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include <poe/core/config.hpp>

namespace poe {

/// Four 32-bit words: a Philox counter, or the block of random bits made from it.
struct Words {
  std::uint32_t x, y, z, w;
  friend constexpr bool operator==(const Words&, const Words&) = default;
};

/// Philox4x32 with ten rounds (Salmon et al., SC 2011): a bijection of the 128-bit counter chosen
/// by a 64-bit key; its outputs pass the usual batteries of tests for random bits.
POE_HD constexpr Words philox4x32(Words counter, std::uint32_t key0, std::uint32_t key1) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t a = std::uint64_t{0xD2511F53U} * counter.x;
    const std::uint64_t b = std::uint64_t{0xCD9E8D57U} * counter.z;
    counter = {
        static_cast<std::uint32_t>(b >> 32) ^ counter.y ^ key0, static_cast<std::uint32_t>(b),
        static_cast<std::uint32_t>(a >> 32) ^ counter.w ^ key1, static_cast<std::uint32_t>(a)};
    key0 += 0x9E3779B9U;
    key1 += 0xBB67AE85U;
  }
  return counter;
}

/// A source of random numbers that has no state: element `i` of step `step` of stream `stream` is
/// always the same number, on every device, at every thread count and in a resumed run.
struct Random {
  std::uint64_t seed = 0;
  std::uint32_t stream = 0;
  std::uint32_t step = 0;

  /// The same source, another stream (one per purpose: initialisation, shuffling, each sampled
  /// term).
  POE_HD constexpr Random with_stream(std::uint32_t s) const { return {seed, s, step}; }
  POE_HD constexpr Random at_step(std::uint32_t s) const { return {seed, stream, s}; }

  /// Block b holds elements 4b .. 4b+3. Counter = (low word of b, high word of b, step, stream),
  /// key = (low word, high word of the seed).
  POE_HD constexpr Words block(std::uint64_t b) const {
    return philox4x32(
        {static_cast<std::uint32_t>(b), static_cast<std::uint32_t>(b >> 32), step, stream},
        static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32));
  }

  /// The 32 random bits of one element.
  POE_HD constexpr std::uint32_t bits(std::uint64_t element) const {
    const Words r = block(element / 4);
    const std::uint32_t word[4] = {r.x, r.y, r.z, r.w};
    return word[element % 4];
  }

  /// Uniform on (0, 1): (bits + 1/2) / 2^32 in double, rounded to T (so float may give 1, never 0).
  template <class T>
  POE_HD constexpr T uniform(std::uint64_t element) const {
    return to_unit<T>(bits(element));
  }

  /// Uniform integer in [0, n), by multiplication (Lemire); the bias of at most n / 2^32 is below
  /// what any data set here can show.
  POE_HD constexpr std::uint32_t below(std::uint32_t n, std::uint64_t element) const {
    return static_cast<std::uint32_t>((std::uint64_t{bits(element)} * n) >> 32);
  }

  /// Elements 4b .. 4b+3 of a standard normal sequence: Box-Muller on words (x, y) and (z, w),
  /// the cosine first.
  template <class T>
  POE_HD void normal4(std::uint64_t b, T* out) const {
    const Words r = block(b);
    box_muller(r.x, r.y, out);
    box_muller(r.z, r.w, out + 2);
  }

  /// Standard normal number of one element.
  template <class T>
  POE_HD T normal(std::uint64_t element) const {
    T four[4];
    normal4(element / 4, four);
    return four[element % 4];
  }

 private:
  template <class T>
  POE_HD static constexpr T to_unit(std::uint32_t word) {
    return static_cast<T>((static_cast<double>(word) + 0.5) * (1.0 / 4294967296.0));
  }
  template <class T>
  POE_HD static void box_muller(std::uint32_t a, std::uint32_t b, T* out) {
    const T radius = std::sqrt(T(-2) * std::log(to_unit<T>(a)));
    const T angle = T(6.283185307179586476925) * to_unit<T>(b);
    out[0] = radius * std::cos(angle);
    out[1] = radius * std::sin(angle);
  }
};

/// Fills `out` with elements first, first + 1, ... of a standard normal sequence.
template <class T>
void fill_normal(const Random& random, std::uint64_t first, std::span<T> out) {
  T four[4];
  for (std::size_t i = 0; i < out.size();) {
    const std::uint64_t element = first + i;
    random.normal4(element / 4, four);
    for (std::uint64_t k = element % 4; k < 4 && i < out.size(); ++k) out[i++] = four[k];
  }
}

/// A permutation of 0 .. n-1 (Fisher-Yates) that is a function of the source alone.
inline std::vector<std::uint32_t> permutation(std::uint32_t n, Random random) {
  std::vector<std::uint32_t> p(n);
  std::iota(p.begin(), p.end(), 0U);
  for (std::uint32_t i = n; i > 1; --i) std::swap(p[i - 1], p[random.below(i, i - 1)]);
  return p;
}

}  // namespace poe
