// SPDX-License-Identifier: MIT
// Vocabularies: made from captions by hand, sentences as ids and back, and their files.
#include "files.hpp"
#include "largest_request.hpp"

#include <poe/data/tokens.hpp>
#include <poe/data/vocabulary.hpp>

#include <zlib.h>

#include <cstdint>
#include <fstream>
#include <map>
#include <string>
#include <vector>

namespace {

using poe::TokenId, poe::Vocabulary, poe::test::contains, poe::test::error_of;
using poe::test::Directory, poe::test::largest_request;
using Tokens = std::vector<std::string>;
using Ids = std::vector<TokenId>;

// "the" 5, "bird" 4, "is" 4, "." 4, "red" 3, and four words once: 24 tokens.
const std::vector<Tokens> captions{{"the", "red", "bird", "is", "the", "small", "."},
                                   {"the", "bird", "is", "red", "."},
                                   {"a", "bird", "is", "red", "the", "one", "."},
                                   {"is", "the", "bird", "Red", "."}};

const std::string text_of_captions =
    "poe vocabulary 1\n7\t<exc>\n0\t<pad>\n0\t<eos>\n5\tthe\n4\tbird\n4\tis\n4\t.\n";

/// Captions of words from a small alphabet, the frequent ones much more often.
std::vector<Tokens> random_captions(std::uint64_t seed) {
  const poe::Random random{seed};
  std::vector<Tokens> all(20);
  std::uint64_t element = 0;
  for (Tokens& caption : all) {
    caption.resize(random.below(12, element++));
    for (std::string& token : caption) {
      const std::uint32_t words = 1 + random.below(30, element++);
      token = "w" + std::to_string(random.below(words, element++));
    }
  }
  return all;
}

}  // namespace

TEST_CASE("words with more than three occurrences, in the order in which they first appear") {
  const auto v = Vocabulary::from_captions(captions);
  REQUIRE(v.size() == 7);
  const std::vector<std::string> words{"<exc>", "<pad>", "<eos>", "the", "bird", "is", "."};
  const std::vector<std::uint64_t> counts{7, 0, 0, 5, 4, 4, 4};
  for (TokenId id = 0; id < 7; ++id) {
    CHECK(v.word(id) == words[static_cast<std::size_t>(id)]);
    CHECK(v.count(id) == counts[static_cast<std::size_t>(id)]);
    CHECK(v.id_of(v.word(id)) == (id < Vocabulary::first_word ? Vocabulary::unknown : id));
  }
  CHECK(v.total() == 24);
  CHECK(v.id_of("red") == Vocabulary::unknown);

  const auto more = Vocabulary::from_captions(captions, 3);
  CHECK(more.word(4) == "red");
  CHECK(more.count(Vocabulary::unknown) == 4);
  CHECK(Vocabulary::from_captions(captions, 1).size() == 3 + 9);
  CHECK(contains(error_of([] { Vocabulary::from_captions(captions, 6); }),
                 "no word occurs 6 times or more among the 24 tokens of 4 captions"));
  CHECK(contains(error_of([] { Vocabulary::from_captions(captions, 0); }), "got 0"));
}

TEST_CASE("markers and blanks within captions do not become words") {
  const Tokens odd(4, "<eos>"), blank(4, "a b"), empty(4, ""), word(4, "w");
  const auto v = Vocabulary::from_captions(std::vector{odd, blank, empty, word});
  CHECK(v.size() == 4);
  CHECK(v.count(Vocabulary::unknown) == 12);
  CHECK(v.encode(odd, 6) == Ids{0, 0, 0, 0, 2, 1});
}

TEST_CASE("a sentence is its tokens, the end and padding, cut where it is too long") {
  const auto v = Vocabulary::from_captions(captions);
  const Tokens sentence{"the", "blue", "bird", "is"};
  CHECK(v.encode(sentence, 8) == Ids{3, 0, 4, 5, 2, 1, 1, 1});
  CHECK(v.encode(sentence, 5) == Ids{3, 0, 4, 5, 2});
  CHECK(v.encode(sentence, 4) == Ids{3, 0, 4, 2});
  CHECK(v.encode(sentence, 1) == Ids{2});
  CHECK(v.encode({}, 3) == Ids{2, 1, 1});
  CHECK(v.encode(sentence).size() == 32);
  CHECK(contains(error_of([&] { v.encode(sentence, 0); }), "got 0"));

  const Tokens long_one(40, "bird");
  Ids expected(32, 4);
  expected.back() = Vocabulary::end;
  CHECK(v.encode(long_one) == expected);
}

