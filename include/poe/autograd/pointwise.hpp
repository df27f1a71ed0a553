// SPDX-License-Identifier: MIT
// Elementwise functions on the tape: each is a functor with its value and its derivative.
#pragma once

#include <poe/autograd/context.hpp>
#include <poe/core/math.hpp>

namespace poe {

// A functor has value(x) and slope(x, y): the derivative at x, given y = value(x).

struct ReluFunction {
  template <class T>
  POE_HD static T value(T x) {
    return x > T(0) ? x : T(0);
  }
  template <class T>
  POE_HD static T slope(T, T y) {
    return y > T(0) ? T(1) : T(0);
  }
};

/// x for x > 0, e^x - 1 below.
struct EluFunction {
  template <class T>
  POE_HD static T value(T x) {
    return x > T(0) ? x : math::exp(x) - T(1);
  }
  template <class T>
  POE_HD static T slope(T x, T y) {
    return x > T(0) ? T(1) : y + T(1);
  }
};

struct SigmoidFunction {
  template <class T>
  POE_HD static T value(T x) {
    return math::sigmoid(x);
  }
  template <class T>
  POE_HD static T slope(T, T y) {
    return y * (T(1) - y);
  }
};

struct SoftplusFunction {
  template <class T>
  POE_HD static T value(T x) {
    return math::softplus(x);
  }
  template <class T>
  POE_HD static T slope(T x, T) {
    return math::sigmoid(x);
  }
};

/// y = F(x), element by element.
template <class F, class T, class S, class D>
Variable<T, S, D> map(Context<T, D>& ctx, Variable<T, S, D> x) {
  auto y = ctx.tape.template make<S>(x.rows, x.differentiable());
  for (std::size_t i = 0; i < x.count(); ++i) y.value[i] = F::template value<T>(x.value[i]);
  ctx.tape.record(y, [=] {
    const Sink<T> dx = sink(x);
    for (std::size_t i = 0; i < x.count(); ++i)
      dx.put(i, y.gradient->data[i] * F::template slope<T>(x.value[i], y.value[i]));
  });
  return y;
}

/// a + b, of one shape: the join of a residual block.
template <class T, class S, class D>
Variable<T, S, D> add(Context<T, D>& ctx, Variable<T, S, D> a, Variable<T, S, D> b) {
  expect(a.rows == b.rows, "add: batches of {} and {} samples", a.rows, b.rows);
  auto y = ctx.tape.template make<S>(a.rows, a.differentiable() || b.differentiable());
  for (std::size_t i = 0; i < a.count(); ++i) y.value[i] = a.value[i] + b.value[i];
  ctx.tape.record(y, [=] {
    for (const auto& x : {a, b})
      if (const Sink<T> dx = sink(x); dx.data != nullptr)
        for (std::size_t i = 0; i < y.count(); ++i) dx.put(i, y.gradient->data[i]);
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
  T* const scale = ctx.arena().template take<T>(kept);
  const Random random = ctx.random.with_stream(stream);
  const auto base = static_cast<std::uint64_t>(ctx.first_row) * static_cast<std::uint64_t>(units);
  for (std::size_t i = 0; i < kept; ++i)
    scale[i] = random.uniform<T>(base + i) < T(p) ? T(0) : T(1.0 / (1.0 - p));
  // Channels are the fastest index, so element i of a sample belongs to unit i % units in both
  // cases.
  const auto apply = [=](const T* from, auto&& put) {
    for (std::size_t n = 0; n < static_cast<std::size_t>(x.rows); ++n)
      for (std::size_t i = 0; i < static_cast<std::size_t>(S::size); ++i) {
        const std::size_t e = n * S::size + i;
        put(e,
            from[e] *
                scale[n * static_cast<std::size_t>(units) + i % static_cast<std::size_t>(units)]);
      }
  };
  apply(x.value, [&](std::size_t e, T v) { y.value[e] = v; });
  ctx.tape.record(y, [=] {
    const Sink<T> dx = sink(x);
    apply(y.gradient->data, [&](std::size_t e, T v) { dx.put(e, v); });
  });
  return y;
}

}  // namespace poe
