// SPDX-License-Identifier: MIT
// read_idx(): a plain file that it takes is the extents and values that it returns, byte for byte.
#include "fuzz.hpp"

#include <poe/data/idx.hpp>

#include <algorithm>
#include <vector>

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace poe;
  const std::span bytes(data, size);
  const auto idx = fuzz::attempt(fuzz::file_of(bytes), read_idx);
  if (!idx) return 0;

  std::size_t values = 1;
  for (const int extent : idx->extents) values *= static_cast<std::size_t>(extent);
  fuzz::require(idx->values.size() == values, "there are as many values as the extents say");

  const bool is_gzip = bytes[0] == 0x1f;
  if (is_gzip) return 0;
  std::vector<std::uint8_t> again{0, 0, 8, static_cast<std::uint8_t>(idx->extents.size())};
  for (const int extent : idx->extents)
    for (const int shift : {24, 16, 8, 0})
      again.push_back(static_cast<std::uint8_t>(extent >> shift));
  again.insert(again.end(), idx->values.begin(), idx->values.end());
  fuzz::require(std::ranges::equal(again, bytes), "extents and values are the whole file");
  return 0;
}
