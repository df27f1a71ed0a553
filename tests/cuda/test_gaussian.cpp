// SPDX-License-Identifier: MIT
// Fusion of Gaussian experts on the GPU against textbook formulas in double and their finite
// differences, and against the implementation for the CPU.
#include "fusion_run.hpp"

namespace {

using namespace poe;
using namespace tests;
using poe::test::require_close;
using On = Executor<Cuda>;

/// All three products of two modalities, and everything one may ask of them.
Made two_modalities(bool variance_of_product = false, bool with_prior = false) {
  return {2,
          {{1, false, {}}, {2, false, {}}, {3, with_prior, {1e-6, variance_of_product}}},
          {{2, 0}, {2, 1, true}, {0}, {1}, {2}, {0, 1}},
          {{2, 4}, {0, 1}, {1, 2}, {2, 8}, {0, 9}, {1, 10}},
          "two modalities"};
}

/// All subsets of three modalities.
Made three_modalities() {
  Made made{3, {}, {}, {}, "three modalities"};
  for (std::uint32_t s = 1; s < 8; ++s) {
    made.products.push_back({s, false, {}});
    made.draws.push_back({static_cast<int>(s) - 1, s});
    for (std::uint32_t e = 0; e < 3; ++e)
      if ((s >> e & 1U) != 0)
        made.divergences.push_back({static_cast<int>(s) - 1, static_cast<int>(s & ~(1U << e)) - 1});
  }
  return made;
}

/// Plans for each kernel: four that keep everything in registers, two that do not.
std::vector<Made> plans() {
  return {random_plan(1, 1, 1, 1, 1),
          random_plan(4, 1, 2, 2, 2),
          two_modalities(),
          two_modalities(true, true),
          random_plan(3, 3, 6, 6, 3),
          random_plan(4, 3, 16, 12, 4),
          three_modalities(),
          random_plan(2, 5, 4, 3, 5),
          random_plan(4, 7, 5, 2, 6),
          random_plan(2, 3, 4, 3, 7, true),
          random_plan(8, 12, 20, 5, 8)};
}

}  // namespace

TEMPLATE_TEST_CASE("fusion agrees with the textbook and its differences", "", float, double) {
  const int rows[] = {1, 2, 5, 9};
  int turn = 0;
  for (const Made& made : plans())
    for (const int latent : latents) {
      check<TestType>(made, rows[turn % 4], latent, turn % 2 == 1, turn % 3 == 2 ? 1 : 0);
      ++turn;
    }
}

// In float, plans in registers take `v` dimensions a thread where that makes a warp for each
// multiprocessor; blocks have several warps where it makes more than four. Fewer rows, as in the
// other cases, take one dimension a thread.
TEST_CASE("fusion of as many rows as several dimensions a thread are for") {
  for (const int latent : {4, 20, 136}) {
    check<float>(random_plan(2, 1, 2, 2, 2), rows_of_warps(1, latent, 4), latent, true);
    check<float>(two_modalities(), rows_of_warps(1, latent, 4), latent, latent == 20);
    check<float>(random_plan(4, 3, 5, 4, 4), rows_of_warps(1, latent, 4), latent, true);
    check<float>(three_modalities(), rows_of_warps(1, latent, 2), latent, latent == 20);
  }
  check<float>(random_plan(2, 1, 2, 2, 2), rows_of_warps(4, 20, 4), 20, true);
  check<float>(two_modalities(), rows_of_warps(4, 20, 4), 20, false);
  check<float>(random_plan(4, 3, 5, 4, 4), rows_of_warps(4, 20, 4), 20, false);
  check<float>(three_modalities(), rows_of_warps(4, 20, 2), 20, true);
}

TEMPLATE_TEST_CASE("fusion of many rows, whole and ragged", "", float, double) {
  check<TestType>(two_modalities(), 100, 20, true);
  check<TestType>(two_modalities(), 1009, 4, false);
  check<TestType>(three_modalities(), 1009, 1, true);
  // More warps than blocks of one warp are made for.
  check<TestType>(random_plan(4, 3, 4, 3, 12), rows_of_warps(4, 20, 1), 20, true);
  check<TestType>(random_plan(5, 3, 4, 3, 13), rows_of_warps(4, 20, 1), 20, true);
}

TEMPLATE_TEST_CASE("the largest plans", "", float, double) {
  check<TestType>(random_plan(25, 40, 90, 30, 20), 3, 4, true);
  check<TestType>(random_plan(32, 100, 400, 60, 21), 2, 3, false);
  check<TestType>(random_plan(32, 128, 512, 256, 22, true), 1, 2, true);
}

