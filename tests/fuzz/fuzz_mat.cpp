// SPDX-License-Identifier: MIT
// MATLAB files: a plain file and the same one compressed are read alike, as SVHN or not.
#include "deflate.hpp"
#include "fuzz.hpp"

#include <poe/data/svhn.hpp>

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

namespace {
using Bytes = std::vector<std::uint8_t>;

void add_tag(Bytes& bytes, std::uint32_t type, std::size_t size) {
  const std::array words{type, static_cast<std::uint32_t>(size)};
  const auto* first = reinterpret_cast<const std::uint8_t*>(words.data());
  bytes.insert(bytes.end(), first, first + sizeof(words));
}

/// The file with its plain elements compressed. What cannot be followed stays as it is.
Bytes compress(std::span<const std::uint8_t> file) {
  constexpr std::size_t header = 128, tag = 8;
  const std::size_t front = std::min(file.size(), header);
  Bytes out(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(front));
  file = file.subspan(front);
  while (file.size() >= tag) {
    std::array<std::uint32_t, 2> words;  // type and size
    std::memcpy(words.data(), file.data(), tag);
    if (words[0] != 14 || words[1] > file.size() - tag) break;
    const auto element = file.first(tag + words[1]);
    const Bytes deflated = poe::fuzz::deflated(element, poe::fuzz::Stream::zlib);
    add_tag(out, 15, deflated.size());
    out.insert(out.end(), deflated.begin(), deflated.end());
    file = file.subspan(element.size());
  }
  out.insert(out.end(), file.begin(), file.end());
  return out;
}

auto read_arrays(const std::filesystem::path& path) { return poe::read_mat(path, {"X", "y"}); }

void check_digits(const std::filesystem::path& path) {
  const auto digits = poe::fuzz::attempt(path, poe::read_svhn);
  if (!digits) return;
  check_sizes(*digits, 32, 32, 3);
  poe::fuzz::require(std::ranges::all_of(digits->labels, [](int label) { return label < 10; }),
                     "labels are from 0 to 9");
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace poe;
  const std::span plain(data, size);
  const auto arrays = fuzz::attempt(fuzz::file_of(plain), read_arrays);
  const auto again = fuzz::attempt(fuzz::file_of(compress(plain)), read_arrays);
  fuzz::require(arrays.has_value() == again.has_value(), "compression changes no verdict");
  if (!arrays) return 0;
  for (std::size_t i = 0; i < arrays->size(); ++i) {
    const MatU8 &a = (*arrays)[i], &b = (*again)[i];
    fuzz::require(a.extents == b.extents && a.values == b.values, "compression changes no value");
    std::size_t count = 1;
    for (const int extent : a.extents) count *= static_cast<std::size_t>(extent);
    fuzz::require(a.values.size() == count, "there are as many values as the extents say");
  }
  check_digits(fuzz::file_of(plain));
  return 0;
}
