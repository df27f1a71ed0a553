// SPDX-License-Identifier: MIT
// Halves of digits, procedural digits, supervision levels, and the streams of a training run.
#include "support.hpp"

#include "poe/core/error.hpp"
#include "poe/core/random.hpp"
#include "poe/data/digits.hpp"
#include "poe/data/split_digits.hpp"
#include "poe/data/supervision.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <set>
#include <utility>
#include <vector>

namespace {

using Catch::Matchers::Contains;
using Indices = std::vector<std::uint32_t>;

/// Digits whose pixel at (image, row, column) is a formula and whose labels are 0, 1, ... 9, 0, ...
std::uint8_t formula(int image, int row, int column) {
  return static_cast<std::uint8_t>((37 * image + 29 * row + 3 * column) % 256);
}
poe::Digits formula_digits(int rows) {
  poe::Digits digits;
  digits.rows = rows;
  for (int i = 0; i < rows; ++i) {
    digits.labels.push_back(static_cast<std::uint8_t>(i % 10));
    for (int r = 0; r < 28; ++r)
      for (int c = 0; c < 28; ++c) digits.pixels.push_back(formula(i, r, c));
  }
  digits.source = "a formula";
  return digits;
}

Indices range(std::uint32_t n) {
  Indices r(n);
  for (std::uint32_t i = 0; i < n; ++i) r[i] = i;
  return r;
}
Indices sorted(Indices v) {
  std::sort(v.begin(), v.end());
  return v;
}

struct Batch {
  Indices paired;
  std::vector<Indices> unpaired;
  friend bool operator==(const Batch&, const Batch&) = default;
};
Batch batch(poe::Streams& streams, int epoch, int step) {
  Batch b;
  streams.batch(epoch, step, b.paired, b.unpaired);
  return b;
}

}  // namespace

TEST_CASE("the halves of a digit are its rows 0-13 and 14-27, as byte / 255") {
  const auto split = poe::split_digits(formula_digits(25), 3, 20);
  REQUIRE(split.rows == 20);
  REQUIRE(split.labels.size() == 20);
  REQUIRE(split.halves[0].size() == 20 * 14 * 28);
  REQUIRE(split.halves[1].size() == 20 * 14 * 28);
  bool same = true;
  for (int i = 0; i < 20; ++i) {
    same &= split.labels[static_cast<std::size_t>(i)] == (i + 3) % 10;
    for (int r = 0; r < 14; ++r)
      for (int c = 0; c < 28; ++c) {
        const auto at = static_cast<std::size_t>((i * 14 + r) * 28 + c);
        same &= split.halves[0][at] == static_cast<float>(formula(i + 3, r, c)) / 255.0F;
        same &= split.halves[1][at] == static_cast<float>(formula(i + 3, r + 14, c)) / 255.0F;
      }
  }
  CHECK(same);
  CHECK(*std::max_element(split.halves[0].begin(), split.halves[0].end()) <= 1.0F);
  CHECK(poe::split_digits(formula_digits(4), 4, 0).rows == 0);
}

TEST_CASE("images that are not there cannot be split") {
  const poe::Digits digits = formula_digits(10);
  for (const auto& [first, count] :
       {std::pair{-1, 2}, {0, -1}, {0, 11}, {6, 5}, {11, 0}, {5, std::numeric_limits<int>::max()}})
    CHECK_THROWS_WITH(poe::split_digits(digits, first, count),
                      Contains("10 from a formula") && Contains(std::to_string(count)));
  poe::Digits damaged = digits;
  damaged.pixels.pop_back();
  CHECK_THROWS_WITH(poe::split_digits(damaged, 0, 10),
                    Contains("expected 7840 pixels and 10 labels, got 7839 and 10"));
  damaged = digits;
  damaged.width = 27;
  CHECK_THROWS_WITH(poe::split_digits(damaged, 0, 10), Contains("28 x 27"));
}

