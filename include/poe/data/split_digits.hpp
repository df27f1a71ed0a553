// SPDX-License-Identifier: MIT
// MNIST-Split: the top and the bottom half of a digit as two modalities.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "poe/core/arena.hpp"
#include "poe/core/error.hpp"
#include "poe/data/digit_set.hpp"

namespace poe {

/// Top: image rows 0 to 13; bottom: rows 14 to 27.
struct SplitDigits {
  static constexpr int half_size = 14 * 28;

  int rows = 0;
  std::array<Buffer<float>, 2> halves;  ///< top, bottom: (rows, 14, 28), grey values in [0, 1]
  std::vector<std::uint8_t> labels;     ///< (rows), 0 to 9
};

/// Halves of the images first ... first + count - 1. Grey values are byte / 255, never binarised.
inline SplitDigits split_digits(const Digits& digits, int first, int count) {
  check_sizes(digits);
  expect(first >= 0 && count >= 0 && count <= digits.rows - first,
         "split_digits: expected images within the {} from {}, got {} from number {}", digits.rows,
         digits.source, count, first);
  constexpr std::size_t half_size = SplitDigits::half_size;
  const auto rows = static_cast<std::size_t>(count), begin = static_cast<std::size_t>(first);

  SplitDigits split{count, {Buffer<float>(rows * half_size), Buffer<float>(rows * half_size)}, {}};
  for (std::size_t i = 0; i < rows; ++i)
    for (std::size_t half = 0; half < 2; ++half) {
      const std::uint8_t* from = digits.pixels.data() + ((begin + i) * 2 + half) * half_size;
      float* to = split.halves[half].data() + i * half_size;
      for (std::size_t p = 0; p < half_size; ++p) to[p] = static_cast<float>(from[p]) / 255.0F;
    }
  const auto labels = digits.labels.begin() + first;
  split.labels.assign(labels, labels + count);
  return split;
}

/// Three sets that share no image.
struct DigitSplits {
  SplitDigits train, validation, test;
};

/// Train: all of `training`. Test: the first half of `held_out`; validation: the rest. On MNIST
/// these are its 60,000 training images, and test images 0 to 4,999 and 5,000 to 9,999, as in the
/// paper's code, which selected its models on the test half; here the validation half is for that.
inline DigitSplits split_digits(const Digits& training, const Digits& held_out) {
  const int test_rows = held_out.rows / 2;
  return {split_digits(training, 0, training.rows),
          split_digits(held_out, test_rows, held_out.rows - test_rows),
          split_digits(held_out, 0, test_rows)};
}

}  // namespace poe
