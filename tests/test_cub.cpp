// SPDX-License-Identifier: MIT
// CUB-Captions: three layouts of one tiny data set, and what every mistake is told to be.
#include "files.hpp"

#include <poe/data/cub.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace {

using namespace std::string_literals;
using poe::CubData, poe::CubPart, poe::load_cub;
using poe::test::contains, poe::test::Directory, poe::test::error_of;
namespace fs = std::filesystem;

void write(const fs::path& path, const std::string& text) {
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << text;
}

std::string npy(const std::string& type, const std::string& shape, const std::string& values) {
  std::string header =
      std::string("{'descr': '") + type + "', 'fortran_order': False, 'shape': " + shape + "}";
  header.resize(117, ' ');
  return "\x93NUMPY\x01\0\x76\0"s + header + "\n" + values;
}

void write_features(const fs::path& dir, const std::vector<std::string>& keys,
                    std::vector<float> values = {}) {
  std::string text;
  for (const std::string& key : keys) text += key + "\n";
  write(dir / "image_keys.txt", text);
  values.resize(keys.size() * 2, 0.5F);
  write(dir / "image_features.npy",
        npy("<f4", std::string("(") + std::to_string(keys.size()) + ", 2)",
            {reinterpret_cast<const char*>(values.data()), 4 * values.size()}));
}

// Two training classes, a and c, and a test class, b. a/1 has no features; d/1 no captions.
const std::vector<std::string> keys{"a/1", "a/2", "b/1", "b/2", "c/1"};
const std::vector<std::string> pictured{"a/2", "b/1", "b/2", "c/1", "d/1"};

bool is_test(const std::string& key) { return key[0] == 'b'; }

std::string caption(const std::string& key, int number) {
  return std::string("caption ") + std::to_string(number) + " of " + key + ".";
}

void write_table(const fs::path& dir) {
  std::string text;
  for (std::size_t i = 0; i < keys.size(); ++i)
    for (int n = 0; n < 10; ++n)
      text += std::to_string(7 * (i + 1)) + "\t" + keys[i] + "\t" +
              (is_test(keys[i]) ? "test" : "trainval") + "\t" + (i == 0 ? "0" : "1") + "\t" +
              std::to_string(n) + "\t" + caption(keys[i], n) + "\n";
  write(dir / "captions.tsv", text);
  write_features(dir, pictured);
}

void write_folders(const fs::path& dir) {
  write(dir / "trainvalclasses.txt", "a\nc");
  write(dir / "testclasses.txt", "b\r\n");
  for (const std::string& key : keys) {
    std::string text;
    for (int n = 0; n < 10; ++n) text += caption(key, n) + "\n";
    write(dir / "text_c10" / (key + ".txt"), text);
  }
  write(dir / "text_c10" / "a.t7", "other files are passed over");
  write(dir / "text_c10" / "a" / "1.h5", "other files are passed over");
  write_features(dir, pictured);
}

void write_lists(const fs::path& dir) {
  std::string train, test;
  for (const std::string& key : keys) {
    write(dir / (is_test(key) ? "test" : "train") / (key + ".jpg"), "");
    for (int n = 0; n < 10; ++n) (is_test(key) ? test : train) += caption(key, n) + "\n";
  }
  write(dir / "text_trainvalclasses.txt", train);
  write(dir / "text_testclasses.txt", test);
  write_features(dir, pictured);
}

/// Replaces the first `from` in a file.
void edit(const fs::path& path, const std::string& from, const std::string& to) {
  std::ifstream file(path, std::ios::binary);
  std::string text(std::istreambuf_iterator<char>(file), {});
  REQUIRE(contains(text, from));
  text.replace(text.find(from), from.size(), to);
  write(path, text);
}

/// What loading says after one edit of captions.tsv.
std::string refusal(const std::string& from, const std::string& to) {
  const Directory dir;
  write_table(dir.path);
  edit(dir / "captions.tsv", from, to);
  const std::string message = error_of([&] { load_cub(dir.path); });
  CHECK(contains(message, "captions.tsv', line "));
  return message;
}

}  // namespace

TEST_CASE("the three layouts give the same data, below the folder or below its folder cub") {
  for (const auto& writer : {write_table, write_folders, write_lists})
    for (const std::string at : {"", "cub"}) {
      const Directory dir;
      writer(dir.path / at);
      const CubData data = load_cub(dir.path);
      INFO(data.source);
      REQUIRE(data.keys.size() == 6);
      REQUIRE(data.captions.size() == 50);
      std::map<std::string, std::size_t> image;
      for (std::size_t i = 0; i < 6; ++i) image[data.keys[i]] = i;
      REQUIRE(image.size() == 6);
      CHECK(image["d/1"] == 5);  // images without captions come last
      for (const auto& [key, i] : image) {
        const auto row = std::ranges::find(pictured, key);
        CHECK(data.feature[i] == (row == pictured.end() ? -1 : row - pictured.begin()));
        CHECK(data.parts[i] == (key == "d/1"   ? CubPart::unknown
                                : is_test(key) ? CubPart::test
                                               : CubPart::trainval));
      }
      std::set<std::string> texts;
      for (const auto& c : data.captions) {
        CHECK(c.text == caption(data.keys[static_cast<std::size_t>(c.image)], c.number));
        texts.insert(c.text);
      }
      CHECK(texts.size() == 50);
      CHECK(data.rows == 5);
      CHECK(data.width == 2);
      CHECK(data.features.size() == 10);
      CHECK(data.thumbnails.empty());
      CHECK(contains(data.source, dir.path.string()));
    }
}

