// SPDX-License-Identifier: MIT
// Training on the device where steps differ: masks, warm-up, choices; as on the CPU, with graphs
// for some of the steps, all, or none.
#include <set>

#include "../watched.hpp"
#include "training.hpp"

namespace {
using namespace poe;
using namespace poe::test;

using Three = Small<Top, Middle, Bottom>;
template <class D>
using ThreeSvae = Svae<float, Three, SmallHead, D>;

constexpr int samples = training_samples;

std::vector<Subset> some_masks() { return random_masks(samples, 3, 0.3, {8, 1, 0}); }
/// All samples in the top and the middle, one in the top and the bottom: most steps are alike.
std::vector<Subset> uneven_masks() {
  std::vector<Subset> masks(samples, 3U);
  masks[17] = 5;
  return masks;
}

template <class Model>
Outcome train_on(const Model& model, const std::vector<Subset>& masks, int steps,
                 Manner manner = {}) {
  return train(model, in_batches<Three>(masks), steps, manner);
}

}  // namespace

TEST_CASE("steps on masked data give the losses and terms of the CPU") {
  const auto masks = GENERATE(as<std::vector<Subset>>{}, some_masks(), uneven_masks(),
                              std::vector<Subset>(samples, 7U));
  const Outcome expected = train_on(ThreeSvae<Cpu>(), masks, 40);
  require_agreement(train_on(ThreeSvae<Cuda>(), masks, 40), expected);
}

TEST_CASE("whichever steps of masked data are graphs, the bytes are the same") {
  const auto masks = GENERATE(as<std::vector<Subset>>{}, some_masks(), uneven_masks());
  const ThreeSvae<Cuda> model;
  const Outcome eager = train_on(model, masks, 14, {.use_graphs = false});
  for (const std::size_t most : {0U, 1U, 2U, 32U}) {
    INFO("at most " << most << " graphs");
    require_same(train_on(model, masks, 14, {.most_graphs = most}), eager);
  }
  tests::for_each_order([&](const std::string& order) {
    INFO("order: " << order);
    require_same(train_on(model, masks, 14), eager);
  });
}

TEST_CASE("samples that are rows of lists are gathered as on the CPU") {
  Samples<float, Three> data = grey_images<Three>();
  std::array<std::vector<std::uint32_t>, 3> rows;
  for (std::uint32_t m = 0; m < 3; ++m) {
    for (std::uint32_t n = 0; n < 2 * samples; ++n)
      rows[m].push_back(Random{5, 7, m}.below(samples, n));
    data.at[m] = rows[m];
  }
  data.rows = 2 * samples;
  data = data.slice(3, samples);
  const auto masks = GENERATE(as<std::vector<Subset>>{}, std::vector<Subset>{}, some_masks());
  const auto run = [&](const auto& model, Manner manner = {}) {
    return train(model, in_batches<Three>(masks), 20, manner, data);
  };
  const Outcome expected = run(ThreeSvae<Cpu>()), graphs = run(ThreeSvae<Cuda>());
  require_agreement(graphs, expected);
  require_same(run(ThreeSvae<Cuda>(), {.use_graphs = false}), graphs);
  REQUIRE(train_on(ThreeSvae<Cpu>(), masks, 20).losses != expected.losses);
}

TEST_CASE("a warm-up on the device is that of the CPU, in graphs too") {
  VaeOptions options;
  options.warm_up_steps = 11;
  const auto masks = GENERATE(as<std::vector<Subset>>{}, some_masks(), uneven_masks());
  const Outcome expected = train_on(ThreeSvae<Cpu>(options), masks, 16);
  const Outcome graphs = train_on(ThreeSvae<Cuda>(options), masks, 16);
  require_agreement(graphs, expected);
  require_same(train_on(ThreeSvae<Cuda>(options), masks, 16, {.use_graphs = false}), graphs);
  const Outcome cold = train_on(ThreeSvae<Cuda>(), masks, 16);
  REQUIRE(std::abs(cold.losses[2] - graphs.losses[2]) > 1e-3 * std::abs(cold.losses[2]));
}

TEST_CASE("the choices of both devices are the same, and each is a shape of its own") {
  using Seen = std::vector<std::pair<int, std::size_t>>;  // choice, groups
  constexpr int steps = 80;
  const auto run = [&]<class D>(D, Seen& seen, Manner manner = {}) {
    Watched<ThreeSvae<D>> model;
    model.choice_count = 3;
    model.before = [&](auto groups, int choice) { seen.emplace_back(choice, groups.size()); };
    return train_on(model, uneven_masks(), steps, manner);
  };
  Seen expected, eager, graphs, few;
  const Outcome on_cpu = run(Cpu{}, expected);
  require_agreement(run(Cuda{}, eager, {.use_graphs = false}), on_cpu);
  REQUIRE(eager == expected);
  // With graphs, the model is asked when a step is run kernel by kernel or captured.
  require_agreement(run(Cuda{}, graphs), on_cpu);
  require_agreement(run(Cuda{}, few, {.most_graphs = 2}), on_cpu);
  REQUIRE(std::set(graphs.begin(), graphs.end()) == std::set(expected.begin(), expected.end()));
  REQUIRE(graphs.size() < few.size());
  REQUIRE(few.size() < eager.size());
  // Most steps find their graph.
  REQUIRE(graphs.size() < steps / 2);
}
