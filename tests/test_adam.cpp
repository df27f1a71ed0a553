// SPDX-License-Identifier: MIT
// Adam and AMSGrad: steps of a Learner against those of PyTorch, on any number of ranks.
#include "support.hpp"

#include <poe/io/safetensors.hpp>
#include <poe/optim/learner.hpp>

namespace {

using namespace poe;
using test::require_close;

constexpr std::size_t numbers = 21, steps = 8;

/// A model of 21 numbers, and of as many more that lie in the same buffer and get no gradient.
template <class T>
Description<T> some_numbers() {
  Description<T> d;
  for (const char* name : {"x", "idle"})
    d.add_parameter({.name = name, .shape = {numbers}, .initial = Initial::ones});
  return d;
}

template <class T>
std::vector<double> first_numbers(const Buffer<T>& b) {
  return {b.begin(), b.begin() + numbers};
}

template <class T>
void check(const std::string& name, const AdamOptions& options, int threads) {
  INFO(name << ", " << threads << " threads, bytes of T " << sizeof(T));
  const auto file = SafetensorsFile::open(POE_TESTS_DIR "/vectors/optimizers.safetensors");
  const auto gradient = file.read<double>("gradient"), start = file.read<double>("x");
  const auto path = file.read<double>(name + ".x");
  Learner<T> learner(some_numbers<T>(), 1, threads);
  learner.adam = options;
  std::transform(start.begin(), start.end(), learner.state().parameters.begin(),
                 [](double x) { return static_cast<T>(x); });
  // Rounding of a few numbers near 1 in every step.
  const double tolerance = 8 * steps * static_cast<double>(std::numeric_limits<T>::epsilon());
  for (std::size_t s = 0; s < steps; ++s) {
    learner.step({}, [&](Context<T>& ctx) {  // every rank has a part of the gradient
      for (std::size_t i = 0; i < numbers; ++i)
        ctx.gradients[i] += static_cast<T>(gradient[s * numbers + i] / threads);
    });
    const std::vector<double> want(path.begin() + static_cast<std::ptrdiff_t>(s * numbers),
                                   path.begin() + static_cast<std::ptrdiff_t>((s + 1) * numbers));
    require_close(first_numbers(learner.state().parameters), want, tolerance, "x");
  }
  const TrainingState<T>& state = learner.state();
  require_close(first_numbers(state.first_moment), file.read<double>(name + ".exp_avg"), tolerance,
                "first moment");
  require_close(first_numbers(state.second_moment), file.read<double>(name + ".exp_avg_sq"),
                tolerance, "second moment");
  if (options.amsgrad)
    require_close(first_numbers(state.largest_second_moment),
                  file.read<double>(name + ".max_exp_avg_sq"), tolerance, "largest second moment");
  else
    REQUIRE(state.largest_second_moment.size() == 0);
  for (std::size_t i = padded_count<T>(numbers); i < padded_count<T>(numbers) + numbers; ++i)
    REQUIRE(state.parameters[i] == T(1));
}

}  // namespace

TEMPLATE_TEST_CASE("steps of Adam and AMSGrad match PyTorch", "", double, float) {
  const AdamOptions other{.learning_rate = 0.05, .beta1 = 0.7, .beta2 = 0.8, .epsilon = 1e-3};
  for (const int threads : {1, 2}) {  // halves of a gradient are exact
    check<TestType>("adam0", {}, threads);
    check<TestType>("adam1", other, threads);
    check<TestType>("amsgrad0", {.learning_rate = 1e-3, .amsgrad = true}, threads);
    AdamOptions options = other;
    options.amsgrad = true;
    check<TestType>("amsgrad1", options, threads);
  }
}

TEMPLATE_TEST_CASE("a gradient that is not finite is noticed, and no part of it stays", "", float,
                   double) {
  using T = TestType;
  constexpr std::size_t n = 1100, first = 3;  // more than a block
  for (const T bad : {std::numeric_limits<T>::quiet_NaN(), std::numeric_limits<T>::infinity(),
                      -std::numeric_limits<T>::infinity(), T(1)})
    for (const std::size_t at : {first, std::size_t{20}, std::size_t{1026}, n - 1})
      for (const std::size_t rank : {0U, 1U}) {
        INFO(bad << " at " << at << " of rank " << rank);
        std::vector<T> x(n, T(1)), m(n), v(n), parts[] = {std::vector<T>(n, T(1)), x};
        parts[rank][at] = bad;
        T* const gradients[] = {parts[0].data(), parts[1].data()};
        const bool fine = adam_range<T>(AdamStep<T>(AdamOptions{}, 1),
                                        {x.data(), m.data(), v.data()}, gradients, first, n);
        CHECK(fine == std::isfinite(bad));
        for (const auto& part : parts)
          CHECK(std::count(part.begin() + first, part.end(), T(0)) == n - first);
        CHECK(std::count(x.begin(), x.end(), T(1)) == first);
      }
}
