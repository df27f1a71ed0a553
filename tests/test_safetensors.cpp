// SPDX-License-Identifier: MIT
// The safetensors reader and writer: bytes against hand-made files, and every kind of damage.
#include "files.hpp"

#include "poe/core/random.hpp"
#include "poe/io/safetensors.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <limits>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;
using poe::DType;
using poe::SafetensorsFile;
using poe::TensorEntry;
using poe::test::contains, poe::test::Directory, poe::test::error_of;

/// The bytes of a file, put together by hand from the published format.
std::string file_of(const std::string& header, const std::string& data) {
  std::string bytes;
  for (int i = 0; i < 8; ++i) bytes += static_cast<char>(header.size() >> (8 * i) & 0xff);
  return bytes + header + data;
}

template <class T>
std::string bytes_of(const std::vector<T>& values) {
  std::string bytes(values.size() * sizeof(T), '\0');
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

const std::string small_header =
    R"({"__metadata__":{"model":"svae"},"w":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]},)"
    R"("n":{"dtype":"I64","shape":[],"data_offsets":[8,16]},)"
    R"("u":{"dtype":"U8","shape":[3],"data_offsets":[16,19]}})";

std::string small_file() {
  std::string header = small_header;
  while (header.size() % 8 != 0) header += ' ';
  return file_of(header,
                 bytes_of<float>({1.5F, -2.0F}) + bytes_of<std::int64_t>({-7}) + "\x01\x02\xff");
}

/// Reads every tensor of a file, to see that a header which was accepted can be believed.
void read_all(const SafetensorsFile& file) {
  std::uint64_t sum = 0;
  for (const TensorEntry& entry : file.entries()) {
    sum += *byte_count(entry);
    switch (entry.dtype) {
      case DType::F32:
        file.read<float>(entry.name);
        break;
      case DType::F64:
        file.read<double>(entry.name);
        break;
      case DType::I64:
        file.read<std::int64_t>(entry.name);
        break;
      case DType::I32:
        file.read<std::int32_t>(entry.name);
        break;
      case DType::U8:
        file.read<std::uint8_t>(entry.name);
        break;
      default:
        break;
    }
  }
  CHECK(sum == 19);
}

}  // namespace

TEST_CASE("the writer's bytes are those of the published format") {
  const Directory dir;
  const std::vector<float> w{1.5F, -2.0F};
  const std::array<std::int64_t, 1> n{-7};
  const std::vector<std::uint8_t> u{1, 2, 255};
  const std::vector<poe::TensorView> tensors{poe::tensor_view("w", {2, 1}, w),
                                             poe::tensor_view("n", {}, n),
                                             poe::tensor_view("u", {3}, u)};
  for (int run = 0; run < 2; ++run) {
    poe::write_safetensors(dir / "a", tensors, {{"model", "svae"}});
    CHECK(poe::read_file(dir / "a") == small_file());
  }
  poe::write_safetensors(dir / "empty", std::vector<poe::TensorView>{});
  CHECK(poe::read_file(dir / "empty") == file_of("{}      ", ""));
}

TEST_CASE("what is written is read back, bit by bit") {
  const Directory dir;
  const std::vector<float> f{0.1F,   -0.0F, std::numeric_limits<float>::infinity(),
                             1e-45F, 3.0F,  -4.0F};
  const std::vector<double> d{0.1, 5e-324};
  const std::vector<std::int64_t> i{std::numeric_limits<std::int64_t>::min()};
  const std::vector<std::int32_t> j{-1, 2};
  const std::vector<float> none;
  const std::string name = "a \"quoted\" \\ name\nof \xc3\xa9";
  const poe::Metadata metadata{{"format", "pt"}, {"k\"", "\xc3\xbc\t"}};
  poe::write_safetensors(
      dir / "a",
      std::vector{poe::tensor_view("z", {3, 2}, f), poe::tensor_view(name, {1, 2}, d),
                  poe::tensor_view("i", {}, i), poe::tensor_view("j", {2}, j),
                  poe::tensor_view("none", {4, 0, 2}, none)},
      metadata);
  const auto file = SafetensorsFile::open(dir / "a");
  CHECK(file.metadata() == metadata);
  const std::vector<TensorEntry> expected{{"z", {3, 2}, DType::F32},
                                          {name, {1, 2}, DType::F64},
                                          {"i", {}, DType::I64},
                                          {"j", {2}, DType::I32},
                                          {"none", {4, 0, 2}, DType::F32}};
  CHECK(file.entries() == expected);
  CHECK(bytes_of(file.read<float>("z")) == bytes_of(f));
  CHECK(file.read<double>(name) == d);
  CHECK(file.read<std::int64_t>("i") == i);
  CHECK(file.read<std::int32_t>("j") == j);
  CHECK(file.read<float>("none").empty());
  CHECK(file.contains("i"));
  CHECK_FALSE(file.contains("__metadata__"));
}