TEST_CASE("train, validation and test share no image: halves of the held-out file") {
  for (const int held_out : {10, 11, 0, 1}) {
    const auto splits = poe::split_digits(formula_digits(7), formula_digits(held_out));
    CHECK(splits.train.rows == 7);
    CHECK(splits.test.rows == held_out / 2);
    CHECK(splits.validation.rows == held_out - held_out / 2);
    if (held_out < 10) continue;
    CHECK(splits.test.labels == std::vector<std::uint8_t>{0, 1, 2, 3, 4});
    CHECK(splits.validation.labels[0] == 5);
    CHECK(splits.test.halves[0][0] == static_cast<float>(formula(0, 0, 0)) / 255.0F);
    CHECK(splits.validation.halves[0][0] == static_cast<float>(formula(5, 0, 0)) / 255.0F);
  }
}

TEST_CASE("the supervision levels of the paper pair so many of 60,000 digits") {
  const std::pair<double, int> levels[] = {{1, 60000},  {.5, 30000}, {.1, 6000},
                                           {.05, 3000}, {.02, 1200}, {.01, 600},
                                           {.005, 300}, {.002, 120}, {.001, 60}};
  for (const auto& [level, count] : levels) {
    INFO(level);
    CHECK(poe::paired_count(60000, level) == count);
  }
  CHECK(poe::paired_count(10, 0.001) == 1);  // int(9.99) are not paired
  for (const double level : {0.0, -0.1, 1.0001, std::nan("")})
    CHECK_THROWS_WITH(poe::paired_count(100, level), Contains("expected a level in (0, 1]"));
  CHECK_THROWS_WITH(poe::paired_count(0, 0.5), Contains("expected at least 1 sample, got 0"));
  CHECK_THROWS_WITH(poe::paired_count(3, 1e-300), Contains("leaves no pair"));
}

TEST_CASE("paired and unpaired samples are a partition that the seed chooses") {
  const auto a = poe::split_supervision(1000, 0.1, {7, 3, 0});
  CHECK(a.paired.size() == 100);
  Indices all = a.unpaired;
  all.insert(all.end(), a.paired.begin(), a.paired.end());
  CHECK(all != range(1000));
  CHECK(sorted(all) == range(1000));
  const auto b = poe::split_supervision(1000, 0.1, {7, 3, 0});
  CHECK(a.paired == b.paired);
  CHECK(a.unpaired == b.unpaired);
  CHECK(sorted(poe::split_supervision(1000, 0.1, {8, 3, 0}).paired) != sorted(a.paired));
  // One order for all levels: more supervision keeps the pairs that were there.
  const auto more = poe::split_supervision(1000, 0.2, {7, 3, 0});
  CHECK(std::equal(a.paired.begin(), a.paired.end(), more.paired.begin() + 100, more.paired.end()));
}

TEST_CASE("an epoch shows every sample once to each modality, in orders of its own") {
  const int samples = 1003, size = 100, modalities = 3;
  poe::Streams streams(samples, {0.05, poe::UnpairedPool::all, size, modalities}, {1, 2, 0});
  REQUIRE(streams.steps_per_epoch() == 11);
  std::set<Indices> orders;
  for (int epoch = 0; epoch < 3; ++epoch) {
    std::vector<Indices> seen(modalities);
    for (int step = 0; step < 11; ++step) {
      const Batch b = batch(streams, epoch, step);
      REQUIRE(b.unpaired.size() == modalities);
      for (std::size_t m = 0; m < modalities; ++m) {
        CHECK(b.unpaired[m].size() == (step < 10 ? 100 : 3));
        seen[m].insert(seen[m].end(), b.unpaired[m].begin(), b.unpaired[m].end());
      }
    }
    for (const Indices& order : seen) {
      CHECK(sorted(order) == range(samples));
      orders.insert(order);
    }
  }
  CHECK(orders.size() == 9);
}

