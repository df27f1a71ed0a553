// SPDX-License-Identifier: MIT
// What CUB-Captions, or a part of it, is called in titles.
#pragma once

#include <poe/data/cub.hpp>

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

#include "data_title.hpp"

namespace examples {

/// "CUB-Captions" for all 11,788 images, 2,933 of them for tests, with their features and ten
/// captions each; else "CUB-Captions (a part: 1,258 of 11,788 images with features and ten
/// captions)".
inline std::string cub_title(const poe::CubData& data) {
  constexpr std::size_t all_images = poe::cub_images, all_test_images = 2933;
  std::vector<int> captions(data.keys.size());
  for (const poe::CubCaption& c : data.captions) ++captions[static_cast<std::size_t>(c.image)];
  std::size_t images = 0, test_images = 0;
  for (std::size_t i = 0; i < data.keys.size(); ++i) {
    if (captions[i] != poe::cub_captions_per_image || data.feature[i] < 0) continue;
    ++images;
    if (data.parts[i] == poe::CubPart::test) ++test_images;
  }
  std::vector<DataCount> counts{{"images with features and ten captions", images, all_images}};
  if (images == all_images) counts.push_back({"test images", test_images, all_test_images});
  return data_title("CUB-Captions", counts);
}

}  // namespace examples
