// SPDX-License-Identifier: MIT
// SVHN's MATLAB files: what is read back, and what every kind of damage is told to be.
#include "files.hpp"
#include "largest_request.hpp"

#include <poe/data/svhn.hpp>

#include <zlib.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace {

using poe::test::largest_request;

namespace fs = std::filesystem;
using Bytes = std::vector<std::uint8_t>;
using Catch::Matchers::Contains;
using poe::test::Directory, poe::test::error_of;

fs::path write(const fs::path& path, const Bytes& bytes) {
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
  return path;
}

Bytes operator+(Bytes a, const Bytes& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

Bytes word(std::uint32_t n) {
  return {static_cast<std::uint8_t>(n), static_cast<std::uint8_t>(n >> 8),
          static_cast<std::uint8_t>(n >> 16), static_cast<std::uint8_t>(n >> 24)};
}

Bytes words(const std::vector<std::uint32_t>& numbers) {
  Bytes bytes;
  for (const std::uint32_t n : numbers) bytes = bytes + word(n);
  return bytes;
}

/// The files of these tests are put together from the published description of the format
/// ("MAT-File Format", level 5): a part is its type, its size, its data and padding to eight bytes.
Bytes part(std::uint32_t type, Bytes data) {
  const Bytes tag = word(type) + word(static_cast<std::uint32_t>(data.size()));
  data.resize((data.size() + 7) / 8 * 8);
  return tag + data;
}

/// The short form: at most four bytes, within the tag.
Bytes short_part(std::uint32_t type, Bytes data) {
  const Bytes tag = word(type | static_cast<std::uint32_t>(data.size()) << 16);
  data.resize(4);
  return tag + data;
}

Bytes name_part(const std::string& name) {
  const Bytes data(name.begin(), name.end());
  return data.size() <= 4 ? short_part(1, data) : part(1, data);
}

struct Matrix {
  std::string name = "a";
  std::vector<std::uint32_t> extents{2, 3};
  Bytes values{1, 2, 3, 4, 5, 6};
  std::uint32_t flags = 9;  // class uint8
  std::uint32_t type = 2;   // miUINT8
};

Bytes content(const Matrix& m) {
  return part(6, words({m.flags, 0})) + part(5, words(m.extents)) + name_part(m.name) +
         part(m.type, m.values);
}

Bytes element(const Matrix& m) { return part(14, content(m)); }

Bytes deflate(const Bytes& plain) {
  uLongf size = compressBound(plain.size());
  Bytes out(size);
  REQUIRE(compress2(out.data(), &size, plain.data(), plain.size(), 9) == Z_OK);
  out.resize(size);
  return out;
}

/// A compressed element has no padding.
Bytes packed(const Bytes& plain) {
  const Bytes stream = deflate(plain);
  return word(15) + word(static_cast<std::uint32_t>(stream.size())) + stream;
}

Bytes header() {
  const std::string text = "MATLAB 5.0 MAT-file";
  Bytes bytes(text.begin(), text.end());
  bytes.resize(116, ' ');
  bytes.resize(124, 0);
  return bytes + Bytes{0, 1, 'I', 'M'};
}

/// What read_mat says of a file that should hold a variable a; it must name the file.
std::string refusal(const Bytes& bytes) {
  const Directory folder;
  const fs::path path = write(folder / "file.mat", bytes);
  const std::string message = error_of([&] { poe::read_mat(path, {"a"}); });
  REQUIRE_THAT(message, Contains(path.string()));
  return message;
}

/// The same of a matrix, plain and compressed.
std::string refused(const Matrix& m) {
  const std::string plain = refusal(header() + element(m));
  const std::string inflated = refusal(header() + packed(element(m)));
  CHECK_THAT(inflated, Contains("byte 128, inflated byte "));
  // The same sentence, but for the place.
  CHECK(plain.substr(plain.find(": ")) == inflated.substr(inflated.find(": ")));
  return plain;
}

std::uint8_t formula(std::size_t h, std::size_t w, std::size_t c, std::size_t n) {
  return static_cast<std::uint8_t>((7 * h + 13 * w + 101 * c + 31 * n) % 251);
}

/// X of `rows` images, the first index fastest.
Matrix images(std::uint32_t rows) {
  Matrix m{"X", {32, 32, 3, rows}, {}};
  for (std::size_t n = 0; n < rows; ++n)
    for (std::size_t c = 0; c < 3; ++c)
      for (std::size_t w = 0; w < 32; ++w)
        for (std::size_t h = 0; h < 32; ++h) m.values.push_back(formula(h, w, c, n));
  return m;
}

Matrix labels(const Bytes& values) {
  return {"y", {static_cast<std::uint32_t>(values.size()), 1}, values};
}

Bytes svhn(const Matrix& x, const Matrix& y) {
  return header() + packed(element(x)) + packed(element(y));
}

}  // namespace

