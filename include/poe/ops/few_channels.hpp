// SPDX-License-Identifier: MIT
// Convolution on the CPU where the large image has few channels: a picture at the end of a network.
#pragma once

#include <poe/ops/product.hpp>

namespace poe::detail {

/// A tap of so few numbers is too short a dot product. What lies under a row of the kernel is not,
/// and the tiles take neighbouring positions of one sample together instead of samples. 8 separates
/// pictures (1 or 3 channels) from the feature maps of the networks here (28 and more); what lies
/// between has not been measured.
inline bool has_few_channels(const Window& w) { return w.channels < 8 && w.taps() > 1; }

/// An image with its padding around it, so that every tap of every position lies inside.
struct PaddedImage {
  int row, rows;  // numbers of a row
  int step_h, step_w;
  int first;       // where the image begins
  int kernel_row;  // numbers under a row of the kernel

  explicit PaddedImage(const Window& w)
      : row(std::max((w.out_width - 1) * w.stride_w + w.kernel_w, w.pad_w + w.width) * w.channels),
        rows(std::max((w.out_height - 1) * w.stride_h + w.kernel_h, w.pad_h + w.height)),
        step_h(w.stride_h * row),
        step_w(w.stride_w * w.channels),
        first(w.pad_h * row + w.pad_w * w.channels),
        kernel_row(w.kernel_w * w.channels) {}

