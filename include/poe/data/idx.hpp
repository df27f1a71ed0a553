// SPDX-License-Identifier: MIT
// Strict reader of IDX files, the format in which MNIST and its relatives are published.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <vector>

#include "poe/core/error.hpp"
#include "poe/data/array.hpp"
#include "poe/data/gzip.hpp"

namespace poe {

/// An array of bytes, the last index fastest.
struct IdxU8 {
  std::vector<int> extents;
  std::vector<std::uint8_t> values;
};

namespace detail {

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
  for (int i = 0; i < magic[3]; ++i) {
    const std::uint64_t at = file.offset();
    const auto b = read_idx_word(file, "an extent");
    const std::uint64_t extent = (std::uint64_t{b[0]} << 24) | (std::uint64_t{b[1]} << 16) |
                                 (std::uint64_t{b[2]} << 8) | std::uint64_t{b[3]};
    add_extent(extents, extent, 1, file.place(at));
  }
  return extents;
}

}  // namespace detail

/// Reads an IDX file of unsigned bytes, plain or gzip, with 1 to 4 extents and at most 2 GiB of
/// values. Anything else is an Error that names the file and the byte: another magic number, type
/// or rank, too few values, bytes behind the last one, a damaged gzip stream.
inline IdxU8 read_idx(const std::filesystem::path& path) {
  ByteReader file(path);
  IdxU8 idx{detail::read_idx_extents(file), {}};
  idx.values = detail::read_values<std::uint8_t>(file, idx.extents);
  return idx;
}

}  // namespace poe
