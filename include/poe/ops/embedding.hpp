// SPDX-License-Identifier: MIT
// Table look-up and its gradient.
//
// The overloads for Executor<Cuda> mean the same; kernels/embedding.cuh defines them.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include <poe/core/error.hpp>
#include <poe/cuda/executor.hpp>

namespace poe {

/// A table of `rows` vectors of `width` numbers; row `padding` takes no gradient.
struct TableShape {
  int rows = 0, width = 0, padding = 0;
};

/// y[i] = table[id[i]] for n ids, which are whole numbers held in T; `tokens` of them are one
/// sample. The rows found are kept for the gradient. An id outside the table is an error; on the
/// GPU it sets the executor's fault flag, and the vector becomes NaN.
template <class T>
void embed_values(TableShape s, int tokens, std::size_t n, const T* ids, const T* table, T* y,
                  std::int32_t* found, Executor<Cpu>&) {
  const auto width = static_cast<std::size_t>(s.width);
  for (std::size_t i = 0; i < n; ++i) {
    const T id = ids[i];
    expect(id >= T(0) && id < T(s.rows) && id == std::floor(id),
           "embedding: token {} of sample {} has id {}; the table has {} rows",
           i % static_cast<std::size_t>(tokens), i / static_cast<std::size_t>(tokens), id, s.rows);
    found[i] = static_cast<std::int32_t>(id);
    std::memcpy(y + i * width, table + static_cast<std::size_t>(found[i]) * width,
                width * sizeof(T));
  }
}
template <class T>
void embed_values(TableShape s, int tokens, std::size_t n, const T* ids, const T* table, T* y,
                  std::int32_t* found, Executor<Cuda>& on);

/// table_gradient[found[i]] += dy[i], in the order of i.
template <class T>
void embed_gradient(TableShape s, std::size_t n, const std::int32_t* found, const T* dy,
                    T* table_gradient, Executor<Cpu>&) {
  const auto width = static_cast<std::size_t>(s.width);
  for (std::size_t i = 0; i < n; ++i) {
    if (found[i] == s.padding) continue;
    T* const row = table_gradient + static_cast<std::size_t>(found[i]) * width;
    for (std::size_t j = 0; j < width; ++j) row[j] += dy[i * width + j];
  }
}
template <class T>
void embed_gradient(TableShape s, std::size_t n, const std::int32_t* found, const T* dy,
                    T* table_gradient, Executor<Cuda>& on);

}  // namespace poe
