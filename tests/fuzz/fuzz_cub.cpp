// SPDX-License-Identifier: MIT
// load_cub() on folders, whatever their layout: indices are in range, nothing is there twice, and
// the sets that are made of it share no image.
#include "fuzz.hpp"

#include <poe/data/cub.hpp>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <utility>
#include <vector>

namespace {
using namespace poe;

void check_images(const CubData& data) {
  const std::size_t images = data.keys.size(), rows = static_cast<std::size_t>(data.rows);
  fuzz::require(data.parts.size() == images && data.feature.size() == images &&
                    std::set(data.keys.begin(), data.keys.end()).size() == images,
                "every image is there once, and has a part and a row or none");
  std::map<std::string, CubPart> parts;
  std::vector<std::int32_t> taken;
  for (std::size_t i = 0; i < images; ++i) {
    const std::string name = data.keys[i].substr(0, data.keys[i].find('/'));
    fuzz::require(parts.try_emplace(name, data.parts[i]).first->second == data.parts[i],
                  "a class is in one part");
    if (data.feature[i] != -1) taken.push_back(data.feature[i]);
  }
  std::ranges::sort(taken);
  fuzz::require(taken.size() == rows, "there are as many rows as images with features");
  for (std::size_t i = 0; i < rows; ++i)
    fuzz::require(static_cast<std::size_t>(taken[i]) == i, "every row belongs to one image");
  fuzz::require(data.features.size() == rows * static_cast<std::size_t>(data.width) &&
                    std::ranges::all_of(data.features, [](float f) { return std::isfinite(f); }),
                "features have their width, and are finite");
  fuzz::require(data.thumbnails.empty() || data.thumbnails.size() == rows * 64 * 64 * 3,
                "there is a picture for every row, or none at all");
}

void check_captions(const CubData& data) {
  std::set<std::pair<std::int32_t, std::int32_t>> seen;
  for (const CubCaption& c : data.captions)
    fuzz::require(c.image >= 0 && static_cast<std::size_t>(c.image) < data.keys.size() &&
                      c.number >= 0 && c.number < cub_captions_per_image && !c.text.empty() &&
                      seen.emplace(c.image, c.number).second,
                  "a caption has an image, a text and a number of its own");
}

void check_sets(const CubData& data, const CubSets& sets) {
  std::map<std::string, const CubSet*> set_of;  // by image
  for (const CubSet* set : {&sets.train, &sets.validation, &sets.test}) {
    fuzz::require(set->size() > 0 && set->feature.size() == set->size(), "no set is empty");
    for (std::size_t i = 0; i < set->size(); ++i) {
      const std::int32_t caption = set->caption[i], row = set->feature[i];
      const auto image = caption >= 0 ? data.captions[static_cast<std::size_t>(caption)].image
                                      : std::ranges::find(data.feature, row) - data.feature.begin();
      const auto at = static_cast<std::size_t>(image);
      fuzz::require(at < data.keys.size() && data.feature[at] == row, "the sides are of one image");
      fuzz::require(set == &sets.train || (caption >= 0 && row >= 0), "what is tested is a pair");
      fuzz::require(set_of.emplace(data.keys[at], set).first->second == set,
                    "the sets share no image");
    }
  }
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const fuzz::Folder folder({data, size});
  const auto cub = fuzz::attempt(folder.path, load_cub);
  if (!cub) return 0;
  check_images(*cub);
  check_captions(*cub);
  for (const CubSplit how : {CubSplit::published, CubSplit::images}) {
    const auto sets = fuzz::attempt(folder.path, [&](const auto&) {
      return split_cub(*cub, how, Random{1, 2, 0});
    });
    if (sets) check_sets(*cub, *sets);
  }
  return 0;
}
