// SPDX-License-Identifier: MIT
// The tape: its gradient policy, its depth, its errors, and the checker of gradients.
#include "support.hpp"

#include <poe/autograd/batch_norm.hpp>
#include <poe/autograd/embedding.hpp>
#include <poe/autograd/gradcheck.hpp>
#include <poe/autograd/linear.hpp>
#include <poe/autograd/pointwise.hpp>
#include <poe/autograd/rearrange.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <string>
#include <vector>

namespace {

using poe::Context;
using poe::Mode;
using poe::Parameter;
using poe::Rows;
using poe::Shape;
using poe::Tape;
using poe::Tensor;
using poe::Variable;

using Pair = Shape<2>;
using Vector = Variable<double, Pair>;

/// A batch whose elements are 1, 2, 3, ...
template <class S>
Tensor<double, S> counting(int rows) {
  Tensor<double, S> t(rows);
  for (std::size_t i = 0; i < t.flat().size(); ++i) t.flat()[i] = static_cast<double>(i + 1);
  return t;
}

std::vector<double> gradient_of(const Vector& v) {
  return {v.gradient->data, v.gradient->data + v.count()};
}

/// y = factor * x, counting the runs of its backward pass.
Vector scale(Context<double>& ctx, Vector x, double factor, int* runs) {
  auto y = ctx.tape.make<Pair>(x.rows, x.differentiable());
  for (std::size_t i = 0; i < x.count(); ++i) y.value[i] = factor * x.value[i];
  ctx.tape.record(y, [=] {
    ++*runs;
    const auto dx = poe::sink(x);
    for (std::size_t i = 0; i < x.count(); ++i) dx.put(i, factor * y.gradient->data[i]);
  });
  return y;
}

/// Leaves NaN wherever the next step will find memory.
void soil(Tape<double>& tape) {
  tape.reset();
  const std::size_t n = 1 << 16;
  std::fill_n(tape.arena().take<double>(n), n, std::numeric_limits<double>::quiet_NaN());
  tape.reset();
}

}  // namespace

