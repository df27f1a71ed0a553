// SPDX-License-Identifier: MIT
// MNIST-Split as types: the networks of the published code, the two halves of a digit, the models.
#pragma once

#include <poe/poe.hpp>

namespace mnist_split {
using namespace poe;

using HalfDigit = Shape<1, 14, 28>;  // channels, height, width
inline constexpr int latent = 64;

// clang-format off
struct Features : Net<HalfDigit,                                             // a layer says what it makes;
    Conv2d<64, kernel(4).stride(2).pad(1).no_bias()>, Relu,                  // (64, 7, 14)    what it takes
    Conv2d<128, kernel(4).stride(2).pad(1).no_bias()>, Relu,                 // (128, 3, 7)    is inferred
    Conv2d<256, kernel(4).stride(2).pad(1).no_bias()>, Relu,                 // (256, 1, 3)
    Flatten> {};                                                             // (768)
struct Head : Sequence<Linear<512>, Relu, GaussianHead<latent>> {};          // location, raw scale
struct Decoder : Net<Shape<latent>,
    Linear<512>, Relu, Linear<112>, Relu, Reshape<112, 1, 1>,
    ConvTranspose2d<56, kernel(3, 5).stride(2)>, Relu,                       // (56, 3, 5)
    ConvTranspose2d<28, kernel(3, 5).stride(2)>, Relu,                       // (28, 7, 13)
    ConvTranspose2d<1, kernel(2, 4).stride(2)>> {};                          // (1, 14, 28), logits
// clang-format on
static_assert(std::is_same_v<Decoder::Out, HalfDigit>);

struct Top {
  static constexpr const char* name = "top";
};
struct Bottom {
  static constexpr const char* name = "bottom";
};
template <class Name>
using Part = Modality<Name, Features, Decoder, Bernoulli>;
struct Digit : Modalities<Part<Top>, Part<Bottom>> {};

/// Calls run(model) with the model of that name, e.g. "svae" -> Svae<float, Digit, Head, Device>.
template <class Device = Cpu, class F>
void with_model(const std::string& name, const VaeOptions& options, F&& run) {
  if (name == "svae")
    run(Svae<float, Digit, Head, Device>(options));
  else if (name == "svae-star")
    run(SvaeStar<float, Digit, Head, Device>(options));
  else if (name == "vaevae")
    run(Vaevae<float, Digit, Head, Device>(options));
  else if (name == "vaevae-a")
    run(VaevaeA<float, Digit, Head, Device>(options));
  else if (name == "vaevae-star")
    run(VaevaeStar<float, Digit, Head, Device>(options));
  else
    fail("--model: expected svae, svae-star, vaevae, vaevae-a or vaevae-star, got '{}'", name);
}

}  // namespace mnist_split
