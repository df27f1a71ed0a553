// SPDX-License-Identifier: MIT
// Sink: where an operation puts a gradient.
#pragma once

#include <cstddef>

#include <poe/core/config.hpp>

namespace poe {

/// Where a backward pass puts the gradient of an input: `data` is null when none is wanted; it is
/// overwritten, or added to.
template <class T>
struct Sink {
  T* data = nullptr;
  bool accumulate = false;
  POE_HD void put(std::size_t i, T g) const { data[i] = accumulate ? data[i] + g : g; }
};

}  // namespace poe
