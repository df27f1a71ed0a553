// SPDX-License-Identifier: MIT
// The two register tiles on which every matrix product and convolution of the CPU is built.
#pragma once

#include <cstddef>
#include <cstring>
#include <type_traits>
#include <utility>

#include <poe/core/config.hpp>

namespace poe::detail {

#if defined(__AVX512F__)
inline constexpr int vector_bytes = 64;
#elif defined(__AVX__)
inline constexpr int vector_bytes = 32;
#else
inline constexpr int vector_bytes = 16;
#endif

/// Lanes of the widest vector register for T.
template <class T>
inline constexpr int lanes = vector_bytes / static_cast<int>(sizeof(T));

/// A vector of `Lanes` numbers: GCC's and Clang's vector extension, so one source serves every ISA.
template <class T, int Lanes>
struct VectorOf {
  typedef T Type __attribute__((vector_size(sizeof(T) * Lanes)));
};
template <class T>
struct VectorOf<T, 1> {
  using Type = T;
};
template <class T, int Lanes = lanes<T>>
using Vector = typename VectorOf<T, Lanes>::Type;

template <class V, class T>
POE_ALWAYS_INLINE V load(const T* p) {
  V v;
  std::memcpy(&v, p, sizeof(V));
  return v;
}
template <class V, class T>
POE_ALWAYS_INLINE void store(T* p, V v) {
  std::memcpy(p, &v, sizeof(V));
}

/// The first n lanes of a vector (none for n <= 0, all for n >= lanes); the others are 0, or not
/// written.
template <class V, class T>
POE_ALWAYS_INLINE V load_part(const T* p, int n) {
  V v{};
  constexpr int all = sizeof(V) / sizeof(T);
  if (n > 0) std::memcpy(&v, p, static_cast<std::size_t>(n < all ? n : all) * sizeof(T));
  return v;
}
template <class V, class T>
POE_ALWAYS_INLINE void store_part(T* p, V v, int n) {
  constexpr int all = sizeof(V) / sizeof(T);
  if (n > 0) std::memcpy(p, &v, static_cast<std::size_t>(n < all ? n : all) * sizeof(T));
}

/// One round of a transposition in registers: rows i and i + Step exchange their off-diagonal
/// blocks of Step lanes.
template <int Step, class V, std::size_t... L>
POE_ALWAYS_INLINE void exchange(V& a, V& b, std::index_sequence<L...>) {
  constexpr int n = sizeof...(L);
  const V x = __builtin_shufflevector(
      a, b, ((L & Step) == 0 ? static_cast<int>(L) : n + static_cast<int>(L) - Step)...);
  b = __builtin_shufflevector(
      a, b, ((L & Step) == 0 ? static_cast<int>(L) + Step : n + static_cast<int>(L))...);
  a = x;
}

/// out[k][j] = in[j][k] for a block of lanes x lanes; rows of `in` from `rows` on count as zero.
template <class T>
POE_ALWAYS_INLINE void transpose_block(const T* in, std::ptrdiff_t in_stride, int rows, T* out,
                                       std::ptrdiff_t out_stride) {
  using V = Vector<T>;
  constexpr int n = lanes<T>;
  V row[n];
  for (int j = 0; j < n; ++j) row[j] = j < rows ? load<V>(in + j * in_stride) : V{};
  const auto round = [&]<int Step>(std::integral_constant<int, Step>) {
    if constexpr (Step < n) {
#pragma GCC unroll 16
      for (int i = 0; i < n; ++i)
        if ((i & Step) == 0)
          exchange<Step>(row[i], row[i + Step],
                         std::make_index_sequence<static_cast<std::size_t>(n)>{});
    }
  };
  round(std::integral_constant<int, 1>{});
  round(std::integral_constant<int, 2>{});
  round(std::integral_constant<int, 4>{});
  round(std::integral_constant<int, 8>{});
  for (int k = 0; k < n; ++k) store(out + k * out_stride, row[k]);
}

/// acc[i][v] += sum over k of a[i * row_stride + k] * panel[k][v], with k contiguous in both: the
/// tile of a product with packed weights. Unrolled over k so that the row pointers are paid once in
/// four steps.
template <class T, int Rows, int Vectors>
POE_ALWAYS_INLINE void tile_rows(Vector<T> (&acc)[Rows][Vectors], const T* POE_RESTRICT a,
                                 std::ptrdiff_t row_stride, const T* POE_RESTRICT panel,
                                 int depth) {
  using V = Vector<T>;
  constexpr int width = Vectors * lanes<T>;
  int k = 0;
  for (; k + 4 <= depth; k += 4) {
#pragma GCC unroll 4
    for (int u = 0; u < 4; ++u) {
      V b[Vectors];
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; ++v) b[v] = load<V>(panel + u * width + v * lanes<T>);
#pragma GCC unroll 16
      for (int i = 0; i < Rows; ++i) {
        const T x = a[i * row_stride + u];
#pragma GCC unroll 4
        for (int v = 0; v < Vectors; ++v) acc[i][v] += x * b[v];
      }
    }
    a += 4;
    panel += 4 * width;
  }
  for (; k < depth; ++k) {
    V b[Vectors];
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) b[v] = load<V>(panel + v * lanes<T>);
#pragma GCC unroll 16
    for (int i = 0; i < Rows; ++i) {
      const T x = a[i * row_stride];
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; ++v) acc[i][v] += x * b[v];
    }
    a += 1;
    panel += width;
  }
}

/// acc[i][v] += sum over k of a[k * a_stride + i] * b[k * b_stride + v]: the tile of a weight
/// gradient, where k runs over samples or positions. Rows from 4 on lie at a + upper.
template <class T, int Rows, int Vectors>
POE_ALWAYS_INLINE void tile_outer(Vector<T> (&acc)[Rows][Vectors], const T* POE_RESTRICT a,
                                  std::ptrdiff_t a_stride, const T* POE_RESTRICT b,
                                  std::ptrdiff_t b_stride, int depth, std::ptrdiff_t upper = 4) {
  using V = Vector<T>;
  for (int k = 0; k < depth; ++k) {
    V y[Vectors];
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) y[v] = load<V>(b + v * lanes<T>);
#pragma GCC unroll 16
    for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; ++v) acc[i][v] += a[i < 4 ? i : upper + i - 4] * y[v];
    }
    a += a_stride;
    b += b_stride;
  }
}

}  // namespace poe::detail
