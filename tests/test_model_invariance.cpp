// SPDX-License-Identifier: MIT
// What a loss does not depend on: the order of two modalities, where samples lie, empty groups; and
// how it depends on its weights and its noise.
// sanitizers: none, what it composes is tested with them alone
#include "digit_model.hpp"

#include <algorithm>

namespace {

using namespace poe;
using namespace poe::test;

using Pair = Small<Top, Bottom>;
constexpr Subset top = 1, bottom = 2, both = 3;

template <class V>
using Groups = std::vector<Group<double, typename V::ModalitySet>>;

/// A parameter of a model of (top, bottom) in the order of a model of (bottom, top): the joint
/// network has another name there, and its head reads the features of the halves in another order;
/// so does a bridge the samples of the two.
std::vector<double> exchanged(const ParameterInfo& info, const double* flat) {
  auto values = to_file_order(info, flat);
  if (info.name == "encoders.top_bottom.head.0.weight" || info.name == "bridge.weight")
    for (auto row = values.begin(); row != values.end(); row += info.shape[1])
      std::rotate(row, row + info.shape[1] / 2, row + info.shape[1]);
  return values;
}
std::string exchanged(std::string name) {
  const auto at = name.find("top_bottom.");
  return at == std::string::npos ? name : name.replace(at, 11, "bottom_top.");
}
constexpr Subset exchanged(Subset s) { return s >> 1 | (s & 1) << 1; }

/// `shift` of the raw scales of single modalities: where a bridge reads their samples, only those
/// without noise are the same in both models.
template <template <class, class, class, class> class Model>
void check_exchange(double shift = 0) {
  using Reversed = Small<Bottom, Top>;
  VaeOptions options;
  options.scale_floor = 0;
  options.lambda = {0, 0};  // the gradient of the divergences alone does not depend on the noise
  Trial<Model<double, Pair, SmallHead, Cpu>> one(options);
  Trial<Model<double, Reversed, SmallHead, Cpu>> other(options);
  for (const char* name : {"encoders.top.head.2.bias", "encoders.bottom.head.2.bias"})
    for (std::size_t i = 3; i < 6; ++i) one.parameters[one.info(name).offset + i] += shift;
  for (const ParameterInfo& p : one.model.description().parameters)
    from_file_order<double>(other.info(exchanged(p.name)), exchanged(p, one.parameters.data()),
                            other.parameters.data());
  std::vector<Group<double, Pair>> groups;
  std::vector<Group<double, Reversed>> reversed;
  const Batch<double, Pair> paired(0, both, 0, 3), tops(1, top, 10, 2), bottoms(2, bottom, 20, 2);
  for (const auto* batch : {&paired, &tops, &bottoms}) {
    const auto& g = groups.emplace_back(batch->group);
    reversed.push_back({exchanged(g.observed),
                        g.rows,
                        g.total,
                        0,
                        g.loader,
                        {std::get<1>(g.x), std::get<0>(g.x)}});
  }
  one.run(groups);
  other.run(reversed);
  REQUIRE(one.terms.size() == other.terms.size());
  for (const TermValue& t : one.terms) {
    INFO(t.name<Pair>());
    // Samples of the joint posterior have the same noise in both models, those of others do not.
    if (!t.divergence && t.from != both) continue;
    TermValue image = t;
    image.from = exchanged(t.from), image.to = exchanged(t.to);
    const auto same = std::find_if(other.terms.begin(), other.terms.end(),
                                   [&](const TermValue& o) { return o.same_term(image); });
    REQUIRE(same != other.terms.end());
    CHECK(same->sum == Approx(t.sum).epsilon(1e-12));
  }
  for (const ParameterInfo& p : one.model.description().parameters)
    require_close(to_file_order(other.info(exchanged(p.name)), other.gradients.data()),
                  exchanged(p, one.gradients.data()), 1e-13, p.name);
}

}  // namespace