TEST_CASE("SVHN's columns become rows of channels-last pixels, its label 10 the digit 0") {
  const Directory folder;
  const Matrix x = images(3), y = labels({10, 1, 9});
  for (const Bytes& bytes : {svhn(x, y), svhn(y, x), header() + element(x) + element(y),
                             header() + packed(element(y)) + element(x)}) {
    const poe::Digits digits = poe::read_svhn(write(folder / "x.mat", bytes));
    CHECK(digits.rows == 3);
    CHECK(digits.labels == Bytes{0, 1, 9});
    CHECK_NOTHROW(poe::check_sizes(digits, 32, 32, 3));
    REQUIRE(digits.pixels.size() == 3 * 32 * 32 * 3);
    std::size_t wrong = 0, at = 0;
    for (std::size_t n = 0; n < 3; ++n)
      for (std::size_t h = 0; h < 32; ++h)
        for (std::size_t w = 0; w < 32; ++w)
          for (std::size_t c = 0; c < 3; ++c) wrong += digits.pixels[at++] != formula(h, w, c, n);
    CHECK(wrong == 0);
  }
}

TEST_CASE("colour images are no grey ones") {
  const Directory folder;
  const poe::Digits digits =
      poe::read_svhn(write(folder / "x.mat", svhn(images(2), labels({1, 2}))));
  CHECK_THROWS_WITH(
      poe::check_sizes(digits),
      Contains("expected images of 28 x 28 x 1, got 2 of 32 x 32 x 3") && Contains("x.mat"));
  CHECK_THROWS_WITH(poe::check_sizes(digits, 32, 32), Contains("32 x 32 x 1"));
}

TEST_CASE("a MATLAB file written by another program is read") {
  // scipy.io.savemat(..., {"a": uint8 [[1, 2, 3], [4, 5, 255]], "labels": uint8 [[10], [9]]},
  // do_compression=True), SciPy 1.10, from byte 128 on
  const Bytes scipy{0x0f, 0x00, 0x00, 0x00, 0x2e, 0x00, 0x00, 0x00, 0x78, 0x9c, 0xe3, 0x63,
                    0x60, 0x60, 0xb0, 0x00, 0x62, 0x36, 0x20, 0xe6, 0x00, 0x62, 0x4e, 0x06,
                    0x08, 0x60, 0x85, 0xf2, 0x99, 0x80, 0x98, 0x19, 0x88, 0x19, 0x81, 0x30,
                    0x11, 0xca, 0x07, 0xa9, 0x65, 0x64, 0x61, 0x62, 0x65, 0xfe, 0xcf, 0xc0,
                    0x00, 0x00, 0x23, 0x78, 0x01, 0xe9, 0x0f, 0x00, 0x00, 0x00, 0x2d, 0x00,
                    0x00, 0x00, 0x78, 0x9c, 0xe3, 0x63, 0x60, 0x60, 0xb0, 0x00, 0x62, 0x36,
                    0x20, 0xe6, 0x00, 0x62, 0x4e, 0x06, 0x08, 0x60, 0x85, 0xf2, 0x99, 0x80,
                    0x98, 0x11, 0x8a, 0x41, 0x6a, 0x72, 0x12, 0x93, 0x52, 0x73, 0x8a, 0x41,
                    0xe2, 0x4c, 0x0c, 0x5c, 0x40, 0xc5, 0x00, 0x39, 0xa0, 0x02, 0xff};
  const Directory folder;
  const auto [b, a] = poe::read_mat(write(folder / "s.mat", header() + scipy), {"labels", "a"});
  CHECK(a.extents == std::vector<int>{2, 3});
  CHECK(a.values == Bytes{1, 4, 2, 5, 3, 255});
  CHECK(b.extents == std::vector<int>{2, 1});
  CHECK(b.values == Bytes{10, 9});
}

