// SPDX-License-Identifier: MIT
// Networks as types: a layer says what it makes of a shape, a network infers every shape from its
// input's.
//
// A layer is a type with static members only:
// clang-format off
//   apply(Shape) -> Shape                its shape rule; no overload for what it cannot take
//   Misfit<Shape>                        instantiated for what it cannot take: the sentence to print
//   describe<In>(Description&, name)     its parameters (layers without any: derive from Plain)
//   forward<In>(Cursor&, Variable<In>)   its value; takes its parameters from the cursor
// clang-format on
#pragma once

#include <string>

#include <poe/autograd/linear.hpp>
#include <poe/nn/parameter.hpp>

namespace poe {

namespace detail {
template <class>
inline constexpr bool never = false;

/// The shape so far, and the first layer that could not take it; later layers leave a Broken alone,
/// so that one mistake gives one message.
template <class In>
struct At {
  using Out = In;
};
template <class Layer, class In>
struct Broken {};

template <class L, class In>
concept Accepts = requires {
  L::apply(In{});
};

template <class In, class L>
auto operator>>(At<In>, L) {
  if constexpr (Accepts<L, In>)
    return At<decltype(L::apply(In{}))>{};
  else
    return Broken<L, In>{};
}
template <class Layer, class In, class L>
auto operator>>(Broken<Layer, In> b, L) {
  return b;
}

template <class C>
struct Checked {
  using Out = typename C::Out;
};
template <class Layer, class In>
struct Checked<Broken<Layer, In>> : Layer::template Misfit<In> {
  using Out = In;  // a shape to go on with, so that the sentence above stays the only error
};

template <class L>
concept FusesRelu = requires {
  L::fuses_relu;
};

/// Whether the last of some layers makes Laplace experts.
template <class... Layers>
inline constexpr bool ends_in_laplace = false;
template <class L, class... Rest>
inline constexpr bool ends_in_laplace<L, Rest...> = [] {
  if constexpr (sizeof...(Rest) > 0)
    return ends_in_laplace<Rest...>;
  else if constexpr (requires { L::laplace; })
    return L::laplace;
  else
    return false;
}();
}  // namespace detail

/// A layer without parameters.
struct Plain {
  template <class In, class T>
  static void describe(Description<T>&, const std::string&) {}
};

/// max(x, 0). Behind a Linear, a convolution or a BatchNorm2d it is computed where their numbers
/// are stored.
struct Relu;

/// Layers one after the other; itself a layer. Parameters are named by position, as in
/// torch.nn.Sequential.
template <class... Layers>
struct Sequence {
  template <class In>
  using Chain = decltype((detail::At<In>{} >> ... >> Layers{}));
  static constexpr bool laplace = detail::ends_in_laplace<Layers...>;

  template <class In>
  static auto apply(In) -> typename detail::Checked<Chain<In>>::Out;

  template <class In, class T>
  static void describe(Description<T>& d, const std::string& name) {
    describe_from<0, In, T, Layers...>(d, name);
  }

  template <class In, class T, class D>
  static auto forward(Cursor<T, D>& cursor, Variable<T, In, D> x) {
    return forward_from<In, T, D, Layers...>(cursor, x);
  }

 private:
  template <int I, class In, class T>
  static void describe_from(Description<T>&, const std::string&) {}
  template <int I, class In, class T, class L, class... Rest>
  static void describe_from(Description<T>& d, const std::string& name) {
    L::template describe<In>(d, name + "." + std::to_string(I));
    describe_from<I + 1, decltype(L::apply(In{})), T, Rest...>(d, name);
  }

  template <class In, class T, class D>
  static auto forward_from(Cursor<T, D>&, Variable<T, In, D> x) {
    return x;
  }
  template <class In, class T, class D, class L, class... Rest>
  static auto forward_from(Cursor<T, D>& cursor, Variable<T, In, D> x) {
    using Out = decltype(L::apply(In{}));
    return then<Out, T, D, L, Rest...>(cursor, x);
  }
  template <class Out, class T, class D, class L, class In>
  static auto then(Cursor<T, D>& cursor, Variable<T, In, D> x) {
    return L::template forward<In>(cursor, x);
  }
  template <class Out, class T, class D, class L, class Next, class... Rest, class In>
  static auto then(Cursor<T, D>& cursor, Variable<T, In, D> x) {
    if constexpr (detail::FusesRelu<L> && std::is_same_v<Next, Relu>)
      return forward_from<Out, T, D, Rest...>(cursor,
                                              L::template forward<In>(cursor, x, Activation::relu));
    else
      return forward_from<Out, T, D, Next, Rest...>(cursor, L::template forward<In>(cursor, x));
  }
};

/// A network: an input shape and layers. Derive a named struct from it, so that messages and
/// symbols stay short.
template <class InShape, class... Layers>
struct Net : Sequence<Layers...> {
  using In = InShape;
  using Out = decltype(Sequence<Layers...>::apply(In{}));

  template <class T>
  static void describe(Description<T>& d, const std::string& name) {
    Sequence<Layers...>::template describe<In>(d, name);
  }
  template <class T, class D>
  static Variable<T, Out, D> forward(Cursor<T, D>& cursor, Variable<T, In, D> x) {
    return Sequence<Layers...>::template forward<In>(cursor, x);
  }
};

/// The parameters of a network on its own, named from `name` on.
template <class N, class T>
Description<T> describe(const std::string& name) {
  Description<T> d;
  N::template describe<T>(d, name);
  return d;
}

}  // namespace poe
