// SPDX-License-Identifier: MIT
// Tests of real data sets, which not every machine has. To be included by one file of a program,
// whose test cases then all need what real_data() was asked for.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <initializer_list>
#include <system_error>

namespace poe::test {

/// The folder that POE_DATA names. Unless it has all of `files`, the program says so and ends with
/// the status that CTest counts as skipped: a test that did not run must not look like one that
/// passed.
inline std::filesystem::path real_data(std::initializer_list<const char*> files) {
  constexpr int skipped = 77;
  const auto skip_unless = [](bool ok, const char* reason, const char* what) {
    if (ok) return;
    std::printf("skipped: %s%s\n", reason, what);
    std::fflush(stdout);
    std::_Exit(skipped);
  };
  const char* folder = std::getenv("POE_DATA");
  skip_unless(folder != nullptr, "POE_DATA names no folder with real data", "");
  for (const char* file : files) {
    std::error_code ignored;  // what cannot be looked at is not there
    skip_unless(std::filesystem::exists(std::filesystem::path(folder) / file, ignored),
                "the folder of POE_DATA has no ", file);
  }
  return folder;
}

}  // namespace poe::test
