// SPDX-License-Identifier: MIT
// Posterior families as tables: networks, who speaks for whom, what mixtures are made of.
#include "support.hpp"

#include <poe/models/family_mistake.hpp>

#include <set>

namespace {

using namespace poe;

struct NoLayers {};
using Poe = PoeWithStandIns<NoLayers>;
using PoeEach = PoeWithStandIns<NoLayers, StandIns::each>;
using PoeMean = PoeWithStandIns<NoLayers, StandIns::geometric>;
using Joint = JointEncoders<NoLayers>;
using Single = UnimodalExperts<NoLayers>;
using SingleWithPrior = UnimodalExperts<NoLayers, true>;
using JointSingles = JointAndSingles<NoLayers>;
using Bridged = JointAndSingles<NoLayers, true>;
using MixedExperts = MixtureOfExperts<NoLayers>;
using MixedProducts = MixtureOfProducts<NoLayers>;

template <class Family, int... N>
constexpr bool has_no_mistake(std::integer_sequence<int, N...>) {
  return ((detail::mistake_of<Family, N + 1>() == detail::FamilyMistake::none) && ...);
}

std::vector<Experts> products(const Alternatives& q) { return {q.begin(), q.end()}; }

}  // namespace

TEST_CASE("networks and alternatives of stand-ins, joint encoders and single experts") {
  for (int n = 2; n <= 5; ++n) {
    CAPTURE(n);
    CHECK(Poe::networks(n) == n * n);
    CHECK(Joint::networks(n) == (1 << n) - 1);
    CHECK(Single::networks(n) == n);
    std::set<std::pair<int, int>> pairs;
    for (int i = 0; i < n * n; ++i) {
      CHECK(size_of(Poe::network(n, i).inputs) == 1);
      pairs.emplace(std::countr_zero(Poe::network(n, i).inputs), Poe::network(n, i).stands_for);
    }
    CHECK(pairs.size() == static_cast<std::size_t>(n * n));

    for (Subset s = 1; s <= all_of(n); ++s) {
      CAPTURE(s);
      const int members = size_of(s);
      const auto poe = Poe::posteriors(n, s), joint = Joint::posteriors(n, s),
                 single = Single::posteriors(n, s);
      CHECK(poe.count == (s == all_of(n) ? 1 : members));
      std::set<Experts> different;
      for (int a = 0; a < poe.count; ++a) {
        different.insert(poe.products[static_cast<std::size_t>(a)]);
        Subset spoken_for = 0, stand_ins_see = 0;
        for (int i = 0; i < n * n; ++i) {
          if ((poe.products[static_cast<std::size_t>(a)] >> i & 1U) == 0) continue;
          const Network q = Poe::network(n, i);
          CHECK(within(q.inputs, s));
          CHECK(!contains(spoken_for, q.stands_for));
          spoken_for |= only(q.stands_for);
          if (contains(s, q.stands_for))
            CHECK(q.inputs == only(q.stands_for));
          else
            stand_ins_see |= q.inputs;
        }
        CHECK(spoken_for == all_of(n));
        CHECK(size_of(stand_ins_see) == (s == all_of(n) ? 0 : 1));
      }
      CHECK(different.size() == static_cast<std::size_t>(poe.count));
      CHECK(joint.count == 1);
      CHECK(size_of(joint.products[0]) == 1);
      CHECK(Joint::network(n, std::countr_zero(joint.products[0])).inputs == s);
      CHECK(single.count == 1);
      CHECK(single.products[0] == s);
    }
  }
}

