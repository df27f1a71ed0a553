// SPDX-License-Identifier: MIT
// Posterior families and objectives as tables: networks, who speaks for whom, terms of a group.
#include "support.hpp"

#include <poe/models/objective.hpp>
#include <poe/models/posterior.hpp>

#include <set>

namespace {

using namespace poe;

struct NoLayers {};

/// "12->12" for a reconstruction, "12||1" for a divergence, "1||" for one from the prior.
template <class Objective>
std::multiset<std::string> terms(int n, Subset observed) {
  const auto digits = [](Subset s) {
    std::string text;
    for (int i = 0; i < 5; ++i)
      if (contains(s, i)) text += static_cast<char>('1' + i);
    return text;
  };
  std::multiset<std::string> names;
  for (const Term& t : Objective::terms(n, observed))
    names.insert(digits(t.from) + (t.divergence ? "||" : "->") + digits(t.to));
  return names;
}
using Names = std::multiset<std::string>;

}  // namespace

TEST_CASE("the terms of two modalities are those of equations 7 to 10") {
  CHECK(terms<VaevaeLoss>(2, 0b11) == Names{"12->12", "12||1", "12||2"});
  CHECK(terms<SvaeLoss>(2, 0b11) ==
        Names{"12->12", "12||1", "12||2", "1->1", "1||", "2->2", "2||"});
  CHECK(terms<VaevaeLoss>(2, 0b10) == Names{"2->2", "2||"});
  CHECK(terms<SvaeLoss>(2, 0b01) == Names{"1->1", "1||"});
  CHECK(terms<Elbo>(2, 0b11) == Names{"12->12", "12||"});
  CHECK(terms<Elbo>(1, 0b1) == Names{"1->1", "1||"});
}

TEST_CASE(
    "the terms of three modalities: every subset is pulled towards those that lack one member") {
  const Names pairs{"12->12", "12||1",  "12||2", "13->13", "13||1",
                    "13||3",  "23->23", "23||2", "23||3"};
  Names all = pairs;
  all.insert({"123->123", "123||12", "123||13", "123||23"});
  CHECK(terms<VaevaeLoss>(3, 0b111) == all);
  all.insert({"1->1", "1||", "2->2", "2||", "3->3", "3||"});
  CHECK(terms<SvaeLoss>(3, 0b111) == all);
  CHECK(terms<VaevaeLoss>(3, 0b101) == Names{"13->13", "13||1", "13||3"});
  CHECK(terms<SvaeLoss>(3, 0b101) ==
        Names{"13->13", "13||1", "13||3", "1->1", "1||", "3->3", "3||"});
  CHECK(terms<VaevaeLoss>(3, 0b100) == Names{"3->3", "3||"});
  CHECK(terms<Elbo>(3, 0b110) == Names{"23->23", "23||"});
}

TEST_CASE("the number of terms for n modalities") {
  // Subsets of two and more: 2^n - 1 - n, with n 2^(n-1) - n members.
  for (int n = 2; n <= 5; ++n) {
    CAPTURE(n);
    const std::size_t bounds = (1U << n) - 1 - static_cast<unsigned>(n);
    const std::size_t divergences = static_cast<unsigned>(n) * ((1U << (n - 1)) - 1);
    CHECK(terms<VaevaeLoss>(n, all_of(n)).size() == bounds + divergences);
    CHECK(terms<SvaeLoss>(n, all_of(n)).size() ==
          bounds + divergences + 2 * static_cast<std::size_t>(n));
  }
}

TEST_CASE("networks and alternatives of the posterior families") {
  using Poe = PoeWithStandIns<NoLayers>;
  using Joint = JointEncoders<NoLayers>;
  using Single = UnimodalExperts<NoLayers>;
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
