// SPDX-License-Identifier: MIT
// Multiplications and additions of a training step's products, counted from the types of networks.
#pragma once

#include <poe/models/decoders.hpp>
#include <poe/models/network.hpp>

#include <string>

namespace bench {

namespace detail {
using poe::ImageOf, poe::Subset, poe::Geometry;

/// Multiplications of a sample of shape In in the products of a layer; taps in the padding count,
/// as PyTorch executes them. Layers without products have no overload.
template <class In, int Out, bool Bias>
constexpr double products(poe::Linear<Out, Bias>) {
  return double{In::size} * Out;
}
template <class In, int Classes, bool Bias>
constexpr double products(poe::TokenLinear<Classes, Bias>) {
  return double{In::size} * Classes;
}
template <class In, int Filters, Geometry G>
constexpr double products(poe::Conv2d<Filters, G> layer) {
  using Out = decltype(layer.apply(In{}));
  return double{Out::size} * ImageOf<In>::channels * G.kernel_h * G.kernel_w;
}
template <class In, int Filters, Geometry G>
constexpr double products(poe::ConvTranspose2d<Filters, G>) {
  return double{In::size} * Filters * G.kernel_h * G.kernel_w;
}
template <class In, class... Layers>
constexpr double products(poe::Sequence<Layers...>);

template <class In, class Layer>
concept HasProducts = requires {
  products<In>(Layer{});
};
template <class In>
constexpr double in_turn() {
  return 0;
}
template <class In, class Layer, class... Rest>
constexpr double in_turn() {
  double own = 0;
  if constexpr (HasProducts<In, Layer>) own = products<In>(Layer{});
  return own + in_turn<decltype(Layer::apply(In{})), Rest...>();
}
template <class In, class... Layers>
constexpr double products(poe::Sequence<Layers...>) {
  return in_turn<In, Layers...>();
}

/// Those of the first layer, where it is the samples that it multiplies: they have no gradient.
template <class In, class First, class... Rest>
constexpr double of_samples(poe::Sequence<First, Rest...>) {
  if constexpr (std::is_same_v<First, poe::Flatten>)
    return of_samples<decltype(First::apply(In{}))>(poe::Sequence<Rest...>{});
  else if constexpr (HasProducts<In, First>)
    return products<In>(First{});
  else
    return 0;
}

/// Forwards and both gradients, of a sample that the network of `inputs` encodes.
template <class Data, Subset inputs>
constexpr double encoding() {
  using Network = poe::EncoderNetwork<typename Data::Pairs, typename Data::Head, inputs>;
  double all = products<typename Network::Joined>(typename Network::Head{}), first = 0;
  poe::each_index<2>([&]<int I>(std::integral_constant<int, I>) {
    if constexpr (poe::contains(inputs, I)) {
      using Features = typename Network::template Features<I>;
      all += products<typename Features::In>(Features{});
      first += of_samples<typename Features::In>(Features{});
    }
  });
  return 3 * all - first;
}
template <class Data, int I>
constexpr double decoding() {
  using Decoder = typename Data::Pairs::template At<I>::Decoder;
  return 3 * products<typename Decoder::In>(Decoder{});
}

}  // namespace detail

/// Of one step, 2 for every product term: comparable with the figure of torch_peer.py.
template <class Data>
double step_flop(const std::string& model, double batch) {
  using detail::encoding, detail::decoding;
  const bool bounds_on_pairs = model == "svae" || model == "vaevae-star";
  const bool stand_ins = model.starts_with("svae"), joint = !stand_ins && model != "vaevae-a";
  const double encoders = (stand_ins ? 4 : 2) * (encoding<Data, 1>() + encoding<Data, 2>()) +
                          (joint ? encoding<Data, 3>() : 0);
  const double decoders = (bounds_on_pairs ? 3 : 2) * (decoding<Data, 0>() + decoding<Data, 1>());
  return 2 * batch * (encoders + decoders);
}

}  // namespace bench
