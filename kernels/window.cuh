// SPDX-License-Identifier: MIT
// The three operations of a convolution as matrix products: which axes their factors have, and
// where the rows of the result go.
//
//   operation         rows (across)          columns    depth
//   large to small    sample, position       filter     tap, channel
//   small to large    sample, pixel          channel    tap, filter     one product per class
//   weight gradient   tap, channel           filter     sample, position
//
// Pixels of the large image that the stride treats alike (equal remainders of row and column) form
// a class: exactly the taps of one remainder reach them. Products by class multiply no tap that
// falls between positions.
#pragma once

#include "tile.cuh"

#include <poe/ops/window.hpp>

namespace poe::cuda {

/// Rows or columns of a matrix: index i at i * stride.
struct Line {
  static constexpr bool tabulated = false;
  int count, stride;
  POE_HD Place operator()(int i) const {
    return {static_cast<std::ptrdiff_t>(i) * stride, i < count ? 0 : -1, 0};
  }
};

/// All (sample, i, j) of a grid of pixels in a batch of images: pixel (first + step * index), and
/// the offset of that pixel in an image whose rows and pixels have these sizes. The fastest index
/// is j, or the sample.
struct Positions {
  static constexpr bool tabulated = true;
  int count;
  bool sample_fastest;
  Divisor inner, middle;  // by the extents of the fastest and of the second index
  int first_h, first_w, step_h, step_w;
  std::ptrdiff_t image;
  int row, pixel;
  POE_HD Place operator()(int index) const {
    if (index >= count) return nowhere();
    const int rest = inner(index), fastest = index - rest * inner.value;
    const int slowest = middle(rest), second = rest - slowest * middle.value;
    const int sample = sample_fastest ? fastest : slowest;
    const int h = first_h + step_h * (sample_fastest ? slowest : second);
    const int w = first_w + step_w * (sample_fastest ? second : fastest);
    return {sample * image + (h * row + w * pixel), h, w};
  }
};

/// All (tap row, tap column, channel) of a kernel, channel fastest: the pixels from the one under
/// tap 0, and their offset.
struct Taps {
  static constexpr bool tabulated = false;
  int count;
  Divisor channels, across;
  int step;         // pixels from tap to tap
  int row, column;  // numbers from tap to tap
  POE_HD Place operator()(int index) const {
    if (index >= count) return nowhere();
    const int tap = channels(index), channel = index - tap * channels.value;
    const int h = across(tap), w = tap - h * across.value;
    return {h * row + w * column + channel, h * step, w * step};
  }
};

/// Rows of a result that lie one after the other.
struct RowsInOrder {
  int columns;
  POE_HD std::ptrdiff_t operator()(int row) const {
    return static_cast<std::ptrdiff_t>(row) * columns;
  }
};

/// Rows that are the pixels of a grid.
struct RowsOfPixels {
  Positions pixels;
  POE_HD std::ptrdiff_t operator()(int row) const { return pixels(row).offset; }
};

/// Which slabs of the depth a tile needs. Where the rows are pixels with the samples of a batch
/// side by side, a tile has rows of a few pixels only, and of a tap that lies outside the image for
/// all of these nothing is loaded or multiplied: in images of a few pixels that is up to half of
/// all taps.
struct DepthOrder {
  int taps = 0;     // 0: all slabs, in order
  int samples = 0;  // rows of one pixel
  int tap_depth = 0;
  Divisor tap_slabs;
};
/// Taps of a warp's ballot.
inline constexpr int most_listed_taps = 32;

template <class T>
bool lists_taps(int taps, int tap_depth, int samples) {
  return taps > 1 && taps <= most_listed_taps && tap_depth % slab_depth<T> == 0 && samples >= 32;
}

template <class A, class B, class Destination>
struct Product {
  A a;
  B b;
  Destination to;
  int rows, columns, depth;
  DepthOrder order;
};

/// The window of every position, seen from the large image.
inline Positions positions_of(const Window& w, int rows, bool sample_fastest) {
  return {rows * w.positions(),
          sample_fastest,
          Divisor(sample_fastest ? rows : w.out_width),
          Divisor(sample_fastest ? w.out_width : w.out_height),
          -w.pad_h,
          -w.pad_w,
          w.stride_h,
          w.stride_w,
          w.large(),
          w.width * w.channels,
          w.channels};
}
inline Taps taps_of(const Window& w) {
  return {w.patch(), Divisor(w.channels), Divisor(w.kernel_w), 1, w.width * w.channels, w.channels};
}
/// Pairs of a position and a tap that falls inside the large image.
inline double live_taps(const Window& w) {
  const auto along = [](int positions, int kernel, int stride, int pad, int extent) {
    int count = 0;
    for (int o = 0; o < positions; ++o)
      for (int k = 0; k < kernel; ++k) {
        const int i = o * stride - pad + k;
        count += i >= 0 && i < extent ? 1 : 0;
      }
    return count;
  };
  return static_cast<double>(along(w.out_height, w.kernel_h, w.stride_h, w.pad_h, w.height)) *
         along(w.out_width, w.kernel_w, w.stride_w, w.pad_w, w.width);
}

/// VC, VF: numbers in a load along channels and along filters.
template <class T, int VC, int VF>
struct LargeToSmall {
  using A = Factor<T, Image, Positions, Taps, VC, true>;
  using B = Factor<T, OnePixel, Line, Line, VF, false>;
  static constexpr bool lists_taps = true;
  static constexpr int fewer_resident = 0;
  static constexpr int classes = 1;
  bool listed;
  Product<A, B, RowsOfPixels> only;
  int typical_depth;  // of a tile

