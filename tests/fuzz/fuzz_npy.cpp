// SPDX-License-Identifier: MIT
// read_npy(): the values of a plain file that it takes are the end of the file, byte for byte.
#include "fuzz.hpp"

#include <poe/data/npy.hpp>

#include <algorithm>

namespace {

template <class T>
void check(std::span<const std::uint8_t> bytes) {
  const auto array = poe::fuzz::attempt(poe::fuzz::file_of(bytes), poe::read_npy<T>);
  if (!array) return;
  std::size_t count = 1;
  for (const int extent : array->extents) count *= static_cast<std::size_t>(extent);
  poe::fuzz::require(array->values.size() == count, "there are as many values as the extents say");

  const bool is_gzip = bytes[0] == 0x1f;
  const auto values = std::as_bytes(std::span(array->values));
  poe::fuzz::require(
      is_gzip || (values.size() < bytes.size() &&
                  std::ranges::equal(values, std::as_bytes(bytes).last(values.size()))),
      "the values are the end of the file");
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  check<float>({data, size});
  check<std::uint8_t>({data, size});
  return 0;
}
