// SPDX-License-Identifier: MIT
// A vocabulary's file: what is taken is what to_text() writes; and sentences as its ids.
#include "fuzz.hpp"

#include <poe/data/tokens.hpp>
#include <poe/data/vocabulary.hpp>

#include <algorithm>
#include <vector>

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace poe;
  const auto vocabulary = fuzz::attempt(fuzz::file_of({data, size}), Vocabulary::load);
  if (!vocabulary) return 0;
  const std::string text(reinterpret_cast<const char*>(data), size);
  const bool is_gzip = text.starts_with('\x1f');
  fuzz::require(is_gzip || vocabulary->to_text() == text, "the text is written as it was read");

  std::uint64_t total = vocabulary->count(Vocabulary::unknown);
  std::vector<std::string> words;
  for (TokenId id = Vocabulary::first_word; id < vocabulary->size(); ++id) {
    total += vocabulary->count(id);
    words.push_back(vocabulary->word(id));
    fuzz::require(vocabulary->id_of(words.back()) == id, "a word has one id");
  }
  fuzz::require(total == vocabulary->total(), "total() is the sum of the counts");
  const int length = vocabulary->size();
  const std::vector<TokenId> ids = vocabulary->encode(words, length);
  fuzz::require(ids.size() == words.size() + 3 && sentence_of(ids).size() == words.size() + 1,
                "a sentence is its words, one end and padding");
  fuzz::require(vocabulary->decode(ids) == fmt::format("{}", fmt::join(words, " ")),
                "ids stand for their words");
  return 0;
}
