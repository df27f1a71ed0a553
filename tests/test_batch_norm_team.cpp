// SPDX-License-Identifier: MIT
// labels: threads
// Batch normalisation of a batch that the ranks of a team share: the same as on one rank.
#include "network.hpp"

#include <poe/core/team.hpp>

#include <algorithm>
#include <vector>

namespace {

using namespace poe;
using namespace poe::test;

using In = Shape<3, 5, 4>;
using N = Net<In, Conv2d<6, kernel(3)>, BatchNorm2d, Relu, Conv2d<4, kernel(2, 1)>, BatchNorm2d>;

/// What some training steps and an evaluation leave behind.
struct Outcome {
  std::vector<double> y, dx, gradients, statistics;
  friend bool operator==(const Outcome&, const Outcome&) = default;
};

/// Two training steps and an evaluation of `rows` samples by a team of `ranks`.
Outcome run(int rows, int ranks) {
  constexpr int steps = 3;
  Team team(ranks);
  const auto x = normal_tensor<In>(steps * rows, 1);
  const auto g = normal_tensor<N::Out>(steps * rows, 2);
  Tensor<double, In> dx(steps * rows);
  Tensor<double, N::Out> y(steps * rows);
  Model<N> model(5);  // parameters and statistics belong to all ranks, gradients to one
  const std::size_t size = model.gradients.size();
  std::vector<Tape<double>> tapes(static_cast<std::size_t>(ranks));
  std::vector<std::vector<double>> gradients(tapes.size(), std::vector<double>(size));
  for (int step = 0; step < steps; ++step)
    team.run([&](int rank) {
      const auto r = static_cast<std::size_t>(rank);
      const Slice slice = slice_of(rows, rank, ranks);
      const int first = step * rows + slice.first;
      Tape<double>& tape = tapes[r];
      tape.reset();
      Context<double> context{.tape = tape,
                              .parameters = model.parameters.data(),
                              .gradients = gradients[r].data(),
                              .statistics = model.statistics.data(),
                              .mode = step < 2 ? Mode::train : Mode::evaluate,
                              .team = &team,
                              .rank = rank,
                              .first_row = slice.first};
      Cursor<double> cursor{context};
      const auto leaf = tape.leaf(x.view().slice(first, slice.count));
      const auto out = N::forward(cursor, leaf);
      double* const dy = add_sink(Rows(out));
      for (std::size_t i = 0; i < out.count(); ++i) dy[i] += g.view().slice(first, 0).data[i];
      tape.backward();
      if (slice.count == 0) return;
      std::copy_n(out.value, out.count(), y.row(first).data());
      std::copy_n(leaf.gradient->data, leaf.count(), dx.row(first).data());
    });
  Outcome outcome{{y.flat().begin(), y.flat().end()}, {dx.flat().begin(), dx.flat().end()}, {}, {}};
  outcome.gradients.resize(size);
  for (const auto& part : gradients)
    for (std::size_t i = 0; i < size; ++i) outcome.gradients[i] += part[i];
  outcome.statistics.assign(model.statistics.begin(), model.statistics.end());
  return outcome;
}

}  // namespace

TEST_CASE("several ranks normalise as one does, also when there are more ranks than samples") {
  for (const int rows : {2, 7, 16}) {
    const Outcome one = run(rows, 1);
    for (const int ranks : {2, 3}) {
      INFO(rows << " rows on " << ranks << " ranks");
      const Outcome several = run(rows, ranks);
      // Only the order of sums over the batch differs, and what follows from it.
      const double tolerance = 100 * sum_tolerance<double>(rows * In::size);
      require_close(several.y, one.y, tolerance, "y");
      require_close(several.dx, one.dx, tolerance, "dx");
      require_close(several.gradients, one.gradients, tolerance, "gradients");
      require_close(several.statistics, one.statistics, tolerance, "statistics");
    }
  }
}

TEST_CASE("several ranks give the same bits every time") {
  const Outcome first = run(7, 3);
  for (int repeat = 0; repeat < 10; ++repeat) REQUIRE(run(7, 3) == first);
}

TEST_CASE("a batch of one value per channel is an error on every rank, and the team goes on") {
  Team team(2);
  const Tensor<double, Shape<4, 1, 1>> x(1);
  std::vector<Tape<double>> tapes(2);
  double numbers[4] = {};
  const auto step = [&](int rank) {
    const Slice slice = slice_of(x.rows(), rank, 2);
    Context<double> context{.tape = tapes[static_cast<std::size_t>(rank)],
                            .mode = Mode::train,
                            .team = &team,
                            .rank = rank};
    batch_norm(context, context.tape.constant(x.view().slice(slice.first, slice.count)), 4,
               Parameter<double>{numbers}, Parameter<double>{numbers}, numbers, numbers, {});
  };
  CHECK_THROWS_WITH(team.run(step), Catch::StartsWith("batch_norm: more than one value"));
  CHECK_NOTHROW(team.run([&](int) { team.meet(); }));
}
