// SPDX-License-Identifier: MIT
// What MNIST-Split in halves and in thirds have in common, as types: encoders and names of parts.
#pragma once

#include <poe/poe.hpp>

namespace digit_parts {
using namespace poe;

inline constexpr int latent = 64;

// clang-format off
/// The published encoder of a part of a digit. Right: what a layer makes of a half, and of a third.
template <class Part>
struct Features : Net<Part,
    Conv2d<64, kernel(4).stride(2).pad(1).no_bias()>, Relu,                  // (64, 7, 14)    (64, 4, 14)
    Conv2d<128, kernel(4).stride(2).pad(1).no_bias()>, Relu,                 // (128, 3, 7)    (128, 2, 7)
    Conv2d<256, kernel(4).stride(2).pad(1).no_bias()>, Relu,                 // (256, 1, 3)    (256, 1, 3)
    Flatten> {};                                                             // (768)          (768)
struct Head : Sequence<Linear<512>, Relu, GaussianHead<latent>> {};          // location, raw scale
struct LaplaceExpertHead : Sequence<Linear<512>, Relu, LaplaceHead<latent>> {};
// clang-format on

struct Top {
  static constexpr const char* name = "top";
};
struct Middle {
  static constexpr const char* name = "middle";
};
struct Bottom {
  static constexpr const char* name = "bottom";
};

}  // namespace digit_parts
