// SPDX-License-Identifier: MIT
// CUB's captions.tsv and image_keys.txt: indices are in range, and nothing is there twice.
#include "fuzz.hpp"

#include <poe/data/cub.hpp>

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

namespace {
using namespace poe;

void check_table(const std::filesystem::path& path) {
  const CubRows pictures{{"001.Gull/a", 0}, {"002.Tern/b", 1}};
  const auto set = fuzz::attempt(path, [&](const std::filesystem::path& file) {
    return detail::read_caption_table(file, pictures);
  });
  if (!set) return;
  const std::set<std::string> keys(set->keys.begin(), set->keys.end());
  fuzz::require(keys.size() == set->keys.size() && set->parts.size() == set->keys.size(),
                "every image is there once, and has a part");
  std::set<std::pair<std::int32_t, std::int32_t>> seen;
  for (const CubCaption& caption : set->captions) {
    fuzz::require(caption.image >= 0 && static_cast<std::size_t>(caption.image) < keys.size() &&
                      caption.number >= 0 && caption.number < cub_captions_per_image,
                  "a caption has an image and a number");
    fuzz::require(seen.emplace(caption.image, caption.number).second && !caption.text.empty(),
                  "every caption is there once, and has a text");
  }
  for (std::size_t i = 0; i < set->keys.size(); ++i)
    fuzz::require(set->classes.at(set->keys[i].substr(0, set->keys[i].find('/'))) == set->parts[i],
                  "an image has the part of its class");
}

void check_keys(const std::filesystem::path& path) {
  CubRows rows;
  const auto keys = fuzz::attempt(
      path, [&](const std::filesystem::path& file) { return detail::read_cub_keys(file, rows); });
  if (!keys) return;
  fuzz::require(rows.size() == keys->size(), "every key is there once");
  for (std::size_t i = 0; i < keys->size(); ++i)
    fuzz::require(static_cast<std::size_t>(rows.at((*keys)[i])) == i, "a key has its line's row");
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto path = fuzz::file_of({data, size});
  check_table(path);
  check_keys(path);
  return 0;
}
