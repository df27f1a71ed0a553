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
               std::ptrdiff_t j_stride, Scratch& scratch) {
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

/// What happens to a finished tile before it is stored.
template <class T>
struct Epilogue {
  const T* bias = nullptr;  // (columns), added
  bool relu = false;        // negative values become 0
  bool accumulate = false;  // added to what the destination holds
};

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
  LinkTable table;            // Link{source: pixel of a, tap: pixel of b}
  T* dst;
};

template <class T, int Rows, int Vectors, int Lanes>
void outer_tile(const OuterProduct<T>& p, int group, int i0, int j0) {
  using V = Vector<T, Lanes>;
  V acc[Rows][Vectors] = {};
  for (int l = p.table.begin[group]; l < p.table.begin[group + 1]; ++l) {
    const Link link = p.table.links[l];
    tile_outer<T, Rows, Vectors, Lanes>(
        acc, p.a + static_cast<std::ptrdiff_t>(link.source) * p.height + i0, p.a_row,
        p.b + static_cast<std::ptrdiff_t>(link.tap) * p.columns + j0, p.b_row, p.rows);
  }
  T* const out = p.dst + (static_cast<std::ptrdiff_t>(group) * p.height + i0) * p.columns + j0;
  for (int i = 0; i < Rows; ++i)
    for (int v = 0; v < Vectors; ++v) {
      T* const o = out + static_cast<std::ptrdiff_t>(i) * p.columns + v * Lanes;
      store(o, load<V>(o) + acc[i][v]);
    }
}

template <class T, int Vectors, int Lanes>
void outer_columns(const OuterProduct<T>& p, int group, int j0) {
  int i = 0;
  for (; i + 8 <= p.height; i += 8) outer_tile<T, 8, Vectors, Lanes>(p, group, i, j0);
  if (i + 4 <= p.height) outer_tile<T, 4, Vectors, Lanes>(p, group, i, j0), i += 4;
  for (; i < p.height; ++i) outer_tile<T, 1, Vectors, Lanes>(p, group, i, j0);
}

/// Columns are cut into ever narrower vectors, so nothing outside the operands is read.
template <class T, int Lanes>
void outer_tail(const OuterProduct<T>& p, int group, int j0) {
  for (; j0 + Lanes <= p.columns; j0 += Lanes) outer_columns<T, 1, Lanes>(p, group, j0);
  if constexpr (Lanes > 1)
    if (j0 < p.columns) outer_tail<T, Lanes / 2>(p, group, j0);
}

/// Samples are taken in blocks for which one column panel and one tile's rows stay in the
/// second-level cache, since every tile of a group reads the panel again.
template <class T>
void outer_product(OuterProduct<T> p) {
  constexpr std::size_t cache = 256 * 1024;
  int most_links = 1;
  for (int g = 0; g < p.table.destinations; ++g)
    most_links = std::max(most_links, p.table.begin[g + 1] - p.table.begin[g]);
  const std::size_t sample = static_cast<std::size_t>(most_links) *
                             (sizeof(T) * static_cast<std::size_t>(panel_width<T>) + alignment);
  const int block = std::max(16, static_cast<int>(cache / sample));
  const int rows = p.rows;
  for (int first = 0; first < rows; first += block) {
    p.rows = std::min(block, rows - first);
    for (int g = 0; g < p.table.destinations; ++g) {
      int j0 = 0;
      for (; j0 + panel_width<T> <= p.columns; j0 += panel_width<T>)
        outer_columns<T, 2, lanes<T>>(p, g, j0);
      if (j0 < p.columns) outer_tail<T, lanes<T>>(p, g, j0);
    }
    p.a += block * p.a_row;
    p.b += block * p.b_row;
  }
}

}  // namespace poe::detail
