// SPDX-License-Identifier: MIT
// What readers ask for at once: what their files hold, not what these claim. Arrays are tested with
// their readers.
#include "files.hpp"
#include "largest_request.hpp"

#include <poe/data/captions.hpp>
#include <poe/data/gzip.hpp>
#include <poe/data/text_lines.hpp>
#include <poe/io/jsonl.hpp>
#include <poe/io/safetensors.hpp>

#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

namespace {

namespace fs = std::filesystem;
using poe::SafetensorsFile;
using poe::detail::max_text_bytes, poe::detail::TextLines;
using poe::test::contains, poe::test::Directory, poe::test::error_of, poe::test::largest_request;

constexpr std::size_t kib = 1024, mib = 1024 * kib;

/// What `action` returns, and its largest request.
template <class Action>
auto measured(Action&& action) {
  largest_request = 0;
  auto result = action();
  return std::pair(std::move(result), largest_request.load());
}

fs::path write(const fs::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
  return path;
}

/// A gzip file of `count` times the same text.
fs::path write_gzip(const fs::path& path, const std::string& text, std::size_t count) {
  const gzFile file = gzopen(path.c_str(), "wb9");
  REQUIRE(file != nullptr);
  bool ok = true;
  for (std::size_t i = 0; i < count; ++i)
    ok = ok && gzwrite(file, text.data(), static_cast<unsigned>(text.size())) ==
                   static_cast<int>(text.size());
  REQUIRE((gzclose(file) == Z_OK && ok));
  return path;
}

/// A safetensors file: the header behind its length, then the data.
std::string safetensors(const std::string& header, const std::string& data) {
  std::string bytes;
  for (int i = 0; i < 8; ++i) bytes += static_cast<char>(header.size() >> (8 * i) & 0xff);
  return bytes + header + data;
}

}  // namespace

TEST_CASE("a gzip file is inflated piece by piece") {
  const Directory dir;
  const fs::path path = write_gzip(dir / "zeros.gz", std::string(mib, '\0'), 32);
  REQUIRE(fs::file_size(path) < 64 * kib);
  const auto [bytes, request] = measured([&] {
    std::array<std::uint8_t, 4096> piece;
    std::size_t sum = 0;
    poe::ByteReader file(path);
    for (std::size_t got = piece.size(); got == piece.size(); sum += got) got = file.read(piece);
    return sum;
  });
  CHECK(bytes == 32 * mib);
  CHECK(request <= 64 * kib);
}

TEST_CASE("a text costs what it holds, and one of 64 MiB is refused") {
  const Directory dir;
  const auto read = [](const fs::path& path) {
    return measured([&] { return TextLines(path).lines; });
  };
  const auto [two, small] = read(write(dir / "small", "one\ntwo\n"));
  CHECK(two == std::vector<std::string>{"one", "two"});
  CHECK(small <= 64 * kib + 64);

  // Just allowed: a single line of all bytes but one, in two members.
  fs::path path = write_gzip(dir / "text.gz", std::string(mib, 'x'), 63);
  const fs::path last = write_gzip(dir / "last.gz", std::string(mib - 1, 'x'), 1);
  std::ofstream(path, std::ios::binary | std::ios::app)
      << std::ifstream(last, std::ios::binary).rdbuf();
  const auto [line, request] = read(path);
  CHECK(line.at(0).size() == max_text_bytes - 1);
  CHECK(request <= max_text_bytes + 64);

  path = write_gzip(dir / "text.gz", std::string(mib, 'x'), 65);
  REQUIRE(fs::file_size(path) < 128 * kib);
  const auto [message, refused] = measured([&] { return error_of([&] { TextLines text(path); }); });
  CHECK(refused <= max_text_bytes + 64);
  CHECK(contains(message,
                 "text.gz', byte 67108864 of the inflated data: expected a text of less "
                 "than 64 MiB, got more"));
  CHECK(contains(message, "raise max_text_bytes in poe/data/text_lines.hpp"));
}

