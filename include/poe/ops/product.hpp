// SPDX-License-Identifier: MIT
// Matrix products of the CPU: rows times packed weights, and sums of outer products.
#pragma once

#include <algorithm>
#include <cstring>

#include <poe/core/arena.hpp>
#include <poe/ops/tile.hpp>
#include <poe/ops/window.hpp>

namespace poe::detail {

/// Columns of a panel of packed weights: two vectors, so that each broadcast feeds two products.
template <class T>
inline constexpr int panel_width = 2 * lanes<T>;

/// Columns after padding to whole vectors.
template <class T>
constexpr int padded(int columns) {
  return (columns + lanes<T> - 1) / lanes<T> * lanes<T>;
}

/// Packs weights (taps, depth, columns) into panels [columns / width][taps * depth][width], the
/// last panel zero-padded to whole vectors. Element (tap, k, j) is read at tap * tap_stride + k *
/// k_stride + j * j_stride; one of the two inner strides is 1.
template <class T>
T* pack_panels(const T* weights, int taps, int depth, int columns, std::ptrdiff_t k_stride,
               std::ptrdiff_t j_stride, Scratch<Cpu>& scratch) {
  const std::ptrdiff_t tap_stride = static_cast<std::ptrdiff_t>(depth) * columns;
  T* const packed =
      scratch.take<T>(static_cast<std::size_t>(taps) * static_cast<std::size_t>(depth) *
                      static_cast<std::size_t>(padded<T>(columns)));
  T* out = packed;
  for (int j0 = 0; j0 < columns; j0 += panel_width<T>) {
    const int width = std::min(panel_width<T>, padded<T>(columns - j0));
    const int live = std::min(width, columns - j0);
    for (int tap = 0; tap < taps; ++tap) {
      const T* const source = weights + tap * tap_stride + j0 * j_stride;
      if (j_stride == 1) {
        for (int k = 0; k < depth; ++k) {
          const T* const row = source + k * k_stride;
          for (int j = 0; j < live; ++j) out[k * width + j] = row[j];
          for (int j = live; j < width; ++j) out[k * width + j] = T(0);
        }
      } else {
        int k = 0;
        for (; k + lanes<T> <= depth; k += lanes<T>)
          for (int j = 0; j < width; j += lanes<T>)
            transpose_block(source + j * j_stride + k, j_stride, std::min(lanes<T>, live - j),
                            out + k * width + j, width);
        for (; k < depth; ++k)
          for (int j = 0; j < width; ++j)
            out[k * width + j] = j < live ? source[j * j_stride + k] : T(0);
      }
      out += static_cast<std::ptrdiff_t>(depth) * width;
    }
  }
  return packed;
}

/// A product of rows (one per sample) with packed weights, summed over linked source pixels:
///   dst[n][d][j] = sum over links (s, tap) of d, over k:  src[n][s][k] * W[tap][k][j]
/// A matrix product is the case of one pixel and one tap.
template <class T>
struct RowsProduct {
  const T* src;
  std::ptrdiff_t src_row;  // distance of two samples
  T* dst;
  std::ptrdiff_t dst_row;
  int rows, depth, columns, taps;
  LinkTable table;
  const T* packed;
  Epilogue<T> epilogue;
};

/// `live` columns of the tile, from column j0 of the destination on.
template <class T, int Rows, int Vectors>
POE_ALWAYS_INLINE void store_tile(Vector<T> (&acc)[Rows][Vectors], T* out,
                                  std::ptrdiff_t row_stride, int j0, int live,
                                  const Epilogue<T>& e) {
  using V = Vector<T>;
  const bool whole = live == Vectors * lanes<T>;
  if (e.bias != nullptr)
    for (int v = 0; v < Vectors; ++v) {
      const V bias = whole ? load<V>(e.bias + j0 + v * lanes<T>)
                           : load_part<V>(e.bias + j0 + v * lanes<T>, live - v * lanes<T>);
      for (int i = 0; i < Rows; ++i) acc[i][v] += bias;
    }
  for (int i = 0; i < Rows; ++i)
    for (int v = 0; v < Vectors; ++v) {
      T* const to = out + i * row_stride + v * lanes<T>;
      const int n = live - v * lanes<T>;
      V x = acc[i][v];
      if (e.accumulate) x += whole ? load<V>(to) : load_part<V>(to, n);
      if (e.relu) x = x > T(0) ? x : V{};
      if (whole)
        store(to, x);
      else
        store_part(to, x, n);
    }
}

template <class T, int Rows, int Vectors>
void product_tile(const RowsProduct<T>& p, int row, int j0, const T* panel) {
  const std::ptrdiff_t panel_tap = static_cast<std::ptrdiff_t>(p.depth) * Vectors * lanes<T>;
  const int live = std::min(p.columns - j0, Vectors * lanes<T>);
  for (int d = 0; d < p.table.destinations; ++d) {
    Vector<T> acc[Rows][Vectors] = {};
    for (int l = p.table.begin[d]; l < p.table.begin[d + 1]; ++l) {
      const Link link = p.table.links[l];
      tile_rows<T, Rows, Vectors>(
          acc, p.src + row * p.src_row + static_cast<std::ptrdiff_t>(link.source) * p.depth,
          p.src_row, panel + link.tap * panel_tap, p.depth);
    }
    store_tile<T, Rows, Vectors>(
        acc, p.dst + row * p.dst_row + static_cast<std::ptrdiff_t>(d) * p.columns + j0, p.dst_row,
        j0, live, p.epilogue);
  }
}

template <class T, int Vectors>
void product_panel(const RowsProduct<T>& p, int j0, const T* panel) {
  int row = 0;
  for (; row + 8 <= p.rows; row += 8) product_tile<T, 8, Vectors>(p, row, j0, panel);
  if (row + 4 <= p.rows) product_tile<T, 4, Vectors>(p, row, j0, panel), row += 4;
  for (; row < p.rows; ++row) product_tile<T, 1, Vectors>(p, row, j0, panel);
}

/// Panel by panel: a panel (at most some 250 KB) stays in the second-level cache while all samples
/// pass.
template <class T>
void rows_product(const RowsProduct<T>& p) {
  const T* panel = p.packed;
  for (int j0 = 0; j0 < p.columns; j0 += panel_width<T>) {
    const bool two = padded<T>(p.columns - j0) >= panel_width<T>;
    if (two)
      product_panel<T, 2>(p, j0, panel);
    else
      product_panel<T, 1>(p, j0, panel);
    panel += static_cast<std::ptrdiff_t>(p.taps) * p.depth * (two ? 2 : 1) * lanes<T>;
  }
}

/// A sum of outer products over samples and linked pixels, added to the destination:
///   dst[g][i][j] += sum over links (s, t) of group g, over n:  a[n][s][i] * b[n][t][j]
template <class T>
struct OuterProduct {
  const T* a;
  std::ptrdiff_t a_row;
  const T* b;
  std::ptrdiff_t b_row;
  int rows, height, columns;  // dst is (groups, height, columns)
  int b_pixels;
  LinkTable table;  // Link{source: pixel of a, tap: pixel of b}
  T* dst;
};

/// Some columns of b for a block of samples: element (n, pixel, j) at n * row + pixel * image + j.
template <class T>
struct ColumnPanel {
  const T* data;
  std::ptrdiff_t row, pixel;
  int first, live;  // columns of the destination
};

template <class T, int Rows, int Vectors>
void outer_tile(const OuterProduct<T>& p, const ColumnPanel<T>& b, int group, int i0) {
  using V = Vector<T>;
  V acc[Rows][Vectors] = {};
  for (int l = p.table.begin[group]; l < p.table.begin[group + 1]; ++l) {
    const Link link = p.table.links[l];
    tile_outer<T, Rows, Vectors>(acc,
                                 p.a + static_cast<std::ptrdiff_t>(link.source) * p.height + i0,
                                 p.a_row, b.data + link.tap * b.pixel, b.row, p.rows);
  }
  T* const out = p.dst + (static_cast<std::ptrdiff_t>(group) * p.height + i0) * p.columns + b.first;
  store_tile<T, Rows, Vectors>(acc, out, p.columns, 0, b.live, {.accumulate = true});
}

/// packed[pixel][n][j] = b[n][pixel][j0 + j], with zeros from column `live` on.
template <class T>
void pack_columns(const OuterProduct<T>& p, int j0, int live, int width, T* packed) {
  for (int t = 0; t < p.b_pixels; ++t) {
    const T* from = p.b + static_cast<std::ptrdiff_t>(t) * p.columns + j0;
    for (int n = 0; n < p.rows; ++n, from += p.b_row, packed += width) {
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

template <class T, int Vectors>
void outer_panel(const OuterProduct<T>& p, const ColumnPanel<T>& b) {
  for (int g = 0; g < p.table.destinations; ++g) {
    int i = 0;
    for (; i + 8 <= p.height; i += 8) outer_tile<T, 8, Vectors>(p, b, g, i);
    if (i + 4 <= p.height) outer_tile<T, 4, Vectors>(p, b, g, i), i += 4;
    for (; i < p.height; ++i) outer_tile<T, 1, Vectors>(p, b, g, i);
  }
}

/// Samples are taken in blocks, and of each block the columns are packed panel by panel: every tile
/// of every group reads the panel again, from the second-level cache and without gaps. Where only
/// two tiles would read it, it is used where it lies.
template <class T>
void outer_product(OuterProduct<T> p, Scratch<Cpu>& scratch) {
  constexpr int width = panel_width<T>;
  constexpr std::ptrdiff_t cache = 640 * 1024 / sizeof(T);
  const std::ptrdiff_t sample = p.a_row + static_cast<std::ptrdiff_t>(p.b_pixels) * width;
  const int block = std::max(16, static_cast<int>(cache / sample));
  const int most = std::min(block, p.rows);
  T* const packed =
      scratch.take<T>(static_cast<std::size_t>(most) * static_cast<std::size_t>(p.b_pixels) *
                      static_cast<std::size_t>(width));
  const int rows = p.rows;
  for (int first = 0; first < rows; first += block) {
    p.rows = std::min(block, rows - first);
    for (int j0 = 0; j0 < p.columns; j0 += width) {
      const int live = std::min(width, p.columns - j0);
      const int padded_width = padded<T>(live);
      ColumnPanel<T> panel{p.b + j0, p.b_row, p.columns, j0, live};
      if (p.height * p.table.destinations > 16 || live != padded_width) {
        pack_columns(p, j0, live, padded_width, packed);
        panel = {packed, padded_width, static_cast<std::ptrdiff_t>(p.rows) * padded_width, j0,
                 live};
      }
      if (padded_width == width)
        outer_panel<T, 2>(p, panel);
      else
        outer_panel<T, 1>(p, panel);
    }
    p.a += block * p.a_row;
    p.b += block * p.b_row;
  }
}

}  // namespace poe::detail
