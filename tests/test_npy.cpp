// SPDX-License-Identifier: MIT
// .npy files: what is read back, and what every kind of damage is told to be.
#include "files.hpp"
#include "largest_request.hpp"

#include <poe/data/npy.hpp>

#include <zlib.h>

#include <cstddef>
#include <cstdint>
#include <fstream>
#include <string>
#include <vector>

namespace {

using poe::test::largest_request;

using namespace std::string_literals;
using poe::read_npy, poe::test::contains, poe::test::Directory, poe::test::error_of;
using Bytes = std::vector<std::uint8_t>;

std::filesystem::path write(const Directory& dir, const std::string& bytes) {
  std::ofstream(dir / "a.npy", std::ios::binary) << bytes;
  return dir / "a.npy";
}

/// A file of format 1.0 with this dictionary, padded to 118 bytes as NumPy does, and these bytes.
std::string file_of(const std::string& dictionary, const std::string& values) {
  return "\x93NUMPY\x01\0\x76\0"s + dictionary + std::string(117 - dictionary.size(), ' ') + "\n" +
         values;
}

// np.save of NumPy 1.24.2: np.array([[1, 2.5, -3], [0.1, 1e-8, 7]], '<f4').
const std::string dictionary = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }";
const std::string values = "\0\0\x80?\0\0 @\0\0@\xc0\xcd\xcc\xcc=w\xcc+2\0\0\xe0@"s;
const std::string floats = file_of(dictionary, values);

// np.lib.format.write_array(..., np.array([[[10, 20, 255]]], 'u1'), version=(2, 0)).
const std::string bytes_v2 = "\x93NUMPY\x02\0\x74\0\0\0"s +
                             "{'descr': '|u1', 'fortran_order': False, 'shape': (1, 1, 3), }" +
                             std::string(53, ' ') + "\n\n\x14\xff";

std::string refusal(const Directory& dir, const std::string& bytes) {
  const std::string message = error_of([&] { read_npy<float>(write(dir, bytes)); });
  CHECK(contains(message, (dir / "a.npy").string()));
  return message;
}

}  // namespace

TEST_CASE("what NumPy wrote is read as it was, in both formats and both types") {
  const Directory dir;
  const auto a = read_npy<float>(write(dir, floats));
  CHECK(a.extents == std::vector<int>{2, 3});
  CHECK(a.values == std::vector<float>{1, 2.5F, -3, 0.1F, 1e-8F, 7});
  const auto b = read_npy<std::uint8_t>(write(dir, bytes_v2));
  CHECK(b.extents == std::vector<int>{1, 1, 3});
  CHECK(b.values == Bytes{10, 20, 255});
}

TEST_CASE("a gzip .npy file is read as well") {
  const Directory dir;
  const std::string path = (dir / "a.npy").string();
  gzFile file = gzopen(path.c_str(), "wb");
  REQUIRE(gzwrite(file, floats.data(), static_cast<unsigned>(floats.size())) ==
          static_cast<int>(floats.size()));
  REQUIRE(gzclose(file) == Z_OK);
  CHECK(read_npy<float>(path).values[1] == 2.5F);
}

TEST_CASE("the keys may come in any order, with or without the last comma and blanks") {
  const Directory dir;
  for (const char* text : {"{'shape': (2, 3), 'fortran_order': False, 'descr': '<f4'}",
                           "{'fortran_order':False,'shape':(2,3,),'descr':'<f4',}",
                           "{ 'descr' : '<f4' , 'shape' : ( 2 , 3 ) , 'fortran_order' : False }"}) {
    INFO(text);
    CHECK(read_npy<float>(write(dir, file_of(text, values))).extents == std::vector<int>{2, 3});
  }
}

TEST_CASE("ranks 1 to 4 are read, others refused") {
  const Directory dir;
  const auto shaped = [](const std::string& shape) {
    return file_of("{'descr': '<f4', 'fortran_order': False, 'shape': " + shape + ", }", values);
  };
  CHECK(read_npy<float>(write(dir, shaped("(6,)"))).extents == std::vector<int>{6});
  CHECK(read_npy<float>(write(dir, shaped("(1, 2, 3)"))).extents == std::vector<int>{1, 2, 3});
  CHECK(read_npy<float>(write(dir, shaped("(1, 2, 1, 3)"))).extents ==
        std::vector<int>{1, 2, 1, 3});
  CHECK(contains(refusal(dir, shaped("()")), "byte 61: expected 1 to 4 extents, got none"));
  CHECK(contains(refusal(dir, shaped("(1, 2, 1, 3, 1)")),
                 "byte 73: expected at most 4 extents, got another: 1"));
  CHECK(contains(refusal(dir, shaped("(6)")),
                 "byte 62: expected a comma, without which this is no tuple, got \")\""));
  CHECK(contains(refusal(dir, shaped("6")), "byte 60: expected '('"));
  CHECK(contains(refusal(dir, shaped("(-6,)")), "byte 61: expected an extent, got \"-6,)"));
  CHECK(contains(refusal(dir, shaped("(0, 6)")), "expected an extent from 1 to 2147483647, got 0"));
  CHECK(contains(refusal(dir, shaped("(99999999999999999999,)")), "byte 61: expected an extent"));
}