TEST_CASE("the paired loader goes through its pairs again and again, in its own epochs") {
  const struct {
    int samples;
    double level;
    std::vector<std::size_t> sizes;  // of the batches of one pass over the pairs
  } cases[] = {{6000, 0.01, {60}},
               {1000, 0.25, {100, 100, 50}},
               {950, 1, {100, 100, 100, 100, 100, 100, 100, 100, 100, 50}}};
  for (const auto& c : cases) {
    poe::Streams streams(c.samples, {c.level, poe::UnpairedPool::all, 100, 2}, {5, 0, 0});
    const int steps = streams.steps_per_epoch();
    std::set<Indices> orders;
    Indices pass;
    std::size_t t = 0, passes = 0;
    for (int epoch = 0; epoch < 3; ++epoch)
      for (int step = 0; step < steps; ++step, ++t) {
        const Batch b = batch(streams, epoch, step);
        REQUIRE(b.paired.size() == c.sizes[t % c.sizes.size()]);
        pass.insert(pass.end(), b.paired.begin(), b.paired.end());
        if ((t + 1) % c.sizes.size() != 0) continue;
        REQUIRE(sorted(pass) == sorted(streams.supervision().paired));
        orders.insert(std::exchange(pass, {}));
        ++passes;
      }
    CHECK(orders.size() == passes);  // every pass is shuffled anew
  }
}

TEST_CASE("a batch is a function of seed, epoch and step") {
  for (const auto pool : {poe::UnpairedPool::all, poe::UnpairedPool::only_unpaired}) {
    const poe::SupervisionOptions options{0.11, pool, 32, 2};
    poe::Streams forwards(777, options, {3, 1, 0}), scattered(777, options, {3, 1, 0}),
        reseeded(777, options, {4, 1, 0}), restreamed(777, options, {3, 2, 0});
    const int steps = forwards.steps_per_epoch();
    REQUIRE(steps == 25);
    std::map<int, Batch> batches;
    for (int t = 0; t < 4 * steps; ++t) batches[t] = batch(forwards, t / steps, t % steps);
    for (int k = 0; k < 4 * steps; ++k) {
      const int t = 37 * k % (4 * steps);  // 37 and 100 have no common factor: each step once
      REQUIRE(batch(scattered, t / steps, t % steps) == batches[t]);
    }
    poe::Streams resumed(777, options, {3, 1, 0});
    CHECK(batch(resumed, 3, 24) == batches[4 * steps - 1]);
    CHECK(batch(reseeded, 0, 0) != batches[0]);
    CHECK(batch(restreamed, 0, 0) != batches[0]);
  }
}

TEST_CASE("loaders of single modalities can be kept from the pairs") {
  poe::Streams streams(1000, {0.3, poe::UnpairedPool::only_unpaired, 100, 2}, {11, 0, 0});
  REQUIRE(streams.steps_per_epoch() == 10);
  Indices seen;
  for (int step = 0; step < 7; ++step) {
    const Batch b = batch(streams, 0, step);
    seen.insert(seen.end(), b.unpaired[1].begin(), b.unpaired[1].end());
  }
  CHECK(sorted(seen) == sorted(streams.supervision().unpaired));
  CHECK(batch(streams, 0, 9).unpaired[0].size() == 100);  // started over after 7 steps

  poe::Streams full(1000, {1, poe::UnpairedPool::only_unpaired, 100, 2}, {11, 0, 0});
  const Batch b = batch(full, 0, 0);
  CHECK(full.steps_per_epoch() == 10);
  CHECK(b.paired.size() == 100);
  CHECK(b.unpaired == std::vector<Indices>(2));
}

TEST_CASE("streams that cannot be are refused") {
  CHECK_THROWS_WITH(poe::Streams(10, {1, poe::UnpairedPool::all, 0, 2}, {}), Contains("batch of"));
  CHECK_THROWS_WITH(poe::Streams(10, {1, poe::UnpairedPool::all, 5, 0}, {}), Contains("modality"));
  CHECK_THROWS_WITH(poe::Streams(10, {2, poe::UnpairedPool::all, 5, 2}, {}), Contains("level"));
  poe::Streams streams(10, {1, poe::UnpairedPool::all, 3, 2}, {});
  for (const auto& [epoch, step] : {std::pair{-1, 0}, {0, -1}, {0, 4}})
    CHECK_THROWS_WITH(batch(streams, epoch, step), Contains("a step below 4"));
  // The largest epoch is no overflow.
  CHECK(batch(streams, std::numeric_limits<int>::max(), 3).unpaired[0].size() == 1);
}

