// SPDX-License-Identifier: MIT
// Sentences that describe a picture of one shape: true, in changing words, order and detail.
#pragma once

#include <poe/data/draws.hpp>
#include <poe/data/shape_pictures.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace poe::detail::shapes {

/// Ways to say the same; of the words for one attribute, the first is the usual one.
using Words = std::vector<const char*>;

inline const std::array<Words, shape_kinds.size()> kind_words{{{"circle", "disc", "round shape"},
                                                               {"square", "box", "block"},
                                                               {"triangle", "pyramid"},
                                                               {"star"},
                                                               {"ring", "hoop", "donut"},
                                                               {"cross", "plus sign"},
                                                               {"diamond", "rhombus", "lozenge"},
                                                               {"heart"}}};
inline const std::array<Words, shape_colors.size()> color_words{{{"red", "scarlet", "crimson"},
                                                                 {"orange", "tangerine"},
                                                                 {"yellow", "golden"},
                                                                 {"green", "emerald"},
                                                                 {"blue", "azure"},
                                                                 {"purple", "violet"},
                                                                 {"pink", "rose"},
                                                                 {"turquoise", "teal", "cyan"}}};
inline const std::array<Words, shape_sizes.size()> size_words{
    {{"small", "little", "tiny"}, {"medium", "medium sized", "average"}, {"large", "big", "huge"}}};
inline const std::array<Words, shape_patterns.size()> pattern_words{
    {{"plain", "solid", "unmarked"}, {"striped", "banded"}, {"dotted", "spotted", "speckled"}}};
inline const std::array<Words, shape_patterns.size()> pattern_phrases{
    {{"no pattern", "no markings"}, {"stripes", "bands"}, {"dots", "spots", "speckles"}}};
inline const std::array<Words, shape_backgrounds.size()> ground_words{
    {{"black", "dark"}, {"white", "bright"}, {"grey", "gray"}, {"beige", "cream", "tan"}}};

/// What a caption may be. Capitals stand for words to choose; those with ? are often left out.
/// Every form names at least two attributes, of which one belongs to the shape.
inline const Words forms{
    "START a SIZE? COLOR? PATTERN? KIND PLACE .",
    "START a SIZE? COLOR KIND .",
    "START a PATTERN? COLOR KIND PLACE? .",
    "START a SIZE? COLOR KIND with MARKS PLACE .",
    "PLACE , there is a PATTERN? COLOR? KIND .",
    "a COLOR? SIZE? KIND PLACE .",
    "a SIZE COLOR? KIND with MARKS .",
    "the KIND is COLOR and SIZE .",
    "the KIND in this picture is PATTERN and COLOR .",
    "this COLOR KIND has MARKS and is SIZE .",
    "this is a KIND that is COLOR with MARKS .",
    "the GROUND background has a SIZE? PATTERN? COLOR? KIND on it .",
    "the background is GROUND , and the SIZE? PATTERN? KIND is COLOR .",
};
inline const Words starts{
    "this picture has",    "this picture shows", "a picture of", "this image has",
    "a simple drawing of", "there is",           "we see",       "this is"};
inline const Words places{"on a GROUND background", "in front of a GROUND background",
                          "against a GROUND backdrop", "on a GROUND wall"};

/// Adds the words of `text` to those of a caption, its capitals replaced. Words are drawn in the
/// order in which they stand.
inline void write(std::string_view text, const ShapeAttributes& a, Draws& draws,
                  std::vector<std::string_view>& caption) {
  const auto any = [&](const Words& all) { return all[draws.below(all.size())]; };
  // The first word in 72 of 100 cases, each later one more seldom.
  const auto one_of = [&](const Words& all) {
    std::size_t i = 0;
    while (i + 1 < all.size() && draws.chance(i == 0 ? 0.28 : 0.12)) ++i;
    return all[i];
  };
  for (std::size_t end = 0; !text.empty(); text.remove_prefix(std::min(end + 1, text.size()))) {
    end = std::min(text.find(' '), text.size());
    std::string_view word = text.substr(0, end);
    if (word.ends_with('?')) {
      if (!draws.chance(0.6)) continue;
      word.remove_suffix(1);
    }
    const auto replace = [&](const char* by) { write(by, a, draws, caption); };
    if (word == "KIND")
      replace(one_of(kind_words[a.kind]));
    else if (word == "COLOR")
      replace(one_of(color_words[a.color]));
    else if (word == "SIZE")
      replace(one_of(size_words[a.size]));
    else if (word == "PATTERN")
      replace(one_of(pattern_words[a.pattern]));
    else if (word == "MARKS")
      replace(one_of(pattern_phrases[a.pattern]));
    else if (word == "GROUND")
      replace(one_of(ground_words[a.background]));
    else if (word == "PLACE")
      replace(any(places));
    else if (word == "START")
      replace(any(starts));
    else
      caption.push_back(word);
  }
}

/// A true sentence about the picture: lower case, its tokens parted by one space, " ." at the end.
/// In one of a hundred, two letters of a word may be swapped: words that a vocabulary should not
/// keep.
inline std::string write_caption(const ShapeAttributes& a, Draws& draws) {
  std::vector<std::string_view> words;
  write(forms[draws.below(forms.size())], a, draws, words);
  const std::size_t hasty = draws.chance(0.01) ? draws.below(words.size()) : words.size();
  std::string caption;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (i > 0) caption += ' ';
    caption += words[i];
    // The last word is the full stop, so another one follows an article.
    if (words[i] == "a" && std::string_view("aeiou").find(words[i + 1][0]) != std::string::npos)
      caption += 'n';
    if (i == hasty && words[i].size() > 3) {
      const std::size_t letter = caption.size() - 1 - draws.below(words[i].size() - 2);
      std::swap(caption[letter], caption[letter - 1]);
    }
  }
  return caption;
}

}  // namespace poe::detail::shapes
