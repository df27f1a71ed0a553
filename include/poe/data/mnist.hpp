// SPDX-License-Identifier: MIT
// MNIST as it is published: four IDX files in a folder, plain or gzip.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "poe/core/error.hpp"
#include "poe/data/digit_set.hpp"
#include "poe/data/idx.hpp"

namespace poe {

struct MnistFiles {
  Digits train, test;
};

namespace detail {

inline constexpr std::array<const char*, 4> mnist_names = {
    "train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte"};

/// `folder`/`name` or `folder`/`name`.gz; an empty path when there is neither.
inline std::filesystem::path find_mnist_file(const std::filesystem::path& folder,
                                             const std::string& name) {
  for (const char* ending : {"", ".gz"}) {
    std::filesystem::path candidate = folder / (name + ending);
    std::error_code ignored;  // what cannot be looked at is not there
    if (std::filesystem::exists(candidate, ignored)) return candidate;
  }
  return {};
}

/// The folder from which all four files are taken: files of two data sets must not be mixed.
inline std::filesystem::path find_mnist_folder(const std::filesystem::path& dir) {
  for (const auto& folder : {dir, dir / "mnist"})
    for (const char* name : mnist_names)
      if (!find_mnist_file(folder, name).empty()) return folder;
  fail("MNIST: no file {0} or {0}.gz in '{1}' or '{2}'; scripts/get-data mnist fetches it",
       mnist_names[0], dir.string(), (dir / "mnist").string());
}

inline Digits read_mnist_pair(const std::filesystem::path& images_path,
                              const std::filesystem::path& labels_path) {
  IdxU8 images = read_idx(images_path);
  expect(images.extents.size() == 3 && images.extents[1] == 28 && images.extents[2] == 28,
         "'{}', byte 3: expected the extents N x 28 x 28, got {}", images_path.string(),
         fmt::join(images.extents, " x "));
  IdxU8 labels = read_idx(labels_path);
  expect(labels.extents.size() == 1, "'{}', byte 3: expected one extent, got {}",
         labels_path.string(), fmt::join(labels.extents, " x "));
  expect(labels.extents[0] == images.extents[0],
         "'{}', byte 4: expected {} labels, one for each image of '{}', got {}",
         labels_path.string(), images.extents[0], images_path.string(), labels.extents[0]);
  const auto wrong =
      std::ranges::find_if(labels.values, [](std::uint8_t label) { return label > 9; });
  if (wrong != labels.values.end())
    fail("'{}', byte {}: expected a label from 0 to 9, got {}", labels_path.string(),
         8 + (wrong - labels.values.begin()), *wrong);
  return {images.extents[0], 28, 28, 1, std::move(images.values), std::move(labels.values), ""};
}

}  // namespace detail

/// Reads the four files, each under its published name with or without ".gz", from `dir` or, when
/// there is none of them, from `dir`/mnist. An Error says which file is missing or wrong.
inline MnistFiles load_mnist(const std::filesystem::path& dir) {
  const std::filesystem::path folder = detail::find_mnist_folder(dir);
  std::array<std::filesystem::path, 4> paths;
  for (std::size_t i = 0; i < paths.size(); ++i) {
    paths[i] = detail::find_mnist_file(folder, detail::mnist_names[i]);
    expect(!paths[i].empty(),
           "MNIST: no file {0} or {0}.gz in '{1}'; scripts/get-data mnist fetches it",
           detail::mnist_names[i], folder.string());
  }
  MnistFiles files{detail::read_mnist_pair(paths[0], paths[1]),
                   detail::read_mnist_pair(paths[2], paths[3])};
  files.train.source = files.test.source = fmt::format("MNIST (IDX files in {})", folder.string());
  return files;
}

}  // namespace poe
