// SPDX-License-Identifier: MIT
// The functions that the README and the pages of docs/ show, called: the pages' code itself is
// included.
// sanitizers: none, it is code of the documentation over code that other tests run
#include "digit_model.hpp"

#include <poe/poe.hpp>

#include <poe/eval/accuracy.hpp>
#include <poe/eval/coherence.hpp>
#include <poe/eval/encode.hpp>
#include <poe/eval/importance.hpp>
#include <poe/train/trainer.hpp>

#include <map>
#include <numeric>
#include <string>

namespace readme {
#include <docs/README_1.cpp>
}
namespace data_page {
#include <docs/data_1.cpp>
}
namespace cuda_page {
#include <docs/cuda_1.cpp>
}
namespace own_data_page {
#include <docs/own-data_2.cpp>
}
namespace metrics_page {
#include <docs/metrics_1.cpp>
}

namespace {

using namespace poe;
using Pair = poe::test::Small<poe::test::Top, poe::test::Bottom>;
using Batch = poe::test::Batch<float, Pair>;
using SmallSvae = Svae<float, Pair, poe::test::SmallHead>;

/// Halves with a bar that is as wide in both, so that one tells of the other.
Tensor<float, readme::HalfDigit> bars(int rows) {
  Tensor<float, readme::HalfDigit> halves(rows);
  for (int n = 0; n < rows; ++n)
    for (int h = 0; h < 14; ++h)
      for (int w = 0; w < 28; ++w) halves(n, 0, h, w) = w < 7 * (n % 4) ? 1.0F : 0.0F;
  return halves;
}

/// Sees one class everywhere.
struct Stubborn {
  std::uint8_t seen;
  template <class S>
  std::vector<std::uint8_t> predict(View<float, S> images) const {
    return std::vector<std::uint8_t>(static_cast<std::size_t>(images.rows), seen);
  }
};

}  // namespace

TEST_CASE("the README's models train, and the number of threads is no part of the result") {
  const auto tops = bars(12), bottoms = bars(12);
  std::vector<Subset> seen(12, 3);
  seen[1] = 1;
  seen[2] = seen[7] = 2;
  const double first = readme::train<readme::MySvae>(tops, bottoms, seen, 1, 1);
  const double few = readme::train<readme::MySvae>(tops, bottoms, seen, 5, 1);
  const double shared = readme::train<readme::MySvae>(tops, bottoms, seen, 5, 2);
  CHECK(readme::train<readme::MySvae>(tops, bottoms, seen, 100, 1) < 0.9 * first);
  CHECK(shared == Approx(few).epsilon(1e-3));
  CHECK(readme::train<readme::MyVaevae>(tops, bottoms, seen, 5, 2) > 0);
  CHECK(readme::train<readme::MyMopoe>(tops, bottoms, seen, 5, 2) > 0);
}

TEST_CASE("the README's model never reads what was not observed") {
  auto tops = bars(4);
  const auto bottoms = bars(4);
  const double before = readme::train<readme::MySvae>(tops, bottoms, {3, 2, 3, 1}, 2, 1);
  std::ranges::fill(tops.row(1), std::nanf(""));
  CHECK(readme::train<readme::MySvae>(tops, bottoms, {3, 2, 3, 1}, 2, 1) == before);
}

TEST_CASE("docs/own-data.md: steps without a Trainer are the same on one thread and on several") {
  const SmallSvae model;
  const Batch pairs(0, 3, 0, 7), lone(1, 1, 7, 5);
  const auto loss = [&](int threads, std::uint32_t steps) {
    Learner<float> learner(model.description(), 1, threads);
    return own_data_page::fit(model, learner, pairs.group, lone.group, steps);
  };
  CHECK(loss(2, 1) == Approx(loss(1, 1)).epsilon(1e-5));
  CHECK(loss(3, 20) == Approx(loss(1, 20)).epsilon(1e-3));
  CHECK(loss(1, 20) < loss(1, 1));
}

TEST_CASE("docs/data.md: captions that share images, some of them without") {
  const SmallSvae model;
  LearnerOf<SmallSvae> learner(model.description(), 1, 2);
  const poe::test::Batch<float, Pair> stored(0, 3, 0, 10);
  Tensor<float, Shape<1, 4, 6>> captions(10), images(2);
  std::ranges::copy(std::get<0>(stored.group.x).flat(), captions.flat().begin());
  std::ranges::copy(std::get<1>(stored.group.x).slice(0, 2).flat(), images.flat().begin());
  std::vector<Subset> seen(10, 3);
  seen[9] = 1;
  const double loss = data_page::train(model, learner, captions, images,
                                       std::vector<std::uint32_t>{0, 0, 0, 0, 0, 1, 1, 1, 1, 9},
                                       seen);  // row 9 is not there, and not read
  CHECK(loss > 0);
  CHECK(learner.step_count() == 100);
}

TEST_CASE("docs/cuda.md: the same code for either device") {
  const Batch samples(0, 3, 0, 10);
  const double loss = cuda_page::train(SmallSvae{}, samples.group);
  CHECK(loss > 0);
}

TEST_CASE("docs/metrics.md: figures of a model of one's own") {
  using readme::MyVaevae;
  const MyVaevae model;
  LearnerOf<MyVaevae> learner(model.description(), 1, 1);
  const auto tops = bars(8), bottoms = bars(8);
  const auto test = MyVaevae::observe(0, given<readme::Top>(tops), given<readme::Bottom>(bottoms));
  const std::vector<std::uint8_t> labels{3, 3, 1, 1, 1, 1, 1, 4};
  Stubborn whole{3}, first{1}, second{4};
  auto figures = metrics_page::evaluate(model, learner, test, labels, whole, first, second);
  CHECK(figures["accuracy_both"] == 0.25);
  CHECK(figures["accuracy_a"] == 0.25);
  CHECK(figures["accuracy_b"] == 0.25);
  CHECK(figures["coherence_joint"] == 0);
  CHECK(figures["coherence_a_to_b"] == 0.125);
  // Untrained, so each of the 392 pixels of a half has about one bit.
  CHECK(figures["log_p(b|a)"] == Approx(-392 * std::log(2.0)).epsilon(0.05));
  CHECK(figures["log_p(a,b)"] == Approx(-784 * std::log(2.0)).epsilon(0.05));
}
