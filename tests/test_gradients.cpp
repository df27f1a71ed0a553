// SPDX-License-Identifier: MIT
// The backward pass of every operation but products against finite differences.
#include "gradients.hpp"

#include <poe/autograd/batch_norm.hpp>
#include <poe/autograd/embedding.hpp>
#include <poe/autograd/pointwise.hpp>
#include <poe/autograd/pool.hpp>
#include <poe/autograd/rearrange.hpp>

#include <algorithm>
#include <limits>
#include <vector>

namespace {

using namespace poe;
using namespace poe::test;

}  // namespace

TEMPLATE_TEST_CASE("gradients of elementwise functions", "", ReluFunction, EluFunction,
                   SigmoidFunction, SoftplusFunction) {
  const auto f = [](auto& ctx, auto x) { return map<TestType>(ctx, x); };
  for_each_index<3>([&]<int I>() {
    check_gradient(f, distinct_tensor<RandomVector<I>>(random_rows(I), I));
    check_gradient(f, distinct_tensor<RandomImage<I>>(random_rows(I), I));
  });
}

TEST_CASE("gradients of add") {
  for_each_index<4>([]<int I>() {
    check_gradient([](auto& ctx, auto a, auto b) { return add(ctx, a, b); },
                   normal_tensor<RandomImage<I>>(random_rows(I), 1),
                   normal_tensor<RandomImage<I>>(random_rows(I), 2));
    check_gradient([](auto& ctx, auto a) { return add(ctx, a, a); },
                   normal_tensor<RandomVector<I>>(random_rows(I), 1));
  });
}

TEST_CASE("gradients of dropout") {
  for_each_index<4>([]<int I>() {
    for (const bool channels : {false, true}) {
      const auto f = [=](auto& ctx, auto x) { return dropout(ctx, x, 0.4, channels, 7); };
      check_gradient(f, normal_tensor<RandomImage<I>>(random_rows(I), 1));
      check_gradient(f, normal_tensor<RandomVector<I>>(random_rows(I), 1));
    }
  });
}

TEST_CASE("gradients of reshape") {
  for_each_index<6>([]<int I>() {
    using S = RandomImage<I>;
    using Flat = Shape<S::size>;
    check_gradient([](auto& ctx, auto x) { return reshape<Flat>(ctx, x); },
                   normal_tensor<S>(random_rows(I), 1));
    check_gradient([](auto& ctx, auto x) { return reshape<S>(ctx, x); },
                   normal_tensor<Flat>(random_rows(I), 1));
  });
}

TEST_CASE("gradients of concat_rows: whole, partial, repeated and empty parts") {
  for_each_index<4>([]<int I>() {
    using S = RandomImage<I>;
    check_gradient(
        [](auto& ctx, auto a, auto b) {
          const Rows<double, S> parts[] = {Rows(b, 1, 2), Rows(a),       Rows(b),
                                           Rows(b, 2, 1), Rows(a, 1, 0), Rows(b, 0, 3)};
          return concat_rows<double, S, Cpu>(ctx, parts);
        },
        normal_tensor<S>(random_rows(I), 1), normal_tensor<S>(3, 2));
    check_gradient(
        [](auto& ctx, auto a) {
          const Rows<double, S> part[] = {Rows(a, 1, 2)};
          return concat_rows<double, S, Cpu>(ctx, part);
        },
        normal_tensor<S>(4, 1));
  });
}

TEST_CASE("gradients of concat_features, one part twice") {
  for_each_index<4>([]<int I>() {
    const int rows = random_rows(I);
    check_gradient(
        [](auto& ctx, auto a, auto b, auto c) { return concat_features(ctx, a, b, c, a); },
        normal_tensor<RandomVector<I>>(rows, 1), normal_tensor<RandomVector<I + 50>>(rows, 2),
        normal_tensor<RandomVector<I + 100>>(rows, 3));
  });
}

TEST_CASE("gradients of pooling") {
  for_each_index<8>([]<int I>() {
    constexpr Window w = random_window(I, 5, true);
    using In = Shape<w.channels, w.height, w.width>;
    using Out = Shape<w.channels, w.out_height, w.out_width>;
    check_gradient([&](auto& ctx, auto x) { return max_pool<Out>(ctx, w, x); },
                   distinct_tensor<In>(random_rows(I), I));
    check_gradient([](auto& ctx, auto x) { return global_average_pool(ctx, x); },
                   normal_tensor<In>(random_rows(I), 1));
  });
}

TEST_CASE("max_pool: the first of equal values takes the gradient, and NaN is not hidden") {
  constexpr Window w{1, 1, 4, 1, 1, 1, 1, 4, 1, 1, 0, 0};
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  Tape<double> tape;
  Context<double> ctx{tape};
  Tensor<double, Shape<1, 1, 4>> x(2);
  const double values[] = {-1, 3, 3, 2, 5, 5, 5, 5};
  std::copy(std::begin(values), std::end(values), x.data());
  const auto leaf = tape.leaf(x.view());
  seed(Rows(max_pool<Shape<1, 1, 1>>(ctx, w, leaf)), 1.0);
  tape.backward();
  CHECK(std::vector(leaf.gradient->data, leaf.gradient->data + 8) ==
        std::vector<double>{0, 1, 0, 0, 1, 0, 0, 0});
  for (int at = 0; at < 4; ++at) {
    Tensor<double, Shape<1, 1, 4>> bad(1);
    bad(0, 0, 0, at) = nan;
    CHECK(std::isnan(max_pool<Shape<1, 1, 1>>(ctx, w, tape.constant(bad.view())).value[0]));
  }
}

