// SPDX-License-Identifier: MIT
// CUB-Captions: captions and features of photographs of birds, and the three sets made of them.
#pragma once

#include <poe/core/error.hpp>
#include <poe/core/random.hpp>
#include <poe/data/captions.hpp>
#include <poe/data/npy.hpp>
#include <poe/data/text_lines.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace poe {

/// Images, each with captions, features, or both.
struct CubData {
  std::vector<std::string> keys;      ///< by image: "<class>/<image>"; those with captions first
  std::vector<CubPart> parts;         ///< by image: that of its class, where the captions tell
  std::vector<std::int32_t> feature;  ///< by image: its row of `features`, or -1
  std::vector<CubCaption> captions;

  int rows = 0, width = 0;
  std::vector<float> features;           ///< (rows, width)
  std::vector<std::uint8_t> thumbnails;  ///< (rows, 64, 64, 3) or, without images64.npy, empty
  std::string source;                    ///< for reports
};

namespace detail {

inline constexpr const char* cub_layouts =
    "a folder has image_features.npy, image_keys.txt and, for pictures, images64.npy; and the "
    "captions in captions.tsv, or in text_c10/<class>/<image>.txt with trainvalclasses.txt and "
    "testclasses.txt, or in text_trainvalclasses.txt and text_testclasses.txt with the images "
    "train/<class>/<image>.jpg and test/<class>/<image>.jpg";

inline bool cub_has(const std::filesystem::path& folder, const char* name) {
  std::error_code ignored;  // what cannot be looked at is not there
  return std::filesystem::exists(folder / name, ignored);
}

inline void cub_needs(const std::filesystem::path& folder,
                      std::initializer_list<const char*> names) {
  for (const char* name : names)
    expect(cub_has(folder, name), "CUB: no {} in '{}'; {}", name, folder.string(), cub_layouts);
}

inline std::filesystem::path find_cub_folder(const std::filesystem::path& dir) {
  for (const auto& folder : {dir, dir / "cub"})
    for (const char* name :
         {"captions.tsv", "text_c10", "text_trainvalclasses.txt", "text_testclasses.txt"})
      if (cub_has(folder, name)) return folder;
  fail("CUB: no captions in '{}' or '{}'; {}", dir.string(), (dir / "cub").string(), cub_layouts);
}

inline CubCaptions read_cub_captions(const std::filesystem::path& folder, const CubRows& pictures) {
  if (cub_has(folder, "captions.tsv")) return read_caption_table(folder / "captions.tsv", pictures);
  if (cub_has(folder, "text_c10")) {
    cub_needs(folder, {"trainvalclasses.txt", "testclasses.txt"});
    return read_caption_folders(folder);
  }
  cub_needs(folder, {"text_trainvalclasses.txt", "text_testclasses.txt", "train", "test"});
  return read_caption_lists(folder);
}

/// One key for each row of the features.
inline std::vector<std::string> read_cub_keys(const std::filesystem::path& path, CubRows& rows) {
  TextLines file(path);
  for (std::size_t i = 0; i < file.lines.size(); ++i) {
    cub_class(file.lines[i], file.place(i));
    expect(rows.emplace(file.lines[i], static_cast<std::int32_t>(i)).second,
           "{}: {} was there already", file.place(i), file.lines[i]);
  }
  return std::move(file.lines);
}

inline void read_cub_features(CubData& data, const std::filesystem::path& folder,
                              std::size_t keys) {
  const auto path = folder / "image_features.npy";
  Npy<float> array = read_npy<float>(path);
  expect(array.extents.size() == 2 && static_cast<std::size_t>(array.extents[0]) == keys,
         "'{}': expected features of {} x some width, a row for each key of image_keys.txt, got {}",
         path.string(), keys, fmt::join(array.extents, " x "));
  data.rows = array.extents[0];
  data.width = array.extents[1];
  const auto bad =
      std::ranges::find_if(array.values, [](float value) { return !std::isfinite(value); });
  if (bad != array.values.end())
    fail("'{}': expected finite features, got {} in row {}, column {}", path.string(), *bad,
         (bad - array.values.begin()) / data.width, (bad - array.values.begin()) % data.width);
  data.features = std::move(array.values);

  if (!cub_has(folder, "images64.npy")) return;
  Npy<std::uint8_t> images = read_npy<std::uint8_t>(folder / "images64.npy");
  expect(images.extents == std::vector<int>{data.rows, 64, 64, 3},
         "'{}': expected images of {} x 64 x 64 x 3, got {}", (folder / "images64.npy").string(),
         data.rows, fmt::join(images.extents, " x "));
  data.thumbnails = std::move(images.values);
}

}  // namespace detail

