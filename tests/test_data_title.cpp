// SPDX-License-Identifier: MIT
// Titles of data: a part of a data set is called a part.
#include <catch2/catch.hpp>

#include "../examples/support/data_title.hpp"

using namespace examples;

TEST_CASE("numbers are written in groups of three digits") {
  CHECK(grouped(0) == "0");
  CHECK(grouped(849) == "849");
  CHECK(grouped(1000) == "1,000");
  CHECK(grouped(73257) == "73,257");
  CHECK(grouped(100000) == "100,000");
  CHECK(grouped(1682040) == "1,682,040");
}

TEST_CASE("a data set has its bare name only where it is whole") {
  DataCount counts[] = {{"digits of MNIST", 60000, 60000}, {"digits of SVHN", 73257, 73257}};
  CHECK(data_title("MNIST-SVHN", counts) == "MNIST-SVHN");
  CHECK(data_title("MNIST-SVHN", {}) == "MNIST-SVHN");
  counts[1].count = 849;
  CHECK(data_title("MNIST-SVHN", counts) == "MNIST-SVHN (a part: 849 of 73,257 digits of SVHN)");
  counts[0].count = 2000;
  CHECK(data_title("MNIST-SVHN", counts) ==
        "MNIST-SVHN (a part: 2,000 of 60,000 digits of MNIST, 849 of 73,257 digits of SVHN)");
  counts[0].count = 70000;
  counts[1].count = 73257;
  CHECK(data_title("MNIST-SVHN", counts) ==
        "MNIST-SVHN (a part: 70,000 in place of 60,000 digits of MNIST)");
}
