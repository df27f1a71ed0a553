// SPDX-License-Identifier: MIT
// Samples that are rows of stored arrays: training on them, and copies of them.
#include <poe/models/paper.hpp>
#include <poe/train/steps.hpp>

#include <cstring>

#include "digit_model.hpp"

namespace {
using namespace poe;
using namespace poe::test;

using Two = Small<Top, Bottom>;
using Pixels = Tensor<float, Shape<1, 4, 6>>;
constexpr int samples = 50;

/// A few images, and which of them each sample shows.
struct Shelf {
  Pixels tops{7}, bottoms{11};
  std::vector<std::uint32_t> top, bottom;
  Samples<float, Two> data;

  Shelf() {
    for (std::size_t i = 0; i < tops.flat().size(); ++i)
      tops.flat()[i] = Random{5, 0, 0}.uniform<float>(i);
    for (std::size_t i = 0; i < bottoms.flat().size(); ++i)
      bottoms.flat()[i] = Random{5, 1, 0}.uniform<float>(i);
    for (std::uint32_t n = 0; n < samples; ++n) {
      top.push_back(Random{5, 2, 0}.below(7, n));
      bottom.push_back(Random{5, 3, 0}.below(11, n));
    }
    data.rows = samples;
    data.stored = {tops.view(), bottoms.view()};
    data.at = {top, bottom};
  }
  Shelf(const Shelf&) = delete;

  /// Every sample with its own copies.
  std::pair<Pixels, Pixels> copies() const {
    std::pair<Pixels, Pixels> x{samples, samples};
    for (int n = 0; n < samples; ++n) {
      const auto k = static_cast<std::size_t>(n);
      std::copy_n(tops.row(static_cast<int>(top[k])).data(), 24, x.first.row(n).data());
      std::copy_n(bottoms.row(static_cast<int>(bottom[k])).data(), 24, x.second.row(n).data());
    }
    return x;
  }
};

std::vector<float> trained_on(const Samples<float, Two>& data, const SupervisionOptions& o) {
  const Svae<float, Two, SmallHead> model;
  Learner<float> learner(model.description(), 3, 2);
  Streams streams(data.rows, o, Random{21, 1, 0});
  Steps<Svae<float, Two, SmallHead>> run(model, learner, data, streams, 21);
  for (int s = 0; s < 15; ++s) run.step();
  return {learner.state().parameters.begin(), learner.state().parameters.end()};
}

SupervisionOptions supervision(double level) {
  SupervisionOptions o;
  o.batch = 16;
  o.level = level;
  return o;
}

}  // namespace

TEST_CASE("training on rows of what is stored is training on copies of them") {
  const Shelf shelf;
  const auto [tops, bottoms] = shelf.copies();
  const auto copied = observe<float, Two>(0, given<Top>(tops), given<Bottom>(bottoms));
  auto one_list = shelf.data;  // tops by list, bottoms one for each sample
  std::get<1>(one_list.stored) = bottoms.view();
  one_list.at[1] = {};
  for (const double level : {1.0, 0.3}) {
    const auto expected = trained_on(copied, supervision(level));
    const auto lists = trained_on(shelf.data, supervision(level));
    REQUIRE(std::memcmp(lists.data(), expected.data(), 4 * expected.size()) == 0);
    const auto mixed = trained_on(one_list, supervision(level));
    REQUIRE(std::memcmp(mixed.data(), expected.data(), 4 * expected.size()) == 0);
  }
}

TEST_CASE("gathered samples are those of the lists, at their positions") {
  const Shelf shelf;
  const auto [tops, bottoms] = shelf.copies();
  const auto part = gather(shelf.data, 3, 13, 20);
  const auto& group = part.group();
  CHECK(group.observed == 3);
  CHECK(group.rows == 20);
  CHECK(group.first_row == 13);
  REQUIRE(std::get<0>(group.x).rows == 20);
  CHECK(std::memcmp(std::get<0>(group.x).data, tops.row(13).data(), 20 * 24 * 4) == 0);
  CHECK(std::memcmp(std::get<1>(group.x).data, bottoms.row(13).data(), 20 * 24 * 4) == 0);
  const auto sliced = gather(shelf.data.slice(13, 20), 2, 0, 20);
  CHECK(sliced.group().observed == 2);
  CHECK(std::get<0>(sliced.group().x).data == nullptr);
  CHECK(std::memcmp(std::get<1>(sliced.group().x).data, bottoms.row(13).data(), 20 * 24 * 4) == 0);
}

TEST_CASE("rows that are not stored are refused before the first step") {
  Shelf shelf;
  shelf.bottom[17] = 11;
  CHECK_THROWS_WITH(trained_on(shelf.data, supervision(1)),
                    Catch::Contains("sample 17 shows row 11 of 11 rows of modality 'bottom'"));
  auto masked = supervision(1);
  masked.masks.assign(samples, 3);
  masked.masks[17] = 1;  // what is not seen need not be there
  CHECK(trained_on(shelf.data, masked).size() > 0);
  CHECK_THROWS_WITH(gather(shelf.data, 3, 17, 1), Catch::Contains("sample 17"));
  shelf.data.at[0] = std::span(shelf.top).first(49);
  const auto no_row = Catch::Contains("a row of modality 'top' for each of 50 samples, got 49");
  CHECK_THROWS_WITH(trained_on(shelf.data, masked), no_row);
  CHECK_THROWS_WITH(gather(shelf.data, 2, 0, 50), no_row);
  CHECK_THROWS_WITH(shelf.data.slice(0, 50), no_row);
}

TEST_CASE("samples that are not there are refused") {
  const Shelf shelf;
  CHECK(gather(shelf.data, 3, 50, 0).group().rows == 0);
  CHECK(shelf.data.slice(20, 30).slice(30, 0).rows == 0);
  for (const auto& [first, count] : {std::pair(-1, 2), {0, -1}, {51, 0}, {31, 20}}) {
    const auto asked =
        Catch::Contains(fmt::format("{} from number {} on asked of 50", count, first));
    CHECK_THROWS_WITH(gather(shelf.data, 3, first, count), asked);
    CHECK_THROWS_WITH(shelf.data.slice(first, count), asked);
  }
  // Streams of more samples than there are.
  const Svae<float, Two, SmallHead> model;
  Learner<float> learner(model.description(), 3, 1);
  Streams streams(samples + 1, supervision(1), Random{21, 1, 0});
  CHECK_THROWS_WITH((Steps<Svae<float, Two, SmallHead>>(model, learner, shelf.data, streams, 21)),
                    Catch::Contains("number 50 asked of 50"));
}

TEST_CASE("samples of a group that lacks a modality have slices") {
  const Shelf shelf;
  const auto [tops, bottoms] = shelf.copies();
  const Samples<float, Two> only_tops(observe<float, Two>(0, given<Top>(tops)));
  const auto part = only_tops.slice(13, 20);
  const auto gathered = gather(part, 1, 0, 20);
  CHECK(std::memcmp(std::get<0>(gathered.group().x).data, tops.row(13).data(), 20 * 24 * 4) == 0);
  CHECK_THROWS_WITH(gather(part, 2, 0, 20), Catch::Contains("of 0 rows of modality 'bottom'"));
}
