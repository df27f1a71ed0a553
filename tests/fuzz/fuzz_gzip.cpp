// SPDX-License-Identifier: MIT
// ByteReader: what it gives of a file, in pieces of any size, is what zlib's own gzread() gives.
#include "deflate.hpp"
#include "fuzz.hpp"

#include <poe/data/gzip.hpp>

#include <zlib.h>

#include <algorithm>
#include <vector>

namespace {
using Bytes = std::vector<std::uint8_t>;

/// The whole file in pieces of `piece` bytes.
Bytes read_in_pieces(const std::filesystem::path& path, std::size_t piece) {
  poe::ByteReader file(path);
  Bytes all, part(piece);
  for (std::size_t got = piece; got == piece;) {
    got = file.read(part);
    all.insert(all.end(), part.begin(), part.begin() + static_cast<std::ptrdiff_t>(got));
    poe::fuzz::require(file.offset() == all.size(), "offset() counts the bytes given out");
  }
  poe::fuzz::require(file.read(part) == 0, "behind the end there is nothing");
  return all;
}

Bytes read_with_zlib(const std::filesystem::path& path, std::size_t size) {
  const gzFile file = gzopen(path.c_str(), "rb");
  Bytes all(size + 1);
  const int got = gzread(file, all.data(), static_cast<unsigned>(all.size()));
  poe::fuzz::require(gzclose(file) == Z_OK, "zlib finds no fault either");
  all.resize(static_cast<std::size_t>(std::max(got, 0)));
  return all;
}

}  // namespace

/// The first byte is the size of the pieces, the rest the file.
int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace poe;
  if (size == 0) return 0;
  const std::size_t piece = std::size_t{1} + data[0];
  const std::span bytes(data + 1, size - 1);
  const auto read = [&](const std::filesystem::path& path) { return read_in_pieces(path, piece); };

  const auto path = fuzz::file_of(bytes);
  if (const auto found = fuzz::attempt(path, read))
    fuzz::require(*found == read_with_zlib(path, found->size()), "the bytes are those of zlib");

  // Two members, one of which may be empty.
  const std::size_t half = std::min(piece, bytes.size());
  Bytes members = fuzz::deflated(bytes.first(half), fuzz::Stream::gzip);
  std::ranges::copy(fuzz::deflated(bytes.subspan(half), fuzz::Stream::gzip),
                    std::back_inserter(members));
  const auto whole = fuzz::attempt(fuzz::file_of(members), read);
  fuzz::require(whole && std::ranges::equal(*whole, bytes), "what was compressed comes back");
  return 0;
}
