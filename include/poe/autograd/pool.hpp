// SPDX-License-Identifier: MIT
// Max-pooling and global average pooling on the tape.
#pragma once

#include <poe/autograd/context.hpp>
#include <poe/ops/pool.hpp>

namespace poe {

/// The largest value under each window, per channel; padding never wins. The gradient goes to the
/// first of equal values (as in PyTorch).
template <class Out, class T, class In, class D>
Variable<T, Out, D> max_pool(Context<T, D>& ctx, const Window& w, Variable<T, In, D> x) {
  auto y = ctx.tape.template make<Out>(x.rows, x.differentiable());
  auto* const winner = ctx.template take_values<int>(y.count());
  max_pool_values(w, x.rows, x.value, y.value, winner, ctx.executor());
  ctx.tape.record(y, [=, on = &ctx.executor()] {
    max_pool_gradient(w, x.rows, winner, y.gradient->data, sink(x), *on);
  });
  return y;
}

/// Mean over the pixels of each channel: (C, H, W) -> (C).
template <class T, class In, class D>
Variable<T, Shape<ImageOf<In>::channels>, D> global_average_pool(Context<T, D>& ctx,
                                                                 Variable<T, In, D> x) {
  constexpr int channels = ImageOf<In>::channels;
  constexpr int pixels = ImageOf<In>::pixels;
  auto y = ctx.tape.template make<Shape<channels>>(x.rows, x.differentiable());
  pixel_mean(x.rows, pixels, channels, x.value, y.value, ctx.executor());
  ctx.tape.record(y, [=, on = &ctx.executor()] {
    pixel_mean_gradient(x.rows, pixels, channels, y.gradient->data, sink(x), *on);
  });
  return y;
}

}  // namespace poe