TEST_CASE("files of other writers are read") {
  const Directory dir;
  // As Python's json module writes it: spaces, members in another order, no padding, names
  // unsorted.
  const std::string header =
      "{\"b\": {\"shape\": [1], \"data_offsets\": [8, 10], \"dtype\": \"BF16\"}, "
      "\"c\": {\"dtype\": \"BOOL\", \"shape\": [0], \"data_offsets\": [8, 8]},\n"
      "\"a\": {\"data_offsets\": [0, 8], \"dtype\": \"F64\", \"shape\": []}}\n";
  poe::write_file_atomically(dir / "a", file_of(header, bytes_of<double>({2.5}) + "xy"));
  const auto file = SafetensorsFile::open(dir / "a");
  CHECK(file.read<double>("a") == std::vector{2.5});
  CHECK(file.entry("b") == TensorEntry{"b", {1}, DType::BF16});
  CHECK(file.entry("c") == TensorEntry{"c", {0}, DType::Bool});
  CHECK(file.metadata().empty());
}

TEST_CASE("the data of every file begin at a multiple of 8") {
  const Directory dir;
  const std::vector<float> x{3.25F};
  for (std::size_t length = 1; length <= 9; ++length) {
    poe::write_safetensors(dir / "a",
                           std::vector{poe::tensor_view(std::string(length, 'x'), {1}, x)});
    const std::string bytes = poe::read_file(dir / "a");
    CHECK(bytes.size() % 8 == 4);
    CHECK(bytes.substr(bytes.size() - 4) == bytes_of(x));
  }
}

TEST_CASE("large tensors are written in pieces, and a wrong length leaves no file") {
  const Directory dir;
  const std::vector<TensorEntry> entries{{"a", {1000}, DType::F64}, {"b", {1}, DType::U8}};
  const auto write = [&](std::size_t last) {
    poe::write_safetensors(
        dir / "a", entries, {}, [&](const TensorEntry& entry, poe::FileWriter& writer) {
          if (entry.name == "b") return writer.write(std::string_view("!"));
          for (std::size_t piece = 0; piece < 10; ++piece) {
            const std::vector<double> values(piece < 9 ? 100 : last, static_cast<double>(piece));
            writer.write(std::as_bytes(std::span(values)));
          }
        });
  };
  for (const std::size_t wrong : {99U, 101U}) {
    const std::string message = error_of([&] { write(wrong); });
    CHECK(contains(message,
                   "expected 8000 bytes for F64 (1000), got " + std::to_string(7200 + 8 * wrong)));
    CHECK(dir.count() == 0);
  }
  write(100);
  CHECK(dir.count() == 1);
  const auto values = SafetensorsFile::open(dir / "a").read<double>("a");
  for (std::size_t k = 0; k < values.size(); ++k)
    REQUIRE(values[k] == static_cast<double>(k / 100));
}

TEST_CASE("an open file stays what it was when another one replaces it") {
  const Directory dir;
  const std::vector<float> one{1.0F}, two{2.0F};
  poe::write_safetensors(dir / "a", std::vector{poe::tensor_view("x", {1}, one)});
  auto file = SafetensorsFile::open(dir / "a");
  poe::write_safetensors(dir / "a", std::vector{poe::tensor_view("x", {1}, two)});
  CHECK(file.read<float>("x") == one);
  file = SafetensorsFile::open(dir / "a");
  CHECK(file.read<float>("x") == two);
}

