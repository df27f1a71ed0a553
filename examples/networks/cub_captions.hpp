// SPDX-License-Identifier: MIT
// CUB-Captions as types: the networks of the published code, a sentence and the features of an
// image.
#pragma once

#include <poe/poe.hpp>

namespace cub_captions {
using namespace poe;

inline constexpr int latent = 64;
inline constexpr int sentence_length = 32;
/// Ids of tokens: that of words that are not in the vocabulary is neither embedded nor scored.
inline constexpr int unknown_word = 0;
/// Classes of the paper's vocabulary.
inline constexpr int vocabulary_size = 1590;
using Sentence = Shape<sentence_length>;

// clang-format off
struct TextFeatures : Net<Sentence,
    Embedding<vocabulary_size, 128, unknown_word>,                                         // (1, 32, 128)
    Conv2d<32, kernel(4).stride(2).pad(1).no_bias()>, BatchNorm2d, Relu,                   // (32, 16, 64)
    Conv2d<64, kernel(4).stride(2).pad(1).no_bias()>, BatchNorm2d, Relu,                   // (64, 8, 32)
    Conv2d<128, kernel(4).stride(2).pad(1).no_bias()>, BatchNorm2d, Relu,                  // (128, 4, 16)
    Conv2d<128, kernel(1, 4).stride(1, 2).pad(0, 1).no_bias()>, BatchNorm2d, Relu,         // (128, 4, 8)
    Conv2d<128, kernel(1, 4).stride(1, 2).pad(0, 1).no_bias()>, BatchNorm2d, Relu,         // (128, 4, 4)
    Flatten> {};
struct TextDecoder : Net<Shape<latent>, Reshape<latent, 1, 1>,
    ConvTranspose2d<128, kernel(4).no_bias()>, BatchNorm2d, Relu,                          // (128, 4, 4)
    ConvTranspose2d<128, kernel(1, 4).stride(1, 2).pad(0, 1).no_bias()>, BatchNorm2d, Relu,  // (128, 4, 8)
    ConvTranspose2d<128, kernel(1, 4).stride(1, 2).pad(0, 1).no_bias()>, BatchNorm2d, Relu,  // (128, 4, 16)
    ConvTranspose2d<64, kernel(4).stride(2).pad(1).no_bias()>, BatchNorm2d, Relu,          // (64, 8, 32)
    ConvTranspose2d<32, kernel(4).stride(2).pad(1).no_bias()>, BatchNorm2d, Relu,          // (32, 16, 64)
    ConvTranspose2d<1, kernel(4).stride(2).pad(1).no_bias()>, Relu,                        // (1, 32, 128)
    TokenLinear<vocabulary_size>> {};                                                      // logits by token

template <int Width>
struct ImageFeatures : Net<Shape<Width>,
    Linear<1024>, Elu, Linear<512>, Elu, Linear<256>, Elu> {};
template <int Width>
struct ImageDecoder : Net<Shape<latent>,
    Linear<256>, Elu, Linear<512>, Elu, Linear<1024>, Elu, Linear<Width>> {};
// clang-format on

/// The last layers of networks that see a caption and an image, a caption, or an image.
template <template <int, bool> class Expert>
using HeadsOf = Heads<Sequence<Linear<512>, Relu, Expert<latent, true>>,
                      Sequence<Expert<latent, false>>, Sequence<Expert<latent, true>>>;
struct Head : HeadsOf<GaussianHead> {};
struct LaplaceExpertHead : HeadsOf<LaplaceHead> {};

struct Caption {
  static constexpr const char* name = "caption";
};
struct Image {
  static constexpr const char* name = "image";
};

/// Captions, and images as features of this width: 2048 in the paper (ResNet-101).
template <int Width>
struct Pairs
    : Modalities<Modality<Caption, TextFeatures, TextDecoder, Categorical<unknown_word>>,
                 Modality<Image, ImageFeatures<Width>, ImageDecoder<Width>, Laplace<1, 100>>> {};

}  // namespace cub_captions
