// SPDX-License-Identifier: MIT
// A set of shapes that the tests of them look at.
#pragma once

#include <poe/data/shapes.hpp>

#include <array>
#include <span>

namespace poe::test {

constexpr std::size_t image_bytes = 64 * 64 * 3;

/// One set for all tests that only look.
inline const ShapeSet& shapes() {
  static const ShapeSet set = make_shapes(900, {11, 0, 0});
  return set;
}
inline std::span<const std::uint8_t> picture(const ShapeSet& set, std::size_t i) {
  return std::span(set.pixels).subspan(i * image_bytes, image_bytes);
}
inline std::array<int, 5> values(const ShapeAttributes& a) {
  return {a.kind, a.color, a.size, a.pattern, a.background};
}

}  // namespace poe::test
