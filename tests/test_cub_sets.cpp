// SPDX-License-Identifier: MIT
// CUB-Captions: training, validation and test sets that share no image.
#include "files.hpp"

#include <poe/data/cub.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "../examples/support/cub_title.hpp"

namespace {

using poe::CubData, poe::CubPart, poe::CubSet, poe::CubSets, poe::CubSplit;
using poe::test::contains, poe::test::error_of;

/// Every image that a set uses.
std::set<std::int32_t> images_of(const CubData& data, const CubSet& set) {
  std::set<std::int32_t> images;
  for (std::size_t i = 0; i < set.size(); ++i) {
    const std::int32_t row = set.feature[i], text = set.caption[i];
    if (text >= 0) images.insert(data.captions[static_cast<std::size_t>(text)].image);
    if (row < 0) continue;
    const auto found = std::ranges::find(data.feature, row);
    REQUIRE(found != data.feature.end());
    images.insert(static_cast<std::int32_t>(found - data.feature.begin()));
  }
  return images;
}

/// The laws that every division obeys.
void check_sets(const CubData& data, const CubSets& sets) {
  std::set<std::int32_t> seen;
  std::size_t images = 0;
  std::multiset<std::pair<std::int32_t, std::int32_t>> samples;
  for (const CubSet* set : {&sets.train, &sets.validation, &sets.test}) {
    REQUIRE(set->size() > 0);
    REQUIRE(set->caption.size() == set->feature.size());
    const auto used = images_of(data, *set);
    images += used.size();
    seen.insert(used.begin(), used.end());
    for (std::size_t i = 0; i < set->size(); ++i) {
      const std::int32_t text = set->caption[i], row = set->feature[i];
      REQUIRE((text >= 0 || row >= 0));
      REQUIRE((set == &sets.train || (text >= 0 && row >= 0)));
      if (text >= 0) {
        const auto image =
            static_cast<std::size_t>(data.captions[static_cast<std::size_t>(text)].image);
        REQUIRE(row == data.feature[image]);
      }
      samples.emplace(text, row);
    }
  }
  REQUIRE(images == seen.size());  // none is in two sets
  REQUIRE(std::set(samples.begin(), samples.end()).size() == samples.size());  // none comes twice
}

/// Images 0 to n - 1 with captions or features or both, of random parts.
CubData random_cub(int n, std::uint64_t seed) {
  const poe::Random random{seed};
  CubData data;
  for (std::int32_t i = 0; i < n; ++i) {
    const auto kind = random.below(4, static_cast<std::uint64_t>(2 * i));
    data.keys.push_back(std::string("k/") + std::to_string(i));
    data.parts.push_back(static_cast<CubPart>(
        kind == 0 ? 0 : 1 + random.below(2, static_cast<std::uint64_t>(2 * i + 1))));
    data.feature.push_back(kind == 1 ? -1 : data.rows++);
    for (std::int32_t c = 0; kind != 0 && c < 10; ++c) data.captions.push_back({"", i, c});
  }
  return data;
}

}  // namespace

TEST_CASE("the published split, by hand") {
  constexpr auto train = CubPart::trainval, test = CubPart::test;
  CubData data;
  data.source = "eight images";
  data.keys = {"a/1", "a/2", "b/1", "b/2", "b/3", "c/1", "d/1", "b/4"};
  data.parts = {train, train, test, test, test, train, CubPart::unknown, test};
  data.feature = {-1, 0, 1, 2, -1, 3, 4, 5};
  for (std::int32_t i = 0; i < 60; ++i) data.captions.push_back({"", i / 10, i % 10});

  const CubSets sets = poe::split_cub(data, CubSplit::published, poe::Random{1});
  // Captions of a/1; pairs of a/2 (row 0) and c/1 (row 3); features of d/1 (row 4).
  REQUIRE(sets.train.size() == 31);
  for (std::size_t i = 0; i < 30; ++i) {
    CHECK(sets.train.caption[i] == static_cast<int>(i < 20 ? i : i + 30));
    CHECK(sets.train.feature[i] == (i < 10 ? -1 : i < 20 ? 0 : 3));
  }
  CHECK(sets.train.caption[30] == -1);
  CHECK(sets.train.feature[30] == 4);
  REQUIRE(sets.test.size() == 10);  // b/1
  CHECK(sets.test.caption.front() == 20);
  CHECK(sets.test.feature == std::vector<std::int32_t>(10, 1));
  REQUIRE(sets.validation.size() == 10);  // b/2; b/3 and b/4 lack a side
  CHECK(sets.validation.caption.back() == 39);
  CHECK(sets.validation.feature == std::vector<std::int32_t>(10, 2));

  CHECK(contains(
      error_of([&] { poe::split_cub(data, CubSplit::images, {}); }),
      "CUB: expected at least 10 images with captions and features, got 4 in eight images"));
  CubData only_test = data;
  only_test.parts.assign(data.keys.size(), test);
  CHECK(contains(error_of([&] { poe::split_cub(only_test, CubSplit::published, {}); }),
                 "CUB: expected images outside the test part, got none in eight images"));
  data.parts[3] = train;
  CHECK(contains(error_of([&] { poe::split_cub(data, CubSplit::published, {}); }),
                 "expected at least 2 images with captions and features in the test part, got 1"));
}

