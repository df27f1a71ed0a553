// SPDX-License-Identifier: MIT
// MNIST-Split-3 as types: the networks of the published code, the three thirds of a digit.
#pragma once

#include "digit_parts.hpp"

namespace mnist_split_three {
using namespace poe;
using digit_parts::Top, digit_parts::Middle, digit_parts::Bottom, digit_parts::Head,
    digit_parts::LaplaceExpertHead, digit_parts::latent;

using ThirdDigit = Shape<1, 9, 28>;  // channels, height, width

// The published decoder gets its ninth row from output_pad, where no tap of the last layer reaches:
// it is sigmoid(bias) throughout, a line below every third that is generated.
// clang-format off
struct Features : digit_parts::Features<ThirdDigit> {};
struct Decoder : Net<Shape<latent>,                                          // a layer says what it makes;
    Linear<512>, Relu, Linear<112>, Relu, Reshape<112, 1, 1>,                // what it takes is inferred
    ConvTranspose2d<56, kernel(2, 5).stride(2)>, Relu,                       // (56, 2, 5)
    ConvTranspose2d<28, kernel(2, 5).stride(2)>, Relu,                       // (28, 4, 13)
    ConvTranspose2d<1, kernel(2, 4).stride(2).output_pad(1, 0)>> {};         // (1, 9, 28), logits
// clang-format on
static_assert(std::is_same_v<Features::Out, Shape<768>>);
static_assert(std::is_same_v<Decoder::Out, ThirdDigit>);

template <class Name>
using Part = Modality<Name, Features, Decoder, Bernoulli>;
struct Digit : Modalities<Part<Top>, Part<Middle>, Part<Bottom>> {};

}  // namespace mnist_split_three
