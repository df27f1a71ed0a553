// SPDX-License-Identifier: MIT
// Shape<...>: the extents of one sample, as a type. The batch is the only run-time extent.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <type_traits>

namespace poe {

/// Extents of one sample: Shape<64> is a vector, Shape<1, 14, 28> an image (channels, height,
/// width). Images are stored channels-last: element (c, h, w) lies at (h * W + w) * C + c.
template <int... Extent>
struct Shape {
  static_assert(((Extent > 0) && ...), "poe: a Shape has positive extents only");
  static constexpr int rank = sizeof...(Extent);
  static constexpr int size = (1 * ... * Extent);
  static constexpr std::array<int, sizeof...(Extent)> extents{Extent...};
};

/// One number per sample.
using Scalar = Shape<>;

/// "(1, 14, 28)", for messages.
template <int... Extent>
std::string to_string(Shape<Extent...>) {
  std::string text = "(";
  ((text += (text.size() > 1 ? ", " : "") + std::to_string(Extent)), ...);
  return text + ")";
}

template <class S>
struct IsImage : std::false_type {};
template <int C, int H, int W>
struct IsImage<Shape<C, H, W>> : std::true_type {};
/// True for Shape<C, H, W>.
template <class S>
inline constexpr bool is_image = IsImage<S>::value;

/// The names of an image shape's extents.
template <class S>
struct ImageOf;
template <int C, int H, int W>
struct ImageOf<Shape<C, H, W>> {
  static constexpr int channels = C, height = H, width = W, pixels = H * W;
};

}  // namespace poe
