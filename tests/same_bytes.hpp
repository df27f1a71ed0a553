// SPDX-License-Identifier: MIT
// Whether two results are the same in every bit.
#pragma once

#include <cstring>
#include <vector>

namespace poe::test {

template <class T>
bool same_bytes(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

}  // namespace poe::test
