// SPDX-License-Identifier: MIT
// Fusion of Gaussian experts some of which count with a power, on the GPU: against textbook
// formulas in double and their finite differences, and against the implementation for the CPU.
#include "fusion_run.hpp"

namespace {

using namespace poe;
using namespace tests;
using poe::test::require_close;

/// The plan with some experts shared in two products of three, the first of them included.
Made shared(Made made, std::uint32_t stream) {
  const Random random{6, stream, 0};
  constexpr double shares[] = {2, 3, 0.75, 5};
  for (std::size_t p = 0; p < made.products.size(); ++p) {
    if (p % 3 == 1) continue;
    Product& product = made.products[p];
    product.experts |= 1;
    product.shared = (random.bits(2 * p) & product.experts) | 1;
    product.share = shares[random.below(4, 2 * p + 1)];
  }
  made.name += ", shared";
  return made;
}

/// Plans that would be in registers if they shared nothing, and a larger one.
std::vector<Made> plans() {
  return {shared(random_plan(1, 1, 2, 1, 1), 1),  shared(random_plan(4, 1, 2, 2, 2), 2),
          shared(random_plan(2, 3, 6, 4, 3), 3),  shared(random_plan(4, 3, 16, 12, 4), 4),
          shared(random_plan(3, 7, 9, 7, 5), 5),  shared(random_plan(4, 6, 5, 2, 6, true), 6),
          shared(random_plan(9, 12, 20, 5, 8), 7)};
}

}  // namespace

TEMPLATE_TEST_CASE("shared experts agree with the textbook and its differences", "", float,
                   double) {
  const int rows[] = {1, 2, 5, 9};
  int turn = 0;
  for (const Made& made : plans())
    for (const int latent : latents) {
      check<TestType>(made, rows[turn % 4], latent, turn % 2 == 1, turn % 3 == 2 ? 1 : 0);
      ++turn;
    }
}

TEMPLATE_TEST_CASE("shared experts of many rows and in the largest plans", "", float, double) {
  check<TestType>(shared(random_plan(4, 3, 4, 3, 12), 8), 1009, 4, true);
  check<TestType>(shared(random_plan(4, 3, 4, 3, 12), 9), rows_of_warps(4, 20, 1), 20, false);
  check<TestType>(shared(random_plan(32, 100, 400, 60, 21), 10), 2, 3, true);
}

TEMPLATE_TEST_CASE("shared experts on the GPU are those on the CPU", "", float, double) {
  using T = TestType;
  constexpr int latent = 8;
  for (const Made& made : plans()) {
    const auto problem = problem_of<T>(made, 33, latent, true);
    const Got<T> got = run(problem), want = run_on_cpu<latent>(problem);
    INFO(made.name);
    const double terms = static_cast<double>(made.products.size() + made.divergences.size());
    require_close(join(got.posteriors), join(want.posteriors), tolerance<T>(made.experts),
                  "posteriors");
    require_close(join(got.samples), join(want.samples), tolerance<T>(made.experts), "samples");
    require_close(join(got.divergences), join(want.divergences), tolerance<T>(latent + 4),
                  "divergences");
    require_close(join(got.gradients), join(want.gradients), 8 * tolerance<T>(terms), "gradients");
  }
}

TEMPLATE_TEST_CASE("shared experts: every order of threads gives the same bytes", "[small]", float,
                   double) {
  for (const int latent : {3, 20, 64}) {
    const auto made = shared(random_plan(4, 3, 6, 4, 40), 11);
    const auto problem = problem_of<TestType>(made, 5, latent, true);
    same_in_every_order([&] { return run(problem).all(); });
  }
}
