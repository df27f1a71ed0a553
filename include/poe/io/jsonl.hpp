// SPDX-License-Identifier: MIT
// Reports in JSON, and logs of one JSON object per line that survive a crash and a resumed run.
#pragma once

#include "poe/core/error.hpp"
#include "poe/io/atomic_file.hpp"
#include "poe/io/file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace poe {

/// A JSON value whose objects keep the order in which their members were added. Numbers print
/// with digits that read back as the same double (the fewest, but for one number in thousands,
/// which gets one more); NaN and infinities, which JSON lacks, print as null.
using Json = nlohmann::ordered_json;

/// The text of a value: on one line, or with `indent` spaces per level. Bytes that are not UTF-8
/// become U+FFFD: a log line must never end a training run.
inline std::string to_text(const Json& json, int indent = -1) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

/// Writes a value for people to read, atomically.
inline void write_json(const std::filesystem::path& path, const Json& json) {
  write_file_atomically(path, to_text(json, 2) + "\n");
}

/// The value in a file; throws Error with path, line and column when it is not JSON.
inline Json read_json(const std::filesystem::path& path) {
  try {
    return Json::parse(read_file(path));
  } catch (const Json::exception& error) {
    fail("'{}': expected JSON, got: {}", path.string(), error.what());
  }
}

/// Appends one object as a line, in one write; creates the file. When the disk is full the file is
/// left as it was. Throws Error when the file ends within a line: see resume_json_lines().
inline void append_json_line(const std::filesystem::path& path, const Json& object) {
  const std::string line = to_text(object) + "\n";
  const detail::Descriptor fd(::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666));
  const auto check = [&](bool ok) {
    if (!ok) fail("cannot append to '{}': {}", path.string(), detail::errno_text(errno));
  };
  check(fd.valid());
  const off_t size = ::lseek(fd.get(), 0, SEEK_END);
  check(size >= 0);
  if (char last = '\n'; size > 0) {
    check(::pread(fd.get(), &last, 1, size - 1) == 1);
    if (last != '\n')
      fail("cannot append to '{}': expected a whole last line, got a part", path.string());
  }
  ssize_t n = 0;
  do {
    n = ::write(fd.get(), line.data(), line.size());
  } while (n < 0 && errno == EINTR);
  if (n != static_cast<ssize_t>(line.size())) {
    const int cause = n < 0 ? errno : ENOSPC;
    if (n > 0) (void)::ftruncate(fd.get(), size);
    errno = cause;
    check(false);
  }
}

namespace detail {

/// Calls line(value, end) for each whole line of a log, `end` being the offset behind it, until it
/// returns false. A last line without its newline was never finished and does not count.
template <class Line>
void for_each_json_line(const std::filesystem::path& path, std::string_view text, Line&& line) {
  std::size_t begin = 0;
  for (std::size_t number = 1;; ++number) {
    const std::size_t newline = text.find('\n', begin);
    if (newline == std::string_view::npos) return;
    const Json value = Json::parse(text.substr(begin, newline - begin), nullptr, false);
    if (!value.is_object())
      fail("'{}': line {} (byte {}): expected a JSON object, got: {}", path.string(), number, begin,
           text.substr(begin, std::min<std::size_t>(newline - begin, 80)));
    begin = newline + 1;
    if (!line(value, begin)) return;
  }
}

/// Whether a value is a number larger than `last`. By itself nlohmann-json takes 2^63 and more for
/// negative numbers here.
inline bool is_later(const Json& value, std::int64_t last) {
  if (value.is_number_unsigned()) return std::cmp_greater(value.get<std::uint64_t>(), last);
  return value.is_number() && value > last;
}

}  // namespace detail

/// The whole lines of a log. A part of a last line, as a crash or a running program leaves it, is
/// ignored.
inline std::vector<Json> read_json_lines(const std::filesystem::path& path) {
  std::vector<Json> lines;
  detail::for_each_json_line(path, read_file(path), [&](const Json& line, std::size_t) {
    lines.push_back(line);
    return true;
  });
  return lines;
}

/// Takes a log back to the moment at which `line[key]` was `last`: drops everything from the first
/// line whose value is larger, and a part of a last line, atomically. Lines without the key stay
/// with the line before them. Returns how many lines remain; 0 when there is no file.
inline std::size_t resume_json_lines(const std::filesystem::path& path, std::string_view key,
                                     std::int64_t last) {
  if (std::error_code ignored; !std::filesystem::exists(path, ignored)) return 0;
  const std::string text = read_file(path);
  std::size_t count = 0, kept = 0;
  detail::for_each_json_line(path, text, [&](const Json& line, std::size_t end) {
    const auto value = line.find(key);
    if (value != line.end() && detail::is_later(*value, last)) return false;
    ++count;
    kept = end;
    return true;
  });
  if (kept != text.size()) write_file_atomically(path, std::string_view(text).substr(0, kept));
  return count;
}

}  // namespace poe
