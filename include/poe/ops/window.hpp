// SPDX-License-Identifier: MIT
// The geometry of a convolution as plain numbers, and the pixel pairs that each kernel tap
// connects.
#pragma once

#include <algorithm>

#include <poe/core/arena.hpp>
#include <poe/core/config.hpp>

namespace poe {

/// A convolution from a large image (height x width, `channels`) to a small one (the positions of
/// the window, `filters`). Conv2d reads the large image and writes the small one, ConvTranspose2d
/// the other way round; a Linear layer is the window of one pixel. Weights lie in memory as
/// (kernel_h, kernel_w, channels, filters), filters fastest.
struct Window {
  int channels = 1, height = 1, width = 1;
  int filters = 1, out_height = 1, out_width = 1;
  int kernel_h = 1, kernel_w = 1, stride_h = 1, stride_w = 1, pad_h = 0, pad_w = 0;

  POE_HD constexpr int taps() const { return kernel_h * kernel_w; }
  POE_HD constexpr int pixels() const { return height * width; }
  POE_HD constexpr int positions() const { return out_height * out_width; }
  /// Numbers of one large and of one small image.
  POE_HD constexpr int large() const { return pixels() * channels; }
  POE_HD constexpr int small() const { return positions() * filters; }
  POE_HD constexpr int patch() const { return taps() * channels; }
  POE_HD constexpr std::size_t weights() const {
    return static_cast<std::size_t>(patch()) * static_cast<std::size_t>(filters);
  }
};

namespace detail {

/// What happens to a finished tile before it is stored.
template <class T>
struct Epilogue {
  const T* bias = nullptr;  // (columns), added
  bool relu = false;        // negative values become 0
  bool accumulate = false;  // added to what the destination holds
};

/// One contribution to a destination pixel: `depth` adjacent numbers of the source from `source`
/// on, times as many rows of the weights from `weights` on.
struct Link {
  int source, weights, depth;
};

/// For each destination pixel d, the links begin[d] .. begin[d + 1].
struct LinkTable {
  int destinations = 0;
  const int* begin = nullptr;
  const Link* links = nullptr;
};

/// Calls f(position, pixel, tap) for every tap of every window position that falls inside the
/// image. Taps in the padding do not exist here: a convolution over links never multiplies by
/// a zero of the border.
template <class F>
void for_each_link(const Window& w, F&& f) {
  for (int oh = 0; oh < w.out_height; ++oh)
    for (int ow = 0; ow < w.out_width; ++ow)
      for (int kh = 0; kh < w.kernel_h; ++kh)
        for (int kw = 0; kw < w.kernel_w; ++kw) {
          const int ih = oh * w.stride_h - w.pad_h + kh;
          const int iw = ow * w.stride_w - w.pad_w + kw;
          if (ih >= 0 && ih < w.height && iw >= 0 && iw < w.width)
            f(oh * w.out_width + ow, ih * w.width + iw, kh * w.kernel_w + kw);
        }
}

/// What each position of the window gets from the large image. Pixels that are neighbours in a row
/// are neighbours in memory, and so are their taps: a link is a kernel row, as far as it is inside.
inline LinkTable links_to_small(const Window& w, Scratch<Cpu>& scratch) {
  int* const begin = scratch.take<int>(static_cast<std::size_t>(w.positions()) + 1);
  Link* const links = scratch.take<Link>(static_cast<std::size_t>(w.positions() * w.kernel_h));
  int count = 0, position = 0;
  for (int oh = 0; oh < w.out_height; ++oh)
    for (int ow = 0; ow < w.out_width; ++ow) {
      begin[position++] = count;
      const int left = ow * w.stride_w - w.pad_w;  // the pixel under the first tap
      const int first = std::max(-left, 0), last = std::min(w.width - left, w.kernel_w);
      for (int kh = 0; kh < w.kernel_h && first < last; ++kh) {
        const int ih = oh * w.stride_h - w.pad_h + kh;
        if (ih < 0 || ih >= w.height) continue;
        links[count++] = {(ih * w.width + left + first) * w.channels,
                          (kh * w.kernel_w + first) * w.channels, (last - first) * w.channels};
      }
    }
  begin[position] = count;
  return {position, begin, links};
}

/// What each pixel of the large image gets from the positions of the window whose taps reach it.
inline LinkTable links_to_large(const Window& w, Scratch<Cpu>& scratch) {
  int* const begin = scratch.take<int>(static_cast<std::size_t>(w.pixels()) + 2);
  Link* const links = scratch.take<Link>(static_cast<std::size_t>(w.positions() * w.taps()));
  for (int pixel = 0; pixel < w.pixels() + 2; ++pixel) begin[pixel] = 0;
  for_each_link(w, [&](int, int pixel, int) { ++begin[pixel + 2]; });
  for (int pixel = 2; pixel < w.pixels() + 2; ++pixel) begin[pixel] += begin[pixel - 1];
  // begin[pixel + 1] is where the next link goes; after the loop it has become the pixel's end.
  for_each_link(w, [&](int position, int pixel, int tap) {
    links[begin[pixel + 1]++] = {position * w.filters, tap * w.filters, w.filters};
  });
  return {w.pixels(), begin, links};
}

}  // namespace detail
}  // namespace poe
