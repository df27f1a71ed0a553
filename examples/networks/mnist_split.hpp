// SPDX-License-Identifier: MIT
// MNIST-Split as types: the networks of the published code, the two halves of a digit.
#pragma once

#include "digit_parts.hpp"

namespace mnist_split {
using namespace poe;
using digit_parts::Top, digit_parts::Bottom, digit_parts::Head, digit_parts::LaplaceExpertHead,
    digit_parts::latent;

using HalfDigit = Shape<1, 14, 28>;  // channels, height, width

// clang-format off
struct Features : digit_parts::Features<HalfDigit> {};
template <int L>
struct DecoderOf : Net<Shape<L>,                                             // a layer says what it makes;
    Linear<512>, Relu, Linear<112>, Relu, Reshape<112, 1, 1>,                // what it takes is inferred
    ConvTranspose2d<56, kernel(3, 5).stride(2)>, Relu,                       // (56, 3, 5)
    ConvTranspose2d<28, kernel(3, 5).stride(2)>, Relu,                       // (28, 7, 13)
    ConvTranspose2d<1, kernel(2, 4).stride(2)>> {};                          // (1, 14, 28), logits
struct Decoder : DecoderOf<latent> {};
// clang-format on
static_assert(std::is_same_v<Features::Out, Shape<768>>);
static_assert(std::is_same_v<Decoder::Out, HalfDigit>);

template <class Name>
using Part = Modality<Name, Features, Decoder, Bernoulli>;
struct Digit : Modalities<Part<Top>, Part<Bottom>> {};

/// What the published code of the paper trains as MMVAE: fewer latent dimensions and hidden units,
/// Laplace experts and pixels.
struct PublishedMmvae {
  static constexpr int latent = 20;
  template <class Name>
  using Part = Modality<Name, Features, DecoderOf<latent>, LaplacePixels<3, 4>>;
  struct Digit : Modalities<Part<Top>, Part<Bottom>> {};
  struct Head : Sequence<Linear<400>, Relu, LaplaceHead<latent>> {};
};

}  // namespace mnist_split
