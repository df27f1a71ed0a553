// SPDX-License-Identifier: MIT
// What procedural captions say of their pictures.
#include "support.hpp"

#include <poe/data/shapes.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <map>
#include <set>
#include <span>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

namespace {

using poe::ShapeAttributes;
using poe::ShapeSet;

/// One set for all tests that only look.
const ShapeSet& shapes() {
  static const ShapeSet set = poe::make_shapes(900, {11, 0, 0});
  return set;
}

/// What an attribute word says: which attribute, and which of its values.
const std::map<std::string, std::pair<int, std::string>>& meanings() {
  static const auto all = [] {
    const std::vector<std::array<std::string, 3>> table{
        {"0", "circle", "circle disc round shape"},
        {"0", "square", "square box block"},
        {"0", "triangle", "triangle pyramid"},
        {"0", "star", "star"},
        {"0", "ring", "ring hoop donut"},
        {"0", "cross", "cross plus sign"},
        {"0", "diamond", "diamond rhombus lozenge"},
        {"0", "heart", "heart"},
        {"1", "red", "red scarlet crimson"},
        {"1", "orange", "orange tangerine"},
        {"1", "yellow", "yellow golden"},
        {"1", "green", "green emerald"},
        {"1", "blue", "blue azure"},
        {"1", "purple", "purple violet"},
        {"1", "pink", "pink rose"},
        {"1", "turquoise", "turquoise teal cyan"},
        {"2", "small", "small little tiny"},
        {"2", "medium", "medium sized average"},
        {"2", "large", "large big huge"},
        {"3", "plain", "plain solid unmarked no pattern markings"},
        {"3", "striped", "striped banded stripes bands"},
        {"3", "dotted", "dotted spotted speckled dots spots speckles"},
        {"4", "black", "black dark"},
        {"4", "white", "white bright"},
        {"4", "grey", "grey gray"},
        {"4", "beige", "beige cream tan"}};
    std::map<std::string, std::pair<int, std::string>> words;
    for (const auto& [attribute, value, synonyms] : table) {
      std::istringstream in(synonyms);
      for (std::string word; in >> word;) words[word] = {std::stoi(attribute), value};
    }
    return words;
  }();
  return all;
}
const std::set<std::string> other_words{
    "a",      "an",         "the",      "this",    "that",    "there",   "we",
    "is",     "has",        "see",      "shows",   "it",      "and",     "of",
    "on",     "in",         "with",     "front",   "wall",    "against", "image",
    "simple", "background", "backdrop", "drawing", "picture", ",",       "."};

std::string named(const ShapeAttributes& a, int attribute) {
  switch (attribute) {
    case 0:
      return poe::shape_kinds[a.kind];
    case 1:
      return poe::shape_colors[a.color];
    case 2:
      return poe::shape_sizes[a.size];
    case 3:
      return poe::shape_patterns[a.pattern];
    default:
      return poe::shape_backgrounds[a.background];
  }
}

/// Whether swapping two neighbouring letters gives a known word.
bool misspelt(std::string word) {
  for (std::size_t i = 1; i < word.size(); ++i) {
    std::swap(word[i - 1], word[i]);
    if (meanings().contains(word) || other_words.contains(word)) return true;
    std::swap(word[i - 1], word[i]);
  }
  return false;
}

}  // namespace

TEST_CASE("captions tell the truth, at least two attributes of it") {
  int lies = 0, unknown = 0, slips = 0, vague = 0, ill_formed = 0;
  std::set<std::size_t> lengths, details;
  std::map<std::string, int> counts;
  for (std::size_t n = 0; n < shapes().captions.size(); ++n) {
    const std::string& caption = shapes().captions[n];
    const ShapeAttributes& a = shapes().attributes[n / 10];
    std::set<int> told;
    std::istringstream in(caption);
    std::vector<std::string> words;
    bool slip = false;
    std::string joined;
    for (std::string word; in >> word;) {
      joined += (words.empty() ? "" : " ") + word;
      if (!words.empty() && (words.back() == "a" || words.back() == "an"))
        ill_formed +=
            (words.back() == "an") != (std::string("aeiou").find(word[0]) != std::string::npos);
      words.push_back(word);
      const auto known = meanings().find(word);
      if (known != meanings().end()) {
        const auto& [attribute, value] = known->second;
        told.insert(attribute);
        lies += value != named(a, attribute);
        ++counts[word];
      } else if (other_words.contains(word)) {
        ++counts[word];
      } else {
        slip = true;
        unknown += !misspelt(word);
      }
    }
    slips += slip;
    vague += !slip && told.size() < 2;
    ill_formed += joined != caption || !caption.ends_with(" .") || words.size() > 31;
    lengths.insert(words.size());
    details.insert(told.size());
  }
  CHECK(shapes().captions.size() == 9000);
  CHECK(lies == 0);
  CHECK(unknown == 0);
  CHECK(vague == 0);
  CHECK(ill_formed == 0);
  CHECK((slips > 20 && slips < 150));
  CHECK(lengths.size() > 8);
  CHECK((details.contains(2) && details.contains(5)));
  CHECK(counts.size() == meanings().size() + other_words.size());  // every word is used
  CHECK((counts.size() >= 60 && counts.size() <= 120));
}

TEST_CASE("the captions of a picture differ, and some words are rare") {
  std::map<std::string, int> counts;
  std::size_t different = 0;
  for (std::size_t i = 0; i < 900; ++i) {
    const auto ten = std::span(shapes().captions).subspan(10 * i, 10);
    different += std::set<std::string>(ten.begin(), ten.end()).size();
    for (const std::string& caption : ten) {
      std::istringstream in(caption);
      for (std::string word; in >> word;) ++counts[word];
    }
  }
  CHECK(different > 8500);
  const auto rare = std::count_if(counts.begin(), counts.end(),
                                  [](const auto& entry) { return entry.second <= 3; });
  CHECK(rare > 10);
  CHECK(static_cast<int>(counts.size()) - rare < 130);
}
