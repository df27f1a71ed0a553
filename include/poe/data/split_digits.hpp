// SPDX-License-Identifier: MIT
// MNIST-Split: the halves, or the thirds, of a digit as modalities.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "poe/core/arena.hpp"
#include "poe/core/error.hpp"
#include "poe/core/shape.hpp"
#include "poe/core/tensor.hpp"
#include "poe/data/digit_set.hpp"

namespace poe {

namespace detail {
template <int Parts>
inline constexpr std::array<const char*, Parts> split_names{};
template <>
inline constexpr std::array<const char*, 2> split_names<2>{"top", "bottom"};
template <>
inline constexpr std::array<const char*, 3> split_names<3>{"top", "middle", "bottom"};
}  // namespace detail

/// Digits cut into `Parts` strips of equal height, from the top:
///   2  top: image rows 0 to 13; bottom: 14 to 27
///   3  top: image rows 0 to 8; middle: 9 to 17; bottom: 18 to 26; row 27 is in none
template <int Parts>
struct SplitDigits {
  static_assert(Parts == 2 || Parts == 3, "poe: SplitDigits has halves or thirds");
  static constexpr int count = Parts, height = 28 / Parts;
  static constexpr std::array<const char*, Parts> names = detail::split_names<Parts>;
  using Part = Shape<1, height, 28>;

  int rows = 0;
  std::array<Buffer<float>, Parts> parts;  ///< (rows, height, 28), grey values in [0, 1]
  std::vector<std::uint8_t> labels;        ///< (rows), 0 to 9

  View<float, Part> part(int i) const { return {parts[static_cast<std::size_t>(i)].data(), rows}; }
};

/// Parts of the images first ... first + count - 1. Grey values are byte / 255, never binarised.
template <int Parts>
SplitDigits<Parts> split_digits(const Digits& digits, int first, int count) {
  check_sizes(digits);
  expect(first >= 0 && count >= 0 && count <= digits.rows - first,
         "split_digits: expected images within the {} from {}, got {} from number {}", digits.rows,
         digits.source, count, first);
  constexpr std::size_t image_size = 28 * 28, part_size = SplitDigits<Parts>::Part::size;
  const auto rows = static_cast<std::size_t>(count), begin = static_cast<std::size_t>(first);

  SplitDigits<Parts> split;
  split.rows = count;
  for (std::size_t part = 0; part < Parts; ++part) {
    split.parts[part] = Buffer<float>(rows * part_size);
    for (std::size_t i = 0; i < rows; ++i) {
      const std::uint8_t* from = digits.pixels.data() + (begin + i) * image_size + part * part_size;
      std::transform(from, from + part_size, split.parts[part].data() + i * part_size,
                     [](std::uint8_t byte) { return static_cast<float>(byte) / 255.0F; });
    }
  }
  const auto labels = digits.labels.begin() + first;
  split.labels.assign(labels, labels + count);
  return split;
}

/// Three sets that share no image.
template <int Parts>
struct DigitSplits {
  SplitDigits<Parts> train, validation, test;
};

/// Train: all of `training`. Test: the first half of `held_out`; validation: the rest. On MNIST
/// these are its 60,000 training images, and test images 0 to 4,999 and 5,000 to 9,999, as in the
/// paper's code, which selected its models on the test half; here the validation half is for that.
template <int Parts>
DigitSplits<Parts> split_digits(const Digits& training, const Digits& held_out) {
  const int test_rows = held_out.rows / 2;
  return {split_digits<Parts>(training, 0, training.rows),
          split_digits<Parts>(held_out, test_rows, held_out.rows - test_rows),
          split_digits<Parts>(held_out, 0, test_rows)};
}

}  // namespace poe
