// SPDX-License-Identifier: MIT
// Table look-up on the tape.
#pragma once

#include <cmath>

#include <poe/autograd/context.hpp>

namespace poe {

/// y[b][t] = table[id[b][t]]: (B, Tokens) ids -> (B, 1, Tokens, Width). The ids are whole numbers
/// held in T (exact below 2^24 in float). Row `padding` takes no gradient: it stays zero. An id
/// outside the table is an error.
template <int Width, class T, int Tokens, class D>
Variable<T, Shape<1, Tokens, Width>, D> embed(Context<T, D>& ctx, Variable<T, Shape<Tokens>, D> ids,
                                              Parameter<T> table, int rows, int padding) {
  using Out = Shape<1, Tokens, Width>;
  auto y = ctx.tape.template make<Out>(ids.rows, table.gradient != nullptr);
  const std::size_t count = static_cast<std::size_t>(ids.rows) * Tokens;
  auto* const row_of = ctx.arena().template take<std::int32_t>(count);
  for (std::size_t i = 0; i < count; ++i) {
    const T id = ids.value[i];
    expect(id >= T(0) && id < T(rows) && id == std::floor(id),
           "embedding: token {} of sample {} has id {}; the table has {} rows", i % Tokens,
           i / Tokens, id, rows);
    row_of[i] = static_cast<std::int32_t>(id);
    std::memcpy(y.value + i * Width, table.value + static_cast<std::ptrdiff_t>(row_of[i]) * Width,
                Width * sizeof(T));
  }
  ctx.tape.record(y, [=] {
    for (std::size_t i = 0; i < count; ++i) {
      if (row_of[i] == padding) continue;
      T* const row = table.gradient + static_cast<std::ptrdiff_t>(row_of[i]) * Width;
      for (int j = 0; j < Width; ++j)
        row[j] += y.gradient->data[i * Width + static_cast<std::size_t>(j)];
    }
  });
  return y;
}

}  // namespace poe
