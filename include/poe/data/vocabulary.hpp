// SPDX-License-Identifier: MIT
// Vocabulary: the words of the training captions, their ids and counts, and sentences as ids.
#pragma once

#include <poe/core/error.hpp>
#include <poe/data/gzip.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <iterator>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace poe {

using TokenId = std::int32_t;

/// Words with their ids and counts. Ids 0 to 2 are markers, the words follow.
class Vocabulary {
 public:
  static constexpr TokenId unknown = 0;     ///< any word that is not in the vocabulary
  static constexpr TokenId pad = 1;         ///< fills a sentence up to its length
  static constexpr TokenId end = 2;         ///< ends a sentence
  static constexpr TokenId first_word = 3;  ///< the first that is a word
  static constexpr std::array<std::string_view, 3> markers{"<exc>", "<pad>", "<eos>"};

  /// The words that occur at least `min_count` times in the training captions, in the order in
  /// which they first appear. Throws Error when there is none.
  static Vocabulary from_captions(std::span<const std::vector<std::string>> captions,
                                  int min_count = 4) {
    std::map<std::string_view, std::size_t> position;
    std::vector<std::pair<std::string_view, std::uint64_t>> counts;  // in order of appearance
    for (const auto& tokens : captions)
      for (const std::string& token : tokens) {
        const auto [found, is_new] = position.try_emplace(token, counts.size());
        if (is_new) counts.emplace_back(token, 0);
        ++counts[found->second].second;
      }

    expect(min_count >= 1, "vocabulary: expected a least count of at least 1, got {}", min_count);
    const auto least = static_cast<std::uint64_t>(min_count);
    const auto is_kept = [&](const auto& c) { return c.second >= least && is_word(c.first); };
    std::uint64_t excluded = 0;
    for (const auto& c : counts) excluded += is_kept(c) ? 0 : c.second;
    Vocabulary vocabulary(excluded);
    for (const auto& c : counts)
      if (is_kept(c)) vocabulary.add(c.first, c.second);
    expect(vocabulary.size() > first_word,
           "vocabulary: no word occurs {} times or more among the {} tokens of {} captions", least,
           excluded, captions.size());
    return vocabulary;
  }

  /// Reads what to_text() wrote, and nothing else; `place` names the file in errors.
  static Vocabulary from_text(std::string_view text, const std::string& place);

  /// Reads a file that holds such a text, plain or gzip, of at most `most_bytes`.
  static Vocabulary load(const std::filesystem::path& path);
  static constexpr std::size_t most_bytes = std::size_t{4} << 20;

  /// One line for each id, in order: its count, a tab, the word. The count of "<exc>" is that of
  /// all tokens that are not in the vocabulary. The first line names the format.
  std::string to_text() const {
    std::string text = fmt::format("{}\n", format);
    for (std::size_t id = 0; id < words_.size(); ++id)
      fmt::format_to(std::back_inserter(text), "{}\t{}\n", counts_[id], words_[id]);
    return text;
  }

  /// How many ids there are, markers included.
  int size() const { return static_cast<int>(words_.size()); }

  /// The word with this id, or the marker.
  const std::string& word(TokenId id) const { return words_[checked(id)]; }

  /// The id of a word; `unknown` for all that is none, markers included.
  TokenId id_of(std::string_view word) const {
    const auto found = ids_.find(word);
    return found == ids_.end() ? unknown : found->second;
  }

  /// How often the word occurred in the training captions; for `unknown`, all words that have no
  /// id of their own together; 0 for the other markers.
  std::uint64_t count(TokenId id) const { return counts_[checked(id)]; }

  /// All tokens of the training captions: the sum of all counts.
  std::uint64_t total() const { return total_; }

  /// `length` ids: the tokens, at most length - 1 of them, the end, then padding.
  std::vector<TokenId> encode(std::span<const std::string> tokens, int length = 32) const {
    expect(length >= 1, "vocabulary: expected a length of at least 1, got {}", length);
    std::vector<TokenId> ids(static_cast<std::size_t>(length), pad);
    const std::size_t kept = std::min(tokens.size(), ids.size() - 1);
    std::ranges::transform(tokens.first(kept), ids.begin(), [&](auto& t) { return id_of(t); });
    ids[kept] = end;
    return ids;
  }

  /// The words before the first end, separated by blanks.
  std::string decode(std::span<const TokenId> ids) const {
    std::string text;
    for (const TokenId id : ids) {
      if (id == end) break;
      if (!text.empty()) text += ' ';
      text += word(id);
    }
    return text;
  }

