// SPDX-License-Identifier: MIT
// IDX files, plain and gzip: what is read back, and what every kind of damage is told to be.
#include "largest_request.hpp"
#include "support.hpp"

#include "poe/core/error.hpp"
#include "poe/data/idx.hpp"
#include "poe/data/mnist.hpp"

#include <stdlib.h>
#include <zlib.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <string>
#include <system_error>
#include <vector>

namespace {

using poe::test::largest_request;

using Catch::Matchers::Contains;
using Bytes = std::vector<std::uint8_t>;
namespace fs = std::filesystem;

/// A folder of its own for each test case, removed at its end.
struct Folder {
  Folder() {
    std::string name = (fs::temp_directory_path() / "poe-test-XXXXXX").string();
    REQUIRE(mkdtemp(name.data()) != nullptr);
    path = name;
  }
  ~Folder() {
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  fs::path write(const std::string& name, const Bytes& bytes) const {
    fs::create_directories((path / name).parent_path());
    std::ofstream file(path / name, std::ios::binary);
    file.write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
    REQUIRE(file.good());
    return path / name;
  }

  fs::path path;
};

Bytes gzip(const Bytes& plain) {
  z_stream z{};
  REQUIRE(deflateInit2(&z, 9, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  Bytes in = plain, out(deflateBound(&z, plain.size()));
  z.next_in = in.data();
  z.avail_in = static_cast<uInt>(in.size());
  z.next_out = out.data();
  z.avail_out = static_cast<uInt>(out.size());
  REQUIRE(deflate(&z, Z_FINISH) == Z_STREAM_END);
  out.resize(z.total_out);
  deflateEnd(&z);
  return out;
}

Bytes big_endian(std::uint32_t n) {
  return {static_cast<std::uint8_t>(n >> 24), static_cast<std::uint8_t>(n >> 16),
          static_cast<std::uint8_t>(n >> 8), static_cast<std::uint8_t>(n)};
}

Bytes operator+(Bytes a, const Bytes& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

Bytes idx_bytes(const std::vector<std::uint32_t>& extents, const Bytes& values) {
  Bytes bytes{0, 0, 8, static_cast<std::uint8_t>(extents.size())};
  for (const std::uint32_t extent : extents) bytes = bytes + big_endian(extent);
  return bytes + values;
}

// Two images of 1 x 3, byte by byte as the format's description has them.
const Bytes tiny{0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 3, 10, 20, 30, 40, 50, 255};

/// The message of the Error that reading throws; it must name the file.
std::string refusal(const fs::path& path) {
  try {
    poe::read_idx(path);
  } catch (const poe::Error& e) {
    const std::string message = e.what();
    REQUIRE_THAT(message, Contains(path.string()));
    return message;
  }
  FAIL("read without an error: " << path);
  return {};
}

}  // namespace

TEST_CASE("an IDX file is read as it was written, plain and gzip, whatever its name") {
  const Folder folder;
  for (const fs::path& path :
       {folder.write("plain", tiny), folder.write("plain.gz", tiny),
        folder.write("zipped.gz", gzip(tiny)), folder.write("zipped", gzip(tiny))}) {
    INFO(path);
    const poe::IdxU8 idx = poe::read_idx(path);
    CHECK(idx.extents == std::vector<int>{2, 1, 3});
    CHECK(idx.values == Bytes{10, 20, 30, 40, 50, 255});
  }
}

TEST_CASE("a gzip file written by another program is read, and one of two members") {
  // printf '\0\0\10\1\0\0\0\5hello' | gzip -n, GNU gzip 1.12
  const Bytes gnu{0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x03, 0x63,
                  0x60, 0xe0, 0x60, 0x64, 0x60, 0x60, 0x60, 0xcd, 0x48, 0xcd, 0xc9,
                  0xc9, 0x07, 0x00, 0xd1, 0x0c, 0x8a, 0xfa, 0x0d, 0x00, 0x00, 0x00};
  const Folder folder;
  const poe::IdxU8 idx = poe::read_idx(folder.write("gnu", gnu));
  CHECK(idx.extents == std::vector<int>{5});
  CHECK(std::string(idx.values.begin(), idx.values.end()) == "hello");

  const Bytes front(tiny.begin(), tiny.begin() + 18), back(tiny.begin() + 18, tiny.end());
  CHECK(poe::read_idx(folder.write("members", gzip(front) + gzip(back))).values ==
        Bytes{10, 20, 30, 40, 50, 255});
}

TEST_CASE("ranks 1 to 4, and more values than the reader's buffers hold") {
  const Folder folder;
  Bytes values(3 * 1024 * 1024 + 7);
  std::uint32_t state = 1;  // noise, which deflate cannot shrink
  for (auto& v : values)
    v = static_cast<std::uint8_t>((state = state * 1664525U + 1013904223U) >> 24);
  const auto n = static_cast<std::uint32_t>(values.size());
  for (std::uint32_t rank = 1; rank <= 4; ++rank) {
    std::vector<std::uint32_t> extents(rank, 1);
    extents.back() = n;
    const Bytes bytes = idx_bytes(extents, values);
    CHECK(poe::read_idx(folder.write("big", bytes)).values == values);
    CHECK(poe::read_idx(folder.write("big", gzip(bytes))).values == values);
  }
}

TEST_CASE("a wrong header is refused at its byte") {
  const Folder folder;
  const auto with = [&](std::size_t at, std::uint8_t value) {
    Bytes bytes = tiny;
    bytes[at] = value;
    return refusal(folder.write("wrong", bytes));
  };
  CHECK_THAT(with(0, 1), Contains("byte 0") && Contains("expected 00 00") && Contains("got 01 00"));
  CHECK_THAT(with(1, 7), Contains("byte 0") && Contains("got 00 07"));
  for (const int type : {0x00, 0x09, 0x0b, 0x0c, 0x0d, 0x0e, 0xff})
    CHECK_THAT(with(2, static_cast<std::uint8_t>(type)), Contains("byte 2") && Contains("0x08"));
  for (const int rank : {0, 5, 255})
    CHECK_THAT(with(3, static_cast<std::uint8_t>(rank)),
               Contains("byte 3") && Contains("got " + std::to_string(rank)));
  CHECK_THAT(with(7, 0), Contains("byte 4") && Contains("got 0"));
  CHECK_THAT(with(12, 0xff), Contains("byte 12"));
  Bytes zipped_type = tiny;
  zipped_type[2] = 9;
  CHECK_THAT(refusal(folder.write("wrong.gz", gzip(zipped_type))),
             Contains("byte 2 of the inflated data"));
}

TEST_CASE("a file that is cut anywhere, or goes on, is refused") {
  const Folder folder;
  for (std::size_t size = 0; size < tiny.size(); ++size) {
    const Bytes cut(tiny.begin(), tiny.begin() + static_cast<std::ptrdiff_t>(size));
    // The unit that is incomplete: the magic number, one of three extents, or the values.
    const std::size_t at = std::min<std::size_t>(size / 4 * 4, 16);
    const std::size_t got = size - at;
    INFO(size << " bytes");
    CHECK_THAT(refusal(folder.write("cut", cut)), Contains("byte " + std::to_string(at) + ":") &&
                                                      Contains("got " + std::to_string(got)));
    CHECK_THAT(refusal(folder.write("cut.gz", gzip(cut))),
               Contains("byte " + std::to_string(at) + " of the inflated data"));
  }
  CHECK_THAT(refusal(folder.write("long", tiny + Bytes{0})),
             Contains("byte 22") && Contains("expected the end"));
  CHECK_THAT(refusal(folder.write("long.gz", gzip(tiny + Bytes{0}))),
             Contains("byte 22 of the inflated data"));
}

TEST_CASE("a damaged gzip stream is refused") {
  const Folder folder;
  const Bytes zipped = gzip(tiny);
  for (std::size_t size = 0; size < zipped.size(); ++size) {
    INFO(size << " bytes");
    const Bytes cut(zipped.begin(), zipped.begin() + static_cast<std::ptrdiff_t>(size));
    const std::string message = refusal(folder.write("cut.gz", cut));
    CHECK_THAT(message, Contains("byte "));
    if (size >= 2) CHECK_THAT(message, Contains("byte " + std::to_string(size)));
  }
  for (std::size_t back = 1; back <= 8; ++back) {  // CRC-32, then the length
    Bytes flipped = zipped;
    flipped[flipped.size() - back] ^= 0x10;
    CHECK_THAT(refusal(folder.write("flipped.gz", flipped)),
               Contains(back <= 4 ? "incorrect length check" : "incorrect data check"));
  }
  CHECK_THAT(refusal(folder.write("tail.gz", zipped + Bytes{0, 0})),
             Contains("byte " + std::to_string(zipped.size())) && Contains("0x00"));
  CHECK_THAT(refusal(folder.write("tail.gz", zipped + Bytes{0x1f, 0})), Contains("byte "));
}

TEST_CASE("an extent that only the header claims costs no memory") {
  const Folder folder;
  const auto check = [&](const std::vector<std::uint32_t>& extents, const std::string& text) {
    const Bytes bytes = idx_bytes(extents, Bytes(10, 1));
    for (const fs::path& path :
         {folder.write("claim", bytes), folder.write("claim.gz", gzip(bytes))}) {
      largest_request = 0;
      CHECK_THAT(refusal(path), Contains(text));
      CHECK(largest_request <= std::size_t{4} << 20);
    }
  };
  check({0x7fffffff}, "expected 2147483647 values, got 10");
  check({32768, 65536}, "expected 2147483648 values, got 10");  // 2 GiB, just allowed
  check({32768, 65537}, "expected at most 2147483648 values");
  check({0x80000000}, "expected an extent from 1 to 2147483647, got 2147483648");
  check({0x7fffffff, 0x7fffffff, 0x7fffffff, 0x7fffffff}, "expected at most 2147483648 values");
}

TEST_CASE("what is no regular file is refused") {
  const Folder folder;
  CHECK_THAT(refusal(folder.path / "absent"), Contains("No such file or directory"));
  CHECK_THAT(refusal(folder.path), Contains("expected a regular file"));
  CHECK_THAT(refusal("/dev/null"), Contains("expected a regular file"));
}

namespace {

constexpr const char* train_images = "train-images-idx3-ubyte";
constexpr const char* train_labels = "train-labels-idx1-ubyte";
constexpr const char* test_images = "t10k-images-idx3-ubyte";
constexpr const char* test_labels = "t10k-labels-idx1-ubyte";

Bytes images(std::uint32_t rows, std::uint8_t first) {
  Bytes pixels(rows * 784);
  std::iota(pixels.begin(), pixels.end(), first);
  return idx_bytes({rows, 28, 28}, pixels);
}

/// A data set of three training and two test digits, some files gzip, below folder/`at`.
void write_mnist(const Folder& folder, const std::string& at) {
  folder.write(at + train_images, images(3, 1));
  folder.write(at + train_labels + ".gz", gzip(idx_bytes({3}, {5, 0, 9})));
  folder.write(at + test_images + ".gz", gzip(images(2, 77)));
  folder.write(at + test_labels, idx_bytes({2}, {7, 2}));
}

}  // namespace

TEST_CASE("MNIST is found in the folder or in its folder mnist, and is read whole") {
  for (const std::string at : {"", "mnist/"}) {
    const Folder folder;
    write_mnist(folder, at);
    const poe::MnistFiles files = poe::load_mnist(folder.path);
    CHECK(files.train.rows == 3);
    CHECK(files.train.height == 28);
    CHECK(files.train.width == 28);
    CHECK(files.train.labels == Bytes{5, 0, 9});
    CHECK(files.test.labels == Bytes{7, 2});
    REQUIRE(files.train.pixels.size() == 3 * 784);
    REQUIRE(files.test.pixels.size() == 2 * 784);
    CHECK(files.train.pixels[1000] == 1001 % 256);
    CHECK(files.test.pixels[1000] == 1077 % 256);
    CHECK_THAT(files.train.source,
               Contains("MNIST (IDX files in") && Contains(folder.path.string()));
    CHECK(files.test.source == files.train.source);
  }
}

TEST_CASE("a missing MNIST file is named, with where it was sought and what fetches it") {
  const Folder folder;
  CHECK_THROWS_WITH(poe::load_mnist(folder.path), Contains(train_images) &&
                                                      Contains("'" + folder.path.string() + "'") &&
                                                      Contains((folder.path / "mnist").string()) &&
                                                      Contains("scripts/get-data mnist"));
  for (const char* name : {train_images, train_labels, test_images, test_labels}) {
    write_mnist(folder, "");
    write_mnist(folder, "mnist/");  // a complete set below must not fill the gap
    fs::remove(folder.path / name);
    fs::remove(folder.path / (std::string(name) + ".gz"));
    CHECK_THROWS_WITH(poe::load_mnist(folder.path), Contains(std::string("no file ") + name) &&
                                                        Contains(folder.path.string()) &&
                                                        Contains("scripts/get-data mnist"));
  }
}

TEST_CASE("MNIST files that do not fit together are refused") {
  const Folder folder;
  const auto refuse = [&](const std::string& name, const Bytes& bytes, const std::string& text) {
    write_mnist(folder, "");
    fs::remove(folder.path / (name + ".gz"));
    const fs::path path = folder.write(name, bytes);
    CHECK_THROWS_WITH(poe::load_mnist(folder.path), Contains(path.string()) && Contains(text));
    fs::remove(path);
  };
  refuse(train_labels, idx_bytes({2}, {5, 0}), "expected 3 labels");
  refuse(train_labels, idx_bytes({3, 1}, {5, 0, 1}), "expected one extent, got 3 x 1");
  refuse(test_labels, idx_bytes({2}, {7, 10}), "byte 9: expected a label from 0 to 9, got 10");
  refuse(test_images, idx_bytes({2, 28, 27}, Bytes(2 * 28 * 27)), "got 2 x 28 x 27");
  refuse(test_images, idx_bytes({2, 784}, Bytes(2 * 784)), "got 2 x 784");
}
