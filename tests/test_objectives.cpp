// SPDX-License-Identifier: MIT
// Objectives as tables: the terms of a group, and their weights.
#include "support.hpp"

#include <poe/models/objective.hpp>

#include <algorithm>
#include <map>
#include <set>

namespace {

using namespace poe;

/// "12->12" for a reconstruction, "12||1" for a divergence, "1||" for one from the prior.
std::string name_of(const Term& t) {
  const auto digits = [](Subset s) {
    std::string text;
    for (int i = 0; i < 5; ++i)
      if (contains(s, i)) text += static_cast<char>('1' + i);
    return text;
  };
  return digits(t.from) + (t.divergence ? "||" : "->") + digits(t.to);
}
template <class Objective>
std::multiset<std::string> terms(int n, Subset observed, const VaeOptions& options = {},
                                 int choice = 0) {
  std::multiset<std::string> names;
  for (const Term& t : Objective::terms({n, observed, options, choice})) names.insert(name_of(t));
  return names;
}
/// The weight of each term.
template <class Objective>
std::map<std::string, double> weights(int n, Subset observed, const VaeOptions& options = {}) {
  std::map<std::string, double> result;
  for (const Term& t : Objective::terms({n, observed, options})) result[name_of(t)] += t.weight;
  return result;
}
using Weights = std::map<std::string, double>;
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
  const Names pairs{"12->12", "12||1", "12||2",  "12||",  "13->13", "13||1",
                    "13||3",  "13||",  "23->23", "23||2", "23||3",  "23||"};
  Names all = pairs;
  all.insert({"123->123", "123||12", "123||13", "123||23"});
  CHECK(terms<VaevaeLoss>(3, 0b111) == all);
  all.insert({"1->1", "1||", "2->2", "2||", "3->3", "3||"});
  CHECK(terms<SvaeLoss>(3, 0b111) == all);
  CHECK(terms<VaevaeLoss>(3, 0b101) == Names{"13->13", "13||1", "13||3", "13||"});
  CHECK(terms<SvaeLoss>(3, 0b101) ==
        Names{"13->13", "13||1", "13||3", "13||", "1->1", "1||", "3->3", "3||"});
  CHECK(terms<VaevaeLoss>(3, 0b100) == Names{"3->3", "3||"});
  CHECK(terms<Elbo>(3, 0b110) == Names{"23->23", "23||"});
}

TEST_CASE("the number of terms for n modalities") {
  // Subsets of two and more: 2^n - 1 - n, with n 2^(n-1) - n members.
  for (int n = 2; n <= 5; ++n) {
    CAPTURE(n);
    const std::size_t bounds = (1U << n) - 1 - static_cast<unsigned>(n);
    // One divergence for each member, and for all but the whole set that to the prior.
    const std::size_t divergences = static_cast<unsigned>(n) * ((1U << (n - 1)) - 1) + bounds - 1;
    CHECK(terms<VaevaeLoss>(n, all_of(n)).size() == bounds + divergences);
    CHECK(terms<SvaeLoss>(n, all_of(n)).size() ==
          bounds + divergences + 2 * static_cast<std::size_t>(n));
  }
}

TEST_CASE("JMVAE learns from complete samples only") {
  VaeOptions options;
  options.alpha = 0.3;
  for (int n = 2; n <= 5; ++n)
    for (Subset s = 1; s < all_of(n); ++s) CHECK(JmvaeLoss::terms({n, s, options}).count == 0);
  CHECK(weights<JmvaeLoss>(2, 0b11, options) ==
        Weights{{"12->12", 1}, {"12||", 1}, {"12||1", 0.3}, {"12||2", 0.3}});
  CHECK(weights<JmvaeLoss>(3, 0b111, options) ==
        Weights{{"123->123", 1}, {"123||", 1}, {"123||1", 0.3}, {"123||2", 0.3}, {"123||3", 0.3}});
  CHECK(weights<JmvaeLoss>(1, 0b1, options) == Weights{{"1->1", 1}, {"1||", 1}});
}

TEST_CASE("MVTCAE shares the weight 1 among the prior and the experts of what was observed") {
  VaeOptions options;
  options.alpha = 0.5;
  CHECK(weights<MvtcaeLoss>(2, 0b11, options) ==
        Weights{{"12->12", 0.75}, {"12||", 0.5}, {"12||1", 0.25}, {"12||2", 0.25}});
  CHECK(weights<MvtcaeLoss>(5, 0b10110, options) == Weights{{"235->235", 2.5 / 3},
                                                            {"235||", 0.5},
                                                            {"235||2", 0.5 / 3},
                                                            {"235||3", 0.5 / 3},
                                                            {"235||5", 0.5 / 3}});
  CHECK(weights<MvtcaeLoss>(3, 0b010, options) ==
        Weights{{"2->2", 0.5}, {"2||", 0.5}, {"2||2", 0.5}});
}

