// SPDX-License-Identifier: MIT
// Strict reader of IDX files, the format in which MNIST and its relatives are published.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include "poe/core/error.hpp"
#include "poe/data/gzip.hpp"

namespace poe {

/// An array of bytes, the last index fastest.
struct IdxU8 {
  std::vector<int> extents;
  std::vector<std::uint8_t> values;
};

namespace detail {

inline constexpr std::uint64_t max_idx_bytes = std::uint64_t{1} << 31;

/// Big-endian 32-bit word; throws Error when the file ends before its end.
inline std::array<std::uint8_t, 4> read_idx_word(ByteReader& file, const char* what) {
  const std::uint64_t at = file.offset();
  std::array<std::uint8_t, 4> bytes{};
  const std::size_t got = file.read(bytes);
  expect(got == bytes.size(), "{}: expected 4 bytes ({}), got {}", file.place(at), what, got);
  return bytes;
}

/// Two zero bytes, the type, the rank; then the extents as big-endian 32-bit words.
inline std::vector<int> read_idx_extents(ByteReader& file) {
  const auto magic = read_idx_word(file, "the IDX magic number");
  expect(magic[0] == 0 && magic[1] == 0,
         "{}: expected 00 00, with which every IDX file begins, got {:02x} {:02x}", file.place(0),
         magic[0], magic[1]);
  expect(magic[2] == 0x08, "{}: expected IDX type 0x08 (unsigned bytes), got {:#04x}",
         file.place(2), magic[2]);
  expect(magic[3] >= 1 && magic[3] <= 4, "{}: expected a rank from 1 to 4, got {}", file.place(3),
         magic[3]);

  std::vector<int> extents;
  std::uint64_t total = 1;
  for (int i = 0; i < magic[3]; ++i) {
    const std::uint64_t at = file.offset();
    const auto b = read_idx_word(file, "an extent");
    const std::uint64_t extent = (std::uint64_t{b[0]} << 24) | (std::uint64_t{b[1]} << 16) |
                                 (std::uint64_t{b[2]} << 8) | std::uint64_t{b[3]};
    expect(extent >= 1 && extent <= std::uint64_t{std::numeric_limits<int>::max()},
           "{}: expected an extent from 1 to {}, got {}", file.place(at),
           std::numeric_limits<int>::max(), extent);
    total *= extent;  // no overflow: both factors are below 2^32
    expect(total <= max_idx_bytes, "{}: expected at most {} values, got extents of {} or more",
           file.place(at), max_idx_bytes, total);
    extents.push_back(static_cast<int>(extent));
  }
  return extents;
}

/// `size` values. Memory grows with what the file really holds, not with what its header claims.
inline std::vector<std::uint8_t> read_idx_values(ByteReader& file, std::size_t size) {
  const std::uint64_t begin = file.offset();
  std::vector<std::uint8_t> values;
  while (values.size() < size) {
    const std::size_t had = values.size();
    const std::size_t next = std::min(size, std::max(2 * had, std::size_t{1} << 20));
    values.reserve(next);  // exactly; resize() alone would round up
    values.resize(next);
    const std::size_t got = had + file.read(std::span(values).subspan(had));
    expect(got == next, "{}: expected {} values, got {}", file.place(begin), size, got);
  }
  return values;
}

}  // namespace detail

/// Reads an IDX file of unsigned bytes, plain or gzip, with 1 to 4 extents and at most 2 GiB of
/// values. Anything else is an Error that names the file and the byte: another magic number, type
/// or rank, too few values, bytes behind the last one, a damaged gzip stream.
inline IdxU8 read_idx(const std::filesystem::path& path) {
  ByteReader file(path);
  IdxU8 idx{detail::read_idx_extents(file), {}};
  std::size_t size = 1;
  for (const int extent : idx.extents) size *= static_cast<std::size_t>(extent);
  idx.values = detail::read_idx_values(file, size);

  std::array<std::uint8_t, 1> more{};
  const std::uint64_t end = file.offset();
  expect(file.read(more) == 0, "{}: expected the end of the file after {} values, got more bytes",
         file.place(end), size);
  return idx;
}

}  // namespace poe
