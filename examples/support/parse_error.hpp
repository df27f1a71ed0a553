// SPDX-License-Identifier: MIT
// What a command line that cannot be read is answered with.
#pragma once

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <string>

namespace examples {

/// The sentence of CLI11, but for words that nothing takes: it names the last one first.
inline std::string what_is_wrong(const CLI::App& app, const CLI::ParseError& error) {
  if (dynamic_cast<const CLI::ExtrasError*>(&error) == nullptr) return error.what();
  return fmt::format("not expected: {}", fmt::join(app.remaining(), " "));
}

}  // namespace examples
