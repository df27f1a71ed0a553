// SPDX-License-Identifier: MIT
// Matrix products of the CPU: rows times packed weights, summed over linked pixels.
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

/// Calls use(height, first row) for tiles of 8, 4 and 1 that cover some rows.
template <class Use>
POE_ALWAYS_INLINE void for_each_tile(int rows, Use&& use) {
  int i = 0;
  for (; i + 8 <= rows; i += 8) use(std::integral_constant<int, 8>{}, i);
  if (i + 4 <= rows) use(std::integral_constant<int, 4>{}, i), i += 4;
  for (; i < rows; ++i) use(std::integral_constant<int, 1>{}, i);
}

/// Calls use(vectors, first column, live columns) for each panel.
template <class T, class Use>
POE_ALWAYS_INLINE void for_each_panel(int columns, Use&& use) {
  for (int j = 0; j < columns; j += panel_width<T>) {
    const int live = std::min(panel_width<T>, columns - j);
    if (padded<T>(live) == panel_width<T>)
      use(std::integral_constant<int, 2>{}, j, live);
    else
      use(std::integral_constant<int, 1>{}, j, live);
  }
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

/// A product of rows (one per sample) with packed weights, summed over the links of a destination:
///   dst[n][d][j] = sum over links of d, over k < depth:  src[n][source + k] * W[weights + k][j]
template <class T>
struct RowsProduct {
  const T* src;
  std::ptrdiff_t src_row;  // distance of two samples
  T* dst;
  std::ptrdiff_t dst_row;
  int rows, columns;
  int weight_rows;  // of W, for all links
  LinkTable table;
  const T* packed;
  Epilogue<T> epilogue;
};

/// The table of a matrix product: one destination, one link.
struct SingleLink {
  Link link;
  int begin[2] = {0, 1};
  explicit SingleLink(int depth) : link{0, 0, depth} {}
  LinkTable table() const { return {1, begin, &link}; }
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
      if (e.relu) x = x < T(0) ? V{} : x;  // NaN stays
      if (whole)
        store(to, x);
      else
        store_part(to, x, n);
    }
}

template <class T, int Rows, int Vectors>
void product_tile(const RowsProduct<T>& p, int row, int j0, const T* panel) {
  const int live = std::min(p.columns - j0, Vectors * lanes<T>);
  for (int d = 0; d < p.table.destinations; ++d) {
    Vector<T> acc[Rows][Vectors] = {};
    for (int l = p.table.begin[d]; l < p.table.begin[d + 1]; ++l) {
      const Link link = p.table.links[l];
      tile_rows<T, Rows, Vectors>(
          acc, p.src + row * p.src_row + link.source, p.src_row,
          panel + static_cast<std::ptrdiff_t>(link.weights) * Vectors * lanes<T>, link.depth);
    }
    store_tile<T, Rows, Vectors>(
        acc, p.dst + row * p.dst_row + static_cast<std::ptrdiff_t>(d) * p.columns + j0, p.dst_row,
        j0, live, p.epilogue);
  }
}

/// Panel by panel: a panel (at most some 250 KB) stays in the second-level cache while all samples
/// pass.
template <class T>
void rows_product(const RowsProduct<T>& p) {
  for_each_panel<T>(p.columns, [&]<int Vectors>(std::integral_constant<int, Vectors>, int j, int) {
    const T* const panel = p.packed + static_cast<std::ptrdiff_t>(j) * p.weight_rows;
    for_each_tile(p.rows, [&]<int Rows>(std::integral_constant<int, Rows>, int row) {
      product_tile<T, Rows, Vectors>(p, row, j, panel);
    });
  });
}

}  // namespace poe::detail