TEST_CASE("a plan that no kernel holds is refused") {
  REQUIRE_THROWS_WITH(run(problem_of<float>(random_plan(2, 129, 1, 1, 30), 1, 1, false)),
                      Catch::Contains("at most 128 products"));
}

TEMPLATE_TEST_CASE("every order of threads gives the same bytes", "[small]", float, double) {
  for (const Made& made : {two_modalities(), three_modalities(), random_plan(6, 8, 9, 4, 40)})
    for (const int latent : {3, 20, 64, 200}) {
      const auto problem = problem_of<TestType>(made, 5, latent, true);
      same_in_every_order([&] { return run(problem).all(); });
    }
  if constexpr (std::is_same_v<TestType, float>)  // several dimensions a thread
    for (const auto& [made, v] :
         {std::pair(two_modalities(), 4), std::pair(three_modalities(), 2)}) {
      const auto problem = problem_of<float>(made, rows_of_warps(1, 136, v), 136, true);
      same_in_every_order([&] { return run(problem).all(); });
    }
}

TEMPLATE_TEST_CASE("kernels agree with the CPU, also far from ordinary scales", "", float, double) {
  using T = TestType;
  constexpr int latent = 8;
  std::vector<std::pair<Made, int>> cases;
  for (const Made& made : plans())
    for (const int rows : {33, rows_of_warps(1, latent, 4)}) cases.emplace_back(made, rows);
  for (auto& [made, rows] : cases) {
    for (Product& p : made.products) p.link.floor = 0;
    auto problem = problem_of<T>(made, rows, latent, true);
    // Of every eight dimensions one has very narrow experts, one very wide ones and one both; the
    // others are ordinary. Plain and logarithmic arithmetic meet in one thread. Where experts are
    // narrow all locations are 0: differences of rounded ones, divided by the variance, would
    // say nothing.
    for (std::size_t e = 0; e < problem.experts.size(); ++e)
      for (std::size_t i = 0; i < problem.experts[e].size(); i += 2 * latent)
        for (const std::size_t dim : {1U, 4U, 6U}) {
          T& raw = problem.experts[e][i + dim + latent];
          if (dim != 4) problem.experts[e][i + dim] = 0;
          if (Random{3}.below(2, i + dim + 1000 * e) == 0) raw = dim == 4 ? T(3e12) : T(-32);
          if (dim == 6 && e % 2 == 1) raw = T(1e4);
        }
    const Got<T> got = run(problem);
    const Got<T> want = run_on_cpu<latent>(problem);
    INFO(made.name << ", " << rows << " rows");
    // A log-precision of 100, of which exp is taken, is rounded by half a unit.
    const double scale = 100;
    require_close(join(got.posteriors), join(want.posteriors), tolerance<T>(8), "posteriors");
    require_close(join(got.samples), join(want.samples), scale * tolerance<T>(1), "samples");
    require_close(join(got.divergences), join(want.divergences), scale * tolerance<T>(1),
                  "divergences");
    require_close(join(got.gradients), join(want.gradients), 4 * scale * tolerance<T>(1),
                  "gradients");
  }
}

TEMPLATE_TEST_CASE("a draw reads its step where the executor says", "", float, double) {
  On on;
  auto problem = problem_of<TestType>(two_modalities(), 7, 12, false);
  OnDevice<std::uint32_t> step(std::vector<std::uint32_t>{problem.random.step + 5});
  on.step = step.data();
  const auto got = run(problem, 0, &on).samples;
  problem.random.step += 5;
  const Want want = Textbook<TestType>(problem).values();
  require_close(join(got), join(want.samples), tolerance<TestType>(2));
}

TEMPLATE_TEST_CASE("normal numbers made in fours and pairs are those of the sequence", "", float,
                   double) {
  using T = TestType;
  const Random random{77, 5, 6};
  std::vector<T> want(256), fours(256), pairs(256);
  const std::uint64_t first = std::uint64_t{1} << 34;
  fill_normal<T>(random, first, want);
  for (std::uint64_t b = 0; b < 64; ++b) random.normal_block(first / 4 + b, fours.data() + 4 * b);
  for (std::uint64_t p = 0; p < 128; ++p)
    random.normal_pair(first / 2 + p, pairs[2 * p], pairs[2 * p + 1]);
  // The compiler may contract the same expression differently in different places.
  require_close(fours, want, 2 * static_cast<double>(std::numeric_limits<T>::epsilon()));
  require_close(pairs, want, 2 * static_cast<double>(std::numeric_limits<T>::epsilon()));
}
