// SPDX-License-Identifier: MIT
// Operations that move numbers: flattening, joining batches, joining features.
#pragma once

#include <span>
#include <tuple>

#include <poe/autograd/context.hpp>

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
    if constexpr (moves(From{}))
      to_nchw<T, From>(x.value, y.value, x.rows);
    else
      from_nchw<T, To>(x.value, y.value, x.rows);
    ctx.tape.record(y, [=, arena = &ctx.arena()] {
      const Sink<T> dx = sink(x);
      Scratch scratch(*arena);
      T* const moved = dx.accumulate ? scratch.take<T>(x.count()) : dx.data;
      if constexpr (moves(From{}))
        from_nchw<T, From>(y.gradient->data, moved, x.rows);
      else
        to_nchw<T, To>(y.gradient->data, moved, x.rows);
      if (dx.accumulate)
        for (std::size_t i = 0; i < x.count(); ++i) dx.data[i] += moved[i];
    });
    return y;
  }
}

/// Rows of several variables, one after the other, as one batch.
template <class T, class S, class D>
Variable<T, S, D> concat_rows(Context<T, D>& ctx, std::span<const Rows<T, S, D>> parts) {
  int rows = 0;
  bool differentiable = false;
  for (const auto& p : parts)
    rows += p.count, differentiable = differentiable || p.of.differentiable();
  if (parts.size() == 1 && parts[0].count == parts[0].of.rows) return parts[0].of;
  auto y = ctx.tape.template make<S>(rows, differentiable);
  auto* const kept = ctx.arena().template take<Rows<T, S, D>>(parts.size());
  std::size_t at = 0;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const std::size_t n = static_cast<std::size_t>(parts[i].count) * S::size;
    kept[i] = parts[i];
    if (n > 0) std::memcpy(y.value + at, parts[i].of.value + parts[i].offset(), n * sizeof(T));
    at += n;
  }
  ctx.tape.record(y, [=, count = parts.size()] {
    const T* dy = y.gradient->data;
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t n = static_cast<std::size_t>(kept[i].count) * S::size;
      if (T* const dx = add_sink(kept[i]); dx != nullptr)
        for (std::size_t e = 0; e < n; ++e) dx[e] += dy[e];
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
    for (int r = 0; r < rows; ++r)
      std::memcpy(y.value + static_cast<std::ptrdiff_t>(r) * width + column,
                  part.value + static_cast<std::ptrdiff_t>(r) * n,
                  static_cast<std::size_t>(n) * sizeof(T));
  });
  ctx.tape.record(y, [=] {
    each([&](auto part, int column, int n) {
      if (const Sink<T> dx = sink(part); dx.data != nullptr)
        for (int r = 0; r < rows; ++r)
          for (int i = 0; i < n; ++i)
            dx.put(static_cast<std::size_t>(r * n + i),
                   y.gradient->data[static_cast<std::ptrdiff_t>(r) * width + column + i]);
    });
  });
  return y;
}

}  // namespace poe
