// SPDX-License-Identifier: MIT
// Sentences cut into words and punctuation, after the Penn Treebank.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace poe {
namespace detail {

/// Appends a word, cut into its tokens: 's, n't and the like at its end are tokens, if something
/// stays before them, and so are both halves of "cannot".
inline void add_word(std::vector<std::string>& tokens, std::string_view word) {
  constexpr std::string_view short_endings[] = {"'s", "'S", "'m", "'M", "'d", "'D", "'"};
  constexpr std::string_view long_endings[] = {"'ll", "'LL", "'re", "'RE",
                                               "'ve", "'VE", "n't", "N'T"};
  const auto detach = [&](const auto& endings) {
    for (const std::string_view ending : endings)
      if (word.size() > ending.size() && word.ends_with(ending) &&
          word[word.size() - ending.size() - 1] != '\'') {
        word.remove_suffix(ending.size());
        return ending;
      }
    return std::string_view{};
  };
  const std::string_view last = detach(short_endings), before = detach(long_endings);
  for (const std::string_view pair : {"cannot", "gimme", "gonna", "gotta", "lemme", "wanna"})
    if (std::ranges::equal(word, pair, {}, [](char c) { return static_cast<char>(c | 0x20); })) {
      tokens.emplace_back(word.substr(0, 3));
      word.remove_prefix(3);
    }
  for (const std::string_view token : {word, before, last})
    if (!token.empty()) tokens.emplace_back(token);
}

/// The length of the punctuation that `text` begins with, or 0: what is there belongs to a word.
inline std::size_t punctuation(std::string_view text) {
  const auto run = [&](char c) { return std::min(text.find_first_not_of(c), text.size()); };
  const auto next_is_digit = [&] { return text.size() > 1 && text[1] >= '0' && text[1] <= '9'; };
  switch (text[0]) {
    case '.':
      if (run('.') > 1) return run('.');
      return text.find_first_not_of("])}>\"'", 1) == std::string_view::npos ? 1 : 0;
    case ',':
    case ':':
      return next_is_digit() ? 0 : 1;  // 1,000 and 10:30 are words
    case '-':
      return text.starts_with("--") ? 2 : 0;
    case '\'':
      return text.starts_with("''") ? 2 : 0;
    case '`':
      return run('`');
    default:
      return std::string_view("\";?!()[]{}<>@#$%&*").find(text[0]) != std::string_view::npos ? 1
                                                                                             : 0;
  }
}

/// The tokens of a text without white space.
inline void add_tokens(std::vector<std::string>& tokens, std::string_view text) {
  std::size_t word = 0, i = 0;
  const auto end_word = [&] {
    if (word < i) add_word(tokens, text.substr(word, i - word));
  };
  while (i < text.size()) {
    const std::size_t size = punctuation(text.substr(i));
    if (size == 0) {
      ++i;
      continue;
    }
    end_word();
    const std::string_view mark = text.substr(i, size);
    const bool opens =
        i == 0 || std::string_view("([{<").find(text[i - 1]) != std::string_view::npos;
    const bool quotes = mark == "\"" || mark == "''";
    tokens.emplace_back(!quotes ? mark : opens ? "``" : "''");
    word = i += size;
  }
  end_word();
}

}  // namespace detail

/// The tokens of a sentence, or of several: words and punctuation, as NLTK's word_tokenize cuts
/// English. Detached are , ; : ! ? quotes, brackets, "--", "...", the period that ends a word, and
/// 's 'm 'd 'll 're 've n't at its end; "cannot" is two tokens. Words keep their case and their
/// hyphens, periods and commas (red-billed, 2.5, 1,000). Double quotes become `` and ''. Bytes
/// above 127 are letters, so UTF-8 passes unharmed; abbreviations are not known.
inline std::vector<std::string> tokenise(std::string_view sentence) {
  constexpr std::string_view blanks = " \t\n\v\f\r";
  std::vector<std::string> tokens;
  std::size_t begin = 0;
  while ((begin = sentence.find_first_not_of(blanks, begin)) != std::string_view::npos) {
    const std::size_t end = std::min(sentence.find_first_of(blanks, begin), sentence.size());
    detail::add_tokens(tokens, sentence.substr(begin, end - begin));
    begin = end;
  }
  return tokens;
}

}  // namespace poe