 private:
  static constexpr std::string_view format = "poe vocabulary 1";
  static constexpr std::uint64_t max_count = std::uint64_t{1} << 40;  // no sum of counts overflows

  explicit Vocabulary(std::uint64_t excluded) : total_(excluded) {
    words_.assign(markers.begin(), markers.end());
    counts_ = {excluded, 0, 0};
  }

  /// Whether a token can be a word: none is a marker, and a line of the file can hold it.
  static bool is_word(std::string_view token) {
    const auto breaks = [](char c) { return (c >= 0 && c <= ' ') || c == 0x7f; };
    return !token.empty() && std::ranges::none_of(token, breaks) &&
           std::ranges::find(markers, token) == markers.end();
  }

  void add(std::string_view word, std::uint64_t count) {
    ids_.emplace(word, static_cast<TokenId>(words_.size()));
    words_.emplace_back(word);
    counts_.push_back(count);
    total_ += count;
  }

  std::size_t checked(TokenId id) const {
    expect(id >= 0 && id < size(), "vocabulary: expected an id from 0 to {}, got {}", size() - 1,
           id);
    return static_cast<std::size_t>(id);
  }

  std::vector<std::string> words_;  // by id
  std::vector<std::uint64_t> counts_;
  std::uint64_t total_;
  std::map<std::string, TokenId, std::less<>> ids_;  // of words
};

inline Vocabulary Vocabulary::from_text(std::string_view text, const std::string& place) {
  int number = 0;
  const auto next_line = [&] {
    ++number;
    const std::size_t size = text.find('\n');
    expect(size != std::string_view::npos, "{}, line {}: expected a line and its line feed, got {}",
           place, number, text.empty() ? "the end" : "a line without one");
    const std::string_view line = text.substr(0, size);
    text.remove_prefix(size + 1);
    return line;
  };
  const auto next_entry = [&] {
    const std::string_view line = next_line();
    const char* line_end = line.data() + line.size();
    std::pair<std::uint64_t, std::string_view> entry;
    const auto [tab, error] = std::from_chars(line.data(), line_end, entry.first);
    const bool is_padded = line.starts_with('0') && tab != line.data() + 1;  // 07
    expect(error == std::errc{} && !is_padded && tab != line_end && *tab == '\t' &&
               entry.first <= max_count,
           "{}, line {}: expected a count of at most {}, a tab and a word, got '{}'", place, number,
           max_count, line.substr(0, 60));
    entry.second = line.substr(static_cast<std::size_t>(tab - line.data()) + 1);
    return entry;
  };
  if (const auto line = next_line(); line != format)
    fail("{}, line 1: expected '{}', got '{}'", place, format, line);

  std::uint64_t excluded = 0;
  for (const std::string_view marker : markers) {
    const auto [count, word] = next_entry();
    expect(word == marker && (count == 0 || marker == markers[unknown]),
           "{}, line {}: expected the marker {}{}, got {} and '{}'", place, number, marker,
           marker == markers[unknown] ? "" : " with the count 0", count, word);
    excluded += count;
  }
  Vocabulary vocabulary(excluded);
  while (!text.empty() || vocabulary.size() == first_word) {
    const auto [count, word] = next_entry();
    expect(count >= 1 && is_word(word),
           "{}, line {}: expected a count of at least 1 and a word without blanks, got {} and '{}'",
           place, number, count, word);
    expect(vocabulary.id_of(word) == unknown, "{}, line {}: '{}' was there already", place, number,
           word);
    vocabulary.add(word, count);
  }
  return vocabulary;
}

inline Vocabulary Vocabulary::load(const std::filesystem::path& path) {
  constexpr std::size_t piece = std::size_t{1} << 16;
  ByteReader file(path);
  std::string text;
  for (std::size_t got = piece; got == piece;) {
    const std::size_t had = text.size();
    text.resize(had + piece);
    got = file.read({reinterpret_cast<std::uint8_t*>(text.data()) + had, piece});
    text.resize(had + got);
    expect(text.size() <= most_bytes, "'{}': expected a vocabulary of at most {} bytes, got more",
           path.string(), most_bytes);
  }
  return from_text(text, fmt::format("'{}'", path.string()));
}

/// A sentence up to and including its first end; all of it when there is none.
inline std::span<const TokenId> sentence_of(std::span<const TokenId> ids) {
  const auto found = std::ranges::find(ids, Vocabulary::end);
  return ids.first(static_cast<std::size_t>(found - ids.begin()) + (found != ids.end() ? 1 : 0));
}

}  // namespace poe
