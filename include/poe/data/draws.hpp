// SPDX-License-Identifier: MIT
// Random numbers one after the other, for generators that draw pictures and write sentences.
#pragma once

#include <poe/core/random.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numbers>

namespace poe::detail {

/// Random numbers one after the other, from one element of the source on. Each takes a block (four
/// elements): the words of a normal number must not serve a uniform one too.
class Draws {
 public:
  Draws(const Random& random, std::uint64_t first) : random_(random), next_(first) {}
  double uniform(double low, double high) {
    return low + (high - low) * random_.uniform<double>(take());
  }
  bool chance(double probability) { return uniform(0, 1) < probability; }
  /// 0 .. n-1.
  std::size_t below(std::size_t n) { return random_.below(static_cast<std::uint32_t>(n), take()); }
  double angle() { return uniform(0, 2 * std::numbers::pi); }
  /// Normal, cut at 2.2 standard deviations: no hand is stranger than that.
  double normal(double mean, double deviation) {
    return mean + deviation * std::clamp(random_.normal<double>(take()), -2.2, 2.2);
  }

 private:
  std::uint64_t take() {
    next_ += 4;
    return next_ - 4;
  }

  Random random_;
  std::uint64_t next_;
};

}  // namespace poe::detail
