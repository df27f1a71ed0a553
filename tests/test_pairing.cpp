// SPDX-License-Identifier: MIT
// Pairs by label: hand-worked sets, and the published counts of MNIST-SVHN.
#include "support.hpp"

#include <poe/core/error.hpp>
#include <poe/data/pairing.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <set>
#include <utility>
#include <vector>

namespace {

using Labels = std::vector<std::uint8_t>;
using Indices = std::vector<std::uint32_t>;
using Catch::Matchers::Contains;
using poe::LabelPairs, poe::pair_by_label, poe::Random;

constexpr Random source{7, 3, 0};

/// counts[d] labels of each digit d, in an order that mixes them.
Labels labels_of(const std::vector<int>& counts, std::uint32_t stream) {
  Labels sorted, mixed;
  for (std::size_t d = 0; d < counts.size(); ++d)
    sorted.insert(sorted.end(), static_cast<std::size_t>(counts[d]), static_cast<std::uint8_t>(d));
  for (const std::uint32_t i :
       poe::permutation(static_cast<std::uint32_t>(sorted.size()), {99, stream, 0}))
    mixed.push_back(sorted[i]);
  return mixed;
}

/// How often each of the samples is used must be `repeats` for the first `most` of every label,
/// in the order of their indices, and 0 for the others. Counts those that are not.
int wrong_uses(const Labels& labels, const Indices& used, const std::vector<int>& most,
               int repeats) {
  std::vector<int> uses(labels.size()), seen(most.size());
  for (const std::uint32_t i : used) ++uses.at(i);
  int wrong = 0;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    int& before = seen.at(labels[i]);
    wrong += uses[i] != (before < most[labels[i]] ? repeats : 0);
    ++before;
  }
  return wrong;
}

}  // namespace

TEST_CASE("pairs of small sets are those worked out by hand") {
  //             0  1  2  3  4  5  6
  const Labels a{2, 0, 2, 1, 2, 0, 5};
  const Labels b{0, 2, 2, 3, 0, 0, 1};
  // Label 0: a 1, 5 with b 0, 4; label 1: a 3 with b 6; label 2: a 0, 2 with b 1, 2; 3 and 5: none.
  const LabelPairs pairs = pair_by_label(a, b, {.repeats = 4}, source);
  REQUIRE(pairs.a.size() == 20);
  REQUIRE(pairs.b.size() == 20);
  const auto check = [](const Indices& side, std::size_t first, Indices expected) {
    const auto begin = side.begin() + static_cast<std::ptrdiff_t>(first);
    Indices got(begin, begin + static_cast<std::ptrdiff_t>(expected.size()));
    std::ranges::sort(got);
    CHECK(got == expected);
  };
  for (std::size_t r = 0; r < 4; ++r) {
    check(pairs.a, 2 * r, {1, 5});
    check(pairs.b, 2 * r, {0, 4});
    check(pairs.a, 8 + r, {3});
    check(pairs.b, 8 + r, {6});
    check(pairs.a, 12 + 2 * r, {0, 2});
    check(pairs.b, 12 + 2 * r, {1, 2});
  }
  const LabelPairs few = pair_by_label(a, b, {.most_per_class = 1, .repeats = 2}, source);
  CHECK(few.a == Indices{1, 1, 3, 3, 0, 0});
  CHECK(few.b == Indices{0, 0, 6, 6, 1, 1});
}

TEST_CASE("sets that share no label have no pairs; options below 1 are refused") {
  CHECK(pair_by_label(Labels{1, 2}, Labels{3}, {}, source).a.empty());
  CHECK(pair_by_label(Labels{}, Labels{3}, {}, source).b.empty());
  const Labels one{1};
  CHECK_THROWS_WITH(pair_by_label(one, one, {.repeats = 0}, source),
                    Contains("1 repeat, got 10000 and 0"));
  CHECK_THROWS_WITH(pair_by_label(one, one, {.most_per_class = 0}, source),
                    Contains("got 0 and 30"));
  const Labels two{1, 1};
  CHECK_THROWS_WITH(pair_by_label(two, two, {.repeats = 0x7fffffff}, source),
                    Contains("at most 2147483647 pairs, got 4294967294"));
}

