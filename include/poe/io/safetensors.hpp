// SPDX-License-Identifier: MIT
// Files of named tensors in the safetensors format, which Python reads and writes too.
#pragma once

#include "poe/core/error.hpp"
#include "poe/io/atomic_file.hpp"
#include "poe/io/file.hpp"
#include "poe/io/safetensors_header.hpp"

#include <algorithm>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <iterator>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace poe {

static_assert(std::endian::native == std::endian::little,
              "poe: safetensors files are little endian");

/// A safetensors file, open for reading. Opening reads and checks the header; the data of a tensor
/// are read when asked for, from any thread. Every defect of the file is an Error that names the
/// file, the place, what was expected and what was got.
class SafetensorsFile {
 public:
  static SafetensorsFile open(const std::filesystem::path& path) { return SafetensorsFile(path); }

  /// The tensors in the order of their data.
  const std::vector<TensorEntry>& entries() const { return entries_; }
  /// The strings under "__metadata__".
  const Metadata& metadata() const { return metadata_; }
  bool contains(std::string_view name) const { return index_.contains(name); }
  const TensorEntry& entry(std::string_view name) const { return entries_[find(name)]; }
  /// For messages: the file, the byte at which the tensor's data begin, and its name.
  std::string place(std::string_view name) const {
    return fmt::format("'{}', byte {}: tensor '{}'", file_.path(), begins_[find(name)], name);
  }

  /// Fills `out`, which has the tensor's type and number of elements, in row-major order.
  template <class T>
  void read(std::string_view name, std::span<T> out) const {
    const std::size_t i = find(name);
    if (entries_[i].dtype != dtype_of<T> || byte_count(entries_[i]) != out.size_bytes())
      fail("{}: expected {} elements of {}, got {}", place(name), out.size(),
           to_string(dtype_of<T>), describe(entries_[i]));
    file_.read(begins_[i], std::as_writable_bytes(out));
  }

  /// Fills `out` from a tensor of exactly this shape.
  template <class T>
  void read(std::string_view name, std::span<const std::int64_t> shape, std::span<T> out) const {
    const TensorEntry expected{std::string(name), {shape.begin(), shape.end()}, dtype_of<T>};
    if (entry(name) != expected)
      fail("{}: expected {}, got {}", place(name), describe(expected), describe(entry(name)));
    read(name, out);
  }

  /// All elements in row-major order.
  template <class T>
  std::vector<T> read(std::string_view name) const {
    const TensorEntry& tensor = entry(name);
    std::vector<T> values(*byte_count(tensor) / size_of(tensor.dtype));
    read(name, std::span(values));
    return values;
  }

 private:
  explicit SafetensorsFile(const std::filesystem::path& path) : file_(path) {
    try {
      const std::uint64_t size = file_.size();
      if (size < 8) fail("byte 0: expected a header length of 8 bytes, got a file of {}", size);
      std::uint64_t length = 0;
      file_.read(0, std::as_writable_bytes(std::span(&length, 1)));
      const std::uint64_t limit = std::min(size - 8, detail::max_header_bytes);
      if (length > limit)
        fail("byte 0: expected a header length of at most {}, got {}", limit, length);
      std::string text(length, '\0');
      file_.read(8, std::as_writable_bytes(std::span(text)));

      auto header = detail::parse_header(text, size - 8 - length);
      metadata_ = std::move(header.metadata);
      for (auto& tensor : header.tensors) {
        index_.emplace(tensor.entry.name, entries_.size());
        begins_.push_back(8 + length + tensor.begin);
        entries_.push_back(std::move(tensor.entry));
      }
    } catch (const Error& error) {
      fail("'{}' is not a valid safetensors file: {}", file_.path(), error.what());
    }
  }

  std::size_t find(std::string_view name) const {
    const auto found = index_.find(name);
    if (found == index_.end())
      fail("'{}', byte 8: expected a tensor '{}' in the header, got {} others", file_.path(), name,
           entries_.size());
    return found->second;
  }

  InputFile file_;
  Metadata metadata_;
  std::vector<TensorEntry> entries_;
  std::vector<std::uint64_t> begins_;  // of the data, in the file
  std::map<std::string, std::size_t, std::less<>> index_;
};

/// Writes the tensors in the given order, atomically. `data(entry, writer)` is called for each and
/// writes its byte_count(entry) bytes in row-major order, in any number of pieces, so that a large
/// file needs no second copy in memory. Equal arguments give equal bytes. Throws Error as
/// write_file_atomically(), and for a name that occurs twice, a shape without a size, or data of
/// another length.
template <std::invocable<const TensorEntry&, FileWriter&> Data>
void write_safetensors(const std::filesystem::path& path, std::span<const TensorEntry> entries,
                       const Metadata& metadata, Data&& data) {
  std::string header;
  try {
    header = detail::format_header(entries, metadata);
  } catch (const Error& error) {
    fail("cannot write '{}': {}", path.string(), error.what());
  }
  const std::uint64_t length = header.size();
  write_file_atomically(path, [&](FileWriter& writer) {
    writer.write(std::as_bytes(std::span(&length, 1)));
    writer.write(header);
    for (const TensorEntry& entry : entries) {
      const std::uint64_t before = writer.written();
      data(entry, writer);
      if (const auto got = writer.written() - before; got != byte_count(entry))
        fail("cannot write '{}': tensor '{}': expected {} bytes for {}, got {}", path.string(),
             entry.name, *byte_count(entry), describe(entry), got);
    }
  });
}

/// A tensor that lies in memory, to be written.
struct TensorView {
  TensorEntry entry;
  std::span<const std::byte> bytes;
};

/// Names the elements of a contiguous range (vector, array, span), which must outlive the view.
template <class Range>
TensorView tensor_view(std::string name, std::vector<std::int64_t> shape, const Range& values) {
  const std::span elements(std::data(values), std::size(values));
  using T = typename decltype(elements)::value_type;
  return {{std::move(name), std::move(shape), dtype_of<T>}, std::as_bytes(elements)};
}

/// Writes tensors that lie in memory, atomically, in the given order.
inline void write_safetensors(const std::filesystem::path& path,
                              std::span<const TensorView> tensors, const Metadata& metadata = {}) {
  std::vector<TensorEntry> entries;
  for (const TensorView& tensor : tensors) entries.push_back(tensor.entry);
  std::size_t next = 0;
  write_safetensors(path, entries, metadata, [&](const TensorEntry&, FileWriter& writer) {
    writer.write(tensors[next++].bytes);
  });
}

}  // namespace poe
