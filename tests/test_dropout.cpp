// SPDX-License-Identifier: MIT
// Dropout: its expectation, its units, and its independence of how a batch is split.
#include "network.hpp"

#include <algorithm>
#include <cmath>

using namespace poe;
using namespace poe::test;

TEST_CASE("dropout keeps the expectation, drops whole channels, and does nothing in evaluation") {
  using S = Shape<8, 5, 5>;
  Tensor<double, S> x(400);
  for (double& v : x.flat()) v = 1;
  const auto check = [&]<class L>(L, int percent, bool channels) {
    Model<Net<S, L>> model(1);
    const auto y = model.forward(x, Mode::train);
    const double kept = 1 / (1 - percent / 100.0);
    double sum = 0;
    for (std::size_t i = 0; i < y.count(); ++i) {
      REQUIRE((y.value[i] == 0 || y.value[i] == Approx(kept)));
      // Channels are the fastest index, so pixel 0 of the same sample and channel lies here.
      if (channels) REQUIRE(y.value[i] == y.value[i / S::size * S::size + i % 8]);
      sum += y.value[i];
    }
    const double units = 400 * (channels ? 8 : S::size), p = percent / 100.0;
    CHECK(std::abs(sum / static_cast<double>(y.count()) - 1) <= 5 * std::sqrt(p / (1 - p) / units));
    const auto z = model.forward(x, Mode::evaluate);
    CHECK(std::equal(z.value, z.value + z.count(), x.data()));
  };
  check(Dropout<50>{}, 50, false);
  check(Dropout<20>{}, 20, false);
  check(Dropout<0>{}, 0, false);
  check(ChannelDropout<50>{}, 50, true);
  check(ChannelDropout<10>{}, 10, true);
}

TEST_CASE("dropout does not depend on how a batch is split, and differs between layers") {
  using S = Shape<3, 2, 2>;
  using Twice = Net<S, Dropout<50>, ChannelDropout<30>, Dropout<50>>;
  const auto x = normal_tensor<S>(13, 1);
  Model<Twice> whole(1), part(1);
  const auto want = whole.forward(x, Mode::train);
  for (int ranks = 1; ranks <= 5; ++ranks)
    for (int rank = 0; rank < ranks; ++rank) {
      const Slice s = slice_of(13, rank, ranks);
      Tensor<double, S> rows(s.count);
      std::copy_n(x.data() + s.first * S::size, s.count * S::size, rows.data());
      const auto got = part.forward(rows, Mode::train, s.first);
      REQUIRE(std::equal(got.value, got.value + got.count(), want.value + s.first * S::size));
    }
  // Two layers with the same mask would keep half of the numbers.
  Model<Net<Shape<1000>, Dropout<50>, Dropout<50>>> two(1);
  const auto y = two.forward(normal_tensor<Shape<1000>>(10, 1), Mode::train);
  const auto kept = 10'000 - std::count(y.value, y.value + y.count(), 0.0);
  CHECK(std::abs(static_cast<double>(kept) - 2500) < 5 * std::sqrt(10'000 * 0.25 * 0.75));
}
