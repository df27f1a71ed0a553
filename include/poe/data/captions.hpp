// SPDX-License-Identifier: MIT
// The captions of CUB in the three layouts in which people have them.
#pragma once

#include <poe/core/error.hpp>
#include <poe/data/text_lines.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace poe {

/// Where the published split has an image. It has whole classes: those of test images are not seen
/// in training.
enum class CubPart { unknown, trainval, test };

struct CubCaption {
  std::string text;
  std::int32_t image = 0;   ///< index of CubCaptions::keys
  std::int32_t number = 0;  ///< 0 to 9, within the image
};

/// Captions and the images that they describe.
struct CubCaptions {
  std::vector<std::string> keys;           ///< by image: "<class>/<image>", each once
  std::vector<CubPart> parts;              ///< by image
  std::vector<CubCaption> captions;        ///< in the order of the files
  std::map<std::string, CubPart> classes;  ///< those of the split
};

/// The images that have features, with their rows.
using CubRows = std::map<std::string, std::int32_t, std::less<>>;

inline constexpr int cub_images = 11788, cub_captions_per_image = 10;

namespace detail {

/// The class of "<class>/<image>"; throws Error when the key is something else.
inline std::string cub_class(std::string_view key, const std::string& place) {
  const std::size_t slash = key.find('/');
  expect(
      slash != std::string::npos && slash > 0 && slash + 1 < key.size() &&
          key.find('/', slash + 1) == std::string::npos,
      "{}: expected a key such as 001.Black_footed_Albatross/Black_Footed_Albatross_0001_796111, "
      "got '{}'",
      place, key);
  return std::string(key.substr(0, slash));
}

inline const char* part_name(CubPart part) { return part == CubPart::test ? "test" : "trainval"; }

/// Notes that a class belongs to a part; throws Error when it belongs to the other one.
inline void add_cub_class(CubCaptions& set, const std::string& name, CubPart part,
                          const std::string& place) {
  const auto [found, is_new] = set.classes.try_emplace(name, part);
  expect(found->second == part, "{}: expected class {} in one part of the split, got {} and {}",
         place, name, part_name(found->second), part_name(part));
}

/// Adds an image; returns its index.
inline std::int32_t add_cub_image(CubCaptions& set, std::string_view key, CubPart part,
                                  const std::string& place) {
  add_cub_class(set, cub_class(key, place), part, place);
  set.keys.emplace_back(key);
  set.parts.push_back(part);
  return static_cast<std::int32_t>(set.keys.size()) - 1;
}

inline void add_cub_caption(CubCaptions& set, std::string_view text, std::int32_t image, int number,
                            const std::string& place) {
  expect(text.find_first_not_of(" \t") != std::string_view::npos, "{}: expected a caption", place);
  set.captions.push_back({std::string(text), image, number});
}

/// captions.tsv: image id, key, split, 1 if the picture is here or else 0, caption number, text.
inline CubCaptions read_caption_table(const std::filesystem::path& path, const CubRows& pictures) {
  struct Known {
    std::int32_t image;
    int id;
    unsigned numbers;  // bit n: caption n was there
  };
  const TextLines file(path);
  CubCaptions set;
  std::map<std::string, Known, std::less<>> known;
  std::vector<bool> id_taken(cub_images + 1);
  for (std::size_t i = 0; i < file.lines.size(); ++i) {
    const std::string place = file.place(i);
    const auto columns = columns_of(file.lines[i]);
    expect(columns.size() == 6, "{}: expected 6 columns, got {}", place, columns.size());
    const std::string_view key = columns[1], split = columns[2], here = columns[3];
    const int id = number_in(columns[0], cub_images);
    const int number = number_in(columns[4], cub_captions_per_image - 1);
    expect(id >= 1, "{}: expected an image id from 1 to {}, got '{}'", place, cub_images,
           columns[0]);
    expect(split == "test" || split == "trainval", "{}: expected test or trainval, got '{}'", place,
           split);
    const CubPart part = split == "test" ? CubPart::test : CubPart::trainval;
    expect(number >= 0, "{}: expected a caption number from 0 to {}, got '{}'", place,
           cub_captions_per_image - 1, columns[4]);
    const bool has_picture = pictures.contains(key);
    expect(here == (has_picture ? "1" : "0"),
           "{}: expected {} in column 4, since the keys of the features {} {}, got '{}'", place,
           has_picture ? 1 : 0, has_picture ? "include" : "lack", key, here);

    auto found = known.find(key);
    if (found == known.end()) {
      expect(!id_taken[static_cast<std::size_t>(id)], "{}: another image has the id {}", place, id);
      id_taken[static_cast<std::size_t>(id)] = true;
      found = known.emplace(key, Known{add_cub_image(set, key, part, place), id, 0}).first;
    }
    Known& image = found->second;
    expect(image.id == id, "{}: expected the id {} of this image, got {}", place, image.id, id);
    add_cub_class(set, cub_class(key, place), part, place);
    expect((image.numbers >> number & 1U) == 0, "{}: caption {} of {} was there already", place,
           number, key);
    image.numbers |= 1U << number;
    add_cub_caption(set, columns[5], image.image, number, place);
  }
  return set;
}

/// What is in a folder, sorted by name. Throws Error when it cannot be read.
inline std::vector<std::filesystem::path> sorted_entries(const std::filesystem::path& folder) {
  std::error_code error;
  std::vector<std::filesystem::path> entries;
  for (std::filesystem::directory_iterator it(folder, error), last; !error && it != last;
       it.increment(error))
    entries.push_back(it->path());
  expect(!error, "cannot read the folder '{}': {}", folder.string(), error.message());
  std::ranges::sort(entries);
  return entries;
}

inline bool is_folder(const std::filesystem::path& path) {
  std::error_code ignored;  // what cannot be looked at is not there
  return std::filesystem::is_directory(path, ignored);
}

/// The files `folder`/<class>/<image><ending>; classes and images are sorted by name.
inline std::vector<std::filesystem::path> sorted_images(const std::filesystem::path& folder,
                                                        std::string_view ending) {
  std::vector<std::filesystem::path> images;
  for (const auto& name : sorted_entries(folder)) {
    if (!is_folder(name)) continue;
    for (const auto& file : sorted_entries(name))
      if (file.extension() == ending) images.push_back(file);
  }
  return images;
}

/// "<class>/<image>" of .../<class>/<image>.jpg.
inline std::string cub_key(const std::filesystem::path& file) {
  return file.parent_path().filename().string() + '/' + file.stem().string();
}

/// The layout of Reed et al.: text_c10/<class>/<image>.txt with ten captions each; the classes of
/// the split in trainvalclasses.txt and testclasses.txt.
inline CubCaptions read_caption_folders(const std::filesystem::path& folder) {
  CubCaptions set;
  for (const auto part : {CubPart::trainval, CubPart::test}) {
    const TextLines names(folder / fmt::format("{}classes.txt", part_name(part)));
    for (std::size_t i = 0; i < names.lines.size(); ++i)
      add_cub_class(set, names.lines[i], part, names.place(i));
  }
  for (const auto& path : sorted_images(folder / "text_c10", ".txt")) {
    const std::string key = cub_key(path);
    const auto part = set.classes.find(path.parent_path().filename().string());
    expect(part != set.classes.end(),
           "'{}': expected its class in trainvalclasses.txt or testclasses.txt", path.string());
    const TextLines file(path);
    expect(file.lines.size() == cub_captions_per_image, "'{}': expected {} captions, got {}",
           file.path, cub_captions_per_image, file.lines.size());
    const std::int32_t image = add_cub_image(set, key, part->second, file.path);
    for (std::size_t i = 0; i < file.lines.size(); ++i)
      add_cub_caption(set, file.lines[i], image, static_cast<int>(i), file.place(i));
  }
  return set;
}

/// The layout of MMVAE's mirror: lines 10 i to 10 i + 9 of text_trainvalclasses.txt describe image
/// i of the folder train, those of text_testclasses.txt that of the folder test; the images are
/// train/<class>/<image>.jpg, sorted.
inline CubCaptions read_caption_lists(const std::filesystem::path& folder) {
  CubCaptions set;
  for (const auto part : {CubPart::trainval, CubPart::test}) {
    const auto pictures = folder / (part == CubPart::test ? "test" : "train");
    const auto images = sorted_images(pictures, ".jpg");
    const TextLines file(folder / fmt::format("text_{}classes.txt", part_name(part)));
    expect(file.lines.size() == cub_captions_per_image * images.size(),
           "'{}': expected {} lines, {} for each of the {} images in '{}', got {}", file.path,
           cub_captions_per_image * images.size(), cub_captions_per_image, images.size(),
           pictures.string(), file.lines.size());
    std::int32_t image = -1;
    for (std::size_t i = 0; i < file.lines.size(); ++i) {
      const int number = static_cast<int>(i % cub_captions_per_image);
      if (number == 0)
        image =
            add_cub_image(set, cub_key(images[i / cub_captions_per_image]), part, file.place(i));
      add_cub_caption(set, file.lines[i], image, number, file.place(i));
    }
  }
  return set;
}

}  // namespace detail
}  // namespace poe
