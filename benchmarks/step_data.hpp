// SPDX-License-Identifier: MIT
// The data sets whose training steps are timed: their networks, and made-up samples in the real
// shapes.
#pragma once

#include <poe/data/samples.hpp>

#include <array>

#include "../examples/networks/cub_captions.hpp"
#include "../examples/networks/mnist_split.hpp"
#include "../examples/networks/mnist_svhn.hpp"

namespace bench {

/// What a training step depends on: modalities, head, number of samples, and the published code's
/// batch and weights of the log-likelihoods.
struct MnistSplit {
  using Pairs = mnist_split::Digit;
  using Head = mnist_split::Head;
  static constexpr const char* name = "mnist_split";
  static constexpr int samples = 60000, batch = 100;
  static constexpr double lambda[] = {1, 1};
};
struct MnistSvhn {
  using Pairs = mnist_svhn::Pairs;
  using Head = mnist_svhn::Head;
  static constexpr const char* name = "mnist_svhn";
  static constexpr int samples = 10000, batch = 256;
  static constexpr double lambda[] = {1, 1};
};
struct CubCaptions {
  using Pairs = cub_captions::Pairs<2048>;
  using Head = cub_captions::Head;
  static constexpr const char* name = "cub_captions";
  static constexpr int samples = 10000, batch = 100;
  static constexpr double lambda[] = {1, 0.002};
};

/// Number i of an image: sparse bright pixels, as in digits.
inline float made_pixel(std::size_t i) { return i % 5 == 0 ? static_cast<float>(i % 97) / 97 : 0; }
/// Number i of an image's features: dense, about 0.5.
inline float made_feature(std::size_t i) { return static_cast<float>(i % 97) / 97; }
/// Number i of captions: fifteen words, then <pad>.
inline float made_word(std::size_t i) {
  constexpr std::size_t pad = 1, classes = cub_captions::vocabulary_size;
  return static_cast<float>(i % cub_captions::sentence_length < 15 ? 1 + i % (classes - 1) : pad);
}

/// Samples of a data set, and the memory in which they lie.
template <class Data>
struct MadeSamples {
  using Pairs = typename Data::Pairs;
  std::array<poe::Buffer<float>, 2> values;
  poe::Samples<float, Pairs> samples;

  MadeSamples() {
    samples.rows = Data::samples;
    poe::each_index<2>([&]<int I>(std::integral_constant<int, I>) {
      using Part = typename Pairs::template At<I>;
      values[I] = poe::Buffer<float>(std::size_t{Data::samples} * Part::Sample::size);
      constexpr auto kind = Part::Likelihood::spec.kind;
      constexpr auto make = kind == poe::LikelihoodSpec::categorical ? made_word
                            : kind == poe::LikelihoodSpec::laplace   ? made_feature
                                                                     : made_pixel;
      for (std::size_t i = 0; i < values[I].size(); ++i) values[I][i] = make(i);
      std::get<I>(samples.stored) = {values[I].data(), Data::samples};
    });
  }
};

}  // namespace bench