TEST_CASE("values of any size are read, in both forms of a part") {
  const Directory folder;
  std::uint32_t state = 1;  // noise, which deflate cannot shrink
  for (const std::uint32_t n : {1U, 4U, 7U, 8U, 9U, 16384U, 1U << 20, (3U << 20) + 5}) {
    Matrix m{"a", {n, 1}, Bytes(n)};
    for (auto& v : m.values)
      v = static_cast<std::uint8_t>((state = state * 1664525U + 1013904223U) >> 24);
    for (const Bytes& e : {element(m), packed(element(m))})
      CHECK(poe::read_mat(write(folder / "n.mat", header() + e), {"a"})[0].values == m.values);
  }
  const Bytes start = part(6, words({9, 0})) + part(5, words({3, 1})) + part(1, {'a'});
  const Bytes brief = part(14, start + short_part(2, {7, 8, 9}));
  const auto [a] = poe::read_mat(write(folder / "s.mat", header() + brief), {"a"});
  CHECK(a.values == Bytes{7, 8, 9});
}

TEST_CASE("other versions of the format are named") {
  const auto with = [](std::size_t at, const Bytes& change) {
    Bytes bytes = header() + element({});
    std::copy(change.begin(), change.end(), bytes.begin() + static_cast<std::ptrdiff_t>(at));
    return refusal(bytes);
  };
  CHECK_THAT(with(124, {0, 2}), Contains("byte 124") && Contains("7.3 (HDF5)"));
  CHECK_THAT(with(124, {1, 0, 'M', 'I'}), Contains("little-endian") && Contains("got 01 00 4d 49"));
  CHECK_THAT(refusal(Bytes(200, 0)), Contains("byte 124") && Contains("got 00 00 00 00"));
  CHECK_THAT(refusal(Bytes(127, 0)), Contains("expected the 128 bytes") && Contains("got 127"));
  CHECK_THAT(refusal(Bytes{}), Contains("got 0"));
}

TEST_CASE("a matrix that is no array of bytes is refused with its name") {
  CHECK_THAT(refused({.flags = 6}), Contains("\"a\": expected class 9 (uint8), got class 6"));
  CHECK_THAT(refused({.flags = 9 | 0x800}), Contains("\"a\": expected real numbers"));
  CHECK_THAT(refused({.flags = 9 | 0x200}), Contains("\"a\": expected real numbers"));
  CHECK_THAT(refused({.type = 1}), Contains("6 values of type 2 (uint8), got 6 bytes of type 1"));
  CHECK_THAT(refused({.extents = {2, 4}}),
             Contains("\"a\": expected 8 values") && Contains("got 6"));
  CHECK_THAT(refused({.extents = {5}}), Contains("2 to 8 extents of 4 bytes each, got 4 bytes"));
  CHECK_THAT(refused({.extents = {6, 0}}), Contains("an extent from 1 to 2147483647, got 0"));
  CHECK_THAT(refused({.extents = {6, 0x80000000}}), Contains("got 2147483648"));
  CHECK_THAT(refused({.extents = std::vector<std::uint32_t>(9, 1)}), Contains("got type 5 in 36"));
  CHECK_THAT(refused({.name = std::string(64, 'a')}), Contains("got type 1 in 64 bytes"));
  CHECK_THAT(refused({.name = "b"}), Contains("expected no variables but a, got \"b\""));
  CHECK_THAT(refused({.name = "b\n\x01"}), Contains("got \"b\\n\\x01\""));
  CHECK_THAT(refusal(header()), Contains("byte 128: the file ends; expected a variable a"));
  CHECK_THAT(refusal(header() + element({}) + element({})), Contains("expected variable a once"));
}

