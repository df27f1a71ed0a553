// SPDX-License-Identifier: MIT
// load_mnist() and load_svhn() on folders: every digit has its pixels and a label from 0 to 9.
#include "fuzz.hpp"

#include <poe/data/mnist.hpp>
#include <poe/data/svhn.hpp>

#include <algorithm>

namespace {
using namespace poe;

void check(const Digits& digits, int side, int channels) {
  const auto rows = static_cast<std::size_t>(digits.rows);
  const auto per_image = static_cast<std::size_t>(side * side * channels);
  fuzz::require(rows > 0 && digits.height == side && digits.width == side &&
                    digits.channels == channels && digits.pixels.size() == rows * per_image,
                "every digit has its pixels");
  fuzz::require(digits.labels.size() == rows &&
                    std::ranges::all_of(digits.labels, [](int label) { return label < 10; }),
                "every digit has a label from 0 to 9");
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const fuzz::Folder folder({data, size});
  if (const auto files = fuzz::attempt(folder.path, load_mnist))
    for (const Digits* digits : {&files->train, &files->test}) check(*digits, 28, 1);
  if (const auto files = fuzz::attempt(folder.path, load_svhn))
    for (const Digits* digits : {&files->train, &files->test}) check(*digits, 32, 3);
  return 0;
}
