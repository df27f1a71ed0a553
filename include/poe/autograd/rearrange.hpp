// SPDX-License-Identifier: MIT
// Operations that move numbers: flattening, joining batches, joining features.
#pragma once

#include <span>
#include <tuple>

#include <poe/autograd/context.hpp>
#include <poe/ops/rearrange.hpp>

namespace poe {

/// The same numbers under another shape of equal size, in PyTorch's (C, H, W) order: what Flatten
/// and Reshape mean to a checkpoint. Without images on either side, or with one channel or one
/// pixel, nothing moves.
template <class To, class T, class From, class D>
Variable<T, To, D> reshape(Context<T, D>& ctx, Variable<T, From, D> x) {
  static_assert(To::size == From::size, "poe: reshape keeps the number of elements");
  constexpr auto moves = []<class S>(S) {
    if constexpr (is_image<S>)
      return ImageOf<S>::channels > 1 && ImageOf<S>::pixels > 1;
    else
      return false;
  };
  if constexpr (!moves(From{}) && !moves(To{})) {
    return {x.value, x.gradient, x.rows};
  } else {
    static_assert(!(moves(From{}) && moves(To{})),
                  "poe: reshape from image to image goes through Flatten");
    auto y = ctx.tape.template make<To>(x.rows, x.differentiable());
    // The image, wherever it stands, as a matrix of pixels and channels.
    using I = ImageOf<std::conditional_t<moves(From{}), From, To>>;
    constexpr int m = moves(From{}) ? I::pixels : I::channels;
    constexpr int n = moves(From{}) ? I::channels : I::pixels;
    transpose_samples(x.rows, m, n, x.value, Sink<T>{y.value}, ctx.executor());
    ctx.tape.record(y, [=, on = &ctx.executor()] {
      transpose_samples(x.rows, n, m, y.gradient->data, sink(x), *on);
    });
    return y;
  }
}

/// Rows of several variables, one after the other, as one batch. One whole variable is that batch
/// itself on the CPU, and where nothing is recorded; elsewhere it is copied, so that what follows
/// may run beside other users of the variable.
template <class T, class S, class D>
Variable<T, S, D> concat_rows(Context<T, D>& ctx, std::span<const Rows<T, S, D>> parts) {
  int rows = 0;
  bool differentiable = false;
  for (const auto& p : parts)
    rows += p.count, differentiable = differentiable || p.of.differentiable();
  const bool share = std::is_same_v<D, Cpu> || !ctx.tape.recording || !differentiable;
  if (share && parts.size() == 1 && parts[0].count == parts[0].of.rows) return parts[0].of;
  auto y = ctx.tape.template make<S>(rows, differentiable);
  auto* const kept = ctx.arena().template take<Rows<T, S, D>>(parts.size());
  std::size_t at = 0;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const std::size_t n = static_cast<std::size_t>(parts[i].count) * S::size;
    kept[i] = parts[i];
    pass_on(n, parts[i].of.value + parts[i].offset(), Sink<T>{y.value + at}, ctx.executor());
    at += n;
  }
  ctx.tape.record(y, [=, count = parts.size(), on = &ctx.executor()] {
    const T* dy = y.gradient->data;
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t n = static_cast<std::size_t>(kept[i].count) * S::size;
      if (T* const dx = add_sink(kept[i], *on); dx != nullptr)
        pass_on(n, dy, Sink<T>{dx, true}, *on);
      dy += n;
    }
  });
  return y;
}

/// (B, N1), (B, N2), ... side by side: (B, N1 + N2 + ...).
template <class T, class D, int... N>
Variable<T, Shape<(N + ...)>, D> concat_features(Context<T, D>& ctx,
                                                 Variable<T, Shape<N>, D>... parts) {
  constexpr int width = (N + ...);
  const int rows = std::get<0>(std::tie(parts...)).rows;
  (expect(parts.rows == rows, "concat_features: batches of {} and {} samples", rows, parts.rows),
   ...);
  auto y = ctx.tape.template make<Shape<width>>(rows, (parts.differentiable() || ...));
  const auto each = [=](auto&& f) {
    int column = 0;
    ((f(parts, column, N), column += N), ...);
  };
  each([&](auto part, int column, int n) {
    copy_columns<T>(rows, n, {part.value, n}, {y.value + column, width}, false, ctx.executor());
  });
  ctx.tape.record(y, [=, on = &ctx.executor()] {
    each([&](auto part, int column, int n) {
      if (const Sink<T> dx = sink(part); dx.data != nullptr)
        copy_columns<T>(rows, n, {y.gradient->data + column, width}, {dx.data, n}, dx.accumulate,
                        *on);
    });
  });
  return y;
}

}  // namespace poe
