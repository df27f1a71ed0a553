// SPDX-License-Identifier: MIT
// Linear, Conv2d and ConvTranspose2d on the tape: bias and ReLU are part of the operation.
#pragma once

#include <poe/autograd/context.hpp>
#include <poe/ops/columns.hpp>
#include <poe/ops/conv.hpp>
#include <poe/ops/conv_cuda.hpp>
#include <poe/ops/functions.hpp>

namespace poe {

/// The window of a Linear layer: one pixel.
constexpr Window linear_window(int in, int out) { return Window{.channels = in, .filters = out}; }

/// y = act(conv(x, weight) + bias). x: (B, large image), y: (B, small image); weight (kh, kw, C,
/// F). Linear is the case of one pixel. bias.value may be null.
template <class Out, class T, class In, class D>
Variable<T, Out, D> convolve(Context<T, D>& ctx, const Window& w, Variable<T, In, D> x,
                             Parameter<T> weight, Parameter<T> bias,
                             Activation act = Activation::none) {
  auto y = ctx.tape.template make<Out>(x.rows, x.differentiable() || weight.gradient != nullptr);
  const bool relu = act == Activation::relu;
  large_to_small<T>(w, x.value, weight.value, y.value, x.rows, {bias.value, relu, false},
                    ctx.executor());
  ctx.tape.record(y, [=, on = &ctx.executor()] {
    T* const dy = y.gradient->data;
    mask_and_sum_columns(dy, relu ? y.value : nullptr,
                         bias.value == nullptr ? nullptr : bias.gradient,
                         static_cast<std::ptrdiff_t>(y.rows) * w.positions(), w.filters, *on);
    if (weight.gradient != nullptr)
      weight_gradient<T>(w, x.value, dy, weight.gradient, y.rows, *on);
    if (const Sink<T> dx = sink(x); dx.data != nullptr)
      small_to_large<T>(w, dy, weight.value, dx.data, y.rows, {nullptr, false, dx.accumulate}, *on);
  });
  return y;
}

/// y = act(transposed conv(x, weight) + bias), the adjoint of convolve: x is the small image, y the
/// large one; weight (kh, kw, channels of y, channels of x).
template <class Out, class T, class In, class D>
Variable<T, Out, D> convolve_transposed(Context<T, D>& ctx, const Window& w, Variable<T, In, D> x,
                                        Parameter<T> weight, Parameter<T> bias,
                                        Activation act = Activation::none) {
  auto y = ctx.tape.template make<Out>(x.rows, x.differentiable() || weight.gradient != nullptr);
  const bool relu = act == Activation::relu;
  small_to_large<T>(w, x.value, weight.value, y.value, x.rows, {bias.value, relu, false},
                    ctx.executor());
  ctx.tape.record(y, [=, on = &ctx.executor()] {
    T* const dy = y.gradient->data;
    mask_and_sum_columns(dy, relu ? y.value : nullptr,
                         bias.value == nullptr ? nullptr : bias.gradient,
                         static_cast<std::ptrdiff_t>(y.rows) * w.pixels(), w.channels, *on);
    if (weight.gradient != nullptr)
      weight_gradient<T>(w, dy, x.value, weight.gradient, y.rows, *on);
    if (const Sink<T> dx = sink(x); dx.data != nullptr)
      large_to_small<T>(w, dy, weight.value, dx.data, y.rows, {nullptr, false, dx.accumulate}, *on);
  });
  return y;
}

}  // namespace poe
