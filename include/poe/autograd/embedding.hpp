// SPDX-License-Identifier: MIT
// Table look-up on the tape.
#pragma once

#include <poe/autograd/context.hpp>
#include <poe/ops/embedding.hpp>

namespace poe {

/// y[b][t] = table[id[b][t]]: (B, Tokens) ids -> (B, 1, Tokens, Width). The ids are whole numbers
/// held in T (exact below 2^24 in float). Row `padding` takes no gradient: it stays zero. An id
/// outside the table is an error.
template <int Width, class T, int Tokens, class D>
Variable<T, Shape<1, Tokens, Width>, D> embed(Context<T, D>& ctx, Variable<T, Shape<Tokens>, D> ids,
                                              Parameter<T> table, int rows, int padding) {
  auto y = ctx.tape.template make<Shape<1, Tokens, Width>>(ids.rows, table.gradient != nullptr);
  const TableShape shape{rows, Width, padding};
  const std::size_t count = ids.count();
  auto* const found = ctx.template take_values<std::int32_t>(count);
  embed_values(shape, Tokens, count, ids.value, table.value, y.value, found, ctx.executor());
  ctx.tape.record(y, [=, on = &ctx.executor()] {
    embed_gradient(shape, count, found, y.gradient->data, table.gradient, *on);
  });
  return y;
}

}  // namespace poe
