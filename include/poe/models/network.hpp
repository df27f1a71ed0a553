// SPDX-License-Identifier: MIT
// The encoder networks of a posterior family: features of one or several modalities, then the
// family's head.
#pragma once

#include <poe/models/posterior.hpp>

namespace poe {

/// The head of a posterior family whose modalities have different ones: Joint is that of networks
/// which see several modalities, Own... are those of networks which see one, by modality. Derive a
/// named struct from it.
template <class Joint, class... Own>
struct Heads {
  static constexpr bool laplace = detail::ends_in_laplace<Joint>;
  static_assert(((detail::ends_in_laplace<Own> == laplace) && ...),
                "poe: Heads end all in a GaussianHead or all in a LaplaceHead");
  template <Subset inputs>
  struct For {
    static_assert(inputs >> sizeof...(Own) == 0,
                  "poe: Heads are one for joint networks, then one for each modality");
    using Type = std::tuple_element_t<(size_of(inputs) > 1 ? 0 : 1 + std::countr_zero(inputs)),
                                      std::tuple<Joint, Own...>>;
  };
};

namespace detail {

/// The head of the networks that see `inputs`.
template <class Head, Subset inputs>
struct HeadFor {
  using Type = Head;
};
template <class Head, Subset inputs>
requires requires { typename Head::template For<inputs>; }
struct HeadFor<Head, inputs> {
  using Type = typename Head::template For<inputs>::Type;
};

}  // namespace detail

/// The network that sees the modalities `Inputs` of M: their features side by side, then the head
/// (of FamilyHead, where that is a Heads). Each network has its own features; nothing is shared.
template <class M, class FamilyHead, Subset Inputs>
struct EncoderNetwork {
  using Head = typename detail::HeadFor<FamilyHead, Inputs>::Type;
  template <int I>
  using Features = std::conditional_t<size_of(Inputs) == 1, typename M::template At<I>::Features,
                                      typename M::template At<I>::JointFeatures>;
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
