// SPDX-License-Identifier: MIT
// Arrays that begin anywhere, and results that must be the same bytes in every order of threads.
#pragma once

#include <cstring>
#include <string>
#include <vector>

#include "../support.hpp"
#include "device.hpp"

namespace tests {

/// An array that begins `offset` numbers after an address aligned to 256 bytes: of a pointer
/// kernels may assume alignment to T only.
template <class T>
class Placed {
 public:
  Placed(const std::vector<T>& values, std::size_t offset)
      : offset_(offset), memory_(behind(offset, values)) {}
  /// n numbers that nobody has written: NaN.
  Placed(std::size_t n, std::size_t offset) : offset_(offset), memory_(n + offset) {}

  T* data() { return memory_.data() + offset_; }
  std::vector<T> read(poe::Executor<poe::Cuda>& on) const {
    const std::vector<T> all = memory_.read(on);
    return {all.begin() + static_cast<std::ptrdiff_t>(offset_), all.end()};
  }

 private:
  static std::vector<T> behind(std::size_t offset, const std::vector<T>& values) {
    std::vector<T> all(offset);
    all.insert(all.end(), values.begin(), values.end());
    return all;
  }
  std::size_t offset_;
  OnDevice<T> memory_;
};

/// Calls run() -> vector in every order, and once more: all results must be the same bytes. -> the
/// result.
template <class F>
auto same_in_every_order(F&& run) {
  auto first = run();
  for_each_order([&](const std::string& order) {
    const auto again = run();
    INFO("order: " << order);
    REQUIRE(again.size() == first.size());
    if (first.empty()) return;  // its data() may be null
    REQUIRE(std::memcmp(again.data(), first.data(), first.size() * sizeof(first[0])) == 0);
  });
  return first;
}

}  // namespace tests
