// SPDX-License-Identifier: MIT
// Image batches between PyTorch's order (N, C, H, W) and ours, channels-last.
#pragma once

#include <poe/core/shape.hpp>

namespace poe::test {

/// From PyTorch's order to channels-last.
template <class T, class S>
void from_nchw(const T* nchw, T* out, int rows) {
  using I = ImageOf<S>;
  for (int n = 0; n < rows; ++n, nchw += S::size, out += S::size)
    for (int c = 0; c < I::channels; ++c)
      for (int p = 0; p < I::pixels; ++p) out[p * I::channels + c] = nchw[c * I::pixels + p];
}
/// And back.
template <class T, class S>
void to_nchw(const T* nhwc, T* out, int rows) {
  using I = ImageOf<S>;
  for (int n = 0; n < rows; ++n, nhwc += S::size, out += S::size)
    for (int c = 0; c < I::channels; ++c)
      for (int p = 0; p < I::pixels; ++p) out[c * I::pixels + p] = nhwc[p * I::channels + c];
}

}  // namespace poe::test
