// SPDX-License-Identifier: MIT
// Strict reader of arrays of bytes in MATLAB 5 files (.mat), compressed or not.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <poe/core/error.hpp>
#include <poe/data/array.hpp>
#include <poe/data/gzip.hpp>
#include <poe/data/mat_matrix.hpp>

namespace poe {

/// An array of bytes, the first index fastest, as MATLAB keeps it.
struct MatU8 {
  std::vector<int> extents;
  std::vector<std::uint8_t> values;
  std::string place;  ///< for messages: the file and the byte at which the variable begins
};

namespace detail {

/// 116 bytes of text, 8 for subsystems, the version and the byte order.
inline void read_mat_header(ByteReader& file) {
  std::array<std::uint8_t, 128> bytes{};
  const std::size_t got = file.read(bytes);
  expect(got == bytes.size(), "{}: expected the 128 bytes of a MATLAB 5 header, got {}",
         file.place(0), got);
  const std::array<std::uint8_t, 4> version{bytes[124], bytes[125], bytes[126], bytes[127]};
  if (version == std::array<std::uint8_t, 4>{0, 2, 'I', 'M'})
    fail("{}: expected a MATLAB 5 file, got version 7.3 (HDF5): save it with -v7", file.place(124));
  expect(version == std::array<std::uint8_t, 4>{0, 1, 'I', 'M'},
         "{}: expected 00 01 49 4d (MATLAB 5, little-endian), got {:02x}", file.place(124),
         fmt::join(version, " "));
}

/// What a matrix says of itself before its values.
struct MatVariable {
  std::string name;
  std::vector<int> extents;
  std::uint64_t size = 1;  // the product of the extents
};

inline MatVariable read_mat_variable(MatMatrix& matrix) {
  const auto flags = matrix.part(MatMatrix::uint32, 8, "the array flags");
  const auto extents = matrix.part(MatMatrix::int32, 32, "the extents");
  const auto name = matrix.part(MatMatrix::int8, 63, "the name");
  MatVariable v{{name.begin(), name.end()}, {}};
  const auto check = [&](bool ok, const auto& expected, const auto& got) {
    if (!ok) fail("{}: variable {:?}: expected {}, got {}", matrix.place(), v.name, expected, got);
  };
  check(flags.size() == 8, "8 bytes of flags", flags.size());
  constexpr int u8_class = 9, complex_or_logical = 0x0a;
  check(flags[0] == u8_class, "class 9 (uint8)", fmt::format("class {}", flags[0]));
  check((flags[1] & complex_or_logical) == 0, "real numbers", "complex or logical ones");
  check(extents.size() % 4 == 0 && extents.size() >= 8, "2 to 8 extents of 4 bytes each",
        fmt::format("{} bytes", extents.size()));
  for (std::size_t i = 0; i < extents.size(); i += 4) {
    const std::uint32_t extent = little_endian(std::span(extents).subspan(i).first<4>());
    add_extent(v.extents, extent, 1, fmt::format("{}: variable {:?}", matrix.place(), v.name));
    v.size *= extent;
  }
  return v;
}

/// Memory grows with what the file really holds, not with what its headers claim.
inline std::vector<std::uint8_t> read_mat_values(MatMatrix& matrix, const MatVariable& v) {
  const std::string at = matrix.place();
  const MatTag tag = matrix.tag("the values");
  expect(tag.type == MatMatrix::uint8 && tag.size == v.size,
         "{}: variable {:?}: expected {} values of type 2 (uint8), got {} bytes of type {}", at,
         v.name, v.size, tag.size, tag.type);
  std::vector<std::uint8_t> values;
  while (values.size() < v.size) {
    const std::size_t had = values.size();
    const std::size_t next = std::min<std::size_t>(v.size, std::max(2 * had, std::size_t{1} << 20));
    values.reserve(next);  // exactly; resize() alone would round up
    values.resize(next);
    matrix.read(std::span(values).subspan(had), "values");
  }
  matrix.skip(tag.padding);
  matrix.finish();
  return values;
}

}  // namespace detail

/// Reads the variables `names` of a little-endian MATLAB 5 file (what MATLAB's -v6 and -v7 and
/// SciPy write): real arrays of class uint8 with at most 2 GiB of values each. Anything else is an
/// Error that names the file and the byte: another version, class or variable, a missing one,
/// sizes that contradict each other, a damaged or truncated stream, bytes behind its end.
template <std::size_t N>
std::array<MatU8, N> read_mat(const std::filesystem::path& path, const char* const (&names)[N]) {
  ByteReader file(path);
  detail::read_mat_header(file);
  std::array<MatU8, N> arrays;
  for (;;) {
    const std::uint64_t at = file.offset();
    std::array<std::uint8_t, 8> tag{};
    const std::size_t got = file.read(tag);
    if (got == 0) break;
    expect(got == tag.size(), "{}: expected the 8 bytes of an element's tag, got {}",
           file.place(at), got);
    detail::MatMatrix matrix(file, at, tag);
    detail::MatVariable variable = detail::read_mat_variable(matrix);
    const auto found = std::ranges::find(names, variable.name);
    expect(found != std::end(names), "{}: expected no variables but {}, got {:?}", matrix.place(),
           fmt::join(names, ", "), variable.name);
    MatU8& array = arrays[static_cast<std::size_t>(found - std::begin(names))];
    expect(array.extents.empty(), "{}: expected variable {} once, got it again", matrix.place(),
           variable.name);
    array.values = detail::read_mat_values(matrix, variable);
    array.extents = std::move(variable.extents);
    array.place = file.place(at);
  }
  for (std::size_t i = 0; i < N; ++i)
    expect(!arrays[i].extents.empty(), "{}: the file ends; expected a variable {} in it",
           file.place(file.offset()), names[i]);
  return arrays;
}

}  // namespace poe