TEST_CASE("parts in the wrong place, or of the wrong size, are refused") {
  const auto inside = [](const Bytes& parts) {
    CHECK_THAT(refusal(header() + packed(part(14, parts))), Contains("inflated byte "));
    return refusal(header() + part(14, parts));
  };
  const Bytes flags = part(6, words({9, 0})), extents = part(5, words({2, 3})),
              name = name_part("a");
  CHECK_THAT(inside(extents),
             Contains("byte 136") && Contains("array flags") && Contains("type 5"));
  CHECK_THAT(inside(part(6, word(9)) + extents + name),
             Contains("expected 8 bytes of flags, got 4"));
  CHECK_THAT(inside(part(6, words({9, 0, 0}))), Contains("at most 8 bytes, got type 6 in 12"));
  CHECK_THAT(inside(flags + name), Contains("byte 152") && Contains("the extents of type 5"));
  CHECK_THAT(inside(flags + extents + extents), Contains("byte 168") && Contains("the name"));
  CHECK_THAT(inside(flags + word(5 | 5U << 16)),
             Contains("at most 4 bytes in a tag") && Contains("5"));
  CHECK_THAT(inside(flags + extents + name), Contains("8 more bytes") || Contains("4 more bytes"));
  CHECK_THAT(inside(content({}) + Bytes(8)),
             Contains("expected the end of the matrix, got 8 more"));
  CHECK_THAT(refusal(header() + part(13, content({}))),
             Contains("byte 128") && Contains("type 13"));
  CHECK_THAT(refusal(header() + packed(packed(element({})))),
             Contains("inflated byte 0: expected type 14 (matrix), got type 15"));
}

TEST_CASE("a file that is cut anywhere, or goes on, is refused") {
  for (const Bytes& e : {element({}), packed(element({}))}) {
    const Bytes whole = header() + e;
    for (std::size_t size = 0; size < whole.size(); ++size) {
      INFO(size << " bytes");
      CHECK_THAT(refusal(Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size))),
                 Contains("byte ") && Contains("expected"));
    }
    CHECK_THAT(refusal(whole + Bytes{0}), Contains("byte " + std::to_string(whole.size())) &&
                                              Contains("8 bytes of an element's tag, got 1"));
  }
}

TEST_CASE("a damaged compressed element is refused") {
  const Bytes plain = element({}), stream = deflate(plain);
  const auto with = [](const Bytes& s) {
    return refusal(header() + word(15) + word(static_cast<std::uint32_t>(s.size())) + s);
  };
  for (std::size_t i = 0; i < stream.size(); ++i) {
    Bytes damaged = stream;
    damaged[i] ^= 0x10;
    INFO("byte " << i);
    CHECK_THAT(with(damaged), Contains("byte 128"));
  }
  for (std::size_t back = 1; back <= 4; ++back) {  // the Adler-32 checksum
    Bytes damaged = stream;
    damaged[damaged.size() - back] ^= 0x10;
    CHECK_THAT(with(damaged), Contains("incorrect data check"));
    CHECK_THAT(with(Bytes(stream.begin(), stream.end() - static_cast<std::ptrdiff_t>(back))),
               Contains("the compressed element ends"));
  }
  CHECK_THAT(with(stream + Bytes{0}), Contains("expected the end of the compressed element"));
  CHECK_THAT(with(deflate(plain + Bytes{0})), Contains("expected the end of the compressed"));
  CHECK_THAT(with(deflate(Bytes(plain.begin(), plain.end() - 1))), Contains("got 1"));
  CHECK_THAT(with({}), Contains("the compressed element ends"));
}

