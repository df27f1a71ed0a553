// SPDX-License-Identifier: MIT
// Strict reader of NumPy's .npy files.
#pragma once

#include <poe/core/error.hpp>
#include <poe/data/array.hpp>
#include <poe/data/gzip.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

namespace poe {

/// An array, the last index fastest.
template <class T>
struct Npy {
  std::vector<int> extents;
  std::vector<T> values;
};

namespace detail {

/// The header of a .npy file, a dictionary as Python writes it:
/// {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }, then blanks and a line feed.
class NpyHeader {
 public:
  /// `text` begins at byte `begin` of what `file` reads.
  NpyHeader(std::string text, const ByteReader& file, std::uint64_t begin)
      : text_(std::move(text)), file_(file), begin_(begin) {}

  /// The extents of an array in C order whose numbers are of the type `descr`.
  std::vector<int> extents(std::string_view descr, std::size_t value_bytes) {
    std::optional<std::vector<int>> shape;
    bool has_descr = false, has_order = false;
    take('{');
    while (!take_if('}')) {
      const std::size_t at = blank();
      const std::string_view key = quoted();
      take(':');
      if (key == "descr" && !has_descr) {
        has_descr = true;
        const std::size_t where = blank();
        const std::string_view got = quoted();
        expect(got == descr, "{}: expected numbers of the type '{}', got '{}'", place(where), descr,
               got);
      } else if (key == "fortran_order" && !has_order) {
        has_order = true;
        expect(rest().starts_with("False"), "{}: expected False, an array in C order, got '{}'",
               place(blank()), rest().substr(0, 5));
        at_ += 5;
      } else if (key == "shape" && !shape) {
        shape = tuple(value_bytes);
      } else {
        fail("{}: expected 'descr', 'fortran_order' and 'shape', each once, got '{}'", place(at),
             key);
      }
      if (take_if(',')) continue;
      take('}');
      break;
    }
    expect(has_descr && has_order && shape,
           "{}: expected 'descr', 'fortran_order' and 'shape', got a dictionary without {}",
           place(0),
           !has_descr  ? "'descr'"
           : has_order ? "'shape'"
                       : "'fortran_order'");
    expect(rest() == "\n",
           "{}: expected nothing but blanks and a line feed behind the dictionary, got {:?}",
           place(blank()), rest().substr(0, 10));
    return *shape;
  }

 private:
  std::string place(std::size_t at) const { return file_.place(begin_ + at); }
  std::string_view rest() {
    blank();
    return std::string_view(text_).substr(at_);
  }
  /// Skips blanks; where the next character is.
  std::size_t blank() {
    while (at_ < text_.size() && text_[at_] == ' ') ++at_;
    return at_;
  }
  bool take_if(char c) {
    if (blank() == text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  void take(char c) {
    expect(take_if(c), "{}: expected '{}' in the header, got '{}'", place(blank()), c,
           rest().substr(0, 1));
  }
  std::string_view quoted() {
    take('\'');
    const std::size_t end = text_.find('\'', at_);
    expect(end != std::string::npos,
           "{}: expected a string and its closing quote, got the end of the header", place(at_));
    const auto found = std::string_view(text_).substr(at_, end - at_);
    at_ = end + 1;
    return found;
  }
  /// (2, 3) or (2,): one to four extents.
  std::vector<int> tuple(std::size_t value_bytes) {
    std::vector<int> extents;
    take('(');
    const std::size_t begin = at_;
    while (!take_if(')')) {
      std::uint64_t extent = 0;
      const std::size_t where = blank();
      const char* first = text_.data() + at_;
      const auto [end, error] = std::from_chars(first, text_.data() + text_.size(), extent);
      expect(error == std::errc{}, "{}: expected an extent, got {:?}", place(where),
             rest().substr(0, 10));
      at_ += static_cast<std::size_t>(end - first);
      expect(extents.size() < 4, "{}: expected at most 4 extents, got another: {}", place(where),
             extent);
      add_extent(extents, extent, value_bytes, place(where));
      if (take_if(',')) continue;
      expect(extents.size() > 1, "{}: expected a comma, without which this is no tuple, got {:?}",
             place(blank()), rest().substr(0, 1));
      take(')');
      break;
    }
    expect(!extents.empty(), "{}: expected 1 to 4 extents, got none", place(begin));
    return extents;
  }

  std::string text_;
  std::size_t at_ = 0;
  const ByteReader& file_;
  std::uint64_t begin_;
};

/// Magic number, version (1.0 or 2.0), length of the header, header.
inline NpyHeader read_npy_header(ByteReader& file) {
  static constexpr std::array<std::uint8_t, 6> magic{0x93, 'N', 'U', 'M', 'P', 'Y'};
  std::array<std::uint8_t, 8> front{};
  const std::size_t got_front = file.read(front);
  expect(got_front == front.size() && std::ranges::equal(magic, std::span(front).first(6)),
         "{}: expected 93 4e 55 4d 50 59 (\\x93NUMPY) and a version, with which every .npy file "
         "begins, got {:02x}",
         file.place(0), fmt::join(std::span(front).first(got_front), " "));
  const int major = front[6];
  expect((major == 1 || major == 2) && front[7] == 0, "{}: expected version 1.0 or 2.0, got {}.{}",
         file.place(6), major, front[7]);

  std::array<std::uint8_t, 4> word{};
  const std::span digits = std::span(word).first(major == 1 ? 2 : 4);
  const std::size_t got_digits = file.read(digits);
  expect(got_digits == digits.size(), "{}: expected the length of the header in {} bytes, got {}",
         file.place(8), digits.size(), got_digits);
  const std::size_t size =
      word[0] | std::size_t{word[1]} << 8 | std::size_t{word[2]} << 16 | std::size_t{word[3]} << 24;
  expect(size < std::size_t{1} << 16, "{}: expected a header of less than 64 KiB, got {} bytes",
         file.place(8), size);

  std::string text(size, '\0');
  const std::uint64_t begin = file.offset();
  const std::size_t got = file.read({reinterpret_cast<std::uint8_t*>(text.data()), size});
  expect(got == size, "{}: expected a header of {} bytes, got {}", file.place(begin), size, got);
  return {std::move(text), file, begin};
}

}  // namespace detail

/// Reads a .npy file of format 1.0 or 2.0, plain or gzip: float32 ('<f4') or uint8 ('|u1'), C
/// order, 1 to 4 extents of at least 1, at most 2 GiB. Anything else is an Error that names the
/// file and the byte: another type, order or key, too few values, bytes behind the last one.
template <class T>
Npy<T> read_npy(const std::filesystem::path& path) {
  static_assert(std::is_same_v<T, float> || std::is_same_v<T, std::uint8_t>,
                "poe: read_npy reads float or std::uint8_t");
  static_assert(std::endian::native == std::endian::little, "poe: .npy values are little-endian");
  ByteReader file(path);
  Npy<T> array;
  array.extents =
      detail::read_npy_header(file).extents(std::is_same_v<T, float> ? "<f4" : "|u1", sizeof(T));
  array.values = detail::read_values<T>(file, array.extents);
  return array;
}

}  // namespace poe