TEST_CASE("a request that does not fit the file names both") {
  const Directory dir;
  poe::write_file_atomically(dir / "a", small_file());
  const auto file = SafetensorsFile::open(dir / "a");
  std::vector<float> two(2), three(3);
  const std::array<std::int64_t, 2> right{2, 1}, wrong{1, 2};
  file.read("w", right, std::span(two));
  CHECK(two == std::vector{1.5F, -2.0F});
  CHECK(contains(error_of([&] { file.read("w", wrong, std::span(two)); }),
                 "'w': expected F32 (1, 2), got F32 (2, 1)"));
  CHECK(contains(error_of([&] { file.read("w", std::span(three)); }),
                 "expected 3 elements of F32, got F32 (2, 1)"));
  CHECK(contains(error_of([&] { file.read<double>("w"); }), "of F64, got F32 (2, 1)"));
  // Its data are the first behind the length, the header and the blanks that fill it up.
  const std::size_t data = 8 + (small_header.size() + 7) / 8 * 8;
  CHECK(contains(error_of([&] { file.read<double>("w"); }),
                 fmt::format("', byte {}: tensor 'w': expected", data)));
  CHECK(contains(error_of([&] { file.read("u", wrong, std::span(two)); }),
                 fmt::format("', byte {}: tensor 'u': expected F32", data + 16)));
  CHECK(contains(error_of([&] { file.read<float>("v"); }), "expected a tensor 'v'"));
  CHECK(contains(error_of([&] { file.entry(""); }), (dir / "a").string()));

  fs::resize_file(dir / "a", fs::file_size(dir / "a") - 1);
  CHECK(file.read<float>("w") == two);
  CHECK(contains(error_of([&] { file.read<std::uint8_t>("u"); }), "expected 1 bytes more"));
}

