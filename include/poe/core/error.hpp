// SPDX-License-Identifier: MIT
// One exception type, and the precondition check that throws it.
#pragma once

#include <fmt/core.h>

#include <stdexcept>
#include <utility>

namespace poe {

/// Everything the library throws on purpose. The message says what failed, where, what was expected
/// and what was got; it is meant to be shown to a person as it is.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Throws poe::Error with a formatted message.
template <class... Args>
[[noreturn]] void fail(fmt::format_string<Args...> message, Args&&... args) {
  throw Error(fmt::format(message, std::forward<Args>(args)...));
}

/// Throws poe::Error with a formatted message unless `ok`. Nothing is formatted when it holds.
template <class... Args>
void expect(bool ok, fmt::format_string<Args...> message, Args&&... args) {
  if (!ok) [[unlikely]]
    fail(message, std::forward<Args>(args)...);
}

}  // namespace poe