TEST_CASE("an image without captions belongs to the part of its class, where that is known") {
  const Directory dir;
  write_table(dir.path);
  write_features(dir.path, {"a/2", "b/1", "b/2", "c/1", "b/3", "c/2"});
  const CubData data = load_cub(dir.path);
  REQUIRE(data.keys.size() == 7);
  CHECK(data.keys[5] == "b/3");
  CHECK(data.parts[5] == CubPart::test);
  CHECK(data.parts[6] == CubPart::trainval);
}

TEST_CASE("features and thumbnails are read row by row") {
  const Directory dir;
  write_table(dir.path);
  write_features(dir.path, pictured, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
  std::string bytes(5 * 64 * 64 * 3, '\0');
  bytes[4 * 64 * 64 * 3] = '\x2a';
  write(dir / "images64.npy", npy("|u1", "(5, 64, 64, 3)", bytes));
  const CubData data = load_cub(dir.path);
  CHECK(data.features == std::vector<float>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
  REQUIRE(data.thumbnails.size() == bytes.size());
  CHECK(data.thumbnails[4 * 64 * 64 * 3] == 0x2a);

  write(dir / "images64.npy", npy("|u1", "(4, 64, 64, 3)", bytes.substr(64 * 64 * 3)));
  CHECK(contains(error_of([&] { load_cub(dir.path); }),
                 "expected images of 5 x 64 x 64 x 3, got 4 x 64 x 64 x 3"));
}

TEST_CASE("captions may come in any order and number") {
  const Directory dir;
  write(dir / "captions.tsv",
        "2\tb/1\ttest\t1\t9\tlast\n1\ta/1\ttrainval\t1\t0\tfirst\n2\tb/1\ttest\t1\t0\tnext");
  write_features(dir.path, {"a/1", "b/1"});
  const CubData data = load_cub(dir.path);
  CHECK(data.keys == std::vector<std::string>{"b/1", "a/1"});
  REQUIRE(data.captions.size() == 3);
  CHECK(data.captions[2].text == "next");
  CHECK(data.captions[2].image == 0);
  CHECK(data.captions[0].number == 9);
}

TEST_CASE("a wrong line of captions.tsv is refused where it is") {
  CHECK(contains(refusal("7\ta/1\ttrainval", "7\ta/1"), "line 1: expected 6 columns, got 5"));
  CHECK(contains(refusal("of a/1.\n", "of a/1.\tx\n"), "line 1: expected 6 columns, got 7"));
  CHECK(contains(refusal("of a/1.\n", "of a/1.\n\n"), "line 2: expected 6 columns, got 1"));
  for (const std::string id : {"0", "-7", "11789", "x", "", "7x"})
    CHECK(contains(refusal("7\t", id + "\t"), "id from 1 to 11788, got '" + id + "'"));
  CHECK(contains(refusal("7\ta/1\ttrainval\t0\t1", "8\ta/1\ttrainval\t0\t1"),
                 "line 2: expected the id 7 of this image, got 8"));
  CHECK(contains(refusal("14\ta/2", "7\ta/2"), "line 11: another image has the id 7"));
  for (const std::string key : {"a", "a/", "/1", "a/1/2", ""})
    CHECK(contains(refusal("a/1\ttrainval", key + "\ttrainval"), "got '" + key + "'"));
  CHECK(contains(refusal("trainval", "train"), "expected test or trainval, got 'train'"));
  CHECK(contains(refusal("trainval", "test"), "line 2: expected class a in one part of the split"));
  CHECK(contains(refusal("a/2\ttrainval", "a/2\ttest"), "line 11: expected class a in one part"));
  CHECK(contains(refusal("l\t0\t0", "l\t1\t0"), "expected 0 in column 4, since the keys of the"));
  CHECK(contains(refusal("l\t1\t0", "l\t0\t0"), "line 11: expected 1 in column 4"));
  for (const std::string n : {"10", "-1", "", "x"})
    CHECK(contains(refusal("l\t0\t0", "l\t0\t" + n), "number from 0 to 9, got '" + n + "'"));
  CHECK(contains(refusal("l\t0\t1", "l\t0\t0"), "line 2: caption 0 of a/1 was there already"));
  CHECK(contains(refusal("\tcaption 3 of a/2.", "\t "), "line 14: expected a caption"));
}

TEST_CASE("features that do not fit are refused") {
  const Directory dir;
  const auto refuse = [&](const std::vector<std::string>& rows, const std::vector<float>& values) {
    write_table(dir.path);
    write_features(dir.path, rows, values);
    return error_of([&] { load_cub(dir.path); });
  };
  CHECK(contains(refuse({"a/2", "a/2"}, {}), "image_keys.txt', line 2: a/2 was there already"));
  CHECK(contains(refuse({"a/2", "b"}, {}), "image_keys.txt', line 2: expected a key such as"));
  CHECK(contains(refuse({"a/2"}, {}), "captions.tsv', line 21: expected 0 in column 4"));
  const float nan = std::numeric_limits<float>::quiet_NaN();
  CHECK(contains(refuse(pictured, {0, 1, 2, 3, 4, nan}), "got nan in row 2, column 1"));
  CHECK(contains(refuse(pictured, {0, 1, 2, 3, -1.0F / 0.0F}), "got -inf in row 2, column 0"));

  write_table(dir.path);
  edit(dir / "image_features.npy", "(5, 2)", "(2, 5)");
  CHECK(contains(error_of([&] { load_cub(dir.path); }), "image_keys.txt, got 2 x 5"));
  edit(dir / "image_features.npy", "(2, 5)", "(10,) ");
  CHECK(contains(error_of([&] { load_cub(dir.path); }), "image_keys.txt, got 10"));
}

TEST_CASE("a missing file is named, with what each layout wants") {
  const Directory empty;
  const std::string message = error_of([&] { load_cub(empty.path); });
  CHECK(contains(message, "CUB: no captions in '" + empty.path.string() + "' or '" +
                              (empty / "cub").string() + "'"));
  for (const char* part : {"image_features.npy", "image_keys.txt", "images64.npy", "captions.tsv",
                           "text_c10/<class>/<image>.txt", "trainvalclasses.txt", "testclasses.txt",
                           "text_trainvalclasses.txt", "text_testclasses.txt"})
    CHECK(contains(message, part));

  const auto without = [](const auto& writer, const char* name) {
    const Directory dir;
    writer(dir.path);
    fs::remove_all(dir / name);
    CHECK(contains(error_of([&] { load_cub(dir.path); }),
                   "CUB: no "s + name + " in '" + dir.path.string() + "'; a folder has"));
  };
  for (const char* name : {"image_keys.txt", "image_features.npy"}) without(write_table, name);
  for (const char* name : {"trainvalclasses.txt", "testclasses.txt"}) without(write_folders, name);
  for (const char* name : {"text_trainvalclasses.txt", "text_testclasses.txt", "train", "test"})
    without(write_lists, name);
}

TEST_CASE("layouts of folders and lists whose counts do not fit are refused") {
  const auto refuse = [](const auto& writer, const auto& change) {
    const Directory dir;
    writer(dir.path);
    change(dir.path);
    return error_of([&] { load_cub(dir.path); });
  };
  CHECK(contains(
      refuse(write_folders, [](const fs::path& p) { edit(p / "text_c10/b/1.txt", "\n", " "); }),
      "b/1.txt': expected 10 captions, got 9"));
  CHECK(contains(refuse(write_folders,
                        [](const fs::path& p) {
                          write(p / "text_c10/b/1.txt", "x\n\n" + std::string(8, '\n'));
                        }),
                 "b/1.txt', line 2: expected a caption"));
  CHECK(contains(
      refuse(write_folders, [](const fs::path& p) { write(p / "trainvalclasses.txt", "a"); }),
      "c/1.txt': expected its class in trainvalclasses.txt or testclasses.txt"));
  CHECK(contains(
      refuse(write_folders, [](const fs::path& p) { write(p / "testclasses.txt", "b\na"); }),
      "testclasses.txt', line 2: expected class a in one part of the split"));
  CHECK(contains(refuse(write_folders,
                        [](const fs::path& p) {
                          fs::remove_all(p / "text_c10");
                          fs::create_directory(p / "text_c10");
                        }),
                 "CUB: no captions in"));
  CHECK(contains(refuse(write_lists, [](const fs::path& p) { fs::remove(p / "train/a/2.jpg"); }),
                 "text_trainvalclasses.txt': expected 20 lines, 10 for each of the 2 images"));
  CHECK(contains(refuse(write_lists,
                        [](const fs::path& p) {
                          write(p / "test/a/1.jpg", "");
                          edit(p / "text_testclasses.txt", "", "x\nx\nx\nx\nx\nx\nx\nx\nx\nx\n");
                        }),
                 "text_testclasses.txt', line 1: expected class a in one part of the split"));
}
