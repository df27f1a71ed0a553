// SPDX-License-Identifier: MIT
// Parameters of the published networks for MNIST-SVHN and CUB-Captions.
// sanitizers: none, it counts the parameters of types
#include <poe/models/paper.hpp>

#include <catch2/catch.hpp>

#include "../examples/networks/cub_captions.hpp"
#include "../examples/networks/mnist_svhn.hpp"

namespace {

template <class N>
std::size_t count() {
  return poe::describe<N, float>("").parameter_count();
}

}  // namespace

// The counts are those of the published code, layer by layer (docs/models.md has the layers).
TEST_CASE("the networks of MNIST-SVHN have the published numbers of parameters") {
  using namespace mnist_svhn;
  CHECK(count<MnistFeatures>() == 314000);
  CHECK(count<MnistDecoder>() == 322784);
  CHECK(count<SvhnFeatures>() == 1568 + 32832 + 131200);
  CHECK(count<SvhnJointFeatures>() == 1568 + 32832 + 131200 + 819600);
  CHECK(count<SvhnDecoder>() == 206563);
  CHECK(poe::Svae<float, Pairs, Head>().parameter_count() == 1684547);
  CHECK(poe::Vaevae<float, Pairs, Head>().parameter_count() == 2438187);
  CHECK(poe::VaevaeA<float, Pairs, Head>().parameter_count() == 330040 + 247560 + 322784 + 206563);
}

TEST_CASE("the networks of CUB-Captions have the published numbers of parameters") {
  using namespace cub_captions;
  CHECK(count<TextFeatures>() == 762048 - 2 * 131072);
  CHECK(count<TextDecoder>() == 632566);
  CHECK(count<ImageFeatures<2048>>() == 2098176 + 524800 + 131328);
  CHECK(count<ImageDecoder<2048>>() == 2772736);
  CHECK(poe::Svae<float, Pairs<2048>, Head>().parameter_count() == 10503798);
  CHECK(poe::Vaevae<float, Pairs<2048>, Head>().parameter_count() == 11454582);
  // The width is that of the first encoder layers and of the decoder's last.
  CHECK(poe::Svae<float, Pairs<512>, Head>().parameter_count() ==
        10503798 - 2 * (2048 - 512) * 1024 - (2048 - 512) * 1025);
}