TEST_CASE("the order of two modalities does not matter, to joint networks either") {
  check_exchange<Svae>();
  check_exchange<Vaevae>();
  check_exchange<VaevaeA>();
  check_exchange<Mvae>();
  check_exchange<Mvtcae>();
  check_exchange<Jmvae>();
  check_exchange<BridgedVae>(-60);
}

TEST_CASE("samples of several groups may lie side by side, in any order, or apart") {
  using V = Svae<double, Pair, SmallHead>;
  const Batch<double, Pair> all(0, both, 0, 7), first(0, both, 0, 4), second(0, both, 4, 3);
  const auto front = all.group.slice(0, 4), back = all.group.slice(4, 3);
  auto front_apart = front, back_apart = back;
  front_apart.x = first.group.x;
  back_apart.x = second.group.x;
  Trial<V> together, apart;
  for (const bool in_order : {true, false}) {
    const double loss = in_order ? together.run({front, back}) : together.run({back, front});
    CHECK((in_order ? apart.run({front_apart, back_apart})
                    : apart.run({back_apart, front_apart})) == loss);
    CHECK(
        std::equal(together.gradients.begin(), together.gradients.end(), apart.gradients.begin()));
  }
}

TEST_CASE("a group without samples changes nothing") {
  const Batch<double, Pair> paired(0, both, 0, 3), none(1, top, 10, 0);
  Trial<Svae<double, Pair, SmallHead>> alone, with;
  CHECK(alone.run({paired.group}) != 0);
  with.run({none.group, paired.group});
  CHECK(with.terms.size() == alone.terms.size() + 2);
  for (const TermValue& t : with.terms)
    CHECK(t.sum == (t.paired ? alone.terms[static_cast<std::size_t>(&t - &with.terms[2])].sum : 0));
  CHECK(std::equal(alone.gradients.begin(), alone.gradients.end(), with.gradients.begin()));
  with.run({none.group});
  CHECK(with.largest_gradient("") == 0);
}

TEST_CASE("beta and lambda weigh the terms, and the gradient is linear in them") {
  using V = Svae<double, Pair, SmallHead>;
  const Batch<double, Pair> paired(0, both, 0, 3), tops(1, top, 10, 2);
  const auto run = [&](double beta, double lambda_top, double lambda_bottom) {
    VaeOptions options;
    options.beta = beta;
    options.lambda = {lambda_top, lambda_bottom};
    Trial<V> trial(options);
    trial.run({paired.group, tops.group});
    for (const TermValue& t : trial.terms)
      CHECK(t.weight == (t.divergence ? beta : t.to == top ? -lambda_top : -lambda_bottom));
    return std::pair{trial.terms, std::vector(trial.gradients.begin(), trial.gradients.end())};
  };
  const auto [terms, all] = run(2, 3, 0.5);
  const auto parts = {run(1, 0, 0), run(0, 1, 0), run(0, 0, 1)};
  std::vector<double> sum(all.size());
  const double weights[] = {2, 3, 0.5};
  const double* weight = weights;
  for (const auto& [same_terms, gradient] : parts) {
    for (std::size_t t = 0; t < terms.size(); ++t) CHECK(same_terms[t].sum == terms[t].sum);
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += *weight * gradient[i];
    ++weight;
  }
  require_close(sum, all, 1e-13, "gradient");
}

TEST_CASE("samples differ by loader and step, and by modality if they are independent") {
  using V = Svae<double, Pair, SmallHead>;
  const auto terms = [](std::uint32_t loader, std::uint32_t step, bool independent) {
    Batch<double, Pair> batch(loader, 3, 0, 4);
    VaeOptions options;
    options.independent_samples = independent;
    Trial<V> trial(options);
    trial.noise.step = step;
    trial.run({batch.group});
    return trial.terms;
  };
  const auto base = terms(0, 3, false), again = terms(0, 3, false);
  for (std::size_t t = 0; t < base.size(); ++t) CHECK(again[t].sum == base[t].sum);
  for (const auto& other : {terms(1, 3, false), terms(0, 4, false), terms(0, 3, true)})
    for (std::size_t t = 0; t < base.size(); ++t)
      CHECK((other[t].sum == base[t].sum) == base[t].divergence);
}
