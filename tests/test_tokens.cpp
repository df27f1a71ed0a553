// SPDX-License-Identifier: MIT
// The tokeniser: sentences that were cut by hand, and by NLTK's word_tokenize.
#include "support.hpp"

#include <poe/data/tokens.hpp>

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace {

/// The tokens between bars, as in "this|bird|.".
std::string tokens(std::string_view sentence) {
  std::string text;
  for (const std::string& token : poe::tokenise(sentence)) {
    if (!text.empty()) text += '|';
    text += token;
  }
  return text;
}

}  // namespace

TEST_CASE("words, commas and the last period") {
  CHECK(tokens("this bird is grey, with a long beak.") == "this|bird|is|grey|,|with|a|long|beak|.");
  CHECK(tokens("  a \t red\r\n bird ") == "a|red|bird");
  CHECK(tokens("").empty());
  CHECK(tokens(" \n ").empty());
  CHECK(tokens("Red BIRD") == "Red|BIRD");
}

TEST_CASE("every period that ends a word is a token, one within a word is not") {
  CHECK(tokens("the bill is long. it starts orange.") == "the|bill|is|long|.|it|starts|orange|.");
  CHECK(tokens("a tail.yellow wing .") == "a|tail.yellow|wing|.");
  CHECK(tokens("(black.) \"red.\" 'blue.'") == "(|black|.|)|``|red|.|''|'blue|.|'");
  CHECK(tokens("grey... or .. white") == "grey|...|or|..|white");
}

TEST_CASE("numbers stay whole") {
  CHECK(tokens("2.5 times, 1,000 birds at 10:30, 3,") == "2.5|times|,|1,000|birds|at|10:30|,|3|,");
}

TEST_CASE("punctuation is detached, hyphens and slashes are not") {
  CHECK(tokens("wings; tail: red! why? a&b #1 $2 5% *") ==
        "wings|;|tail|:|red|!|why|?|a|&|b|#|1|$|2|5|%|*");
  CHECK(tokens("red-billed brown/gray -- i=bird a--b c---d") ==
        "red-billed|brown/gray|--|i=bird|a|--|b|c|--|-d");
  CHECK(tokens("a crest (tuft), [one] {two} <three>") ==
        "a|crest|(|tuft|)|,|[|one|]|{|two|}|<|three|>");
}

TEST_CASE("double quotes become what opens and what closes") {
  CHECK(tokens("a \"red\" bird (\"grey\")") == "a|``|red|''|bird|(|``|grey|''|)");
  CHECK(tokens("the ''red'' one, ``so'' a `b") == "the|``|red|''|one|,|``|so|''|a|`|b");
}

TEST_CASE("endings with an apostrophe are detached at the end of a word") {
  CHECK(tokens("it's a bird's, the birds' tails") == "it|'s|a|bird|'s|,|the|birds|'|tails");
  CHECK(tokens("don't I'm they're we've you'll he'd") ==
        "do|n't|I|'m|they|'re|we|'ve|you|'ll|he|'d");
  CHECK(tokens("DON'T IT'S can't she'll's") == "DO|N'T|IT|'S|ca|n't|she|'ll|'s");
  CHECK(tokens("'s n't ' o'clock 'white") == "'s|n't|'|o'clock|'white");
  CHECK(tokens("it cannot, Cannot gonna cannots") == "it|can|not|,|Can|not|gon|na|cannots");
}

TEST_CASE("bytes above 127 are letters") {
  CHECK(tokens("the bird\xef\xbf\xbds caf\xc3\xa9, \xe2\x80\x99 \xff.") ==
        "the|bird\xef\xbf\xbds|caf\xc3\xa9|,|\xe2\x80\x99|\xff|.");
}

TEST_CASE("sentences of the kinds that captions hold, against NLTK") {
  // nltk.tokenize.destructive.NLTKWordTokenizer().tokenize, NLTK 3.8
  CHECK(tokens("it's about 2.5 times as long as the bird's head, isn't it?") ==
        "it|'s|about|2.5|times|as|long|as|the|bird|'s|head|,|is|n't|it|?");
  CHECK(tokens("black & white (except for its \"belly\") -- and 1,000 more...") ==
        "black|&|white|(|except|for|its|``|belly|''|)|--|and|1,000|more|...");
  CHECK(tokens("webbed feet , long tarsus', one can't say 'grey'.") ==
        "webbed|feet|,|long|tarsus|'|,|one|ca|n't|say|'grey|'|.");
}

TEST_CASE("whatever the bytes, nothing but blanks and the form of double quotes changes") {
  const std::string alphabet = "ab3 .,'\"-`():n t\xc3";
  for (std::uint32_t seed = 0; seed < 3000; ++seed) {
    const poe::Random random{seed};
    std::string text(random.below(12, 0), ' ');
    for (std::size_t i = 0; i < text.size(); ++i)
      text[i] = alphabet[random.below(static_cast<std::uint32_t>(alphabet.size()), i + 1)];
    const auto plain = [](const std::string& s) {
      std::string kept;
      for (const char c : s)
        if (c == '"')
          kept += "''";
        else if (c != ' ')
          kept += c == '`' ? '\'' : c;
      return kept;
    };
    std::string joined;
    for (const std::string& token : poe::tokenise(text)) {
      REQUIRE(!token.empty());
      REQUIRE(token.find(' ') == std::string::npos);
      joined += token;
    }
    INFO(text);
    REQUIRE(plain(joined) == plain(text));
  }
}