  LargeToSmall(const Window& w, const T* large, const T* weights, int rows)
      : listed(cuda::lists_taps<T>(w.taps(), w.channels, rows)),
        only{{large, {w.height, w.width}, positions_of(w, rows, listed), taps_of(w)},
             {weights, {}, {w.filters, 1}, {w.patch(), w.filters}},
             {positions_of(w, rows, listed)},
             rows * w.positions(),
             w.filters,
             w.patch(),
             {}},
        typical_depth(w.patch()) {
    Positions& to = only.to.pixels;
    to.first_h = to.first_w = 0;
    to.step_h = to.step_w = 1;
    to.image = w.small();
    to.row = w.out_width * w.filters;
    to.pixel = w.filters;
    if (!listed) return;
    only.order = {w.taps(), rows, w.channels, Divisor(w.channels / slab_depth<T>)};
    typical_depth = static_cast<int>(live_taps(w) / w.positions() * w.channels);
  }
  POE_HD const auto& of_class(int) const { return only; }
  int most_rows() const { return only.rows; }
  int columns() const { return only.columns; }
};

template <class T, int VC, int VF>
struct WeightGradient {
  using A = Factor<T, Image, Taps, Positions, VC, false>;
  using B = Factor<T, OnePixel, Line, Line, VF, false>;
  static constexpr bool lists_taps = false;
  static constexpr int fewer_resident = 0;
  static constexpr int classes = 1;
  Product<A, B, RowsInOrder> only;
  int typical_depth;