TEST_CASE("MNIST-SVHN has 1,682,040 training and 300,000 test pairs") {
  struct Set {
    std::vector<int> mnist, svhn, used;
    std::size_t pairs;
  };
  const Set sets[] = {{{5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949},
                       {4948, 13861, 10585, 8497, 7458, 6882, 5727, 5595, 5045, 4659},
                       {4948, 6742, 5958, 6131, 5842, 5421, 5727, 5595, 5045, 4659},
                       1682040},
                      {{980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009},
                       {1744, 5099, 4149, 2882, 2523, 2384, 1977, 2019, 1660, 1595},
                       {980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009},
                       300000}};
  for (const Set& set : sets) {
    const Labels a = labels_of(set.mnist, 1), b = labels_of(set.svhn, 2);
    const LabelPairs pairs = pair_by_label(a, b, {}, source);
    REQUIRE(pairs.a.size() == set.pairs);
    REQUIRE(pairs.b.size() == set.pairs);
    std::size_t unequal = 0;
    for (std::size_t i = 0; i < set.pairs; ++i) unequal += a[pairs.a[i]] != b[pairs.b[i]];
    CHECK(unequal == 0);
    CHECK(wrong_uses(a, pairs.a, set.used, 30) == 0);
    CHECK(wrong_uses(b, pairs.b, set.used, 30) == 0);
  }
}

TEST_CASE("at most so many of a class are used") {
  const Labels a = labels_of({50, 20, 30}, 1), b = labels_of({40, 60, 10}, 2);
  const LabelPairs pairs = pair_by_label(a, b, {.most_per_class = 25, .repeats = 3}, source);
  CHECK(pairs.a.size() == 3 * (25 + 20 + 10));
  CHECK(wrong_uses(a, pairs.a, {25, 20, 10}, 3) == 0);
  CHECK(wrong_uses(b, pairs.b, {25, 20, 10}, 3) == 0);
}

TEST_CASE("the permutations of both sides, of all repeats and of all labels are independent") {
  constexpr std::uint32_t n = 1000, repeats = 20;
  Labels labels(n, 0);
  labels.insert(labels.end(), n, 1);  // label 0: 0 to 999, label 1: 1000 to 1999, on both sides
  const LabelPairs pairs = pair_by_label(labels, labels, {.repeats = repeats}, source);
  std::set<Indices> permutations;
  for (const Indices& side : {pairs.a, pairs.b})
    for (std::uint32_t k = 0; k < 2 * repeats; ++k) {
      const auto begin = side.begin() + k * n;
      Indices p(begin, begin + n);
      for (std::uint32_t& i : p) i %= n;
      permutations.insert(p);
    }
  CHECK(permutations.size() == 4 * repeats);

  // Of independent permutations the pairs (i, i) are about Poisson(1) in number, so 40 in 40 pairs
  // of permutations; and an index meets 20 others of 1000, of which 19.8 are different.
  std::set<std::pair<std::uint32_t, std::uint32_t>> different;
  std::size_t fixed = 0;
  for (std::size_t i = 0; i < pairs.a.size(); ++i) {
    fixed += pairs.a[i] == pairs.b[i];
    different.emplace(pairs.a[i], pairs.b[i]);
  }
  CHECK(fixed > 40 - 5 * 6);  // five standard deviations, which are the root of 40
  CHECK(fixed < 40 + 5 * 7);
  const double expected = 2 * n * n * (1 - std::pow(1 - 1.0 / n, repeats));
  CHECK(static_cast<double>(different.size()) == Approx(expected).epsilon(0.003));
}

TEST_CASE("pairs are a function of the random source") {
  const Labels a = labels_of({50, 20, 30}, 1), b = labels_of({40, 60, 10}, 2);
  const auto with = [&](const Random& random) { return pair_by_label(a, b, {}, random); };
  CHECK(with(source).a == with(source).a);
  CHECK(with(source).b == with(source).b);
  CHECK(with(source).a != with({8, 3, 0}).a);
  CHECK(with(source).b != with({7, 4, 0}).b);
}
