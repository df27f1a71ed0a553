// SPDX-License-Identifier: MIT
// The numbers of an array file, whatever its header looks like: counted, bounded, read to the end.
#pragma once

#include <poe/core/error.hpp>
#include <poe/data/gzip.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <vector>

namespace poe::detail {

inline constexpr std::uint64_t max_array_bytes = std::uint64_t{1} << 31;

/// Appends one extent that a header claims; `place` is where it stands. Throws Error unless it is
/// at least 1 and the array of all extents so far has at most 2 GiB.
inline void add_extent(std::vector<int>& extents, std::uint64_t extent, std::size_t value_bytes,
                       const std::string& place) {
  constexpr auto largest = std::uint64_t{std::numeric_limits<int>::max()};
  expect(extent >= 1 && extent <= largest, "{}: expected an extent from 1 to {}, got {}", place,
         largest, extent);
  std::uint64_t total = extent;  // no overflow: the others are at most 2^31 together
  for (const int other : extents) total *= static_cast<std::uint64_t>(other);
  const std::uint64_t limit = max_array_bytes / value_bytes;
  expect(total <= limit, "{}: expected at most {} values, got extents of {} or more", place, limit,
         total);
  extents.push_back(static_cast<int>(extent));
}

/// The values of an array with these extents, which must be the rest of the file. Memory grows with
/// what the file really holds, not with what its header claims.
template <class T>
std::vector<T> read_values(ByteReader& file, const std::vector<int>& extents) {
  std::size_t size = 1;
  for (const int extent : extents) size *= static_cast<std::size_t>(extent);
  const std::uint64_t begin = file.offset();
  std::vector<T> values;
  while (values.size() < size) {
    const std::size_t had = values.size();
    const std::size_t next = std::min(size, std::max(2 * had, (std::size_t{1} << 20) / sizeof(T)));
    values.reserve(next);  // exactly; resize() alone would round up
    values.resize(next);
    const std::span rest = std::span(values).subspan(had);
    const std::size_t bytes =
        file.read({reinterpret_cast<std::uint8_t*>(rest.data()), rest.size_bytes()});
    expect(bytes == rest.size_bytes(), "{}: expected {} values, got {}", file.place(begin), size,
           had + bytes / sizeof(T));
  }
  std::array<std::uint8_t, 1> more{};
  const std::uint64_t end = file.offset();
  expect(file.read(more) == 0, "{}: expected the end of the file after {} values, got more bytes",
         file.place(end), size);
  return values;
}

}  // namespace poe::detail
