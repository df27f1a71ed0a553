// SPDX-License-Identifier: MIT
// ByteReader: a file read front to back, inflated on the way when its first bytes say gzip.
#pragma once

#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <ios>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <system_error>
#include <vector>

#include "poe/core/error.hpp"

namespace poe {

/// The bytes of a regular file, in order. A file that begins with 1f 8b is taken for gzip (RFC
/// 1952, one member or several) whatever its name is, and read() gives what it holds. Damage is an
/// Error as soon as it is met: a wrong checksum or length, a stream that breaks off, bytes behind
/// its end.
class ByteReader {
 public:
  explicit ByteReader(const std::filesystem::path& path) : path_(path.string()) {
    std::error_code error;
    const auto status = std::filesystem::status(path, error);
    if (!std::filesystem::is_regular_file(status))
      fail("cannot open '{}': {}", path_,
           error ? error.message() : "expected a regular file, got a directory or a device");
    stream_.open(path, std::ios::binary);
    if (!stream_.is_open())
      fail("cannot open '{}': {}", path_, std::generic_category().message(errno));
    if (refill() && rest_.size() >= 2 && rest_[0] == magic[0] && rest_[1] == magic[1])
      start_inflate();
  }

  /// Fills `out` from its front. Returns how many bytes were there: fewer only at the end.
  std::size_t read(std::span<std::uint8_t> out) {
    std::size_t done = 0;
    while (done < out.size()) {
      const std::size_t n =
          inflate_ ? inflate_some(out.subspan(done)) : copy_some(out.subspan(done));
      if (n == 0) break;
      done += n;
      offset_ += n;
    }
    return done;
  }

  /// Bytes given out so far.
  std::uint64_t offset() const { return offset_; }

  /// For messages: the file and one offset of what read() gives.
  std::string place(std::uint64_t offset) const {
    return fmt::format("'{}', byte {}{}", path_, offset, inflate_ ? " of the inflated data" : "");
  }

 private:
  struct EndInflate {
    void operator()(z_stream* z) const {
      inflateEnd(z);
      delete z;
    }
  };

  static constexpr std::uint8_t magic[2] = {0x1f, 0x8b};

  void start_inflate() {
    auto z = std::make_unique<z_stream>();
    constexpr int gzip_only = 16;  // added to the window bits: neither zlib nor raw streams
    if (inflateInit2(z.get(), MAX_WBITS + gzip_only) != Z_OK) throw std::bad_alloc();
    inflate_.reset(z.release());
  }

  /// Reads the next piece of the file; false at its end.
  bool refill() {
    stream_.read(reinterpret_cast<char*>(input_.data()),
                 static_cast<std::streamsize>(input_.size()));
    expect(!stream_.bad(), "cannot read '{}' at byte {}", path_, file_offset_);
    rest_ = std::span(input_).first(static_cast<std::size_t>(stream_.gcount()));
    file_offset_ += rest_.size();
    return !rest_.empty();
  }

  /// Where in the file itself the next byte lies.
  std::string file_place() const {
    return fmt::format("'{}', byte {}", path_, file_offset_ - rest_.size());
  }

  std::size_t copy_some(std::span<std::uint8_t> out) {
    if (rest_.empty() && !refill()) return 0;
    const std::size_t n = std::min(out.size(), rest_.size());
    std::copy_n(rest_.begin(), n, out.begin());
    rest_ = rest_.subspan(n);
    return n;
  }

  std::size_t inflate_some(std::span<std::uint8_t> out) {
    z_stream& z = *inflate_;
    const uInt room = static_cast<uInt>(std::min<std::size_t>(out.size(), std::size_t{1} << 30));
    z.next_out = out.data();
    z.avail_out = room;
    while (z.avail_out == room) {
      const bool more = !rest_.empty() || refill();
      if (member_ended_ && !more) break;
      if (member_ended_) start_next_member();
      if (!more) fail("{}: the file ends; expected the rest of the gzip stream", file_place());
      z.next_in = rest_.data();
      z.avail_in = static_cast<uInt>(rest_.size());
      const int status = inflate(&z, Z_NO_FLUSH);
      rest_ = rest_.last(z.avail_in);
      if (status != Z_OK && status != Z_STREAM_END)
        fail("{}: expected a sound gzip stream, zlib found: {}", file_place(),
             z.msg != nullptr ? z.msg : zError(status));
      member_ended_ = status == Z_STREAM_END;
    }
    return room - z.avail_out;
  }

  void start_next_member() {
    expect(rest_[0] == magic[0], "{}: expected the end or another gzip member, got {:#04x}",
           file_place(), rest_[0]);
    inflateReset(inflate_.get());
    member_ended_ = false;
  }

  std::string path_;
  std::ifstream stream_;
  std::vector<std::uint8_t> input_ = std::vector<std::uint8_t>(std::size_t{1} << 16);
  std::span<std::uint8_t> rest_;   // of input_, not used yet
  std::uint64_t file_offset_ = 0;  // of the end of rest_
  std::uint64_t offset_ = 0;
  std::unique_ptr<z_stream, EndInflate> inflate_;  // null: the file is plain
  bool member_ended_ = false;
};

}  // namespace poe
