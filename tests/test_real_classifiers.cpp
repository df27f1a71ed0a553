// SPDX-License-Identifier: MIT
// The published classifiers of MNIST and of SVHN on the digits that they were made for.
#include "real_data.hpp"
#include "support.hpp"

#include <poe/data/mnist.hpp>
#include <poe/data/svhn.hpp>
#include <poe/eval/digit_classifiers.hpp>
#include <poe/eval/oracle.hpp>

#include <cmath>

namespace {
using namespace poe;
const auto folder = test::real_data({"mnist", "svhn", "oracles/mnist_classifier.safetensors",
                                     "oracles/svhn_classifier.safetensors"});

/// How many digits the published weights of N recognise.
template <class N>
long recognised(const Digits& digits) {
  const auto file = folder / "oracles" / fmt::format("{}_classifier.safetensors", N::name);
  auto classifier = load_classifier<N>(file, 1);
  const double share = classifier.accuracy(labelled_images<typename N::In>(digits));
  return std::lround(share * digits.rows);
}

}  // namespace

TEST_CASE("the published classifier of MNIST recognises 9,923 of the 10,000 test digits") {
  CHECK(recognised<MnistClassifier>(load_mnist(folder).test) == 9923);
}

TEST_CASE("the published classifier of SVHN recognises 761 and 200 of a part's digits") {
  const SvhnFiles files = load_svhn(folder);
  if (files.train.rows == 849 && files.test.rows == 234) {
    CHECK(recognised<SvhnClassifier>(files.train) == 761);
    CHECK(recognised<SvhnClassifier>(files.test) == 200);
  } else {  // the whole of SVHN, of which nothing exact is known
    CHECK(recognised<SvhnClassifier>(files.test) > files.test.rows / 5 * 4);
  }
}