TEST_CASE("where every missing modality has a stand-in of its own") {
  for (int n = 2; n <= 5; ++n) {
    CHECK(PoeEach::networks(n) == n * n);
    for (Subset s = 1; s <= all_of(n); ++s) {
      CAPTURE(n, s);
      const int members = size_of(s), missing = n - members;
      const auto q = products(PoeEach::posteriors(n, s));
      CHECK(static_cast<double>(q.size()) == std::pow(members, missing));
      CHECK(std::set<Experts>(q.begin(), q.end()).size() == q.size());
      for (const Experts e : q) {
        int speakers[5] = {};
        for (int i = 0; i < n * n; ++i) {
          if ((e >> i & 1U) == 0) continue;
          const Network network = PoeEach::network(n, i);
          CHECK(within(network.inputs, s));
          CHECK((!contains(s, network.stands_for) || network.inputs == only(network.stands_for)));
          ++speakers[network.stands_for];
        }
        for (int k = 0; k < n; ++k) CHECK(speakers[k] == 1);
      }
      if (missing <= 1 || members == 1) CHECK(q == products(Poe::posteriors(n, s)));
    }
  }
}

TEST_CASE("a joint network, or a bridge, beside the single experts") {
  CHECK(JointSingles::networks(1) == 1);
  for (int n = 2; n <= 5; ++n) {
    CAPTURE(n);
    CHECK(JointSingles::networks(n) == n + 1);
    CHECK(Bridged::networks(n) == n + 1);
    for (int i = 0; i <= n; ++i) {
      const Network joint = JointSingles::network(n, i), bridged = Bridged::network(n, i);
      CHECK(joint.inputs == (i < n ? only(i) : all_of(n)));
      CHECK(bridged.inputs == joint.inputs);
      CHECK_FALSE(joint.bridge);
      CHECK(bridged.bridge == (i == n));
      if (i < n) CHECK(joint.stands_for == i);
    }
    for (Subset s = 1; s <= all_of(n); ++s) {
      CAPTURE(s);
      const Experts last = Experts{1} << n;
      CHECK(products(JointSingles::posteriors(n, s)) ==
            std::vector<Experts>{s == all_of(n) ? last : s});
      CHECK(products(Bridged::posteriors(n, s)) == products(JointSingles::posteriors(n, s)));
    }
  }
  CHECK_FALSE(JointSingles::mixture);
}

TEST_CASE("mixtures of experts and of products") {
  CHECK(MixedExperts::mixture);
  CHECK(MixedExperts::single_experts);
  CHECK(MixedProducts::mixture);
  CHECK_FALSE(MixedProducts::single_experts);
  CHECK_FALSE(Single::mixture);
  CHECK_FALSE(Poe::mixture);
  for (int n = 2; n <= 5; ++n) {
    CHECK(MixedExperts::networks(n) == n);
    CHECK(MixedProducts::networks(n) == n);
    for (Subset s = 1; s <= all_of(n); ++s) {
      CAPTURE(n, s);
      std::set<Experts> members, subsets;
      for (Subset t = 1; t < 32; ++t)
        if ((t & s) == t) (size_of(t) == 1 ? members : subsets).insert(t);
      subsets.insert(members.begin(), members.end());
      const auto experts = products(MixedExperts::posteriors(n, s));
      const auto all = products(MixedProducts::posteriors(n, s));
      CHECK(experts.size() == static_cast<std::size_t>(size_of(s)));
      CHECK(std::set<Experts>(experts.begin(), experts.end()) == members);
      CHECK(all.size() == (std::size_t{1} << size_of(s)) - 1);
      CHECK(std::set<Experts>(all.begin(), all.end()) == subsets);
    }
  }
}

TEST_CASE("the prior is an expert of every posterior of MVAE, and of no other family by itself") {
  CHECK(SingleWithPrior::always_prior);
  CHECK_FALSE(Single::always_prior);
  CHECK_FALSE(Poe::always_prior);
  CHECK_FALSE(MixedProducts::always_prior);
  for (int n = 1; n <= 5; ++n)
    for (Subset s = 1; s <= all_of(n); ++s) {
      CHECK(products(SingleWithPrior::posteriors(n, s)) == std::vector<Experts>{s});
    }
}

TEMPLATE_TEST_CASE("no family has a mistake for one to five modalities", "", Poe, PoeEach, PoeMean,
                   Joint, Single, SingleWithPrior, JointSingles, Bridged, MixedExperts,
                   MixedProducts) {
  STATIC_REQUIRE(has_no_mistake<TestType>(std::make_integer_sequence<int, 5>{}));
}
