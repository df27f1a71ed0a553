// SPDX-License-Identifier: MIT
// MatMatrix: one matrix of a MATLAB 5 file, read front to back, inflated on the way if need be.
#pragma once

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <poe/core/error.hpp>
#include <poe/data/gzip.hpp>

namespace poe::detail {

inline std::uint32_t little_endian(std::span<const std::uint8_t, 4> b) {
  return b[0] | std::uint32_t{b[1]} << 8 | std::uint32_t{b[2]} << 16 | std::uint32_t{b[3]} << 24;
}

/// Type, size and padding of a part of a matrix; its data come next.
struct MatTag {
  std::uint32_t type, size, padding;
};

/// One matrix of a file, front to back: as it stands there, or inflated on the way.
class MatMatrix {
 public:
  enum Type : std::uint32_t { int8 = 1, uint8 = 2, int32 = 5, uint32 = 6, matrix = 14, zlib = 15 };

  /// `tag`: the eight bytes at `begin`, which were read already.
  MatMatrix(ByteReader& file, std::uint64_t begin, std::span<const std::uint8_t, 8> tag)
      : file_(file), begin_(begin), left_(little_endian(tag.last<4>())) {
    const std::uint32_t type = little_endian(tag.first<4>());
    expect(type == matrix || type == zlib,
           "{}: expected an element of type 14 (matrix) or 15 (compressed), got type {}",
           file.place(begin), type);
    if (type == zlib) start_inflate();
  }

  /// For messages: the file and the next byte.
  std::string place() const {
    return inflate_ ? fmt::format("{}, inflated byte {}", file_.place(begin_), offset_)
                    : file_.place(file_.offset());
  }

  /// Fills `out`; `what` is named when the matrix, its compressed stream or the file ends before.
  void read(std::span<std::uint8_t> out, std::string_view what) {
    expect(out.size() <= left_, "{}: expected {} more bytes of the matrix ({}), got {}", place(),
           out.size(), what, left_);
    const std::size_t got = inflate_ ? inflate_some(out) : file_.read(out);
    expect(got == out.size(), "{}: expected {} bytes ({}), got {}", place(), out.size(), what, got);
    left_ -= got;
  }

  /// A part with up to four bytes keeps them in the second half of its tag.
  MatTag tag(std::string_view what) {
    const std::uint32_t first = word(what);
    const std::uint32_t small = first >> 16;
    if (small > 0) {
      expect(small <= 4, "{}: expected at most 4 bytes in a tag ({}), got {}", place(), what,
             small);
      return {first & 0xffff, small, 4 - small};
    }
    const std::uint32_t size = word(what);
    return {first, size, (8 - size % 8) % 8};
  }

  /// A part that is expected to have this type and at most `most` bytes.
  std::vector<std::uint8_t> part(std::uint32_t type, std::uint32_t most, std::string_view what) {
    const std::string at = place();
    const MatTag t = tag(what);
    expect(t.type == type && t.size <= most,
           "{}: expected {} of type {} in at most {} bytes, got type {} in {} bytes", at, what,
           type, most, t.type, t.size);
    std::vector<std::uint8_t> bytes(t.size);
    read(bytes, what);
    skip(t.padding);
    return bytes;
  }

  void skip(std::uint32_t padding) {
    std::array<std::uint8_t, 8> ignored;
    read(std::span(ignored).first(padding), "padding");
  }

  /// Throws Error unless everything was read and the checksum is right.
  void finish() {
    expect(left_ == 0, "{}: expected the end of the matrix, got {} more bytes", place(), left_);
    if (!inflate_) return;
    std::array<std::uint8_t, 1> more;
    const std::uint64_t behind = inflate_some(more) + inflate_->avail_in + deflated_left_;
    expect(behind == 0, "{}: expected the end of the compressed element, got more bytes", place());
  }

 private:
  struct EndInflate {
    void operator()(z_stream* z) const {
      inflateEnd(z);
      delete z;
    }
  };

  /// From here on left_ counts inflated bytes.
  void start_inflate() {
    deflated_left_ = left_;
    auto z = std::make_unique<z_stream>();
    if (inflateInit(z.get()) != Z_OK) throw std::bad_alloc();
    inflate_.reset(z.release());
    left_ = 8;
    const std::uint32_t type = word("the type of a matrix"), size = word("the size of a matrix");
    expect(type == matrix, "{}, inflated byte 0: expected type 14 (matrix), got type {}",
           file_.place(begin_), type);
    left_ = size;
  }

  std::uint32_t word(std::string_view what) {
    std::array<std::uint8_t, 4> bytes{};
    read(bytes, what);
    return little_endian(bytes);
  }

  /// Returns how many bytes there were: fewer only at the end of the stream.
  std::size_t inflate_some(std::span<std::uint8_t> out) {
    z_stream& z = *inflate_;
    std::size_t done = 0;
    while (done < out.size() && !ended_) {
      if (z.avail_in == 0) refill();
      const auto room = static_cast<uInt>(std::min<std::size_t>(out.size() - done, 1U << 30));
      z.next_out = out.data() + done;
      z.avail_out = room;
      const int status = inflate(&z, Z_NO_FLUSH);
      expect(status == Z_OK || status == Z_STREAM_END,
             "{}: expected a sound zlib stream, zlib found: {}", place(),
             z.msg != nullptr ? z.msg : zError(status));
      done += room - z.avail_out;
      offset_ += room - z.avail_out;
      ended_ = status == Z_STREAM_END;
    }
    return done;
  }

  void refill() {
    const std::size_t n = std::min<std::uint64_t>(input_.size(), deflated_left_);
    expect(n > 0, "{}: the compressed element ends; expected the rest of its zlib stream", place());
    const std::size_t got = file_.read(std::span(input_).first(n));
    expect(got == n, "{}: the file ends; expected {} more bytes of the element at byte {}",
           file_.place(file_.offset()), deflated_left_ - got, begin_);
    deflated_left_ -= n;
    inflate_->next_in = input_.data();
    inflate_->avail_in = static_cast<uInt>(n);
  }

  ByteReader& file_;
  std::uint64_t begin_, left_;  // of the element in the file; of the matrix, not read yet
  std::unique_ptr<z_stream, EndInflate> inflate_;  // null: the matrix is plain
  std::array<std::uint8_t, 1 << 14> input_;
  std::uint64_t deflated_left_ = 0, offset_ = 0;
  bool ended_ = false;
};

}  // namespace poe::detail
