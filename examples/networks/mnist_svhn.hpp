// SPDX-License-Identifier: MIT
// MNIST-SVHN as types: the networks of the published code, a digit written and on a house.
#pragma once

#include <poe/poe.hpp>

namespace mnist_svhn {
using namespace poe;

inline constexpr int latent = 20;
using WrittenDigit = Shape<1, 28, 28>;  // channels, height, width
using HouseDigit = Shape<3, 32, 32>;

// clang-format off
struct MnistFeatures : Net<WrittenDigit, Flatten, Linear<400>, Relu> {};
struct MnistDecoder : Net<Shape<latent>,
    Linear<400>, Relu, Linear<784>, Reshape<1, 28, 28>> {};                  // logits

struct SvhnFeatures : Net<HouseDigit,
    Conv2d<32, kernel(4).stride(2).pad(1)>, Relu,                            // (32, 16, 16)
    Conv2d<64, kernel(4).stride(2).pad(1)>, Relu,                            // (64, 8, 8)
    Conv2d<128, kernel(4).stride(2).pad(1)>, Relu,                           // (128, 4, 4)
    Flatten> {};
struct SvhnJointFeatures : Net<HouseDigit,
    Conv2d<32, kernel(4).stride(2).pad(1)>, Relu,
    Conv2d<64, kernel(4).stride(2).pad(1)>, Relu,
    Conv2d<128, kernel(4).stride(2).pad(1)>, Relu,
    Flatten, Linear<400>> {};
struct SvhnDecoder : Net<Shape<latent>, Reshape<latent, 1, 1>,
    ConvTranspose2d<128, kernel(4)>, Relu,                                   // (128, 4, 4)
    ConvTranspose2d<64, kernel(4).stride(2).pad(1)>, Relu,                   // (64, 8, 8)
    ConvTranspose2d<32, kernel(4).stride(2).pad(1)>, Relu,                   // (32, 16, 16)
    ConvTranspose2d<3, kernel(4).stride(2).pad(1)>> {};                      // (3, 32, 32), logits
// clang-format on
static_assert(std::is_same_v<SvhnDecoder::Out, HouseDigit>);

/// Features lead straight to location and raw scale.
struct Head : Sequence<GaussianHead<latent>> {};
struct LaplaceExpertHead : Sequence<LaplaceHead<latent>> {};

struct Mnist {
  static constexpr const char* name = "mnist";
};
struct Svhn {
  static constexpr const char* name = "svhn";
};

template <class OfMnist, class OfSvhn>
struct PairsOf : Modalities<Modality<Mnist, MnistFeatures, MnistDecoder, OfMnist>,
                            Modality<Svhn, SvhnFeatures, SvhnDecoder, OfSvhn, SvhnJointFeatures>> {
};
struct Pairs : PairsOf<Bernoulli, Bernoulli> {};
/// The decoder distributions of the published code of MMVAE: Laplace of scale 0.75, and the means
/// of MNIST's pixels are kept within [1e-6, 1 - 1e-6].
struct LaplacePairs : PairsOf<LaplacePixels<3, 4, 1>, LaplacePixels<3, 4>> {};

}  // namespace mnist_svhn
