// SPDX-License-Identifier: MIT
// A directory for a test, and what an operation that must fail says.
#pragma once

#include "support.hpp"

#include <poe/core/error.hpp>

#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <string>

namespace poe::test {

/// An empty directory, removed at the end.
struct Directory {
  std::filesystem::path path;
  Directory() {
    std::string name = (std::filesystem::temp_directory_path() / "poe-test-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path = name;
  }
  ~Directory() { std::filesystem::remove_all(path); }
  Directory(const Directory&) = delete;
  std::filesystem::path operator/(const char* name) const { return path / name; }
  std::ptrdiff_t count() const {
    return std::distance(std::filesystem::directory_iterator(path), {});
  }
};

/// The message of the Error that `action` throws; any other outcome fails the test.
template <class Action>
std::string error_of(Action&& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  FAIL("expected a poe::Error");
  return {};
}

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace poe::test
