// SPDX-License-Identifier: MIT
// Convolution on the CPU: small image from large, and large from small.
#pragma once

#include <poe/ops/product.hpp>
#include <poe/ops/weight_gradient.hpp>

namespace poe {

/// small[n][position][f] = sum over taps and channels of large[n][pixel under tap][c] *
/// W[tap][c][f]: the forward pass of Conv2d and the data gradient of ConvTranspose2d. `rows`
/// samples.
template <class T>
void large_to_small(const Window& w, const T* large, const T* weights, T* small, int rows,
                    const detail::Epilogue<T>& epilogue, Arena& arena) {
  using namespace detail;
  Scratch<Cpu> scratch(arena);
  if (has_few_channels(w)) {
    picture_to_small(w, large, weights, small, rows, epilogue, scratch);
    return;
  }
  const T* const packed = pack_panels(weights, 1, w.patch(), w.filters, w.filters, 1, scratch);
  rows_product<T>({large, w.large(), small, w.small(), rows, w.filters, w.patch(),
                   links_to_small(w, scratch), packed, epilogue});
}

/// large[n][pixel][c] = sum over taps and filters of small[n][position][f] * W[tap][c][f]: the
/// forward pass of ConvTranspose2d and the data gradient of Conv2d.
template <class T>
void small_to_large(const Window& w, const T* small, const T* weights, T* large, int rows,
                    const detail::Epilogue<T>& epilogue, Arena& arena) {
  using namespace detail;
  Scratch<Cpu> scratch(arena);
  if (has_few_channels(w)) {
    small_to_picture(w, small, weights, large, rows, epilogue, scratch);
    return;
  }
  const T* const packed =
      pack_panels(weights, w.taps(), w.filters, w.channels, 1, w.filters, scratch);
  rows_product<T>({small, w.small(), large, w.large(), rows, w.channels, w.taps() * w.filters,
                   links_to_large(w, scratch), packed, epilogue});
}

}  // namespace poe
