// SPDX-License-Identifier: MIT
// MNIST itself: its published sizes, label counts and moments.
#include "real_data.hpp"
#include "support.hpp"

#include <poe/data/mnist.hpp>

#include <cmath>
#include <cstdint>
#include <vector>

namespace {
using Bytes = std::vector<std::uint8_t>;
const auto folder = poe::test::real_data({"mnist"});

std::vector<int> counts(const poe::Digits& digits) {
  std::vector<int> n(10);
  for (const std::uint8_t label : digits.labels) ++n[label];
  return n;
}

}  // namespace

TEST_CASE("MNIST itself has its published sizes, label counts and moments") {
  const poe::MnistFiles files = poe::load_mnist(folder);
  CHECK(files.train.rows == 60000);
  CHECK(files.test.rows == 10000);
  CHECK(counts(files.train) ==
        std::vector<int>{5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949});
  CHECK(counts(files.test) ==
        std::vector<int>{980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009});
  CHECK(Bytes(files.train.labels.begin(), files.train.labels.begin() + 5) == Bytes{5, 0, 4, 1, 9});
  CHECK(Bytes(files.test.labels.begin(), files.test.labels.begin() + 5) == Bytes{7, 2, 1, 0, 4});

  // The constants with which everybody normalises MNIST.
  double sum = 0, squares = 0;
  for (const std::uint8_t p : files.train.pixels) sum += p, squares += double{1} * p * p;
  const double n = 60000.0 * 784, mean = sum / n;
  CHECK(mean / 255 == Approx(0.1307).margin(0.00005));
  CHECK(std::sqrt(squares / n - mean * mean) / 255 == Approx(0.3081).margin(0.00005));
}
