// SPDX-License-Identifier: MIT
// Elementwise functions, sums and dropout on the tape.
#pragma once

#include <poe/autograd/context.hpp>

namespace poe {

/// y = F(x), element by element.
template <class F, class T, class S, class D>
Variable<T, S, D> map(Context<T, D>& ctx, Variable<T, S, D> x) {
  auto y = ctx.tape.template make<S>(x.rows, x.differentiable());
  map_values<F>(x.count(), x.value, y.value, ctx.executor());
  ctx.tape.record(y, [=, on = &ctx.executor()] {
    map_gradient<F>(x.count(), x.value, y.value, y.gradient->data, sink(x), *on);
  });
  return y;
}

/// a + b, of one shape: the join of a residual block.
template <class T, class S, class D>
Variable<T, S, D> add(Context<T, D>& ctx, Variable<T, S, D> a, Variable<T, S, D> b) {
  expect(a.rows == b.rows, "add: batches of {} and {} samples", a.rows, b.rows);
  auto y = ctx.tape.template make<S>(a.rows, a.differentiable() || b.differentiable());
  add_values(a.count(), a.value, b.value, y.value, ctx.executor());
  ctx.tape.record(y, [=, on = &ctx.executor()] {
    for (const auto& x : {a, b})
      if (const Sink<T> dx = sink(x); dx.data != nullptr)
        pass_on(y.count(), y.gradient->data, dx, *on);
  });
  return y;
}

/// Keeps each unit (element, or whole channel of an image) with probability 1 - p, scaled by 1 / (1
/// - p), and sets the others to 0; does nothing in evaluation. `stream` tells the dropouts of one
/// pass apart.
template <class T, class S, class D>
Variable<T, S, D> dropout(Context<T, D>& ctx, Variable<T, S, D> x, double p, bool whole_channels,
                          std::uint32_t stream) {
  if (!ctx.training()) return x;
  const int units = [&] {
    if constexpr (is_image<S>)
      return whole_channels ? ImageOf<S>::channels : S::size;
    else
      return S::size;
  }();
  auto y = ctx.tape.template make<S>(x.rows, x.differentiable());
  const auto kept = static_cast<std::size_t>(x.rows) * static_cast<std::size_t>(units);
  T* const factors = ctx.template take_values<T>(kept);
  const auto first = static_cast<std::uint64_t>(ctx.first_row) * static_cast<std::uint64_t>(units);
  draw_dropout({ctx.random.with_stream(stream), first, p}, kept, factors, ctx.executor());
  scale_units(x.rows, S::size, units, factors, x.value, Sink<T>{y.value}, ctx.executor());
  ctx.tape.record(y, [=, on = &ctx.executor()] {
    scale_units(x.rows, S::size, units, factors, y.gradient->data, sink(x), *on);
  });
  return y;
}

}  // namespace poe
