// SPDX-License-Identifier: MIT
// Three modalities in all six orders: the same loss and gradient, but for the noise, which goes by
// position.
// sanitizers: none, what it composes is tested with them alone
#include "digit_model.hpp"

#include <algorithm>

namespace {

using namespace poe;
using namespace poe::test;

/// Modality m of (top, middle, bottom) is modality position[m] of the other order.
using Order = std::array<int, 3>;
Subset moved(Subset s, const Order& position) {
  Subset result = 0;
  for (int m = 0; m < 3; ++m)
    if (contains(s, m)) result |= only(position[static_cast<std::size_t>(m)]);
  return result;
}
template <class N>
Group<double, N> moved(const Group<double, Small<Top, Middle, Bottom>>& g, const Order& position) {
  Group<double, N> result;
  result.observed = moved(g.observed, position);
  result.rows = g.rows, result.total = g.total, result.loader = g.loader;
  const std::array source{std::get<0>(g.x), std::get<1>(g.x), std::get<2>(g.x)};
  std::array<View<double, Shape<1, 4, 6>>*, 3> target{
      &std::get<0>(result.x), &std::get<1>(result.x), &std::get<2>(result.x)};
  for (std::size_t m = 0; m < 3; ++m) *target[static_cast<std::size_t>(position[m])] = source[m];
  return result;
}

/// Only for models whose networks see one modality each: their names are those of any order.
template <class V, class W>
void check_order(const Order& position, VaeOptions options, double shift, double tolerance) {
  CAPTURE(position[0], position[1], position[2], shift);
  using M = typename V::ModalitySet;
  const Batch<double, M> paired(0, 7, 0, 3), some(1, 5, 10, 2), one(2, 2, 20, 2);
  const std::vector<Group<double, M>> groups{paired.group, some.group, one.group};
  std::vector<Group<double, typename W::ModalitySet>> others;
  for (const auto& g : groups) others.push_back(moved<typename W::ModalitySet>(g, position));

  const VaeOptions ordered = options;
  for (std::size_t m = 0; m < 3; ++m)
    options.lambda[static_cast<std::size_t>(position[m])] = ordered.lambda[m];
  Trial<V> here(ordered);
  Trial<W> there(options);
  for (const ParameterInfo& p : here.model.description().parameters) {
    if (p.name.ends_with("head.2.bias"))
      for (std::size_t i = p.count() / 2; i < p.count(); ++i)
        here.parameters[p.offset + i] += shift;
    from_file_order<double>(there.info(p.name), to_file_order(p, here.parameters.data()),
                            there.parameters.data());
  }
  CHECK(there.run(others) == Approx(here.run(groups)).epsilon(tolerance));
  REQUIRE(there.terms.size() == here.terms.size());
  for (const TermValue& t : here.terms) {
    INFO(t.name<M>());
    if (t.weight == 0) continue;
    TermValue image = t;
    image.from = moved(t.from, position), image.to = moved(t.to, position);
    const auto same = std::find_if(there.terms.begin(), there.terms.end(),
                                   [&](const TermValue& o) { return o.same_term(image); });
    REQUIRE(same != there.terms.end());
    CHECK(same->total == t.total);
    CHECK(same->weight == Approx(t.weight).epsilon(1e-14));
    CHECK(same->sum == Approx(t.sum).epsilon(tolerance));
  }
  CHECK(here.largest_gradient("encoders.middle.") > 1e-3);
  for (const ParameterInfo& p : here.model.description().parameters)
    require_close(to_file_order(there.info(p.name), there.gradients.data()),
                  to_file_order(p, here.gradients.data()), tolerance, p.name);
}

/// Divergences have no noise; log-likelihoods have none once scales are next to nothing.
template <class V, class W>
void check_parts(const Order& position, const VaeOptions& options = {}) {
  VaeOptions divergences = options, likelihoods = options;
  divergences.lambda = {0, 0, 0, 0, 0};
  divergences.scale_floor = likelihoods.scale_floor = 0;
  likelihoods.beta = 0;
  likelihoods.lambda = {1.5, 0.7, 1.2};
  check_order<V, W>(position, divergences, 0, 1e-11);
  check_order<V, W>(position, likelihoods, -60, V::ObjectiveType::particles ? 1e-7 : 1e-11);
}

template <template <class, class, class, class> class Model, class Head = SmallHead>
void check_orders(const VaeOptions& options = {}) {
  using V = Model<double, Small<Top, Middle, Bottom>, Head, Cpu>;
  const auto with = [&]<class N>(const Order& position, N) {
    check_parts<V, Model<double, N, Head, Cpu>>(position, options);
  };
  with({0, 1, 2}, Small<Top, Middle, Bottom>{});
  with({0, 2, 1}, Small<Top, Bottom, Middle>{});
  with({1, 0, 2}, Small<Middle, Top, Bottom>{});
  with({2, 0, 1}, Small<Middle, Bottom, Top>{});
  with({1, 2, 0}, Small<Bottom, Top, Middle>{});
  with({2, 1, 0}, Small<Bottom, Middle, Top>{});
}

}  // namespace

TEST_CASE("the order of three modalities does not matter to products") {
  check_orders<Svae>();
  check_orders<Mvae>({.random_subsets = 3});
  check_orders<Mvtcae>({.alpha = 0.4});
}

TEST_CASE("the order of three modalities does not matter to mixtures") {
  check_orders<Mopoe>();
  VaeOptions options;
  options.estimator = particles::Estimator::elbo;
  options.particles = 2;
  options.softmax_scale = false;
  check_orders<Mmvae>(options);
  check_orders<Mmvae, SmallLaplaceHead>(options);
}
