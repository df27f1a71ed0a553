// SPDX-License-Identifier: MIT
// Text files as lines, lines as columns, columns as numbers.
#pragma once

#include <poe/core/error.hpp>
#include <poe/data/gzip.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace poe::detail {

/// What a text file may hold, inflated: a small gzip file can claim a thousand times its size. All
/// captions of CUB are 10 MB in 117,880 lines, 17 MB as a table.
inline constexpr std::size_t max_text_bytes = std::size_t{64} << 20;
inline constexpr std::size_t max_text_lines = std::size_t{1} << 20;

/// A text file, plain or gzip, cut into lines; the last one need not end. It has less than
/// max_text_bytes, and at most max_text_lines.
struct TextLines {
  explicit TextLines(const std::filesystem::path& file_path) : path(file_path.string()) {
    constexpr std::size_t piece = std::size_t{1} << 16;
    ByteReader file(file_path);
    std::string text;
    for (std::size_t got = piece; got == piece;) {
      const std::size_t had = text.size();
      expect(had < max_text_bytes,
             "{}: expected a text of less than {} MiB, got more; if it is the right file, raise "
             "max_text_bytes in poe/data/text_lines.hpp",
             file.place(had), max_text_bytes >> 20);
      text.resize(had + piece);
      got = file.read({reinterpret_cast<std::uint8_t*>(text.data()) + had, piece});
      text.resize(had + got);
    }
    for (std::string_view rest = text; !rest.empty();) {
      expect(lines.size() < max_text_lines,
             "{}: expected at most {} lines, got more; if it is the right file, raise "
             "max_text_lines in poe/data/text_lines.hpp",
             place(lines.size()), max_text_lines);
      std::string_view line = rest.substr(0, rest.find('\n'));
      rest.remove_prefix(std::min(rest.size(), line.size() + 1));
      if (line.ends_with('\r')) line.remove_suffix(1);
      lines.emplace_back(line);
    }
  }

  /// For messages: the file and the line with this index.
  std::string place(std::size_t index) const {
    return fmt::format("'{}', line {}", path, index + 1);
  }

  std::string path;
  std::vector<std::string> lines;
};

/// The number that is all of `text`; -1 when that is no number from 0 to `most`.
inline int number_in(std::string_view text, int most) {
  int number = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  return error == std::errc{} && stop == end && number >= 0 && number <= most ? number : -1;
}

/// What stands between the tabs of a line.
inline std::vector<std::string_view> columns_of(std::string_view line) {
  std::vector<std::string_view> columns;
  for (std::size_t tab = 0; tab != std::string_view::npos; line.remove_prefix(tab + 1)) {
    tab = line.find('\t');
    columns.push_back(line.substr(0, tab));
    if (tab == std::string_view::npos) break;
  }
  return columns;
}

}  // namespace poe::detail
