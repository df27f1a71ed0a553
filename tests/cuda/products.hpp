// SPDX-License-Identifier: MIT
// The products of a convolution by their definition: what the tests of kernels and engines compare
// with.
#pragma once

#include <cstddef>

#include <poe/core/config.hpp>
#include <poe/ops/window.hpp>

namespace tests {

inline std::size_t index(std::ptrdiff_t i) { return static_cast<std::size_t>(i); }

/// Calls f(index in large, index in small, index in weights) for every product of the definition:
/// seven loops, no table and no class of pixels.
template <class F>
void for_each_product(const poe::Window& w, int rows, F&& f) {
  for (int n = 0; n < rows; ++n)
    for (int oh = 0; oh < w.out_height; ++oh)
      for (int ow = 0; ow < w.out_width; ++ow)
        for (int kh = 0; kh < w.kernel_h; ++kh)
          for (int kw = 0; kw < w.kernel_w; ++kw) {
            const int h = oh * w.stride_h - w.pad_h + kh, x = ow * w.stride_w - w.pad_w + kw;
            if (h < 0 || h >= w.height || x < 0 || x >= w.width) continue;
            const std::ptrdiff_t small = ((n * w.out_height + oh) * w.out_width + ow) * w.filters;
            const std::ptrdiff_t large = ((n * w.height + h) * w.width + x) * w.channels;
            const std::ptrdiff_t tap = (kh * w.kernel_w + kw) * w.channels * w.filters;
            for (int c = 0; c < w.channels; ++c)
              for (int i = 0; i < w.filters; ++i)
                f(index(large + c), index(small + i), index(tap + c * w.filters + i));
          }
}

}  // namespace tests