  WeightGradient(const Window& w, const T* large, const T* small, int rows)
      : only{{large, {w.height, w.width}, taps_of(w), positions_of(w, rows, false)},
             {small, {}, {w.filters, 1}, {rows * w.positions(), w.filters}},
             {w.filters},
             w.patch(),
             w.filters,
             rows * w.positions(),
             {}},
        typical_depth(only.depth) {}
  POE_HD const auto& of_class(int) const { return only; }
  int most_rows() const { return only.rows; }
  int columns() const { return only.columns; }
};

/// Indices below `extent` that have a given remainder by `stride`: one of two numbers, which are
/// divisors at the same time.
struct ByRemainder {
  int stride, extent;
  Divisor fewer, more;
  ByRemainder(int by, int n)
      : stride(by), extent(n), fewer(n / by > 0 ? n / by : 1), more(n / by + 1) {}
  POE_HD int count(int remainder) const {
    return extent / stride + (remainder < extent % stride ? 1 : 0);
  }
  POE_HD const Divisor& divisor(int remainder) const {
    return remainder < extent % stride ? more : fewer;
  }
  int most() const { return blocks_for(extent, stride); }
};

/// Pixel ih = r + stride i of class r is reached from position i + (r + pad) / stride - j by tap
/// (r + pad) % stride + stride j.
template <class T, int V>
struct SmallToLarge {
  using A = Factor<T, Image, Positions, Taps, V, true>;
  using B = Factor<T, OnePixel, Line, Taps, V, true>;
  static constexpr bool lists_taps = true;
  static constexpr int fewer_resident = V == 1 ? 1 : 0;
  Window w;
  const T* small;
  const T* weights;
  int batch;
  Divisor filters, samples, tap_slabs;
  ByRemainder pixels_h, pixels_w, taps_h, taps_w;
  int classes;
  bool listed;
  int typical_depth;

  SmallToLarge(const Window& window, const T* from, const T* weight, int rows)
      : w(window),
        small(from),
        weights(weight),
        batch(rows),
        filters(w.filters),
        samples(rows),
        tap_slabs(std::max(w.filters / slab_depth<T>, 1)),
        pixels_h(w.stride_h, w.height),
        pixels_w(w.stride_w, w.width),
        taps_h(w.stride_h, w.kernel_h),
        taps_w(w.stride_w, w.kernel_w),
        classes(w.stride_h * w.stride_w),
        listed(cuda::lists_taps<T>(taps_h.most() * taps_w.most(), w.filters, rows)),
        typical_depth(taps_h.most() * taps_w.most() * w.filters) {
    if (listed)
      typical_depth = static_cast<int>(live_taps(w) * batch / (most_rows() * classes) * w.filters);
  }

  __device__ __forceinline__ Product<A, B, RowsOfPixels> of_class(int c) const {
    const int h = c / w.stride_w, w0 = c - h * w.stride_w;
    const int first_h = (h + w.pad_h) / w.stride_h, first_w = (w0 + w.pad_w) / w.stride_w;
    const int tap_h = h + w.pad_h - first_h * w.stride_h;
    const int tap_w = w0 + w.pad_w - first_w * w.stride_w;
    const int rows = batch * pixels_h.count(h) * pixels_w.count(w0);
    const int taps = taps_h.count(tap_h) * taps_w.count(tap_w), depth = taps * w.filters;
    const Divisor& inner = listed ? samples : pixels_w.divisor(w0);
    const Divisor& middle = listed ? pixels_w.divisor(w0) : pixels_h.divisor(h);
    const Divisor& taps_across = taps_w.divisor(tap_w);
    const int kernel_row = w.kernel_w * w.channels * w.filters;
    return {{small,
             {w.out_height, w.out_width},
             {rows, listed, inner, middle, first_h, first_w, 1, 1, w.small(),
              w.out_width * w.filters, w.filters},
             {depth, filters, taps_across, -1, -w.out_width * w.filters, -w.filters}},
            {weights + (tap_h * kernel_row + tap_w * w.channels * w.filters),
             {},
             {w.channels, w.filters},
             {depth, filters, taps_across, 0, w.stride_h * kernel_row,
              w.stride_w * w.channels * w.filters}},
            {{rows, listed, inner, middle, h, w0, w.stride_h, w.stride_w, w.large(),
              w.width * w.channels, w.channels}},
            rows,
            w.channels,
            depth,
            listed ? DepthOrder{taps, batch, w.filters, tap_slabs} : DepthOrder{}};
  }
  int most_rows() const { return batch * pixels_h.most() * pixels_w.most(); }
  int columns() const { return w.channels; }
};

}  // namespace poe::cuda
