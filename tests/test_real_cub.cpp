// SPDX-License-Identifier: MIT
// A real part of CUB-Captions: its published counts, and the sets that are made of it.
#include "real_data.hpp"
#include "support.hpp"

#include <poe/data/cub.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <set>
#include <string>

namespace {
using poe::CubData, poe::CubPart, poe::CubSet, poe::CubSets, poe::CubSplit;
const auto folder = poe::test::real_data({"cub/captions.tsv", "cub/image_features.npy"});

/// The keys of the images that a set uses.
std::set<std::string> images_of(const CubData& data, const CubSet& set) {
  std::set<std::string> images;
  for (std::size_t i = 0; i < set.size(); ++i) {
    const std::int32_t caption = set.caption[i];
    const auto image = caption >= 0
                           ? data.captions.at(static_cast<std::size_t>(caption)).image
                           : std::ranges::find(data.feature, set.feature[i]) - data.feature.begin();
    images.insert(data.keys.at(static_cast<std::size_t>(image)));
  }
  return images;
}

/// How many images the sets use; 0 when they share one.
std::size_t images_of_all(const CubData& data, const CubSets& sets) {
  std::set<std::string> all;
  std::size_t sum = 0;
  for (const CubSet* set : {&sets.train, &sets.validation, &sets.test}) {
    const auto images = images_of(data, *set);
    sum += images.size();
    all.insert(images.begin(), images.end());
  }
  return sum == all.size() ? sum : 0;
}

}  // namespace

TEST_CASE("the real part has its published counts") {
  const CubData data = poe::load_cub(folder);
  CHECK(data.captions.size() == 32080);
  CHECK(data.keys.size() == 3208 + 1631);
  CHECK(data.rows == 2889);
  CHECK(data.width == 512);
  CHECK(data.thumbnails.size() == std::size_t{2889} * 64 * 64 * 3);
  std::set<std::int32_t> captioned;
  for (const auto& c : data.captions) captioned.insert(c.image);
  CHECK(captioned.size() == 3208);
  CHECK(std::ranges::count_if(captioned, [&](std::int32_t i) {
          return data.feature[static_cast<std::size_t>(i)] >= 0;
        }) == 1258);
  CHECK(data.captions[5].text.starts_with("it is a type of albatross with black wings"));
}

TEST_CASE("the sets of the real part share no image, and have the sizes that its counts give") {
  const CubData data = poe::load_cub(folder);
  const CubSets a = poe::split_cub(data, CubSplit::published, poe::Random{1});
  // 983 test images and 275 others have both sides; 1,631 have no captions.
  CHECK(a.test.size() == 4910);
  CHECK(a.validation.size() == 4920);
  CHECK(a.train.size() == 2750 + 1631);
  CHECK(images_of_all(data, a) == 983 + 275 + 1631);

  const CubSets b = poe::split_cub(data, CubSplit::images, poe::Random{1});
  CHECK(b.test.size() == 1250);
  CHECK(b.validation.size() == 1250);
  CHECK(b.train.size() == 10080 + 19500 + 1631);
  CHECK(images_of_all(data, b) == 3208 + 1631);
}