namespace {

/// Share of `queries` whose nearest image in `known`, by pixels [from, to), has the same label.
double nearest_accuracy(const poe::Digits& known, const poe::Digits& queries, int from, int to) {
  int right = 0;
  for (int q = 0; q < queries.rows; ++q) {
    int best = std::numeric_limits<int>::max();
    std::uint8_t label = 255;
    for (int k = 0; k < known.rows; ++k) {
      int distance = 0;
      for (int p = from; p < to; ++p) {
        const int d = known.pixels[static_cast<std::size_t>(784 * k + p)] -
                      queries.pixels[static_cast<std::size_t>(784 * q + p)];
        distance += d * d;
      }
      if (distance < best) best = distance, label = known.labels[static_cast<std::size_t>(k)];
    }
    right += label == queries.labels[static_cast<std::size_t>(q)];
  }
  return static_cast<double>(right) / queries.rows;
}

}  // namespace

TEST_CASE("procedural digits are a function of the random source, balanced and shuffled") {
  const poe::Random random{21, 4, 0};
  const poe::Digits a = poe::make_digits(205, random), b = poe::make_digits(205, random);
  CHECK(a.rows == 205);
  CHECK(a.source == "procedural digits (embedded generator)");
  CHECK(a.pixels == b.pixels);
  CHECK(a.labels == b.labels);
  CHECK(poe::make_digits(205, random.at_step(1)).pixels != a.pixels);
  std::vector<int> counts(10);
  for (const std::uint8_t label : a.labels) ++counts.at(label);
  for (const int n : counts) CHECK((n == 20 || n == 21));
  CHECK(!std::is_sorted(a.labels.begin(), a.labels.end()));

  std::set<std::vector<std::uint8_t>> distinct;
  for (std::size_t i = 0; i < 205; ++i)
    distinct.emplace(a.pixels.begin() + static_cast<std::ptrdiff_t>(784 * i),
                     a.pixels.begin() + static_cast<std::ptrdiff_t>(784 * (i + 1)));
  CHECK(distinct.size() == 205);
  CHECK(poe::make_digits(0, random).pixels.empty());
  CHECK_THROWS_WITH(poe::make_digits(-1, random), Contains("got -1"));
}

TEST_CASE("procedural digits lie in their images as those of MNIST do") {
  const poe::Digits digits = poe::make_digits(500, {3, 0, 0});
  bool inside = true, centred = true, sized = true, inked = true;
  for (std::size_t i = 0; i < 500; ++i) {
    double ink = 0, x = 0, y = 0;
    int top = 28, bottom = -1, left = 28, right = -1, darkest = 0;
    for (int r = 0; r < 28; ++r)
      for (int c = 0; c < 28; ++c) {
        const int p = digits.pixels[784 * i + static_cast<std::size_t>(28 * r + c)];
        ink += p, x += p * c, y += p * r, darkest = std::max(darkest, p);
        if (p < 128) continue;
        top = std::min(top, r), bottom = std::max(bottom, r);
        left = std::min(left, c), right = std::max(right, c);
      }
    inside &= top >= 1 && bottom <= 26 && left >= 1 && right <= 26;
    centred &= std::abs(x / ink - 13.5) < 2.5 && std::abs(y / ink - 13.5) < 2.5;
    const int side = std::max(bottom - top, right - left) + 1;
    sized &= side >= 17 && side <= 22;  // MNIST: a box of 20 x 20
    inked &= darkest >= 200 && ink / 255 > 15 && ink / 255 < 300;
  }
  CHECK(inside);
  CHECK(centred);
  CHECK(sized);
  CHECK(inked);
}

TEST_CASE("procedural digits are told apart by their nearest neighbours, less so by one half") {
  const poe::Digits known = poe::make_digits(1000, {1, 0, 0}),
                    queries = poe::make_digits(200, {2, 0, 0});
  const double whole = nearest_accuracy(known, queries, 0, 784);
  const double top = nearest_accuracy(known, queries, 0, 392);
  const double bottom = nearest_accuracy(known, queries, 392, 784);
  INFO("whole " << whole << ", top " << top << ", bottom " << bottom);
  CHECK(whole > 0.75);
  CHECK(top > 0.5);
  CHECK(bottom > 0.5);
  CHECK(top < whole);
  CHECK(bottom < whole);
}