TEST_CASE("a damaged header is refused with the place and the reason") {
  const Directory dir;
  const auto tensor = [](const std::string& dtype, const std::string& shape,
                         const std::string& offsets) {
    return R"({"dtype":)" + dtype + R"(,"shape":)" + shape + R"(,"data_offsets":)" + offsets + "}";
  };
  const std::string a = R"("a":)" + tensor(R"("U8")", "[4]", "[0,4]");
  struct Case {
    std::string header, expected;
  };
  const std::vector<Case> cases{
      {"", "expected a JSON object"},
      {" {}", "expected a JSON object"},
      {"[]", "expected a JSON object"},
      {"\xef\xbb\xbf{}", "expected a JSON object"},
      {"{" + a, "parse error"},
      {"{" + a + "}}", "parse error"},
      {"{" + a + ",}", "parse error"},
      {"{" + a + "}//", "parse error"},
      {"{" + a + "}" + std::string(1, '\0') + "tail", "got other bytes"},
      {"{\"\xff\":1}", "UTF-8"},
      {R"({"a":1e999})", "JSON"},
      {"{" + a + "," + a + "}", "'a' twice"},
      {R"({"a":{"dtype":"U8","dtype":"U8","shape":[4],"data_offsets":[0,4]}})", "'dtype' twice"},
      {R"({"__metadata__":{"k":"1","k":"2"},)" + a + "}", "'k' twice"},
      {R"({"__metadata__":{"k":{"l":{}}},)" + a + "}", "third"},
      {R"({"__metadata__":{"k":1},)" + a + "}", "'k': expected a string, got 1"},
      {R"({"__metadata__":[],)" + a + "}", "expected an object of strings, got []"},
      {R"({"a":[1]})", "expected an object of dtype, shape and data_offsets"},
      {R"({"a":{"dtype":"U8","shape":[4]}})",
       "expected an object of dtype, shape and data_offsets"},
      {R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4],"x":0}})",
       "expected an object of dtype"},
      {R"({"a":)" + tensor(R"("U9")", "[4]", "[0,4]") + "}",
       "dtype: expected one such as \"F32\", got \"U9\""},
      {R"({"a":)" + tensor("8", "[4]", "[0,4]") + "}", "dtype"},
      {R"({"a":)" + tensor(R"("U8")", "4", "[0,4]") + "}", "shape: expected an array, got 4"},
      {R"({"a":)" + tensor(R"("U8")", "[-4]", "[0,4]") + "}",
       "shape: expected integers from 0, got -4"},
      {R"({"a":)" + tensor(R"("U8")", "[4.0]", "[0,4]") + "}", "shape: expected integers"},
      {R"({"a":)" + tensor(R"("U8")", "[\"4\"]", "[0,4]") + "}", "shape: expected integers"},
      {R"({"a":)" + tensor(R"("U8")", "[[4]]", "[0,4]") + "}", "an array in an array"},
      {R"({"a":)" + tensor(R"("U8")", "[{}]", "[0,4]") + "}", "third"},
      {R"({"a":)" + tensor(R"("U8")", "[4294967296,4294967296,4]", "[0,4]") + "}",
       "less than 2^64"},
      {R"({"a":)" + tensor(R"("F64")", "[2305843009213693952]", "[0,4]") + "}", "less than 2^64"},
      {R"({"a":)" + tensor(R"("U8")", "[18446744073709551615]", "[0,4]") + "}", "less than 2^64"},
      {R"({"a":)" + tensor(R"("U8")", "[18446744073709551620]", "[0,4]") + "}", "integers"},
      {R"({"a":)" + tensor(R"("U8")", "[4]", "[0,4,4]") + "}", "data_offsets"},
      {R"({"a":)" + tensor(R"("U8")", "[4]", "[4,0]") + "}", "data_offsets"},
      {R"({"a":)" + tensor(R"("F32")", "[4]", "[0,4]") + "}",
       "16 bytes apart for F32 (4), got [0,4]"},
      {R"({"a":)" + tensor(R"("U8")", "[3]", "[1,4]") + "}", "ends, at 0, got 1"},
      {"{" + a + R"(,"b":)" + tensor(R"("U8")", "[2]", "[2,4]") + "}", "ends, at 4, got 2"},
      {"{" + a + R"(,"b":)" + tensor(R"("U8")", "[4]", "[0,4]") + "}", "ends, at 4, got 0"},
      {R"({"a":)" + tensor(R"("U8")", "[3]", "[0,3]") + "}",
       "expected 3 bytes of data for 1 tensors, got 4"},
      {R"({"a":)" + tensor(R"("U8")", "[5]", "[0,5]") + "}",
       "expected 5 bytes of data for 1 tensors, got 4"},
      {"{}", "expected 0 bytes of data for 0 tensors, got 4"},
  };
  for (const Case& c : cases) {
    poe::write_file_atomically(dir / "a", file_of(c.header, "data"));
    const std::string message = error_of([&] { SafetensorsFile::open(dir / "a"); });
    INFO(c.header << "\n" << message);
    CHECK(contains(message, c.expected));
    CHECK(contains(message, (dir / "a").string()));
    CHECK(contains(message, "byte "));
  }
  // The header from which the cases differ by one thing each is accepted.
  poe::write_file_atomically(dir / "a", file_of("{" + a + "}", "data"));
  CHECK(SafetensorsFile::open(dir / "a").read<std::uint8_t>("a").size() == 4);
}

TEST_CASE("a forged header length or a deep header costs neither memory nor stack") {
  const Directory dir;
  std::string bytes = file_of("{}", "");
  bytes[7] = '\x7f';
  poe::write_file_atomically(dir / "a", bytes);
  CHECK(contains(error_of([&] { SafetensorsFile::open(dir / "a"); }),
                 "header length of at most 2, got"));
  bytes = file_of("{}", "");
  bytes[0] = 3;
  poe::write_file_atomically(dir / "a", bytes);
  CHECK(contains(error_of([&] { SafetensorsFile::open(dir / "a"); }),
                 "header length of at most 2, got 3"));

  constexpr std::size_t depth = 2'000'000;
  poe::write_file_atomically(dir / "a", file_of(R"({"a":)" + std::string(depth, '['), ""));
  CHECK_THROWS_AS(SafetensorsFile::open(dir / "a"), poe::Error);
  std::string objects = "{";
  for (std::size_t i = 0; i < depth; ++i) objects += R"("a":{)";
  poe::write_file_atomically(dir / "a", file_of(objects, ""));
  CHECK_THROWS_AS(SafetensorsFile::open(dir / "a"), poe::Error);
}

