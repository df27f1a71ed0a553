// SPDX-License-Identifier: MIT
// Randomness as a function: Philox4x32-10 keyed by (seed, stream, step, element).
#pragma once

#include <array>
#include <cstdint>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include <poe/core/config.hpp>
#include <poe/core/math.hpp>

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

  /// Elements 4b .. 4b+3 of the same sequence: for whoever wants all of them.
  template <class T>
  POE_HD void uniform_block(std::uint64_t b, T* out) const {
    const Words r = block(b);
    out[0] = to_unit<T>(r.x);
    out[1] = to_unit<T>(r.y);
    out[2] = to_unit<T>(r.z);
    out[3] = to_unit<T>(r.w);
  }

  /// Uniform integer in [0, n), by multiplication (Lemire); the bias of at most n / 2^32 is below
  /// what any data set here can show.
  POE_HD constexpr std::uint32_t below(std::uint32_t n, std::uint64_t element) const {
    return static_cast<std::uint32_t>((std::uint64_t{bits(element)} * n) >> 32);
  }

  /// Elements 64g .. 64g+63 of a standard normal sequence: Box-Muller on words (x, y) and (z, w) of
  /// each block, the cosine first. In groups, so that the arithmetic vectorises; every caller gets
  /// the same bits.
  template <class T>
  POE_HD void normal_group(std::uint64_t g, T* out) const {
    T a[32], b[32];
    for (int i = 0; i < 16; ++i) {
      const Words r = block(16 * g + static_cast<std::uint64_t>(i));
      a[2 * i] = to_unit<T>(r.x);
      b[2 * i] = to_unit<T>(r.y);
      a[2 * i + 1] = to_unit<T>(r.z);
      b[2 * i + 1] = to_unit<T>(r.w);
    }
    T c[32], s[32];
    for (int i = 0; i < 32; ++i) {
      const T radius = math::sqrt(T(-2) * math::log(a[i]));
      math::cos_sin_turns(b[i], c[i], s[i]);
      c[i] *= radius;
      s[i] *= radius;
    }
    for (int i = 0; i < 32; ++i) out[2 * i] = c[i], out[2 * i + 1] = s[i];
  }

  /// Elements 4b .. 4b+3 of the same sequence: for a thread that owns four of them.
  template <class T>
  POE_HD void normal_block(std::uint64_t b, T* out) const {
    const Words r = block(b);
    box_muller(r.x, r.y, out[0], out[1]);
    box_muller(r.z, r.w, out[2], out[3]);
  }
  /// Elements 2p and 2p+1.
  template <class T>
  POE_HD void normal_pair(std::uint64_t p, T& first, T& second) const {
    const Words r = block(p / 2);
    const bool odd = p % 2 != 0;
    box_muller(odd ? r.z : r.x, odd ? r.w : r.y, first, second);
  }

  /// Standard normal number of one element.
  template <class T>
  POE_HD T normal(std::uint64_t element) const {
    T group[64];
    normal_group(element / 64, group);
    return group[element % 64];
  }

 private:
  /// (word + 1/2) / 2^32, rounded once. In float without double, which costs a GPU most: 2 word + 1
  /// has at most 32 bits, or what it has beyond the 24 of a float needs one bit to be told from a
  /// tie.
  template <class T>
  POE_HD static constexpr T to_unit(std::uint32_t word) {
    if constexpr (sizeof(T) == sizeof(float)) {
      const bool large = (word >> 31U) != 0;
      return static_cast<float>(large ? word | 1U : 2 * word + 1) * (large ? 0x1p-32F : 0x1p-33F);
    } else {
      return static_cast<T>((static_cast<double>(word) + 0.5) * (1.0 / 4294967296.0));
    }
  }
  template <class T>
  POE_HD static void box_muller(std::uint32_t x, std::uint32_t y, T& first, T& second) {
    const T square = T(-2) * math::log(to_unit<T>(x));
#if defined(__CUDA_ARCH__)
    // As exact as below, without branches or, in double, local memory.
    T radius;
    if constexpr (sizeof(T) == sizeof(float)) {
      radius = square * ::rsqrtf(::fmaxf(square, 1e-30F));
      math::cos_sin_turns(to_unit<T>(y), first, second);
    } else {
      radius = math::sqrt(square);
      ::sincospi(2 * to_unit<T>(y), &second, &first);
    }
#else
    const T radius = math::sqrt(square);
    math::cos_sin_turns(to_unit<T>(y), first, second);
#endif
    first *= radius;
    second *= radius;
  }
};

/// Fills `out` with elements first, first + 1, ... of a standard normal sequence.
template <class T>
void fill_normal(const Random& random, std::uint64_t first, std::span<T> out) {
  T group[64];
  for (std::size_t i = 0; i < out.size();) {
    const std::uint64_t element = first + i;
    random.normal_group(element / 64, group);
    for (std::uint64_t k = element % 64; k < 64 && i < out.size(); ++k) out[i++] = group[k];
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
