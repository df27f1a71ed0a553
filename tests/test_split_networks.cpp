// SPDX-License-Identifier: MIT
// The networks of the example programs, halves and thirds of a digit: sizes as published.
// sanitizers: none, what it composes is tested with them alone
#include "support.hpp"

#include <poe/models/network.hpp>

#include "../examples/networks/mnist_split.hpp"
#include "../examples/networks/mnist_split_three.hpp"

namespace {

using namespace poe;

/// Parameters of the encoder that sees the modalities `inputs` of M.
template <class M, class Head, Subset inputs>
std::size_t encoder() {
  Description<float> d;
  EncoderNetwork<M, Head, inputs>::template describe<float>(d, "encoder");
  return d.parameter_count();
}
template <class Decoder>
std::size_t decoder() {
  Description<float> d;
  Decoder::template describe<float>(d, "decoder");
  return d.parameter_count();
}

}  // namespace

TEST_CASE("networks of halves of a digit have as many parameters as published") {
  using mnist_split::Digit, mnist_split::Head;
  CHECK(encoder<Digit, Head, 0b01>() == 1'115'776);
  CHECK(encoder<Digit, Head, 0b10>() == 1'115'776);
  CHECK(encoder<Digit, Head, 0b11>() == 2'165'376);
  CHECK(decoder<mnist_split::Decoder>() == 208'645);
}

TEST_CASE("the published MMVAE of halves of a digit is smaller") {
  using Published = mnist_split::PublishedMmvae;
  CHECK(encoder<Published::Digit, Published::Head, 0b01>() == 980'024);
  CHECK(encoder<Published::Digit, Published::Head, 0b10>() == 980'024);
  CHECK(decoder<mnist_split::DecoderOf<20>>() == 186'117);
  // Without a learnt prior.
  CHECK(Mmvae<float, Published::Digit, Published::Head>().parameter_count() == 2 * 1'166'141);
}

TEST_CASE("networks of thirds of a digit have as many parameters as published") {
  using mnist_split_three::Digit, mnist_split_three::Head;
  CHECK(encoder<Digit, Head, 0b001>() == 1'115'776);
  CHECK(encoder<Digit, Head, 0b010>() == 1'115'776);
  CHECK(encoder<Digit, Head, 0b100>() == 1'115'776);
  CHECK(encoder<Digit, Head, 0b011>() == 2'165'376);
  CHECK(encoder<Digit, Head, 0b101>() == 2'165'376);
  CHECK(encoder<Digit, Head, 0b110>() == 2'165'376);
  CHECK(encoder<Digit, Head, 0b111>() == 3'214'976);
  CHECK(decoder<mnist_split_three::Decoder>() == 169'445);
}

TEST_CASE("models of halves and of thirds have as many parameters as published") {
  {
    using mnist_split::Digit, mnist_split::Head;
    CHECK(Svae<float, Digit, Head>().parameter_count() == 4'880'394);
    CHECK(Vaevae<float, Digit, Head>().parameter_count() == 4'814'218);
    CHECK(VaevaeA<float, Digit, Head>().parameter_count() == 2'648'842);
  }
  {
    using mnist_split_three::Digit, mnist_split_three::Head;
    CHECK(Svae<float, Digit, Head>().parameter_count() == 10'550'319);
    CHECK(Vaevae<float, Digit, Head>().parameter_count() == 13'566'767);
  }
}
