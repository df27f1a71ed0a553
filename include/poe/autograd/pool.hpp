// SPDX-License-Identifier: MIT
// Max-pooling and global average pooling on the tape.
#pragma once

#include <poe/autograd/context.hpp>
#include <poe/ops/window.hpp>

namespace poe {

/// The largest value under each window, per channel; padding never wins. The gradient goes to the
/// first of equal values (as in PyTorch).
template <class Out, class T, class In, class D>
Variable<T, Out, D> max_pool(Context<T, D>& ctx, const Window& w, Variable<T, In, D> x) {
  auto y = ctx.tape.template make<Out>(x.rows, x.differentiable());
  auto* const winner = ctx.arena().template take<int>(y.count());
  constexpr int channels = ImageOf<In>::channels;
  for (int n = 0; n < x.rows; ++n) {
    const T* const in = x.value + static_cast<std::ptrdiff_t>(n) * In::size;
    T* const out = y.value + static_cast<std::ptrdiff_t>(n) * Out::size;
    int* const from = winner + static_cast<std::ptrdiff_t>(n) * Out::size;
    int before = -1;
    detail::for_each_link(w, [&](int position, int pixel, int) {
      const T* const POE_RESTRICT x_c = in + pixel * channels;
      T* const POE_RESTRICT y_c = out + position * channels;
      int* const POE_RESTRICT from_c = from + position * channels;
      if (position != std::exchange(before, position)) {
        for (int c = 0; c < channels; ++c) y_c[c] = x_c[c], from_c[c] = pixel * channels + c;
        return;
      }
      for (int c = 0; c < channels; ++c) {
        // The second comparison lets NaN through instead of hiding it; | and not ||, so that the
        // loop has no branch.
        const bool better = bool((x_c[c] > y_c[c]) | (x_c[c] != x_c[c]));
        y_c[c] = better ? x_c[c] : y_c[c];
        from_c[c] = better ? pixel * channels + c : from_c[c];
      }
    });
  }
  ctx.tape.record(y, [=] {
    T* const dx = add_sink(Rows<T, In, D>(x));
    for (int n = 0; n < x.rows; ++n)
      for (int o = 0; o < Out::size; ++o) {
        const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(n) * Out::size + o;
        dx[static_cast<std::ptrdiff_t>(n) * In::size + winner[at]] += y.gradient->data[at];
      }
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
  for (int n = 0; n < x.rows; ++n)
    for (int c = 0; c < channels; ++c) {
      T sum = 0;
      for (int p = 0; p < pixels; ++p) sum += x.value[(n * pixels + p) * channels + c];
      y.value[n * channels + c] = sum / T(pixels);
    }
  ctx.tape.record(y, [=] {
    const Sink<T> dx = sink(x);
    for (int n = 0; n < x.rows; ++n)
      for (int p = 0; p < pixels; ++p)
        for (int c = 0; c < channels; ++c)
          dx.put(static_cast<std::size_t>((n * pixels + p) * channels + c),
                 y.gradient->data[n * channels + c] / T(pixels));
  });
  return y;
}

}  // namespace poe
