// SPDX-License-Identifier: MIT
// Convolution on the CPU: small image from large, large from small, and the weight gradient.
#pragma once

#include <poe/ops/product.hpp>

namespace poe {

namespace detail {

/// Below this many channels of the large image a tap is too short a dot product, and the patches of
/// the image are laid out as rows of a matrix first. 8 separates images (1 or 3 channels) from the
/// feature maps of the networks here (28 and more); what lies between has not been measured.
inline constexpr int patch_channels = 8;

inline bool through_patches(const Window& w) { return w.channels < patch_channels && w.taps() > 1; }

/// One pixel, one tap: the table of a plain matrix product.
inline LinkTable single_link() {
  static constexpr int begin[2] = {0, 1};
  static constexpr Link link{0, 0};
  return {1, begin, &link};
}

/// Calls f(offset in the patches, offset in the image or -1, length) for each run of a kernel row
/// that lies wholly inside or wholly outside the image.
template <class F>
void for_each_patch_run(const Window& w, F&& f) {
  std::ptrdiff_t out = 0;
  for (int oh = 0; oh < w.out_height; ++oh)
    for (int ow = 0; ow < w.out_width; ++ow)
      for (int kh = 0; kh < w.kernel_h; ++kh) {
        const int ih = oh * w.stride_h - w.pad_h + kh;
        const int first = ow * w.stride_w - w.pad_w;
        const bool row_inside = ih >= 0 && ih < w.height;
        const int left = row_inside ? std::clamp(-first, 0, w.kernel_w) : w.kernel_w;
        const int right = row_inside ? std::clamp(w.width - first, left, w.kernel_w) : w.kernel_w;
        if (left > 0) f(out, std::ptrdiff_t{-1}, left * w.channels);
        if (right > left)
          f(out + left * w.channels,
            static_cast<std::ptrdiff_t>(ih * w.width + first + left) * w.channels,
            (right - left) * w.channels);
        if (w.kernel_w > right)
          f(out + right * w.channels, std::ptrdiff_t{-1}, (w.kernel_w - right) * w.channels);
        out += w.kernel_w * w.channels;
      }
}

/// patches[n][position][tap][c] = image pixel under the tap, 0 in the padding.
template <class T>
const T* image_to_patches(const Window& w, const T* image, int rows, Scratch<Cpu>& scratch) {
  const auto size = static_cast<std::ptrdiff_t>(w.positions()) * w.patch();
  T* const patches =
      scratch.take<T>(static_cast<std::size_t>(size) * static_cast<std::size_t>(rows));
  struct Run {
    int to, from, length;
  };
  Run* const runs = scratch.take<Run>(static_cast<std::size_t>(w.positions() * w.kernel_h) * 3);
  int count = 0;
  for_each_patch_run(w, [&](std::ptrdiff_t to, std::ptrdiff_t from, int length) {
    runs[count++] = {static_cast<int>(to), static_cast<int>(from), length};
  });
  for (int n = 0; n < rows; ++n) {
    T* const to = patches + n * size;
    const T* const from = image + static_cast<std::ptrdiff_t>(n) * w.large();
    for (int r = 0; r < count; ++r) {
      T* const out = to + runs[r].to;
      if (runs[r].from < 0)
        for (int i = 0; i < runs[r].length; ++i) out[i] = T(0);
      else
        for (int i = 0; i < runs[r].length; ++i) out[i] = from[runs[r].from + i];
    }
  }
  return patches;
}

/// The adjoint: adds each patch to the image pixels it was read from.
template <class T>
void add_patches_to_image(const Window& w, const T* patches, int rows, T* image) {
  const auto size = static_cast<std::ptrdiff_t>(w.positions()) * w.patch();
  for (int n = 0; n < rows; ++n) {
    const T* const from = patches + n * size;
    T* const to = image + static_cast<std::ptrdiff_t>(n) * w.large();
    for_each_patch_run(w, [&](std::ptrdiff_t source, std::ptrdiff_t target, int length) {
      if (target >= 0)
        for (int i = 0; i < length; ++i) to[target + i] += from[source + i];
    });
  }
}

template <class T>
void initialise_image(const Window& w, T* image, int rows, const Epilogue<T>& e) {
  const auto pixels = static_cast<std::ptrdiff_t>(rows) * w.pixels();
  if (e.accumulate && e.bias == nullptr) return;
  for (std::ptrdiff_t i = 0; i < pixels; ++i)
    for (int c = 0; c < w.channels; ++c) {
      T& x = image[i * w.channels + c];
      x = (e.accumulate ? x : T(0)) + (e.bias != nullptr ? e.bias[c] : T(0));
    }
}

}  // namespace detail

/// small[n][position][f] = sum over taps and channels of large[n][pixel under tap][c] *
/// W[tap][c][f]: the forward pass of Conv2d and the data gradient of ConvTranspose2d. `rows`
/// samples.
template <class T>
void large_to_small(const Window& w, const T* large, const T* weights, T* small, int rows,
                    const detail::Epilogue<T>& epilogue, Arena& arena) {
  using namespace detail;
  Scratch<Cpu> scratch(arena);
  const T* const packed =
      through_patches(w)
          ? pack_panels(weights, 1, w.patch(), w.filters, w.filters, 1, scratch)
          : pack_panels(weights, w.taps(), w.channels, w.filters, w.filters, 1, scratch);
  if (through_patches(w)) {
    const T* const patches = image_to_patches(w, large, rows, scratch);
    rows_product<T>({patches, w.patch(), small, w.filters, rows * w.positions(), w.patch(),
                     w.filters, 1, single_link(), packed, epilogue});
  } else {
    rows_product<T>({large, w.large(), small, w.small(), rows, w.channels, w.filters, w.taps(),
                     link_table(w, GroupBy::position, scratch), packed, epilogue});
  }
}

/// large[n][pixel][c] = sum over taps and filters of small[n][position][f] * W[tap][c][f]: the
/// forward pass of ConvTranspose2d and the data gradient of Conv2d.
template <class T>
void small_to_large(const Window& w, const T* small, const T* weights, T* large, int rows,
                    const detail::Epilogue<T>& epilogue, Arena& arena) {
  using namespace detail;
  Scratch<Cpu> scratch(arena);
  if (through_patches(w)) {
    const T* const packed = pack_panels(weights, 1, w.filters, w.patch(), 1, w.filters, scratch);
    const auto numbers = static_cast<std::ptrdiff_t>(rows) * w.positions() * w.patch();
    T* const patches = scratch.take<T>(static_cast<std::size_t>(numbers));
    rows_product<T>({small,
                     w.filters,
                     patches,
                     w.patch(),
                     rows * w.positions(),
                     w.filters,
                     w.patch(),
                     1,
                     single_link(),
                     packed,
                     {}});
    initialise_image(w, large, rows, epilogue);
    add_patches_to_image(w, patches, rows, large);
    if (epilogue.relu) {
      const auto size = static_cast<std::ptrdiff_t>(rows) * w.large();
      for (std::ptrdiff_t i = 0; i < size; ++i) large[i] = large[i] > T(0) ? large[i] : T(0);
    }
  } else {
    const T* const packed =
        pack_panels(weights, w.taps(), w.filters, w.channels, 1, w.filters, scratch);
    rows_product<T>({small, w.small(), large, w.large(), rows, w.filters, w.channels, w.taps(),
                     link_table(w, GroupBy::pixel, scratch), packed, epilogue});
  }
}

/// dW[tap][c][f] += sum over samples and positions of large[n][pixel under tap][c] *
/// small[n][position][f]. For Conv2d, `small` is the gradient of the output; for ConvTranspose2d,
/// `large` is.
template <class T>
void weight_gradient(const Window& w, const T* large, const T* small, T* weights_gradient, int rows,
                     Arena& arena) {
  using namespace detail;
  Scratch<Cpu> scratch(arena);
  if (through_patches(w)) {
    const T* const patches = image_to_patches(w, large, rows, scratch);
    outer_product<T>({patches, w.patch(), small, w.filters, rows * w.positions(), w.patch(),
                      w.filters, 1, single_link(), weights_gradient},
                     scratch);
  } else {
    outer_product<T>({large, w.large(), small, w.small(), rows, w.channels, w.filters,
                      w.positions(), link_table(w, GroupBy::tap, scratch), weights_gradient},
                     scratch);
  }
}

}  // namespace poe