TEST_CASE("ids are words up to the first end") {
  const auto v = Vocabulary::from_captions(captions);
  CHECK(v.decode(Ids{3, 0, 4, 2, 5, 2}) == "the <exc> bird");
  CHECK(v.decode(Ids{3, 1, 4}) == "the <pad> bird");
  CHECK(v.decode(Ids{2, 3}).empty());
  CHECK(v.decode(Ids{}).empty());
  CHECK(contains(error_of([&] { v.decode(Ids{3, 7}); }), "expected an id from 0 to 6, got 7"));
  CHECK(contains(error_of([&] { v.word(-1); }), "got -1"));
  CHECK(contains(error_of([&] { v.count(7); }), "got 7"));

  const auto up_to_end = [](const Ids& ids) {
    const auto part = poe::sentence_of(ids);
    return Ids(part.begin(), part.end());
  };
  CHECK(up_to_end({3, 4, 2, 5, 2, 1}) == Ids{3, 4, 2});
  CHECK(up_to_end({2}) == Ids{2});
  CHECK(up_to_end({3, 1, 4}) == Ids{3, 1, 4});
  CHECK(up_to_end({}).empty());
}

TEST_CASE("the file says what the vocabulary is, and gives it back") {
  const auto v = Vocabulary::from_captions(captions);
  CHECK(v.to_text() == text_of_captions);
  const auto again = Vocabulary::from_text(text_of_captions, "'words.txt'");
  CHECK(again.to_text() == text_of_captions);
  CHECK(again.total() == 24);
  CHECK(again.id_of("is") == 5);
  CHECK(again.encode(captions[0]) == v.encode(captions[0]));
}

TEST_CASE("a file with anything else in it is refused at its line") {
  const auto with = [](const std::string& from, const std::string& to) {
    std::string text = text_of_captions;
    text.replace(text.find(from), from.size(), to);
    return error_of([&] { Vocabulary::from_text(text, "'words.txt'"); });
  };
  CHECK(contains(with("vocabulary 1", "vocabulary 2"),
                 "'words.txt', line 1: expected 'poe vocabulary 1', got 'poe vocabulary 2'"));
  CHECK(contains(with("<exc>", "<unk>"), "line 2: expected the marker <exc>, got 7 and '<unk>'"));
  CHECK(contains(with("0\t<pad>", "1\t<pad>"), "line 3: expected the marker <pad> with the count"));
  CHECK(contains(with("0\t<eos>\n", ""), "line 4: expected the marker <eos>"));
  CHECK(contains(with("5\tthe", "-5\tthe"), "line 5: expected a count"));
  CHECK(contains(with("5\tthe", "five\tthe"), "line 5: expected a count"));
  CHECK(contains(with("5\tthe", "5 the"), "line 5: expected a count"));
  CHECK(contains(with("5\tthe", "5"), "line 5: expected a count"));
  CHECK(contains(with("5\tthe", ""), "line 5: expected a count"));
  CHECK(contains(with("5\tthe", "1099511627777\tthe"), "line 5: expected a count of at most"));
  CHECK(contains(with("5\tthe", "99999999999999999999\tthe"), "line 5: expected a count"));
  CHECK(contains(with("5\tthe", "0\tthe"), "line 5: expected a count of at least 1"));
  for (const char* word : {"5\t", "5\tthe red", "5\tthe\tred", "5\tthe\r", "5\t<eos>"})
    CHECK(contains(with("5\tthe", word), "line 5: expected a count of at least 1 and a word"));
  CHECK(contains(with("4\tis", "4\tthe"), "line 7: 'the' was there already"));
  CHECK(contains(with("4\t.\n", "4\t."), "line 8: expected a line and its line feed"));
  CHECK(contains(with("5\tthe\n4\tbird\n4\tis\n4\t.\n", ""), "line 5: expected a line"));
  CHECK(contains(with(text_of_captions, ""), "line 1: expected a line and its line feed, got the"));
}