TEST_CASE("a header of more than 100 MB is refused before it is read") {
  const Directory dir;
  poe::write_file_atomically(dir / "a",
                             std::string("\x01\xe1\xf5\x05\0\0\0\0{}", 10));  // 100,000,001
  fs::resize_file(dir / "a", 100'000'100);                                    // sparse
  CHECK(contains(error_of([&] { SafetensorsFile::open(dir / "a"); }),
                 "at most 100000000, got 100000001"));
}

TEST_CASE("a file that is cut anywhere, or has more at its end, is refused") {
  const Directory dir;
  const std::string whole = small_file();
  for (std::size_t length = 0; length < whole.size(); ++length) {
    poe::write_file_atomically(dir / "a", whole.substr(0, length));
    CHECK_THROWS_AS(SafetensorsFile::open(dir / "a"), poe::Error);
  }
  poe::write_file_atomically(dir / "a", whole + '\0');
  CHECK_THROWS_AS(SafetensorsFile::open(dir / "a"), poe::Error);
  poe::write_file_atomically(dir / "a", whole);
  read_all(SafetensorsFile::open(dir / "a"));
}

TEST_CASE("flipped bytes are refused, or lie where the format cannot see them") {
  const Directory dir;
  const std::string whole = small_file();
  poe::write_file_atomically(dir / "a", whole);
  const auto original = SafetensorsFile::open(dir / "a");
  const std::size_t data = whole.size() - 19;
  const poe::Random random{.seed = 20};
  int accepted = 0;
  for (std::uint32_t trial = 0; trial < 3000; ++trial) {
    std::string bytes = whole;
    const std::uint32_t flips = 1 + random.below(3, 10 * trial);
    bool in_header = false;
    for (std::uint32_t k = 0; k < flips; ++k) {
      const std::size_t at =
          random.below(static_cast<std::uint32_t>(whole.size()), 10 * trial + 2 * k + 1);
      const int flip = 1 + static_cast<int>(random.below(255, 10 * trial + 2 * k + 2));
      bytes[at] = static_cast<char>(bytes[at] ^ flip);
      in_header = in_header || at < data;
    }
    poe::write_file_atomically(dir / "b", bytes);
    try {
      const auto file = SafetensorsFile::open(dir / "b");
      ++accepted;
      read_all(file);
      if (!in_header) {
        CHECK(file.entries() == original.entries());
        CHECK(file.metadata() == original.metadata());
      }
    } catch (const poe::Error&) {
      if (!in_header) FAIL("the header is whole");
    }
  }
  CHECK(accepted > 0);
  CHECK(accepted < 300);
}

TEST_CASE("the writer refuses what no reader could take") {
  const Directory dir;
  const std::vector<float> x{1.0F};
  const auto write = [&](const std::vector<poe::TensorView>& tensors,
                         const poe::Metadata& metadata = {}) {
    const std::string message =
        error_of([&] { poe::write_safetensors(dir / "a", tensors, metadata); });
    CHECK(contains(message, (dir / "a").string()));
    CHECK(dir.count() == 0);
    return message;
  };
  const auto view = [&](const char* name, std::vector<std::int64_t> shape) {
    return poe::tensor_view(name, std::move(shape), x);
  };
  CHECK(
      contains(write({view("a", {1}), view("a", {1})}), "'a': expected a name that is not taken"));
  CHECK(contains(write({view("__metadata__", {1})}), "not taken"));
  CHECK(contains(write({view("a", {-1})}), "extents from 0"));
  CHECK(contains(write({view("a", {std::int64_t{1} << 62})}), "2^64"));
  CHECK(contains(write({view("a", {2})}), "expected 8 bytes for F32 (2), got 4"));
  CHECK(contains(write({view("\xff", {1})}), "UTF-8"));
  CHECK(contains(write({view("a", {1})}, {{"k", "\xff"}}), "UTF-8"));
}

TEST_CASE("what is no file is refused") {
  const Directory dir;
  CHECK(contains(error_of([&] { SafetensorsFile::open(dir / "absent"); }), "No such file"));
  CHECK(contains(error_of([&] { SafetensorsFile::open(dir.path); }), "expected a regular file"));
  REQUIRE(::mkfifo((dir / "pipe").c_str(), 0600) == 0);  // must not wait for a writer
  CHECK(
      contains(error_of([&] { SafetensorsFile::open(dir / "pipe"); }), "expected a regular file"));
}
