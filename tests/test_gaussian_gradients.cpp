// SPDX-License-Identifier: MIT
// Gradients of the fused Gaussian operation against finite differences, over random plans.
#include "fusion.hpp"

#include <poe/autograd/gradcheck.hpp>

namespace {

using namespace poe;
using gaussian::Divergence, gaussian::Product, gaussian::ScaleLink;
using test::Fusion, test::some_experts;

/// Small whole numbers, a function of (trial, number of the call).
struct Dice {
  Random source;
  std::uint64_t calls = 0;
  explicit Dice(std::uint32_t trial) : source{11, trial, 0} {}
  std::uint32_t operator()(std::uint32_t n) { return source.below(n, calls++); }
};

/// A random plan over 1 to 5 experts; half of the plans miss some of them.
Fusion<double, 3> random_plan(Dice dice) {
  const std::uint32_t experts = 1 + dice(5), products = 1 + dice(4);
  auto f =
      some_experts<double, 3>(static_cast<int>(experts), 1 + static_cast<int>(dice(3)), dice(1000));
  const auto product = [&](std::uint32_t n) { return static_cast<int>(dice(n)); };
  for (std::uint32_t p = 0; p < products; ++p)
    f.products.push_back({1 + dice((1U << experts) - 1), dice(2) == 1,
                          ScaleLink{dice(2) == 1 ? 0.01 : 0, dice(2) == 1}});
  for (std::uint32_t k = dice(6); k > 0; --k)
    f.divergences.push_back({product(products), product(products + 1) - 1, dice(3) == 0});
  for (std::uint32_t s = dice(4); s > 0; --s) f.draws.push_back({product(products), dice(3)});
  if (dice(2) == 1)
    for (std::size_t i = 0; i < static_cast<std::size_t>(f.rows) * experts; ++i)
      f.observed.push_back(dice(4) != 0);
  f.weigh_everything();
  return f;
}

/// The same function, in which a target that is held fixed is a product of a second copy of the
/// experts, whose numbers nobody moves.
Fusion<double, 3> with_fixed_targets(Fusion<double, 3> f) {
  const std::size_t experts = f.experts.size(), products = f.products.size();
  for (std::size_t e = 0; e < experts; ++e) f.experts.push_back(std::vector(f.experts[e]));
  for (std::size_t p = 0; p < products; ++p) {
    Product copy = f.products[p];
    copy.experts <<= experts;
    f.products.push_back(copy);
  }
  for (Divergence& k : f.divergences)
    if (k.stop_gradient_on_target && k.to != gaussian::prior) k.to += static_cast<int>(products);
  for (Divergence& k : f.divergences) k.stop_gradient_on_target = false;
  std::vector<std::uint8_t> observed;
  for (std::size_t i = 0; i < f.observed.size(); i += experts)
    for (int copy = 0; copy < 2; ++copy)
      observed.insert(observed.end(), f.observed.begin() + static_cast<std::ptrdiff_t>(i),
                      f.observed.begin() + static_cast<std::ptrdiff_t>(i + experts));
  f.observed = observed;
  return f;
}

}  // namespace

TEST_CASE("gradients of random plans agree with central differences") {
  int fixed_targets = 0;
  for (std::uint32_t trial = 0; trial < 60; ++trial) {
    auto f = random_plan(Dice(trial));
    f.run();
    const auto analytic = f.gradients;
    auto moved = with_fixed_targets(f);
    for (const auto& k : f.divergences)
      fixed_targets += k.stop_gradient_on_target && k.to != gaussian::prior;
    CAPTURE(trial);
    for (std::size_t e = 0; e < analytic.size(); ++e) {
      const auto error = gradcheck(moved.experts[e], analytic[e], [&] { return moved.run(); });
      INFO("expert " << e << ": " << error.message());
      REQUIRE(error.ok(1e-7));
    }
  }
  CHECK(fixed_targets > 10);
}

TEST_CASE("without gradients the values are the same and nothing is recorded") {
  const auto experts = some_experts<double, 2>(2, 3, 80).experts;
  const gaussian::Product products[] = {{3}, {1, true}};
  const Divergence divergences[] = {{0, 1}};
  const gaussian::Draw draws[] = {{0, 7}};
  const auto kl = [&](Tape<double>& tape, bool differentiable) {
    Context<double> ctx{.tape = tape};
    std::vector<Rows<double, Shape<4>>> inputs;
    for (const auto& e : experts) {
      const View<double, Shape<4>> view{e.data(), 3};
      inputs.push_back(differentiable ? tape.leaf(view) : tape.constant(view));
    }
    const auto fused = gaussian::fuse<2, double, Cpu>(ctx, inputs, {products, divergences, draws});
    CHECK(fused.samples[0].differentiable() == (differentiable && tape.recording));
    return std::vector(fused.divergences[0].value, fused.divergences[0].value + 3);
  };
  Tape<double> tape, constants, off;
  off.recording = false;
  const auto recorded = kl(tape, true);
  CHECK(kl(constants, false) == recorded);
  CHECK(kl(off, true) == recorded);
  CHECK(tape.size() == 1);
  CHECK(constants.size() == 0);
  CHECK(off.size() == 0);
}