TEST_CASE("another type, order or key is refused at its byte") {
  const Directory dir;
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string text = dictionary;
    text.replace(text.find(from), from.size(), to);
    return refusal(dir, file_of(text, values));
  };
  for (const std::string type : {"<f8", ">f4", "<f2", "|u1", "<i4"})
    CHECK(contains(with("<f4", type), "byte 20: expected numbers of the type '<f4', got '" + type));
  CHECK(contains(with("False", "True"), "byte 44: expected False"));
  CHECK(contains(with("'shape'", "'form'"),
                 "byte 51: expected 'descr', 'fortran_order' and "
                 "'shape', each once, got 'form'"));
  CHECK(contains(with("'fortran_order': False", "'descr': '<f4'"), "each once, got 'descr'"));
  CHECK(contains(
      with(", 'shape': (2, 3)", ""),
      "byte 10: expected 'descr', 'fortran_order' and 'shape', got a dictionary without 'shape'"));
  CHECK(contains(with(", }", ", } x"),
                 "expected nothing but blanks and a line feed behind the dictionary, got \"x"));
  CHECK(contains(with("'descr'", "descr"), "byte 11: expected ''' in the header, got 'd'"));
  CHECK(contains(with(", }", ""), "expected '}' in the header"));
  CHECK(contains(error_of([&] { read_npy<std::uint8_t>(write(dir, floats)); }),
                 "expected numbers of the type '|u1', got '<f4'"));
}

TEST_CASE("a wrong beginning is refused") {
  const Directory dir;
  const auto with = [&](std::size_t at, char c) {
    std::string bytes = floats;
    bytes[at] = c;
    return refusal(dir, bytes);
  };
  for (std::size_t i = 0; i < 6; ++i) {
    const std::string message = with(i, '?');
    CHECK(contains(message, "byte 0: expected 93 4e 55 4d 50 59 (\\x93NUMPY)"));
    CHECK(contains(message, i == 0 ? "got 3f 4e 55" : "got 93 "));
  }
  CHECK(contains(with(6, 3), "byte 6: expected version 1.0 or 2.0, got 3.0"));
  CHECK(contains(with(7, 1), "got 1.1"));
  CHECK(contains(with(8, 0x75), "expected nothing but blanks and a line feed"));
  CHECK(
      contains(refusal(dir, "\x93NUMPY\x02\0\0\0\1\0"s), "byte 8: expected a header of less than"));
}

TEST_CASE("a file that is cut anywhere, or goes on, is refused") {
  const Directory dir;
  for (std::size_t size = 0; size < floats.size(); ++size) {
    INFO(size << " bytes");
    CHECK(contains(refusal(dir, floats.substr(0, size)), "expected"));
  }
  CHECK(contains(refusal(dir, floats.substr(0, 150)), "byte 128: expected 6 values, got 5"));
  CHECK(contains(refusal(dir, floats + "x"), "byte 152: expected the end of the file"));
}

TEST_CASE("extents that only the header claims cost no memory") {
  const Directory dir;
  const auto check = [&](const std::string& shape, const std::string& text) {
    const std::string bytes =
        file_of("{'descr': '<f4', 'fortran_order': False, 'shape': " + shape + "}", values);
    write(dir, bytes);
    largest_request = 0;
    CHECK(contains(error_of([&] { read_npy<float>(dir / "a.npy"); }), text));
    CHECK(largest_request <= std::size_t{4} << 20);
  };
  check("(32768, 16384)", "expected 536870912 values, got 6");  // 2 GiB, just allowed
  check("(32768, 16385)", "expected at most 536870912 values");
  check("(2147483647, 2147483647, 2147483647, 2147483647)", "expected at most 536870912 values");
}

TEST_CASE("any byte of the header may be damaged: an Error or an array, never anything else") {
  const Directory dir;
  int read = 0, refused = 0;
  for (std::size_t at = 0; at < 128; ++at)
    for (const int flip : {0x01, 0x08, 0x20, 0x80}) {
      std::string bytes = floats;
      bytes[at] = static_cast<char>(bytes[at] ^ flip);
      write(dir, bytes);
      try {
        read += read_npy<float>(dir / "a.npy").values.size() == 6 ? 1 : 0;
      } catch (const poe::Error&) {
        ++refused;
      }
    }
  CHECK(read + refused == 128 * 4);
  CHECK(refused > 400);
}