TEST_CASE("values that only the headers claim cost no memory") {
  const Bytes start = part(6, words({9, 0})) + part(5, words({1U << 15, 1U << 16})) +
                      name_part("a") + word(2) + word(1U << 31);
  const Bytes claim =
      word(14) + word((1U << 31) + static_cast<std::uint32_t>(start.size())) + start + Bytes(10);
  for (const Bytes& e : {claim, packed(claim)}) {
    largest_request = 0;
    CHECK_THAT(refusal(header() + e), Contains("expected 1048576 bytes (values), got 10"));
    CHECK(largest_request <= std::size_t{1} << 20);
  }
  CHECK_THAT(refused({.extents = {1U << 15, (1U << 16) + 1}}),
             Contains("\"a\": expected at most 2147483648 values, got extents of 2147516416"));
  CHECK_THAT(refused({.extents = std::vector<std::uint32_t>(8, 0x7fffffff)}),
             Contains("at most 2147483648 values"));
  CHECK_THAT(refusal(header() + word(15) + word(0xffffffff) + Bytes(10)),
             Contains("the file ends"));
}

TEST_CASE("variables that are not SVHN's are refused") {
  const Directory folder;
  const auto refuse = [&](const Bytes& bytes, const std::string& text) {
    const fs::path path = write(folder / "x.mat", bytes);
    CHECK_THROWS_WITH(poe::read_svhn(path), Contains(path.string()) && Contains(text));
  };
  const Matrix x = images(2), y = labels({1, 2});
  refuse(header() + element(y), "expected a variable X");
  refuse(header() + element(x), "expected a variable y");
  const auto reshaped = [](Matrix m, const std::vector<std::uint32_t>& extents) {
    m.extents = extents;
    return m;
  };
  refuse(svhn(reshaped(x, {32, 32, 6}), y), "the extents 32 x 32 x 3 x N, got 32 x 32 x 6");
  refuse(svhn(reshaped(x, {32, 32, 2, 3}), y), "got 32 x 32 x 2 x 3");
  refuse(svhn(reshaped(x, {3, 32, 32, 2}), y), "got 3 x 32 x 32 x 2");
  refuse(svhn(reshaped(x, {32, 16, 3, 4}), y), "got 32 x 16 x 3 x 4");
  refuse(svhn(x, labels({1, 2, 3})), "variable y: expected the extents 2 x 1, a label for each");
  refuse(svhn(x, reshaped(y, {1, 2})), "got 1 x 2");
  refuse(svhn(x, reshaped(y, {2, 1, 1})), "got 2 x 1 x 1");
  refuse(svhn(x, labels({1, 11})), "variable y, element 1: expected a label from 1 to 10, got 11");
  refuse(svhn(x, labels({0, 1})), "variable y, element 0: expected a label from 1 to 10, got 0");

  // The byte is that at which the variable begins: behind the header, and behind the other one.
  const auto behind = [](const Matrix& first) {
    return std::string(", byte ") + std::to_string(128 + element(first).size()) + ": variable ";
  };
  refuse(header() + element(x) + element(labels({1, 11})), behind(x) + "y, element 1: expected a");
  refuse(header() + element(x) + element(labels({1})), behind(x) + "y: expected the extents 2 x 1");
  refuse(header() + element(y) + element(reshaped(x, {32, 32, 6})), behind(y) + "X: expected");
  refuse(svhn(reshaped(x, {32, 32, 6}), y), ", byte 128: variable X: expected the extents");
}

TEST_CASE("SVHN is found in the folder or in its folder svhn; a missing file is named") {
  const Bytes train = svhn(images(3), labels({1, 2, 3})), test = svhn(images(2), labels({10, 5}));
  for (const bool below : {false, true}) {
    const Directory folder;
    const fs::path place = below ? folder / "svhn" : folder.path;
    CHECK_THROWS_WITH(poe::load_svhn(folder.path),
                      Contains("no file train_32x32.mat") && Contains((folder / "svhn").string()));
    write(place / "test_32x32.mat", test);
    CHECK_THROWS_WITH(poe::load_svhn(folder.path),
                      Contains("no file train_32x32.mat in '" + place.string() + "'"));
    write(place / "train_32x32.mat", train);
    const poe::SvhnFiles files = poe::load_svhn(folder.path);
    CHECK(files.train.labels == Bytes{1, 2, 3});
    CHECK(files.test.labels == Bytes{0, 5});
    CHECK_THAT(files.test.source, Contains("SVHN") && Contains("test_32x32.mat"));
  }
}
