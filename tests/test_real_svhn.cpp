// SPDX-License-Identifier: MIT
// SVHN itself, or the part of it whose numbers are known here: as SciPy reads it.
#include "real_data.hpp"
#include "support.hpp"

#include <poe/data/svhn.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace {
const auto folder = poe::test::real_data({"svhn/train_32x32.mat", "svhn/test_32x32.mat"});

std::vector<int> counts(const poe::Digits& digits) {
  std::vector<int> n(10);
  for (const std::uint8_t label : digits.labels) ++n[label];
  return n;
}

int pixel(const poe::Digits& digits, int h, int w, int c, int n) {
  return digits.pixels.at(static_cast<std::size_t>(((n * 32 + h) * 32 + w) * 3 + c));
}

/// Of each channel.
std::array<std::int64_t, 3> sums(const poe::Digits& digits) {
  std::array<std::int64_t, 3> sum{};
  for (std::size_t i = 0; i < digits.pixels.size(); ++i) sum[i % 3] += digits.pixels[i];
  return sum;
}

}  // namespace

TEST_CASE("real digits of SVHN are read as SciPy reads them") {
  const poe::SvhnFiles files = poe::load_svhn(folder);
  if (files.train.rows != 849 || files.test.rows != 234) {  // not the part that is checked below
    CHECK(files.train.rows == 73257);
    CHECK(files.test.rows == 26032);
    CHECK(counts(files.train) ==
          std::vector<int>{4948, 13861, 10585, 8497, 7458, 6882, 5727, 5595, 5045, 4659});
    CHECK(counts(files.test) ==
          std::vector<int>{1744, 5099, 4149, 2882, 2523, 2384, 1977, 2019, 1660, 1595});
    return;
  }
  CHECK(counts(files.train) == std::vector<int>{52, 176, 108, 100, 95, 79, 63, 60, 64, 52});
  CHECK(counts(files.test) == std::vector<int>{14, 51, 33, 34, 15, 33, 15, 10, 14, 15});
  CHECK(sums(files.train) == std::array<std::int64_t, 3>{99605643, 100254711, 105782421});
  CHECK(sums(files.test) == std::array<std::int64_t, 3>{28343056, 28810429, 30435703});
  CHECK(pixel(files.train, 0, 0, 0, 0) == 33);
  CHECK(pixel(files.train, 3, 17, 1, 5) == 110);
  CHECK(pixel(files.train, 31, 30, 2, 100) == 66);
  CHECK(pixel(files.train, 5, 7, 0, 848) == 230);
  CHECK(pixel(files.test, 3, 17, 1, 5) == 185);
  CHECK(pixel(files.test, 5, 7, 0, 233) == 173);
}
