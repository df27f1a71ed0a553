// SPDX-License-Identifier: MIT
// The weight gradient of convolutions and linear layers on the CPU: sums of outer products.
#pragma once

#include <poe/ops/few_channels.hpp>

namespace poe {
namespace detail {

/// Rows of the gradient, numbers of one pixel of the large image, that a tile holds at most.
inline constexpr int tile_height = 8;

constexpr int tiles_of(int channels) { return (channels + tile_height - 1) / tile_height; }

/// How the sum over samples and positions is cut. A tile of the gradient is read and written once
/// in a part, so parts have many terms; but what they read, over and over, has to stay in the
/// second-level cache: the large image of a part, packed, takes half of its megabyte.
struct GradientParts {
  int samples;        // of a part, all of about the same size
  int rows, columns;  // of the positions of the window

  GradientParts(const Window& w, int all) {
    constexpr int terms = 1024, cache = 128 * 1024;
    const int row = w.width * tiles_of(w.channels) * tile_height;
    const int most = w.positions() == 1
                         ? terms
                         : std::clamp(cache / (std::min(w.kernel_h, w.height) * row), 16, terms);
    samples = even_part(all, most);
    const int positions = std::max(1, terms / samples);
    columns = positions < w.out_width ? even_part(w.out_width, positions) : w.out_width;
    rows = even_part(w.out_height, std::max(1, positions / w.out_width));
  }
  /// The size of parts that are as even as may be, at most `most` each.
  static int even_part(int all, int most) {
    const int parts = std::max(1, (all + most - 1) / most);
    return std::max(1, (all + parts - 1) / parts);
  }
};

/// Where the tiles find some samples: those rows of the large images, from `first_row` on, that the
/// positions see, and some filters of the positions, from the row `first_position` on.
template <class T>
struct GradientOperands {
  int samples;
  const T* a;
  std::ptrdiff_t a_row, a_column, a_tile, a_sample;  // a tile's height of channels is a tile
  int first_row;
  const T* b;
  std::ptrdiff_t b_position, b_sample;
  int first_position;
};

/// From begin up to end.
struct Interval {
  int begin, end;
  bool empty() const { return begin >= end; }
};

/// Those positions of `among` whose tap lies inside the image.
inline Interval positions_inside(int extent, int stride, int pad, int tap, Interval among) {
  const int first = pad > tap ? (pad - tap + stride - 1) / stride : 0;
  const int past = extent + pad - tap;  // the first offset beyond the image
  return {std::max(among.begin, first),
          std::min(among.end, (std::max(past, 0) + stride - 1) / stride)};
}

/// Adds the terms of some positions to `Rows` rows of the gradient of one tap.
template <class T, int Rows, int Vectors>
void gradient_tile(const Window& w, const GradientOperands<T>& o, Interval down, Interval across,
                   int kh, int kw, const T* a, T* out, int live) {
  for (int i = 0; i < Rows; ++i)  // it will be there when the sums are
    for (int v = 0; v < Vectors; ++v) __builtin_prefetch(out + i * w.filters + v * lanes<T>, 1);
  Vector<T> acc[Rows][Vectors] = {};
  for (int oh = down.begin; oh < down.end; ++oh)
    for (int ow = across.begin; ow < across.end; ++ow) {
      const int ih = oh * w.stride_h - w.pad_h + kh, iw = ow * w.stride_w - w.pad_w + kw;
      const int position = (oh - o.first_position) * w.out_width + ow;
      tile_outer<T, Rows, Vectors>(acc, a + (ih - o.first_row) * o.a_row + iw * o.a_column,
                                   o.a_sample, o.b + position * o.b_position, o.b_sample,
                                   o.samples);
    }
  store_tile<T, Rows, Vectors>(acc, out, w.filters, 0, live, {.accumulate = true});
}

/// The terms of the positions `down` x `across`, for all taps and channels and `live` filters.
template <class T, int Vectors>
void gradient_panel(const Window& w, const GradientOperands<T>& o, Interval down, Interval across,
                    T* gradient, int live) {
  for (int kh = 0; kh < w.kernel_h; ++kh) {
    const Interval rows = positions_inside(w.height, w.stride_h, w.pad_h, kh, down);
    for (int kw = 0; kw < w.kernel_w; ++kw) {
      const Interval columns = positions_inside(w.width, w.stride_w, w.pad_w, kw, across);
      if (rows.empty() || columns.empty()) continue;
      T* const out =
          gradient + static_cast<std::ptrdiff_t>(kh * w.kernel_w + kw) * w.channels * w.filters;
      const auto tile = [&]<int Rows>(std::integral_constant<int, Rows>, int c) {
        gradient_tile<T, Rows, Vectors>(w, o, rows, columns, kh, kw,
                                        o.a + c / tile_height * o.a_tile + c % tile_height,
                                        out + static_cast<std::ptrdiff_t>(c) * w.filters, live);
      };
      for_each_tile(w.channels, tile);
    }
  }
}

/// A move of at most a tile's height of numbers of a sample to the packed form.
struct Move {
  std::ptrdiff_t to;
  int from, count;
};

/// The moves of the rows `seen` of an image to [h][w][tile][n][8].
inline int moves_of_image(const Window& w, Interval seen, int samples, Move* moves) {
  const int tiles = tiles_of(w.channels);
  int count = 0;
  std::ptrdiff_t to = 0;
  for (int pixel = seen.begin * w.width; pixel < seen.end * w.width; ++pixel)
    for (int t = 0; t < tiles; ++t, to += samples * tile_height)
      moves[count++] = {to, pixel * w.channels + t * tile_height,
                        std::min(tile_height, w.channels - t * tile_height)};
  return count;
}

/// What a tile reads becomes contiguous, whatever the distance of the samples.
template <class T, int Samples>
void pack(const Move* moves, int count, const T* image, std::ptrdiff_t sample, T* packed) {
  for (const Move* m = moves; m < moves + count; ++m) {
    const T* from = image + m->from;
    T* to = packed + m->to;
    for (int n = 0; n < Samples; ++n, from += sample, to += tile_height)
      if (m->count == tile_height)
        std::memcpy(to, from, tile_height * sizeof(T));
      else if (m->count == tile_height / 2)
        std::memcpy(to, from, tile_height / 2 * sizeof(T));
      else
        for (int i = 0; i < m->count; ++i) to[i] = from[i];
  }
}
/// Several samples at a time, so that whole cache lines are written.
template <class T>
void pack(const Move* moves, int count, const T* image, std::ptrdiff_t sample, int samples,
          T* packed) {
  constexpr int together = 4;
  int n = 0;
  for (; n + together <= samples; n += together)
    pack<T, together>(moves, count, image + n * sample, sample, packed + n * tile_height);
  for (; n < samples; ++n)
    pack<T, 1>(moves, count, image + n * sample, sample, packed + n * tile_height);
}

/// packed[position][n][j]: some filters of the rows `down` of positions, with zeros from `live` on.
template <class T>
void pack_filters(const Window& w, const T* small, Interval down, int samples, int live, int width,
                  T* packed) {
  for (int position = down.begin * w.out_width; position < down.end * w.out_width; ++position) {
    const T* from = small + static_cast<std::ptrdiff_t>(position) * w.filters;
    for (int n = 0; n < samples; ++n, from += w.small(), packed += width) {
      if (live == panel_width<T>) {  // two vectors, no loop
        store(packed, load<Vector<T>>(from));
        store(packed + lanes<T>, load<Vector<T>>(from + lanes<T>));
      } else {
        for (int j = 0; j < live; ++j) packed[j] = from[j];
        for (int j = live; j < width; ++j) packed[j] = T(0);
      }
    }
  }
}

/// Points `o` to the rows of images that the positions `down` see: to a packed copy, or, where
/// there is no place for one, to the images themselves.
template <class T>
void use_images(const Window& w, const T* images, Interval down, Move* moves, T* packed,
                GradientOperands<T>& o) {
  const Interval seen{std::clamp(down.begin * w.stride_h - w.pad_h, 0, w.height),
                      std::clamp((down.end - 1) * w.stride_h - w.pad_h + w.kernel_h, 0, w.height)};
  o.first_position = down.begin;
  if (packed == nullptr) {
    o.a = images, o.first_row = 0;
    o.a_sample = w.large(), o.a_tile = tile_height;
    o.a_column = w.channels, o.a_row = w.width * w.channels;
    return;
  }
  const int count = moves_of_image(w, seen, o.samples, moves);
  pack(moves, count, images, w.large(), o.samples, packed);
  o.a = packed, o.first_row = seen.begin;
  o.a_sample = tile_height, o.a_tile = o.samples * tile_height;
  o.a_column = tiles_of(w.channels) * o.a_tile, o.a_row = w.width * o.a_column;
}

/// Points `o` to some filters of the positions `down`.
template <class T>
void use_filters(const Window& w, const T* small, Interval down, int live, T* packed,
                 GradientOperands<T>& o) {
  const int width = padded<T>(live);
  if (w.taps() * w.channels <= 2 * tile_height && live == width) {  // few tiles read a number
    o.b = small + static_cast<std::ptrdiff_t>(down.begin) * w.out_width * w.filters;
    o.b_position = w.filters, o.b_sample = w.small();
    return;
  }
  pack_filters(w, small, down, o.samples, live, width, packed);
  o.b = packed;
  o.b_sample = width, o.b_position = static_cast<std::ptrdiff_t>(o.samples) * width;
}

}  // namespace detail

/// dW[tap][c][f] += sum over samples and positions of large[n][pixel under tap][c] *
/// small[n][position][f]. For Conv2d, `small` is the gradient of the output; for ConvTranspose2d,
/// `large` is.
template <class T>
void weight_gradient(const Window& w, const T* large, const T* small, T* gradient, int rows,
                     Arena& arena) {
  using namespace detail;
  Scratch<Cpu> scratch(arena);
  if (has_few_channels(w)) {
    picture_weight_gradient(w, large, small, gradient, rows, scratch);
    return;
  }
  const GradientParts part(w, rows);
  const int panels = (w.filters + panel_width<T> - 1) / panel_width<T>;
  // Where few tiles read a number, both images are used where they lie.
  const bool packs_large = w.taps() > 1 || panels > 2;

  const int image_rows = std::min(w.height, (part.rows - 1) * w.stride_h + w.kernel_h);
  const std::ptrdiff_t tile_size = static_cast<std::ptrdiff_t>(part.samples) * tile_height;
  const std::ptrdiff_t row_size = w.width * tiles_of(w.channels) * tile_size;
  T* const packed_large =
      packs_large ? scratch.take<T>(static_cast<std::size_t>(image_rows * row_size)) : nullptr;
  Move* const moves =
      scratch.take<Move>(static_cast<std::size_t>(image_rows * w.width * tiles_of(w.channels)));
  T* const packed_small =
      scratch.take<T>(static_cast<std::size_t>(part.samples) *
                      static_cast<std::size_t>(part.rows * w.out_width * panel_width<T>));

  for (int n = 0; n < rows; n += part.samples) {
    GradientOperands<T> o{};
    o.samples = std::min(part.samples, rows - n);
    const T* const images = large + static_cast<std::ptrdiff_t>(n) * w.large();
    const T* const positions = small + static_cast<std::ptrdiff_t>(n) * w.small();
    for (int oh = 0; oh < w.out_height; oh += part.rows) {
      const Interval down{oh, std::min(w.out_height, oh + part.rows)};
      use_images(w, images, down, moves, packed_large, o);
      for_each_panel<T>(
          w.filters, [&]<int Vectors>(std::integral_constant<int, Vectors>, int j, int live) {
            use_filters(w, positions + j, down, live, packed_small, o);
            for (int ow = 0; ow < w.out_width; ow += part.columns)
              gradient_panel<T, Vectors>(w, o, down, {ow, std::min(w.out_width, ow + part.columns)},
                                         gradient + j, live);
          });
    }
  }
}

}  // namespace poe
