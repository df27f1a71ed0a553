// SPDX-License-Identifier: MIT
// Captioned pictures that need no download: coloured shapes, their features, what is said of them.
#pragma once

#include <poe/core/error.hpp>
#include <poe/core/random.hpp>
#include <poe/data/draws.hpp>
#include <poe/data/shape_captions.hpp>
#include <poe/data/shape_pictures.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <vector>

namespace poe {
namespace detail::shapes {

inline constexpr std::size_t filters = 256;
inline constexpr int small_side = 21, window = 5;
inline constexpr std::size_t taps = std::size_t{window} * window * 3;

/// Random filters, the same in every run: weights of N(0, 9 / taps), (taps, filters).
inline const std::vector<float>& filter_bank() {
  static const std::vector<float> bank = [] {
    std::vector<float> weights(taps * filters);
    fill_normal<float>(Random{512, 0, 0}, 0, weights);
    for (float& w : weights) w *= 3 / std::sqrt(static_cast<float>(taps));
    return weights;
  }();
  return bank;
}

/// The picture in blocks of 3 x 3 pixels (the last row and column are left over): block means in
/// [-1/2, 1/2], (small_side, small_side, 3).
inline std::vector<float> shrink(std::span<const std::uint8_t> pixels) {
  std::vector<float> small(std::size_t{small_side} * small_side * 3);
  for (int row = 0; row < 3 * small_side; ++row)
    for (int column = 0; column < 3 * small_side; ++column)
      for (int c = 0; c < 3; ++c)
        small[static_cast<std::size_t>(((row / 3) * small_side + column / 3) * 3 + c)] +=
            static_cast<float>(pixels[static_cast<std::size_t>((row * side + column) * 3 + c)]);
  for (float& value : small) value = value / (9 * 255) - 0.5F;
  return small;
}

}  // namespace detail::shapes

inline constexpr std::size_t shape_features = 2 * detail::shapes::filters;

/// Features of a picture (64, 64, 3), computed from its pixels alone, in place of those of a
/// trained network: the picture is shrunk to 21 x 21 and filtered by 256 random filters of 5 x 5 x
/// 3; of each filter's rectified responses, the features are the mean (the first 256) and then the
/// maximum. Not negative, of mean about 0.75.
inline std::array<float, shape_features> picture_features(std::span<const std::uint8_t> pixels) {
  using namespace detail::shapes;
  expect(pixels.size() == image_size, "picture_features: expected {} bytes, got {}", image_size,
         pixels.size());
  const std::vector<float>& bank = filter_bank();
  const std::vector<float> small = shrink(pixels);
  constexpr std::size_t positions = small_side - window + 1;  // along each side
  std::array<float, shape_features> features{};
  for (std::size_t at = 0; at < positions * positions; ++at) {
    const float* corner = small.data() + (at / positions * small_side + at % positions) * 3;
    std::array<float, filters> response{};
    for (std::size_t tap = 0; tap < taps; ++tap) {
      const float value = corner[tap / (3 * window) * 3 * small_side + tap % (3 * window)];
      for (std::size_t f = 0; f < filters; ++f) response[f] += value * bank[tap * filters + f];
    }
    for (std::size_t f = 0; f < filters; ++f) {
      features[f] += std::max(response[f], 0.0F) / (positions * positions);
      features[filters + f] = std::max(features[filters + f], response[f]);
    }
  }
  return features;
}

/// Pictures of one shape each and sentences about them. Caption c of image i is number
/// i * captions_per_image + c.
struct ShapeSet {
  int images = 0, captions_per_image = 0;
  std::vector<std::uint8_t> pixels;         ///< (images, 64, 64, 3)
  std::vector<float> features;              ///< (images, 512), see picture_features()
  std::vector<std::string> captions;        ///< lower case; tokens parted by spaces; " ." ends each
  std::vector<ShapeAttributes> attributes;  ///< (images)
};

/// A stand-in for captioned photographs (CUB-Captions) where there is no network. Everything of
/// image i is a function of (random, i): its attributes, each drawn evenly; the picture; its
/// captions, which name at least two attributes, in about 100 words of which some are rare.
inline ShapeSet make_shapes(int images, const Random& random, int captions_per_image = 10) {
  expect(images >= 0 && captions_per_image >= 0 &&
             captions_per_image <= std::numeric_limits<int>::max() / std::max(images, 1),
         "make_shapes: expected 0 images and captions or more, got {} and {} for each", images,
         captions_per_image);
  using namespace detail::shapes;
  const auto n = static_cast<std::size_t>(images);
  ShapeSet set{images, captions_per_image, {}, {}, {}, {}};
  set.pixels.resize(n * image_size);
  set.features.reserve(n * shape_features);
  for (std::size_t i = 0; i < n; ++i) {
    detail::Draws draws(random, std::uint64_t{i} << 32);
    const ShapeAttributes attributes = draw_attributes(draws);
    const auto pixels = std::span(set.pixels).subspan(i * image_size, image_size);
    draw_picture(attributes, draws, pixels);
    const auto features = picture_features(pixels);
    set.attributes.push_back(attributes);
    set.features.insert(set.features.end(), features.begin(), features.end());
    for (int c = 0; c < captions_per_image; ++c)
      set.captions.push_back(write_caption(attributes, draws));
  }
  return set;
}

}  // namespace poe
