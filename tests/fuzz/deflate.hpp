// SPDX-License-Identifier: MIT
// Compressed bytes for the fuzz targets: the fuzzer itself seldom guesses a checksum.
#pragma once

#include "fuzz.hpp"

#include <zlib.h>

#include <cstdint>
#include <span>
#include <vector>

namespace poe::fuzz {

enum class Stream { zlib, gzip };

inline std::vector<std::uint8_t> deflated(std::span<const std::uint8_t> plain, Stream stream) {
  constexpr int fastest = 1, least_window = 9, least_memory = 1;
  const int window = least_window + (stream == Stream::gzip ? 16 : 0);
  z_stream z{};
  require(deflateInit2(&z, fastest, Z_DEFLATED, window, least_memory, Z_DEFAULT_STRATEGY) == Z_OK,
          "zlib can compress");
  std::vector<std::uint8_t> in(plain.begin(), plain.end()), out(deflateBound(&z, plain.size()));
  z.next_in = in.data();
  z.avail_in = static_cast<uInt>(in.size());
  z.next_out = out.data();
  z.avail_out = static_cast<uInt>(out.size());
  require(deflate(&z, Z_FINISH) == Z_STREAM_END, "zlib compresses");
  out.resize(z.total_out);
  deflateEnd(&z);
  return out;
}

}  // namespace poe::fuzz
