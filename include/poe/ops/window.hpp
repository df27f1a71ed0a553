// SPDX-License-Identifier: MIT
// The geometry of a convolution as plain numbers, and the pixel pairs that each kernel tap
// connects.
#pragma once

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

/// One contribution to a destination pixel: source pixel and kernel tap.
struct Link {
  int source, tap;
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

enum class GroupBy { position, pixel, tap };

/// All links of a window, grouped by one of their three ends (a counting sort). For `tap`, source
/// is the pixel and the Link's tap field holds the position.
inline LinkTable link_table(const Window& w, GroupBy key, Scratch<Cpu>& scratch) {
  const int groups = key == GroupBy::position ? w.positions()
                     : key == GroupBy::pixel  ? w.pixels()
                                              : w.taps();
  const auto count = static_cast<std::size_t>(w.positions()) * static_cast<std::size_t>(w.taps());
  int* begin = scratch.take<int>(static_cast<std::size_t>(groups) + 2);
  Link* links = scratch.take<Link>(count);
  const auto group = [&](int position, int pixel, int tap) {
    return key == GroupBy::position ? position : key == GroupBy::pixel ? pixel : tap;
  };
  for (int g = 0; g < groups + 2; ++g) begin[g] = 0;
  for_each_link(
      w, [&](int position, int pixel, int tap) { ++begin[group(position, pixel, tap) + 2]; });
  for (int g = 2; g < groups + 2; ++g) begin[g] += begin[g - 1];
  // begin[g + 1] is the write position of group g; after the loop it has become the group's end.
  for_each_link(w, [&](int position, int pixel, int tap) {
    links[begin[group(position, pixel, tap) + 1]++] = key == GroupBy::position ? Link{pixel, tap}
                                                      : key == GroupBy::pixel
                                                          ? Link{position, tap}
                                                          : Link{pixel, position};
  });
  return {groups, begin, links};
}

}  // namespace detail
}  // namespace poe
