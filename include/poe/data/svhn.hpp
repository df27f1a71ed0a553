// SPDX-License-Identifier: MIT
// SVHN, cropped digits of house numbers, as it is published: two MATLAB files.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <poe/core/error.hpp>
#include <poe/data/digit_set.hpp>
#include <poe/data/mat.hpp>

namespace poe {

struct SvhnFiles {
  Digits train, test;
};

namespace detail {

/// MATLAB's (column, row, channel) order from the slowest, image after image, becomes ours.
inline void to_channels_last(std::span<std::uint8_t> pixels) {
  constexpr std::size_t side = 32, channels = 3, image = side * side * channels;
  std::array<std::uint8_t, image> from;
  for (std::size_t begin = 0; begin < pixels.size(); begin += image) {
    const auto to = pixels.subspan(begin, image);
    std::ranges::copy(to, from.begin());
    for (std::size_t h = 0; h < side; ++h)
      for (std::size_t w = 0; w < side; ++w)
        for (std::size_t c = 0; c < channels; ++c)
          to[(h * side + w) * channels + c] = from[(c * side + w) * side + h];
  }
}

}  // namespace detail

/// Reads one file of cropped digits: variables X, uint8 (32, 32, 3, N), and y, uint8 (N, 1), with
/// the label 10 for the digit 0. Gives colour images of 32 x 32 x 3 and labels from 0 to 9. An
/// Error names the file, the byte at which the variable begins, what was expected and what was got.
inline Digits read_svhn(const std::filesystem::path& path) {
  auto [x, y] = read_mat(path, {"X", "y"});
  expect(x.extents.size() == 4 && x.extents[0] == 32 && x.extents[1] == 32 && x.extents[2] == 3,
         "{}: variable X: expected the extents 32 x 32 x 3 x N, got {}", x.place,
         fmt::join(x.extents, " x "));
  const int rows = x.extents[3];
  expect(y.extents == std::vector<int>{rows, 1},
         "{}: variable y: expected the extents {} x 1, a label for each image of X, got {}",
         y.place, rows, fmt::join(y.extents, " x "));
  for (std::size_t i = 0; i < y.values.size(); ++i) {
    expect(y.values[i] >= 1 && y.values[i] <= 10,
           "{}: variable y, element {}: expected a label from 1 to 10, got {}", y.place, i,
           y.values[i]);
    y.values[i] = static_cast<std::uint8_t>(y.values[i] % 10);
  }
  detail::to_channels_last(x.values);
  return {rows,
          32,
          32,
          3,
          std::move(x.values),
          std::move(y.values),
          fmt::format("SVHN ({})", path.string())};
}

/// Reads train_32x32.mat and test_32x32.mat from `dir` or, when there is neither, from `dir`/svhn.
/// An Error says which file is missing or wrong.
inline SvhnFiles load_svhn(const std::filesystem::path& dir) {
  constexpr std::array<const char*, 2> names{"train_32x32.mat", "test_32x32.mat"};
  const auto exists = [](const std::filesystem::path& path) {
    std::error_code ignored;  // what cannot be looked at is not there
    return std::filesystem::exists(path, ignored);
  };
  const std::array folders{dir, dir / "svhn"};
  const auto folder = std::ranges::find_if(
      folders, [&](const auto& f) { return exists(f / names[0]) || exists(f / names[1]); });
  expect(folder != folders.end(), "SVHN: no file {} in '{}' or '{}'; http://ufldl.stanford.edu/{}",
         names[0], folders[0].string(), folders[1].string(), "housenumbers has it");
  for (const char* name : names)
    expect(exists(*folder / name), "SVHN: no file {} in '{}'; http://ufldl.stanford.edu/{}", name,
           folder->string(), "housenumbers has it");
  return {read_svhn(*folder / names[0]), read_svhn(*folder / names[1])};
}

}  // namespace poe