TEST_CASE("gradients of batch_norm with respect to input, scale and shift") {
  for_each_index<5>([]<int I>() {
    using S = RandomImage<I>;
    constexpr int channels = ImageOf<S>::channels;
    for (const Mode mode : {Mode::train, Mode::evaluate}) {
      const auto f = [mode](Context<double>& ctx, auto x, auto scale, auto shift) {
        ctx.mode = mode;
        auto* const mean = ctx.arena().template take<double>(channels);
        auto* const variance = ctx.arena().template take<double>(channels);
        std::fill_n(mean, channels, 0.3);
        std::fill_n(variance, channels, 0.7);
        return batch_norm(ctx, x, channels, parameter(scale), parameter(shift), mean, variance, {});
      };
      check_gradient(f, normal_tensor<S>(random_rows(I) + 3, 1),
                     normal_tensor<Shape<channels>>(1, 2), normal_tensor<Shape<channels>>(1, 3));
    }
  });
}

TEST_CASE("batch_norm with a ReLU is batch_norm and then a ReLU") {
  for_each_index<5>([]<int I>() {
    using S = RandomImage<I>;
    constexpr int channels = ImageOf<S>::channels;
    const auto x = normal_tensor<S>(random_rows(I) + 3, 1);
    const auto scale = normal_tensor<Shape<channels>>(1, 2);
    const auto shift = normal_tensor<Shape<channels>>(1, 3);
    const auto dy = normal_tensor<S>(x.rows(), 4);
    for (const Mode mode : {Mode::train, Mode::evaluate}) {
      const auto run = [&](bool fused) {
        Tape<double> tape;
        std::vector<double> statistics(2 * channels, 0.7);
        Context<double> ctx{.tape = tape, .mode = mode};
        const auto in = tape.leaf(x.view());
        const auto a = tape.leaf(scale.view()), b = tape.leaf(shift.view());
        auto y = batch_norm(ctx, in, channels, parameter(a), parameter(b), statistics.data(),
                            statistics.data() + channels, {},
                            fused ? Activation::relu : Activation::none);
        if (!fused) y = map<ReluFunction>(ctx, y);
        std::copy_n(dy.flat().data(), y.count(), add_sink(Rows(y)));
        tape.backward();
        std::vector<double> result(y.value, y.value + y.count());
        const auto append_gradient = [&](const auto& v) {
          result.insert(result.end(), v.gradient->data, v.gradient->data + v.count());
        };
        append_gradient(in), append_gradient(a), append_gradient(b);
        return result;
      };
      const auto fused = run(true);
      CHECK(std::ranges::count(fused, 0.0) > 0);
      require_close(fused, run(false), 1e-13);
    }
  });
}

TEST_CASE("batch_norm with a ReLU lets NaN through") {
  Tape<double> tape;
  Context<double> ctx{.tape = tape, .mode = Mode::evaluate};
  Tensor<double, Shape<2, 1, 1>> x(1);
  x.flat()[0] = std::numeric_limits<double>::quiet_NaN(), x.flat()[1] = -1;
  double one[] = {1, 1}, zero[] = {0, 0};
  const auto y = batch_norm(ctx, tape.constant(x.view()), 2, Parameter<double>{one},
                            Parameter<double>{zero}, zero, one, {}, Activation::relu);
  CHECK(std::isnan(y.value[0]));
  CHECK(y.value[1] == 0);
}

TEST_CASE("gradients of embed with respect to the table, whose padding row takes none") {
  constexpr int tokens = 7, width = 3, vocabulary = 5, padding = 2;
  Tensor<double, Shape<tokens>> ids(4);
  for (std::size_t i = 0; i < ids.flat().size(); ++i)
    ids.flat()[i] = Random{.seed = 3}.below(vocabulary, i);
  const auto look_up = [&](Context<double>& ctx, auto table, int without_gradient) {
    return embed<width>(ctx, ctx.tape.constant(ids.view()), parameter(table), vocabulary,
                        without_gradient);
  };
  check_gradient([&](auto& ctx, auto table) { return look_up(ctx, table, -1); },
                 normal_tensor<Shape<vocabulary, width>>(1, 1));

  Tape<double> tape;
  Context<double> ctx{tape};
  const auto table = tape.leaf(normal_tensor<Shape<vocabulary, width>>(1, 1));
  seed(Rows(look_up(ctx, table, padding)), 1.0);
  tape.backward();
  for (int row = 0; row < vocabulary; ++row) {
    const auto uses = std::count(ids.flat().begin(), ids.flat().end(), row);
    CHECK(uses > 0);
    for (int k = 0; k < width; ++k)
      CHECK(table.gradient->data[row * width + k] ==
            (row == padding ? 0.0 : static_cast<double>(uses)));
  }
}