TEST_CASE("MVAE bounds all that was observed, every single modality, and subsets in between") {
  CHECK(terms<MvaeLoss>(3, 0b101) == Names{"13->13", "13||", "1->1", "1||", "3->3", "3||"});
  CHECK(terms<MvaeLoss>(3, 0b010) == Names{"2->2", "2||"});
  VaeOptions options;
  CHECK(MvaeLoss::choices(3, options) == 1);
  for (int n = 2; n <= 5; ++n) {
    const int between = (1 << n) - 2 - n;
    for (int k = 1; k <= between + 1; ++k) {
      CAPTURE(n, k);
      options.random_subsets = k;
      const int choices = MvaeLoss::choices(n, options);
      CHECK(choices == std::max(between, 1));
      std::map<Subset, int> often;
      for (int choice = 0; choice < choices; ++choice) {
        const Terms t = MvaeLoss::terms({n, all_of(n), options, choice});
        CHECK(t.count == 2 * (1 + n + std::min(k, between)));
        std::set<Subset> reconstructed, diverging;
        for (const Term& term : t) {
          CHECK((term.divergence ? diverging : reconstructed).insert(term.from).second);
          CHECK(term.to == (term.divergence ? 0 : term.from));
          if (term.divergence) ++often[term.from];
        }
        CHECK(reconstructed == diverging);
      }
      CHECK(often.size() == static_cast<std::size_t>(1 + n + between));
      for (const auto& [s, times] : often)
        CHECK(times == (size_of(s) > 1 && s != all_of(n) ? std::min(k, between) : choices));
    }
  }
  // Of an incomplete sample, subsets of what is there.
  options.random_subsets = 2;
  for (int choice = 0; choice < MvaeLoss::choices(4, options); ++choice) {
    std::set<Subset> different;
    for (const Term& t : MvaeLoss::terms({4, 0b1011, options, choice})) {
      CHECK(within(t.from, 0b1011));
      different.insert(t.from);
    }
    CHECK(different.size() == 6);  // all, three single ones, two pairs
  }
}

TEST_CASE("options change the terms of subsets in between, and no others") {
  VaeOptions all, reverse, no_prior;
  all.reconstruct_all = true;
  reverse.reverse_pair_kl = true;
  no_prior.pair_prior_kl = false;
  for (const VaeOptions& options : {all, reverse, no_prior}) {
    CHECK(terms<VaevaeLoss>(2, 0b11, options) == terms<VaevaeLoss>(2, 0b11));
    CHECK(terms<SvaeLoss>(2, 0b01, options) == terms<SvaeLoss>(2, 0b01));
    CHECK(terms<VaevaeLoss>(3, 0b010, options) == terms<VaevaeLoss>(3, 0b010));
  }
  const Names top{"123->123", "123||12", "123||13", "123||23"};
  const auto with = [&](Names names) {
    names.insert(top.begin(), top.end());
    return names;
  };
  CHECK(terms<VaevaeLoss>(3, 0b111, all) ==
        with({"12->123", "12||1", "12||2", "12||", "13->123", "13||1", "13||3", "13||", "23->123",
              "23||2", "23||3", "23||"}));
  CHECK(terms<VaevaeLoss>(3, 0b101, all) == terms<VaevaeLoss>(3, 0b101));
  CHECK(terms<VaevaeLoss>(4, 0b0111, all) ==
        with({"123||", "12->123", "12||1", "12||2", "12||", "13->123", "13||1", "13||3", "13||",
              "23->123", "23||2", "23||3", "23||"}));
  CHECK(terms<VaevaeLoss>(3, 0b111, reverse) ==
        with({"12->12", "1||12", "2||12", "12||", "13->13", "1||13", "3||13", "13||", "23->23",
              "2||23", "3||23", "23||"}));
  CHECK(terms<VaevaeLoss>(3, 0b111, no_prior) ==
        with({"12->12", "12||1", "12||2", "13->13", "13||1", "13||3", "23->23", "23||2", "23||3"}));
  CHECK(terms<SvaeLoss>(3, 0b110, no_prior) ==
        Names{"23->23", "23||2", "23||3", "2->2", "2||", "3->3", "3||"});
}

TEST_CASE("bounds of the sample are means over the batch; losses of subsets have their own means") {
  const VaeOptions options;
  const auto whole = [&]<class Objective>(Objective) {
    return Objective::terms({2, 0b11, options}).whole_batch;
  };
  CHECK(whole(Elbo{}));
  CHECK(whole(MvaeLoss{}));
  CHECK(whole(MvtcaeLoss{}));
  CHECK_FALSE(whole(VaevaeLoss{}));
  CHECK_FALSE(whole(SvaeLoss{}));
  CHECK_FALSE(whole(JmvaeLoss{}));
  CHECK(VaevaeLoss::singles_from_all);
  CHECK(SvaeLoss::singles_from_all);
  CHECK_FALSE(MvaeLoss::singles_from_all);
  CHECK(ParticleBound::particles);
  CHECK(ParticleBound::terms({2, 0b11, options}).count == 0);
}
