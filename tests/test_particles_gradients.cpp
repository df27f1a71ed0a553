// SPDX-License-Identifier: MIT
// Every estimator, its values and gradients, against textbook formulas and finite differences in
// double.
// sanitizers: none, what it composes is tested with them alone
#include "particles.hpp"

namespace {

using namespace poe;
using namespace poe::test;

/// A gradient of a naive sum of n terms of order 1 is compared at the size of its largest number.
void require_gradient(const Numbers& got, const Numbers& want, double tolerance,
                      const std::string& what) {
  double largest = 0;
  for (const double g : want) largest = std::max(largest, std::abs(g));
  require_close(got, want, tolerance * (1 + largest), what);
}

template <class T, int L>
void check(Mixture m) {
  Tape<T> tape;
  for (const auto& [name, estimator] : estimator_names)
    for (const Distribution distribution : {Distribution::normal, Distribution::laplace})
      for (const bool with_prior : {false, true}) {
        INFO(name << ", " << (distribution == Distribution::laplace ? "laplace" : "normal")
                  << ", prior " << with_prior << ", C " << m.C << ", K " << m.K << ", rows " << m.R
                  << ", L " << m.L);
        m.estimator = estimator, m.distribution = distribution, m.with_prior = with_prior;
        const Outcome want = naive_outcome(m);
        const bool exact = sizeof(T) == sizeof(double);
        // A sum of L terms of order up to 10, in T; finite differences: 1e-16 / 1e-5 of values.
        const double value = exact ? 1e-12 * m.L : 3e-6 * m.L;
        const double slope = exact ? 1e-7 : 3e-5 * m.L;
        for (const int chunk : {m.R, 2}) {
          const Outcome got = library_outcome<L, T>(m, chunk, tape);
          require_close(got.estimate, want.estimate, value, "estimate");
          if (!rule_of(estimator).importance)
            require_close(got.divergence, want.divergence, value, "divergence");
          else
            for (const double d : got.divergence) REQUIRE(d == -1);  // nobody wrote there
          require_gradient(got.by_theta, want.by_theta, slope, "gradient of the components");
          require_gradient(got.by_w, want.by_w, slope, "gradient of the decoders");
          if (with_prior)
            require_gradient(got.by_prior, want.by_prior, slope, "gradient of the prior");
          else
            for (const double g : got.by_prior) REQUIRE(g == 0);
        }
      }
}

}  // namespace

TEMPLATE_TEST_CASE("estimates and their gradients", "[particles]", float, double) {
  using T = TestType;
  check<T, 1>({1, 1, 1, 1});
  check<T, 1>({2, 3, 9, 1, 1});
  check<T, 2>({5, 7, 2, 2, 2});
  check<T, 3>({1, 6, 4, 3, 3});
  check<T, 5>({3, 1, 3, 5, 4});
  check<T, 17>({2, 4, 2, 17, 5});
  check<T, 20>({4, 2, 1, 20, 6});
}

TEST_CASE("estimates in many dimensions", "[particles]") { check<double, 64>({2, 3, 1, 64, 7}); }