TEST_CASE("a table of captions costs what it holds") {
  const Directory dir;
  const auto read = [](const fs::path& path) { return poe::detail::read_caption_table(path, {}); };
  const auto refusal = [&](const fs::path& path) {
    return measured([&] { return error_of([&] { read(path); }); });
  };
  const auto [set, request] =
      measured([&] { return read(write(dir / "one.tsv", "11788\ta/1\ttest\t0\t9\ta bird\n")); });
  CHECK(set.captions.size() == 1);
  CHECK(request <= 64 * kib + 64);

  // Numbers that would be sizes are none.
  for (const char* line :
       {"2147483647\ta/1\ttest\t0\t9\ta bird", "1\ta/1\ttest\t0\t2147483647\tx"}) {
    const auto [message, refused] = refusal(write(dir / "claim.tsv", line));
    CHECK(refused <= 64 * kib + 64);
    CHECK(contains(message, "claim.tsv', line 1: expected"));
  }

  // A hundred thousand lines that are wrong: what they are, not a thousand times that.
  const auto [message, refused] = refusal(write_gzip(dir / "many.tsv", "\t\t\t\t\t\n", 100'000));
  CHECK(refused <= 8 * mib);
  CHECK(contains(message, "line 1: expected an image id from 1 to 11788, got ''"));
}

TEST_CASE("a safetensors header costs what the file holds") {
  const Directory dir;
  const auto refused = [&](const std::string& bytes, const std::string& text) {
    write(dir / "file", bytes);
    const auto [message, request] =
        measured([&] { return error_of([&] { SafetensorsFile::open(dir / "file"); }); });
    INFO(message);
    CHECK(request <= 4 * kib);
    CHECK(contains(message, text));
  };
  std::string claim = safetensors("{}", "");
  claim[3] = 5;  // 80 MB
  refused(claim, "byte 0: expected a header length of at most 2, got 83886082");
  refused(safetensors(
              R"({"a":{"dtype":"F64","shape":[16777216,16],"data_offsets":[0,2147483648]}})", "x"),
          "expected 2147483648 bytes of data for 1 tensors, got 1");
  refused(safetensors(R"({"a":{"dtype":"U8","shape":[2147483648],"data_offsets":[0,1]}})", "x"),
          "expected [begin, end] that are 2147483648 bytes apart");

  // No data, however long the other side is.
  write(dir / "file", safetensors(R"({"a":{"dtype":"F32","shape":[0,9223372036854775807],)"
                                  R"("data_offsets":[0,0]}})",
                                  ""));
  const auto [values, request] =
      measured([&] { return SafetensorsFile::open(dir / "file").read<float>("a"); });
  CHECK(values.empty());
  CHECK(request <= 4 * kib);
}

TEST_CASE("a log costs what it holds, whatever is in it") {
  const Directory dir;
  const auto log = [&](const std::string& line, std::size_t count) {
    std::string text;
    for (std::size_t i = 0; i < count; ++i) text += line;
    write(dir / "log", text);
    return text.size();
  };
  const auto read = [&] {
    return measured([&] { return poe::read_json_lines(dir / "log").size(); });
  };
  // Parsed values are larger than their text, but no more than so.
  constexpr std::size_t factor = 16;
  std::size_t size = log("{}\n", 100'000);
  CHECK(read().first == 100'000);
  CHECK(read().second <= factor * size);
  size = log(R"({"note":")" + std::string(mib, 'x') + "\"}\n", 2);
  CHECK(read().first == 2);
  CHECK(read().second <= 2 * size);
  size = log("[", mib);
  CHECK(read().first == 0);
  CHECK(read().second <= size + kib);
  const auto deep = measured([&] { return error_of([&] { poe::read_json(dir / "log"); }); });
  CHECK(deep.second <= factor * size);

  // A file whose size is only claimed: no block of it is on the disk.
  write(dir / "sparse", "{}\n");
  fs::resize_file(dir / "sparse", poe::max_whole_file_bytes + 1);
  const auto refused = [&](auto&& reader) {
    const auto [message, request] =
        measured([&] { return error_of([&] { reader(dir / "sparse"); }); });
    CHECK(request <= 4 * kib);
    CHECK(contains(message, "sparse' at once: expected at most 1073741824 bytes, got 1073741825"));
  };
  refused(poe::read_json_lines);
  refused(poe::read_json);
}
