// SPDX-License-Identifier: MIT
// What the fuzz tests found: inputs that a reader once took for something else.
#include "files.hpp"

#include <poe/data/text_lines.hpp>
#include <poe/data/vocabulary.hpp>
#include <poe/io/jsonl.hpp>

#include <zlib.h>

#include <fstream>

using namespace poe;
using namespace poe::test;

TEST_CASE("a log is taken back over steps of 2^63 and more") {
  const Directory d;
  std::ofstream(d / "log") << "{\"step\":5}\n{\"step\":18446744073709551615}\n";
  CHECK(resume_json_lines(d / "log", "step", 5) == 1);
  CHECK(read_file(d / "log") == "{\"step\":5}\n");
}

TEST_CASE("a vocabulary's counts have no leading zeros, so that it is written as it was read") {
  const std::string front = "poe vocabulary 1\n5\t<exc>\n0\t<pad>\n0\t<eos>\n";
  CHECK(Vocabulary::from_text(front + "7\tbird\n", "words").count(Vocabulary::first_word) == 7);
  CHECK(contains(error_of([&] { Vocabulary::from_text(front + "07\tbird\n", "words"); }),
                 "words, line 5: expected a count"));
}

TEST_CASE("a small file of very many empty lines is refused before they are all in memory") {
  const Directory d;
  constexpr std::size_t most = std::size_t{1} << 20;
  for (const std::size_t count : {most, most + 1}) {
    const std::string path = d / "lines.gz", text(count, '\n');
    const gzFile file = gzopen(path.c_str(), "wb9");
    REQUIRE(gzwrite(file, text.data(), static_cast<unsigned>(count)) == static_cast<int>(count));
    REQUIRE(gzclose(file) == Z_OK);
    REQUIRE(std::filesystem::file_size(path) < 2048);
    if (count == most)
      CHECK(poe::detail::TextLines(path).lines.size() == most);
    else
      CHECK(contains(error_of([&] { poe::detail::TextLines lines(path); }),
                     "line 1048577: expected at most 1048576 lines"));
  }
}