TEST_CASE("files of vocabularies, plain or gzip") {
  const Directory dir;
  std::ofstream(dir / "words.txt", std::ios::binary) << text_of_captions;
  CHECK(Vocabulary::load(dir / "words.txt").to_text() == text_of_captions);
  const gzFile packed = gzopen((dir / "words.txt.gz").c_str(), "wb");
  gzwrite(packed, text_of_captions.data(), static_cast<unsigned>(text_of_captions.size()));
  gzclose(packed);
  CHECK(Vocabulary::load(dir / "words.txt.gz").to_text() == text_of_captions);

  std::ofstream(dir / "other.txt", std::ios::binary) << "{}\n";
  CHECK(contains(error_of([&] { Vocabulary::load(dir / "other.txt"); }),
                 "other.txt', line 1: expected 'poe vocabulary 1', got '{}'"));
  CHECK(contains(error_of([&] { Vocabulary::load(dir / "none.txt"); }), "none.txt': No such file"));
  CHECK(contains(error_of([&] { Vocabulary::load(dir.path); }), "expected a regular file"));
}

TEST_CASE("a file that is too large for a vocabulary is not read to its end") {
  const Directory dir;
  const auto path = dir / "words.txt";
  std::string text = text_of_captions;  // of the largest size
  for (int word = 0; text.size() + 40 < Vocabulary::most_bytes; ++word)
    text += "1\tword" + std::to_string(word) + "\n";
  text += "1\t" + std::string(Vocabulary::most_bytes - text.size() - 3, 'x') + "\n";
  REQUIRE(text.size() == Vocabulary::most_bytes);
  std::ofstream(path, std::ios::binary) << text;
  CHECK(Vocabulary::load(path).to_text() == text);

  const auto refused = [&](std::uintmax_t size) {
    std::filesystem::resize_file(path, size);  // zeros, which take no room
    largest_request = 0;
    const std::string message = error_of([&] { Vocabulary::load(path); });
    CHECK(
        contains(message, "words.txt': expected a vocabulary of at most 4194304 bytes, got more"));
    CHECK(largest_request <= 4 * Vocabulary::most_bytes);
  };
  refused(Vocabulary::most_bytes + 1);
  refused(std::uintmax_t{1} << 40);

  const gzFile packed = gzopen(path.c_str(), "wb");  // a small file that holds as much
  for (int i = 0; i < 100; ++i) gzwrite(packed, std::string(100'000, '1').data(), 100'000);
  gzclose(packed);
  CHECK(contains(error_of([&] { Vocabulary::load(path); }), "got more"));
}

TEST_CASE("a cut file is refused or is a shorter vocabulary, at every byte") {
  int refused = 0;
  for (std::size_t size = 0; size < text_of_captions.size(); ++size) {
    try {
      const auto v = Vocabulary::from_text(text_of_captions.substr(0, size), "'words.txt'");
      CHECK(text_of_captions.starts_with(v.to_text()));
    } catch (const poe::Error&) {
      ++refused;
    }
  }
  CHECK(refused == static_cast<int>(text_of_captions.size()) - 3);  // cut behind a word's line
}

TEST_CASE("whatever the captions: counts add up, sentences and files come back") {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    const auto all = random_captions(seed);
    std::map<std::string, std::uint64_t> counts;  // by a plain count
    std::uint64_t total = 0;
    for (const Tokens& caption : all)
      for (const std::string& token : caption) ++counts[token], ++total;

    const auto v = Vocabulary::from_captions(all, 3);
    const auto again = Vocabulary::from_text(v.to_text(), "'words.txt'");
    std::uint64_t sum = 0;
    for (TokenId id = 0; id < v.size(); ++id) {
      sum += v.count(id);
      REQUIRE(again.word(id) == v.word(id));
      REQUIRE(again.count(id) == v.count(id));
      if (id >= Vocabulary::first_word) REQUIRE(v.count(id) == counts[v.word(id)]);
    }
    REQUIRE(sum == total);
    REQUIRE(v.total() == total);
    REQUIRE(again.total() == total);
    for (const auto& [word, count] : counts)
      REQUIRE((v.id_of(word) != Vocabulary::unknown) == (count >= 3));
    for (const Tokens& caption : all) {
      std::string expected;
      for (const std::string& token : caption)
        expected += (expected.empty() ? "" : " ") + (counts[token] >= 3 ? token : "<exc>");
      REQUIRE(v.decode(v.encode(caption)) == expected);
    }
  }
}
