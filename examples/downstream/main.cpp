// SPDX-License-Identifier: MIT
// The smallest program that uses the library from a project of its own.
#include <poe/core/version.hpp>

#include <fmt/core.h>

int main() { fmt::print("poe {}\n", poe::version); }