/// Reads the data set, or a part of it, from `dir` or, when there are no captions, from `dir`/cub:
/// features with their keys, pictures where they are there, and captions in one of three layouts
/// (captions.hpp). Features may have any width, and images may lack them, or captions. An Error
/// says what is missing or, with file and line, what is wrong.
inline CubData load_cub(const std::filesystem::path& dir) {
  const std::filesystem::path folder = detail::find_cub_folder(dir);
  detail::cub_needs(folder, {"image_keys.txt", "image_features.npy"});
  CubRows rows;
  const auto pictured = detail::read_cub_keys(folder / "image_keys.txt", rows);
  CubCaptions captions = detail::read_cub_captions(folder, rows);
  expect(!captions.keys.empty(), "CUB: no captions in '{}'; {}", folder.string(),
         detail::cub_layouts);

  CubData data;
  detail::read_cub_features(data, folder, pictured.size());
  data.keys = std::move(captions.keys);
  data.parts = std::move(captions.parts);
  data.captions = std::move(captions.captions);
  for (const std::string& key : data.keys) {
    const auto row = rows.find(key);
    data.feature.push_back(row == rows.end() ? -1 : row->second);
    if (row != rows.end()) rows.erase(row);
  }
  for (const auto& key : pictured) {
    const auto row = rows.find(key);  // erased above where there are captions
    if (row == rows.end()) continue;
    const auto part = captions.classes.find(key.substr(0, key.find('/')));
    data.keys.push_back(key);
    data.parts.push_back(part == captions.classes.end() ? CubPart::unknown : part->second);
    data.feature.push_back(row->second);
  }
  data.source = fmt::format("CUB-Captions ({} images in {})", data.keys.size(), folder.string());
  return data;
}

/// How the images are divided.
enum class CubSplit {
  published,  ///< classes in training are not tested: half of the test images each for test and
              ///< validation. Images of the test part that lack a side are in no set
  images      ///< a random tenth of the images with both sides each for test and validation
};

/// Samples: what of each was observed.
struct CubSet {
  std::vector<std::int32_t> caption;  ///< index of CubData::captions, or -1
  std::vector<std::int32_t> feature;  ///< row of CubData::features, or -1
  std::size_t size() const { return caption.size(); }
  void add(std::int32_t caption_index, std::int32_t feature_row) {
    caption.push_back(caption_index);
    feature.push_back(feature_row);
  }
};

struct CubSets {
  CubSet train, validation, test;
};

/// Sets that share no image, in the order of the data. Validation and test are pairs, one for each
/// caption of an image; training has pairs, captions of images without features and features of
/// images without captions. `random` is only used by CubSplit::images. Throws Error when a set
/// would be empty.
inline CubSets split_cub(const CubData& data, CubSplit how, const Random& random) {
  const bool published = how == CubSplit::published;
  CubSets sets;
  std::vector<CubSet*> set_of(data.keys.size(), &sets.train);  // by image; null: none
  std::vector<bool> captioned(data.keys.size());
  for (const CubCaption& c : data.captions) captioned[static_cast<std::size_t>(c.image)] = true;
  std::vector<std::size_t> pool;  // images of which some are for validation and test
  for (std::size_t i = 0; i < data.keys.size(); ++i) {
    const bool both = captioned[i] && data.feature[i] >= 0;
    const bool held_out = published && data.parts[i] == CubPart::test;
    if (held_out) set_of[i] = nullptr;
    if (both && (held_out || !published)) pool.push_back(i);
  }

  const std::size_t tested = pool.size() / (published ? 2 : 10);
  const std::size_t validated = published ? pool.size() - tested : tested;
  expect(tested > 0, "CUB: expected at least {} images with captions and features{}, got {} in {}",
         published ? 2 : 10, published ? " in the test part" : "", pool.size(), data.source);
  const auto order = permutation(static_cast<std::uint32_t>(pool.size()), random);
  for (std::size_t i = 0; i < tested + validated; ++i)
    set_of[pool[published ? i : order[i]]] = i < tested ? &sets.test : &sets.validation;

  for (std::size_t i = 0; i < data.captions.size(); ++i) {
    const auto image = static_cast<std::size_t>(data.captions[i].image);
    if (set_of[image] != nullptr)
      set_of[image]->add(static_cast<std::int32_t>(i), data.feature[image]);
  }
  for (std::size_t i = 0; i < data.keys.size(); ++i)
    if (!captioned[i] && set_of[i] != nullptr) set_of[i]->add(-1, data.feature[i]);
  expect(sets.train.size() > 0, "CUB: expected images outside the test part, got none in {}",
         data.source);
  return sets;
}

}  // namespace poe
