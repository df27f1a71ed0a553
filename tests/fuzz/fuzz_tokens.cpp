// SPDX-License-Identifier: MIT
// tokenise(): the tokens are the sentence without its blanks, but for the spelling of quotes.
#include "fuzz.hpp"

#include <poe/data/tokens.hpp>

#include <algorithm>

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace poe;
  const std::string sentence(reinterpret_cast<const char*>(data), size);
  constexpr std::string_view blanks = " \t\n\v\f\r", quotes = "\"'`";
  const auto without = [](std::string text, std::string_view unwanted) {
    std::erase_if(text, [&](char c) { return unwanted.find(c) != std::string_view::npos; });
    return text;
  };

  std::string together;
  for (const std::string& token : tokenise(sentence)) {
    fuzz::require(!token.empty() && without(token, blanks) == token,
                  "a token is not empty and has no blanks");
    together += token;
  }
  fuzz::require(without(together, quotes) == without(without(sentence, blanks), quotes),
                "no letter is lost or added");
  return 0;
}