TEST_CASE("a tape of 100,000 operations runs backward") {
  Tape<double> tape;
  Context<double> ctx{tape};
  Tensor<double, Pair> x(1);
  x(0, 0) = 2, x(0, 1) = -2;
  const Vector leaf = tape.leaf(x.view());
  Vector y = leaf;
  for (int i = 0; i < 100'000; ++i) y = poe::map<poe::ReluFunction>(ctx, y);
  CHECK(tape.size() == 100'000);
  poe::seed(Rows(y), 3.0);
  tape.backward();
  CHECK(gradient_of(leaf) == std::vector{3.0, 0.0});
}

TEST_CASE("the first contribution overwrites a gradient, later ones are added") {
  Tape<double> tape;
  soil(tape);
  Context<double> ctx{tape};
  int runs = 0;
  const Vector x = tape.leaf(counting<Pair>(2));
  const Vector a = scale(ctx, x, 2, &runs), b = scale(ctx, x, 5, &runs);
  const Vector sum = poe::add(ctx, poe::add(ctx, a, b), poe::add(ctx, x, x));
  poe::seed(Rows(sum), 1.0);
  tape.backward();
  CHECK(gradient_of(x) == std::vector(4, 9.0));
  CHECK(runs == 2);
  tape.backward();  // has run: nothing is left to run
  CHECK(gradient_of(x) == std::vector(4, 9.0));
  CHECK(runs == 2);
}

TEST_CASE("a branch that received no gradient costs nothing and gives none") {
  Tape<double> tape;
  soil(tape);
  Context<double> ctx{tape};
  int used = 0, unused = 0, always = 0;
  const Vector x = tape.leaf(counting<Pair>(3));
  const Vector other = tape.leaf(counting<Pair>(3));
  const Vector y = scale(ctx, x, 2, &used);
  scale(ctx, scale(ctx, y, 3, &unused), 3, &unused);
  scale(ctx, other, 3, &unused);
  tape.record_always([&always] { ++always; });
  poe::seed(Rows(y, 1, 1), 1.0);
  poe::seed(Rows(y, 1, 2), 1.0);
  tape.backward();
  CHECK(gradient_of(x) == std::vector{0.0, 0.0, 4.0, 4.0, 2.0, 2.0});
  CHECK_FALSE(other.gradient->written);
  CHECK(used == 1);
  CHECK(unused == 0);
  CHECK(always == 1);
}

TEST_CASE("without recording, and for constants, nothing is kept") {
  Tape<double> tape;
  Context<double> ctx{tape};
  int runs = 0;
  const auto data = counting<Pair>(3);
  const Vector constant = tape.constant(data.view());
  CHECK(constant.value == data.data());
  CHECK_FALSE(scale(ctx, constant, 2, &runs).differentiable());
  tape.recording = false;
  tape.record_always([&runs] { ++runs; });
  const Vector y = scale(ctx, tape.leaf(data.view()), 2, &runs);
  CHECK_FALSE(y.differentiable());
  CHECK(y.value[5] == 12);
  poe::seed(Rows(y), 1.0);
  CHECK(tape.size() == 0);
  tape.backward();
  CHECK(runs == 0);
}

TEST_CASE("gradients of parameters are added over passes, and only where they are wanted") {
  const auto numbers = poe::test::normals<double>(6, 1);
  const auto x = counting<Shape<3>>(4);
  Tape<double> tape;
  const auto pass = [&](std::span<double> weight_gradient, std::span<double> bias_gradient,
                        bool input) {
    soil(tape);
    Context<double> ctx{tape};
    const auto in = input ? tape.leaf(x.view()) : tape.constant(x.view());
    const auto y = poe::convolve<Pair>(ctx, poe::linear_window(3, 2), in,
                                       Parameter<double>{numbers.data(), weight_gradient.data()},
                                       Parameter<double>{numbers.data(), bias_gradient.data()});
    poe::seed(Rows(y), 1.0);
    tape.backward();
    return input ? std::vector(in.gradient->data, in.gradient->data + in.count())
                 : std::vector<double>();
  };
  std::vector<double> once(6), twice(6), bias(2);
  const auto dx = pass(once, bias, true);
  pass(twice, {}, true);
  pass(twice, {}, false);
  for (std::size_t i = 0; i < 6; ++i) CHECK(once[i] == (i < 2 ? 22 : i < 4 ? 26 : 30));
  for (std::size_t i = 0; i < 6; ++i) CHECK(twice[i] == 2 * once[i]);
  CHECK(bias == std::vector{4.0, 4.0});
  CHECK(pass({}, {}, true) == dx);
  CHECK_NOTHROW(pass({}, {}, false));
}

TEST_CASE("operands that do not fit are errors that say why") {
  Tape<double> tape;
  Context<double> ctx{.tape = tape, .mode = Mode::train};
  const Vector two = tape.leaf(counting<Pair>(2)), three = tape.leaf(counting<Pair>(3));
  CHECK_THROWS_WITH(poe::add(ctx, two, three), "add: batches of 2 and 3 samples");
  CHECK_THROWS_WITH(poe::concat_features(ctx, two, two, three),
                    "concat_features: batches of 2 and 3 samples");
  constexpr int most = std::numeric_limits<int>::max();
  const int wrong[][2] = {{0, 4}, {3, 1}, {4, 0}, {-1, 2}, {2, -1}, {1, most}};
  for (const auto& [first, count] : wrong) CHECK_THROWS_AS(Rows(three, first, count), poe::Error);
  CHECK_THROWS_WITH(Rows(three, 1, 3),
                    "rows of a variable: 3 rows from row 1 on asked of a batch of 3");

  const std::vector<double> table(7 * 4);
  for (const double id : {-1.0, 7.0, 2.5, 1e30, std::numeric_limits<double>::quiet_NaN()}) {
    auto ids = counting<Pair>(3);
    ids(1, 1) = id;
    const auto look_up = [&] {
      poe::embed<4>(ctx, tape.constant(ids.view()), Parameter<double>{table.data()}, 7, 0);
    };
    CHECK_THROWS_WITH(look_up(), Catch::StartsWith("embedding: token 1 of sample 1 has id ") &&
                                     Catch::EndsWith("; the table has 7 rows"));
  }
  double one[4] = {1, 1, 1, 1};
  CHECK_THROWS_WITH(poe::batch_norm(ctx, tape.leaf(counting<Shape<4, 1, 1>>(1)), 4,
                                    Parameter<double>{one}, Parameter<double>{one}, one, one, {}),
                    Catch::StartsWith("batch_norm: more than one value per channel"));
}

TEST_CASE("gradcheck accepts a right gradient and finds any wrong element") {
  auto x = poe::test::normals<double>(20, 3);
  const auto at_start = x;
  const auto value = [&] {
    double sum = 0;
    for (std::size_t i = 0; i < x.size(); ++i) sum += std::sin(x[i]) * static_cast<double>(i + 1);
    return sum;
  };
  std::vector<double> right(20);
  for (std::size_t i = 0; i < x.size(); ++i) right[i] = std::cos(x[i]) * static_cast<double>(i + 1);
  CHECK(poe::gradcheck(x, right, value).ok(1e-8));
  CHECK(x == at_start);
  for (std::size_t i = 0; i < x.size(); ++i)
    for (const double wrong :
         {right[i] * 1.001 + 1e-5, -right[i], 2 * right[i], 0.0,
          std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
      auto gradient = right;
      gradient[i] = wrong;
      const auto error = poe::gradcheck(x, gradient, value);
      INFO(error.message());
      CHECK_FALSE(error.ok());
      CHECK(error.element == i);
      CHECK(error.message().find("element " + std::to_string(i)) == 0);
    }
  auto gradient = right;
  gradient[7] = 100;
  CHECK(poe::gradcheck(x, gradient, value, 1e-5, 2).ok());
  CHECK_FALSE(poe::gradcheck(x, gradient, value, 1e-5, 7).ok());
  CHECK_THROWS_WITH(poe::gradcheck(x, std::span(right).first(19), value),
                    "gradcheck: 20 numbers but 19 gradients");
}
