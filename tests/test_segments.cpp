// SPDX-License-Identifier: MIT
// Segments of a tape: gradients as without them, memory of the longest one.
#include "support.hpp"

#include <poe/autograd/linear.hpp>
#include <poe/autograd/pointwise.hpp>
#include <poe/autograd/rearrange.hpp>

#include <algorithm>
#include <vector>

namespace {

using namespace poe;
using namespace poe::test;

constexpr int in = 3, wide = 64, rows = 4000;

struct Result {
  std::vector<double> values, by_x, by_weight, by_bias;
  std::size_t memory = 0;  // of the host, bytes
};

/// h = softplus(x) before the segments; y = sigmoid(W h + b) of `chunk` rows at a time, each batch
/// `parts` times, as parts of parallel() where there are several.
Result pass(int chunk, bool segments, bool recording = true, int parts = 1) {
  Tape<double> tape;
  tape.recording = recording;
  const std::size_t before = tape.arena().capacity();
  Context<double> ctx{.tape = tape};
  const auto data = normals<double>(rows * in, 1);
  const auto weight = normals<double>(wide * in, 2), bias = normals<double>(wide, 3);
  Result result;
  result.values.resize(rows * wide);
  result.by_weight.resize(wide * in);
  result.by_bias.resize(wide);
  const auto x = tape.leaf(View<double, Shape<in>>{data.data(), rows});
  const auto h = map<SoftplusFunction>(ctx, x);
  const Parameter<double> w{weight.data(), result.by_weight.data()};
  const Parameter<double> b{bias.data(), result.by_bias.data()};
  for (int first = 0; first < rows; first += chunk) {
    const auto all = [&] {
      tape.parallel(parts, [&](int) {
        const Rows<double, Shape<in>> some[] = {{h, first, std::min(chunk, rows - first)}};
        const auto z = concat_rows(ctx, std::span<const Rows<double, Shape<in>>>(some));
        const auto y =
            map<SigmoidFunction>(ctx, convolve<Shape<wide>>(ctx, linear_window(in, wide), z, w, b));
        std::copy_n(y.value, y.count(), result.values.begin() + first * wide);
        seed(Rows(y), 1.0);
      });
    };
    if (segments)
      tape.segment(all);
    else
      all();
  }
  tape.backward();
  if (recording) result.by_x.assign(x.gradient->data, x.gradient->data + rows * in);
  result.memory = tape.arena().capacity() - before;
  return result;
}

void require_same(const Result& got, const Result& want) {
  require_close(got.values, want.values, 1e-14, "values");
  require_close(got.by_x, want.by_x, 1e-13, "gradient from before the segments");
  require_close(got.by_weight, want.by_weight, 1e-13, "gradient of the weights");
  require_close(got.by_bias, want.by_bias, 1e-13, "gradient of the bias");
}

}  // namespace

TEST_CASE("a pass in segments has the gradients of the whole pass", "[segments]") {
  for (const int parts : {1, 2}) {
    const Result whole = pass(rows, false, true, parts);
    for (const int chunk : {rows, 500, 411, 70}) {
      INFO(parts << " parts, segments of " << chunk << " rows");
      require_same(pass(chunk, true, true, parts), whole);
      require_same(pass(chunk, false, true, parts), whole);
    }
    const Result once = pass(70, true, true, parts), again = pass(70, true, true, parts);
    REQUIRE(once.by_x == again.by_x);
    REQUIRE(once.by_weight == again.by_weight);
  }
}

TEST_CASE("segments need the memory of the longest one", "[segments]") {
  const std::size_t whole = pass(50, false).memory, some = pass(50, true).memory;
  INFO(whole << " bytes without segments, " << some << " with them");
  REQUIRE(whole > 0);
  REQUIRE(some < whole / 10);
}

TEST_CASE("segments without recording are values", "[segments]") {
  const Result want = pass(rows, false), got = pass(70, true, false);
  require_close(got.values, want.values, 1e-14);
  for (const double g : got.by_weight) REQUIRE(g == 0);
}

TEST_CASE("a segment takes back its own operations only", "[segments]") {
  Tape<double> tape;
  const double number[] = {2};
  const auto x = tape.leaf(View<double, Scalar>{number, 1});
  std::vector<int> order;
  std::vector<int>* const log = &order;
  tape.record_always([=] { log->push_back(0); });
  tape.segment([&] {
    tape.record_always([=] { log->push_back(1); });
    tape.segment([&] { tape.record_always([=] { log->push_back(2); }); });
    REQUIRE(order == std::vector<int>{2});
    seed(Rows(x), 3.0);
  });
  REQUIRE(order == std::vector<int>{2, 1});
  REQUIRE(x.gradient->data[0] == 3);
  // What fails takes its operations with it, and leaves those before.
  REQUIRE_THROWS_AS(tape.segment([&] {
    tape.record_always([=] { log->push_back(9); });
    throw Error("no");
  }),
                    Error);
  tape.backward();
  REQUIRE(order == std::vector<int>{2, 1, 0});
}
