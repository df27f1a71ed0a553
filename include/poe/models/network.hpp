// SPDX-License-Identifier: MIT
// The encoder networks of a posterior family: features of one or several modalities, then the
// family's head.
#pragma once

#include <poe/models/posterior.hpp>

namespace poe {

/// The network that sees the modalities `Inputs` of M: their Features side by side, then Head. Each
/// network has its own features; nothing is shared.
template <class M, class Head, Subset Inputs>
struct EncoderNetwork {
  template <int I>
  using Features = typename M::template At<I>::Features;
  static constexpr int first = std::countr_zero(Inputs);

  template <int... I>
  static constexpr int width(std::integer_sequence<int, I...>) {
    return ((contains(Inputs, I) ? Features<I>::Out::size : 0) + ...);
  }
  using Joined = Shape<width(std::make_integer_sequence<int, M::count>{})>;
  using Out = decltype(Head::apply(Joined{}));

  template <class T>
  static void describe(Description<T>& d, const std::string& name) {
    each([&]<int I>(std::integral_constant<int, I>) {
      const std::string features = name + ".features";
      Features<I>::template describe<T>(
          d, size_of(Inputs) == 1 ? features : features + "." + M::name(I));
    });
    Head::template describe<Joined>(d, name + ".head");
  }

  /// x(I) gives the samples of modality I.
  template <class T, class D, class F>
  static Variable<T, Out, D> forward(Cursor<T, D>& cursor, F&& x) {
    return join<T, D>(cursor, x, std::make_integer_sequence<int, M::count>{});
  }

 private:
  template <class F>
  static void each(F&& f) {
    [&]<int... I>(std::integer_sequence<int, I...>) {
      (
          [&] {
            if constexpr (contains(Inputs, I)) f(std::integral_constant<int, I>{});
          }(),
          ...);
    }
    (std::make_integer_sequence<int, M::count>{});
  }

  template <class T, class D, class F, int... I>
  static Variable<T, Out, D> join(Cursor<T, D>& cursor, F&& x, std::integer_sequence<int, I...>) {
    const auto part = [&]<int J>(std::integral_constant<int, J> j) {
      if constexpr (contains(Inputs, J))
        return std::tuple{Features<J>::forward(cursor, x(j))};
      else
        return std::tuple<>{};
    };
    // Braces fix the order of evaluation: the cursor walks the modalities from first to last.
    std::tuple<decltype(part(std::integral_constant<int, I>{}))...> parts{
        part(std::integral_constant<int, I>{})...};
    const auto features = std::apply([](auto&... p) { return std::tuple_cat(p...); }, parts);
    const auto joined = std::apply(
        [&](auto... f) {
          if constexpr (sizeof...(f) == 1)
            return (f, ...);
          else
            return concat_features(cursor.context, f...);
        },
        features);
    return Head::template forward<Joined>(cursor, joined);
  }
};

}  // namespace poe