TEST_CASE("whatever is there, no image is in two sets and nothing that may be used is lost") {
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    const CubData data = random_cub(60 + static_cast<int>(seed), seed);
    std::size_t both = 0, both_test = 0, other_samples = 0, other_test_samples = 0;
    for (std::size_t i = 0; i < data.keys.size(); ++i) {
      const bool captions = std::ranges::any_of(
          data.captions, [&](const auto& c) { return c.image == static_cast<int>(i); });
      const bool test = data.parts[i] == CubPart::test;
      if (captions && data.feature[i] >= 0) {
        ++both;
        both_test += test ? 1 : 0;
      } else {
        other_samples += captions ? 10 : 1;
        if (test) other_test_samples += captions ? 10 : 1;
      }
    }
    const CubSets a = poe::split_cub(data, CubSplit::published, poe::Random{seed});
    check_sets(data, a);
    CHECK(a.test.size() == both_test / 2 * 10);
    CHECK(a.validation.size() == (both_test - both_test / 2) * 10);
    CHECK(a.train.size() == (both - both_test) * 10 + other_samples - other_test_samples);
    for (const auto image : images_of(data, a.train))
      CHECK(data.parts[static_cast<std::size_t>(image)] != CubPart::test);

    const CubSets b = poe::split_cub(data, CubSplit::images, poe::Random{seed});
    check_sets(data, b);
    CHECK(b.test.size() == both / 10 * 10);
    CHECK(b.validation.size() == b.test.size());
    CHECK(b.train.size() == (both - 2 * (both / 10)) * 10 + other_samples);
    CHECK(poe::split_cub(data, CubSplit::images, poe::Random{seed}).test.caption == b.test.caption);
    CHECK(poe::split_cub(data, CubSplit::images, poe::Random{seed + 1}).test.caption !=
          b.test.caption);
  }
}

TEST_CASE("a part of the data set is not called by its name") {
  CubData whole;
  for (std::int32_t i = 0; i < 11788; ++i) {
    whole.keys.push_back(std::string("k/") + std::to_string(i));
    whole.parts.push_back(i < 8855 ? CubPart::trainval : CubPart::test);
    whole.feature.push_back(i);
    for (std::int32_t c = 0; c < 10; ++c) whole.captions.push_back({"", i, c});
  }
  CHECK(examples::cub_title(whole) == "CUB-Captions");
  const auto part = [](const std::string& images) {
    return "CUB-Captions (a part: " + images + " of 11,788 images with features and ten captions)";
  };
  const std::vector<std::pair<std::size_t, std::string>> parts{
      {11787, "11,787"}, {1258, "1,258"}, {1005, "1,005"}, {999, "999"}, {7, "7"}};
  for (const auto& [images, name] : parts) {
    CubData fewer = whole;
    for (std::size_t i = images; i < 11788; ++i) fewer.feature[i] = -1;
    CHECK(examples::cub_title(fewer) == part(name));
  }
  CubData quiet = whole;  // the last image has no captions; the one before it has nine
  quiet.captions.resize(quiet.captions.size() - 11);
  CHECK(examples::cub_title(quiet) == part("11,786"));
  CubData moved = whole;
  moved.parts.back() = CubPart::trainval;
  CHECK(examples::cub_title(moved) == "CUB-Captions (a part: 2,932 of 2,933 test images)");
}
