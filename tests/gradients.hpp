// SPDX-License-Identifier: MIT
// What the tests of gradients share: shapes drawn at random by the compiler, inputs away from
// kinks, and one check for any differentiable function.
#pragma once

#include "support.hpp"

#include <poe/autograd/context.hpp>
#include <poe/autograd/gradcheck.hpp>
#include <poe/ops/window.hpp>

#include <algorithm>
#include <functional>
#include <span>
#include <tuple>
#include <utility>
#include <vector>

namespace poe::test {

/// A number in low .. high for each (case, index).
constexpr int draw(int i, int index, int low, int high) {
  const Random random{.seed = 31, .step = static_cast<std::uint32_t>(i)};
  return low + static_cast<int>(random.below(static_cast<std::uint32_t>(high - low + 1),
                                             static_cast<std::uint64_t>(index)));
}
template <int I>
using RandomVector = Shape<draw(I, 0, 1, 40)>;
template <int I>
using RandomImage = Shape<draw(I, 1, 1, 5), draw(I, 2, 1, 6), draw(I, 3, 1, 6)>;
constexpr int random_rows(int i) { return draw(i, 4, 1, 5); }

/// Window number i, whose two directions differ. Padding is less than the kernel, or for pooling at
/// most half of it.
constexpr Window random_window(int i, int most_channels, bool pooling = false) {
  Window w{.channels = draw(i, 5, 1, most_channels), .filters = draw(i, 6, 1, most_channels)};
  const auto direction = [&](int index, int& extent, int& out, int& kernel, int& stride, int& pad) {
    kernel = draw(i, index, 1, 4);
    stride = draw(i, index + 1, 1, 3);
    pad = std::min(draw(i, index + 2, 0, 3), pooling ? kernel / 2 : kernel - 1);
    extent = std::max(draw(i, index + 3, 1, 6), kernel - 2 * pad);
    out = (extent + 2 * pad - kernel) / stride + 1;
  };
  direction(7, w.height, w.out_height, w.kernel_h, w.stride_h, w.pad_h);
  direction(11, w.width, w.out_width, w.kernel_w, w.stride_w, w.pad_w);
  return w;
}

/// Calls f.operator()<I>() for I = 0 .. N-1.
template <int N, class F>
void for_each_index(F&& f) {
  [&]<int... I>(std::integer_sequence<int, I...>) { (f.template operator()<I>(), ...); }
  (std::make_integer_sequence<int, N>{});
}

/// Numbers of N(0, 1).
template <class S>
Tensor<double, S> normal_tensor(int rows, std::uint32_t stream) {
  Tensor<double, S> t(rows);
  fill_normal<double>({.seed = 43, .stream = stream}, 0, t.flat());
  return t;
}

/// Numbers 0.1 apart, none closer than 0.05 to 0, in random order: no step of gradcheck() changes
/// which is larger or which is positive.
template <class S>
Tensor<double, S> distinct_tensor(int rows, std::uint64_t seed) {
  Tensor<double, S> t(rows);
  const auto order = permutation(static_cast<std::uint32_t>(rows * S::size), {.seed = seed});
  for (std::size_t i = 0; i < order.size(); ++i)
    t.flat()[i] = 0.1 * order[i] - 0.1 * static_cast<double>(order.size() / 2) + 0.05;
  return t;
}

/// A leaf as the parameter of an operation, which adds to its gradient.
template <class S>
Parameter<double> parameter(Variable<double, S> leaf) {
  return {leaf.value, add_sink(Rows(leaf))};
}

/// Compares gradients with finite differences. `loss(nullptr, false)` is the value for the inputs
/// as they are; loss(&g, behind) also appends its gradient with respect to each input to g, after
/// an earlier contribution of 1 to each element where `behind` is set.
inline void check_gradients(
    const std::vector<std::span<double>>& inputs,
    const std::function<double(std::vector<std::vector<double>>*, bool)>& loss) {
  for (const bool behind : {false, true}) {
    std::vector<std::vector<double>> gradients;
    loss(&gradients, behind);
    for (std::size_t k = 0; k < inputs.size(); ++k) {
      if (behind)
        for (double& g : gradients[k]) g -= 1;
      const auto error = gradcheck(inputs[k], gradients[k], [&] { return loss(nullptr, false); });
      INFO("input " << k << ", behind another contribution: " << behind << ", " << error.message());
      // Rounding: 1e-16 of a loss of order 10 to 100, divided by a step of 1e-5.
      REQUIRE(error.ok(1e-8));
    }
  }
}

/// Checks the gradient of sum(g * f(context, x...)), g random, with respect to every x: once as the
/// only contribution to the gradients, once behind an earlier one.
template <class F, class... S>
void check_gradient(F&& f, Tensor<double, S>... x) {
  Tape<double> tape;
  check_gradients({x.flat()...}, [&](std::vector<std::vector<double>>* gradients, bool behind) {
    tape.reset();
    Context<double> ctx{.tape = tape, .mode = Mode::train, .random = {5, 1, 2}, .first_row = 3};
    const std::tuple leaves{tape.leaf(x.view())...};
    const auto for_each_leaf = [&](auto&& g) {
      std::apply([&](auto... leaf) { (g(leaf), ...); }, leaves);
    };
    const auto y = std::apply([&](auto... leaf) { return f(ctx, leaf...); }, leaves);
    const auto g = normals<double>(y.count(), 99);
    double sum = 0;
    for (std::size_t i = 0; i < y.count(); ++i) sum += g[i] * y.value[i];
    if (gradients == nullptr) return sum;
    if (behind) for_each_leaf([](auto leaf) { seed(Rows(leaf), 1.0); });
    double* const dy = add_sink(Rows(y));
    for (std::size_t i = 0; i < y.count(); ++i) dy[i] += g[i];
    tape.backward();
    for_each_leaf([&](auto leaf) {
      const double* const d = add_sink(Rows(leaf));
      gradients->emplace_back(d, d + leaf.count());
    });
    return sum;
  });
}

}  // namespace poe::test
