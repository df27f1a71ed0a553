// SPDX-License-Identifier: MIT
// A sentence and a vector as modalities: small, smooth networks with every layer of those for
// captions, heads that differ by modality, and features of their own for joint networks.
#pragma once

#include <poe/models/paper.hpp>

namespace poe::test {

struct Caption {
  static constexpr const char* name = "caption";
};
struct Photo {
  static constexpr const char* name = "photo";
};

using Words = Shape<4>;  // ids below 7; 0 is neither embedded nor scored
using Photograph = Shape<5>;

// clang-format off
struct WordFeatures : Net<Words,
    Embedding<7, 6, 0>,                                                              // (1, 4, 6)
    Conv2d<3, kernel(2).stride(2).no_bias()>, BatchNorm2d, Softplus, Flatten> {};    // (18)
struct WordJointFeatures : Net<Words,
    Embedding<7, 6, 0>, Conv2d<2, kernel(2).stride(2)>, Softplus, Flatten, Linear<4>> {};
struct WordDecoder : Net<Shape<3>,
    Linear<24>, Softplus, Reshape<1, 4, 6>, BatchNorm2d, Softplus, TokenLinear<7>> {};
struct PhotoFeatures : Net<Photograph, Linear<6>, Elu> {};
struct PhotoDecoder : Net<Shape<3>, Linear<6>, Elu, Linear<5>> {};
// clang-format on
struct CaptionHead : Heads<Sequence<Linear<5>, Elu, GaussianHead<3>>,
                           Sequence<GaussianHead<3, false>>, Sequence<GaussianHead<3>>> {};

struct Captioned
    : Modalities<Modality<Caption, WordFeatures, WordDecoder, Categorical<0>, WordJointFeatures>,
                 Modality<Photo, PhotoFeatures, PhotoDecoder, Normal<1, 2>>> {};

/// Sample n: id e is Random{4, 0, n}.below(7, e), number e is Random{4, 1, n}.normal(e).
template <class T>
struct CaptionedBatch {
  Tensor<T, Words> words;
  Tensor<T, Photograph> photos;

  explicit CaptionedBatch(int rows, int first = 0) : words(rows), photos(rows) {
    for (int n = 0; n < rows; ++n) {
      const auto sample = static_cast<std::uint32_t>(first + n);
      for (std::uint32_t e = 0; e < 4; ++e)
        words.row(n)[e] = static_cast<T>(Random{4, 0, sample}.below(7, e));
      for (std::uint32_t e = 0; e < 5; ++e)
        photos.row(n)[e] =
            static_cast<T>(static_cast<float>(Random{4, 1, sample}.normal<double>(e)));
    }
  }
  Group<T, Captioned> both(std::uint32_t loader) const {
    return observe<T, Captioned>(loader, given<Caption>(words), given<Photo>(photos));
  }
  Group<T, Captioned> caption(std::uint32_t loader) const {
    return observe<T, Captioned>(loader, given<Caption>(words));
  }
  Group<T, Captioned> photo(std::uint32_t loader) const {
    return observe<T, Captioned>(loader, given<Photo>(photos));
  }
};

}  // namespace poe::test