  std::size_t size() const {
    return static_cast<std::size_t>(row) * static_cast<std::size_t>(rows);
  }
  /// Zeros, of which `copy` fills all but the padding.
  template <class T>
  T* take(Scratch<Cpu>& scratch) const {
    T* const padded = scratch.take<T>(size());
    std::fill_n(padded, size(), T(0));
    return padded;
  }
  template <class T>
  void copy(const Window& w, const T* image, T* padded) const {
    const int width = w.width * w.channels;
    for (int h = 0; h < w.height; ++h)
      std::copy_n(image + h * width, width, padded + first + h * row);
  }
};

/// large_to_small() of ops/conv.hpp.
template <class T>
void picture_to_small(const Window& w, const T* large, const T* weights, T* small, int rows,
                      const Epilogue<T>& epilogue, Scratch<Cpu>& scratch) {
  const T* const packed = pack_panels(weights, 1, w.patch(), w.filters, w.filters, 1, scratch);
  const PaddedImage p(w);
  T* const image = p.take<T>(scratch);
  for (int n = 0; n < rows; ++n, large += w.large()) {
    p.copy(w, large, image);
    for (int oh = 0; oh < w.out_height; ++oh, small += w.out_width * w.filters)
      for_each_panel<T>(
          w.filters, [&]<int Vectors>(std::integral_constant<int, Vectors>, int j, int live) {
            const T* const panel = packed + static_cast<std::ptrdiff_t>(j) * w.patch();
            for_each_tile(w.out_width, [&]<int Rows>(std::integral_constant<int, Rows>, int ow) {
              Vector<T> acc[Rows][Vectors] = {};
              for (int kh = 0; kh < w.kernel_h; ++kh)
                tile_rows<T, Rows, Vectors>(
                    acc, image + oh * p.step_h + kh * p.row + ow * p.step_w, p.step_w,
                    panel + kh * p.kernel_row * Vectors * lanes<T>, p.kernel_row);
              store_tile<T, Rows, Vectors>(acc, small + ow * w.filters + j, w.filters, j, live,
                                           epilogue);
            });
          });
  }
}

/// Adds the patches of a row of positions to the padded image. Positions whose patches overlap are
/// not taken one after the other: a sum would wait for the store before it.
template <class T>
void add_patches(const Window& w, const PaddedImage& p, const T* patches, T* image) {
  const int apart = (w.kernel_w + w.stride_w - 1) / w.stride_w;
  const auto add = [&](auto length) {
    for (int kh = 0; kh < w.kernel_h; ++kh)
      for (int phase = 0; phase < apart; ++phase)
        for (int ow = phase; ow < w.out_width; ow += apart) {
          T* const POE_RESTRICT to = image + kh * p.row + ow * p.step_w;
          const T* const POE_RESTRICT from = patches + ow * w.patch() + kh * p.kernel_row;
          for (int i = 0; i < length; ++i) to[i] += from[i];
        }
  };
  if (p.kernel_row == 4)  // kernels of 4 over 1 or 3 channels, as the networks here have them
    add(std::integral_constant<int, 4>{});
  else if (p.kernel_row == 12)
    add(std::integral_constant<int, 12>{});
  else
    add(p.kernel_row);
}

/// Stores a row of numbers to which `bias` belongs.
template <class T>
void finish_row(const T* POE_RESTRICT sums, const T* POE_RESTRICT bias, int width,
                const Epilogue<T>& e, T* POE_RESTRICT to) {
  if (e.accumulate)
    for (int i = 0; i < width; ++i) to[i] += sums[i] + bias[i];
  else
    for (int i = 0; i < width; ++i) to[i] = sums[i] + bias[i];
  if (e.relu)
    for (int i = 0; i < width; ++i) to[i] = to[i] < T(0) ? T(0) : to[i];
}

/// small_to_large() of ops/conv.hpp: the patches of a row of positions as one product, then added
/// where they belong.
template <class T>
void small_to_picture(const Window& w, const T* small, const T* weights, T* large, int rows,
                      const Epilogue<T>& epilogue, Scratch<Cpu>& scratch) {
  const T* const packed = pack_panels(weights, 1, w.filters, w.patch(), 1, w.filters, scratch);
  const PaddedImage p(w);
  T* const image = scratch.take<T>(p.size());
  T* const patches = scratch.take<T>(static_cast<std::size_t>(w.out_width * w.patch()));
  const int width = w.width * w.channels;
  T* const bias = scratch.take<T>(static_cast<std::size_t>(width));
  for (int i = 0; i < width; ++i)
    bias[i] = epilogue.bias != nullptr ? epilogue.bias[i % w.channels] : T(0);
  const SingleLink link(w.filters);
  for (int n = 0; n < rows; ++n) {
    std::fill_n(image, p.size(), T(0));
    for (int oh = 0; oh < w.out_height; ++oh, small += w.out_width * w.filters) {
      rows_product<T>({small,
                       w.filters,
                       patches,
                       w.patch(),
                       w.out_width,
                       w.patch(),
                       w.filters,
                       link.table(),
                       packed,
                       {}});
      add_patches(w, p, patches, image + oh * p.step_h);
    }
    for (int h = 0; h < w.height; ++h, large += width)
      finish_row(image + p.first + h * p.row, bias, width, epilogue, large);
  }
}

/// weight_gradient() of ops/weight_gradient.hpp.
template <class T>
void picture_weight_gradient(const Window& w, const T* large, const T* small, T* gradient, int rows,
                             Scratch<Cpu>& scratch) {
  const PaddedImage p(w);
  T* const image = p.take<T>(scratch);
  T* const last = scratch.take<T>(static_cast<std::size_t>(w.out_width * panel_width<T>));
  const T* const end = small + static_cast<std::ptrdiff_t>(rows) * w.small();
  for (int n = 0; n < rows; ++n, large += w.large()) {
    p.copy(w, large, image);
    for (int oh = 0; oh < w.out_height; ++oh, small += w.out_width * w.filters)
      for_each_panel<T>(
          w.filters, [&]<int Vectors>(std::integral_constant<int, Vectors>, int j, int live) {
            const T* b = small + j;
            std::ptrdiff_t b_stride = w.filters;
            // Tiles read whole vectors; what follows the filters of a position is that of the next,
            // and is not stored. Nothing follows the last ones.
            if (end - b < (w.out_width - 1) * b_stride + Vectors * lanes<T>) {
              b_stride = Vectors * lanes<T>;
              for (int ow = 0; ow < w.out_width; ++ow)
                for (int i = 0; i < b_stride; ++i)
                  last[ow * b_stride + i] = i < live ? b[ow * w.filters + i] : T(0);
              b = last;
            }
            const auto tile = [&]<int Rows>(std::integral_constant<int, Rows>, int kh, int i,
                                            std::ptrdiff_t upper) {
              Vector<T> acc[Rows][Vectors] = {};
              tile_outer<T, Rows, Vectors>(acc, image + oh * p.step_h + kh * p.row + i, p.step_w, b,
                                           b_stride, w.out_width, upper);
              T* const out = gradient + (kh * p.kernel_row + i) * w.filters + j;
              store_tile<T, Rows, Vectors>(acc, out, w.filters, 0, live, {.accumulate = true});
            };
            int kh = 0;
            if (p.kernel_row == 4)  // two rows of the kernel fill a tile
              for (; kh + 2 <= w.kernel_h; kh += 2)
                tile(std::integral_constant<int, 8>{}, kh, 0, p.row);
            for (; kh < w.kernel_h; ++kh)
              for_each_tile(p.kernel_row, [&](auto height, int i) { tile(height, kh, i, 4); });
          });
  }
}

}  // namespace poe::detail
