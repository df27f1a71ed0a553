// SPDX-License-Identifier: MIT
// adam_step of kernels/step.cuh against Adam on the CPU and by hand.
#include <array>

#include "step_state.hpp"

namespace {

using poe::AdamOptions;
using poe::StepState;
using poe::test::same_bytes;
using tests::at_step;
using tests::State;

/// The buffers of Adam as they lie on one device or the other.
template <class T>
struct Buffers {
  std::vector<T> x, m, v, g;
  std::vector<T> largest = std::vector<T>(x.size());  // of AMSGrad
};

template <class T>
Buffers<T> some_buffers(std::size_t n) {
  Buffers<T> b{poe::test::normals<T>(n, 1), poe::test::normals<T>(n, 2, 0.1),
               poe::test::normals<T>(n, 3, 0.1), poe::test::normals<T>(n, 4, 0.3)};
  for (T& v : b.v) v *= v;
  // In half of the places v was once larger, in the others it is larger now.
  b.largest = poe::test::normals<T>(n, 5, 0.1);
  for (T& v : b.largest) v *= v;
  return b;
}

template <class T>
std::vector<T> gradient_of_step(std::size_t n, std::uint32_t step) {
  return poe::test::normals<T>(n, 10 + step, 0.3);
}

/// `steps` steps from state->step = first; buffers begin `skip` numbers after an aligned address.
template <class T>
Buffers<T> adam_on_device(const AdamOptions& options, Buffers<T> start, std::uint32_t first,
                          std::uint32_t steps, std::size_t skip) {
  const std::size_t n = start.x.size();
  poe::Executor<poe::Cuda> on;
  for (auto* b : {&start.x, &start.m, &start.v, &start.g, &start.largest})
    b->insert(b->begin(), skip, T(-7)), b->push_back(T(-7));
  tests::OnDevice<T> x(start.x), m(start.m), v(start.v), g(start.g), largest(start.largest);
  State state(at_step(first));
  for (std::uint32_t k = 0; k < steps; ++k) {
    const auto gradient = gradient_of_step<T>(n, first + k);
    poe::cuda::upload(g.data() + skip, gradient.data(), n * sizeof(T), on.stream());
    poe::adam_step<T>(options, n,
                      {x.data() + skip, m.data() + skip, v.data() + skip,
                       options.amsgrad ? largest.data() + skip : nullptr},
                      g.data() + skip, state.data(), on);
    poe::end_step(state.data(), on);
  }
  const StepState end = state.read(on);
  REQUIRE(end.step == first + steps);
  REQUIRE(end.fault == 0);
  Buffers<T> got{x.read(on), m.read(on), v.read(on), g.read(on), largest.read(on)};
  for (auto* b : {&got.x, &got.m, &got.v, &got.g, &got.largest}) {  // the neighbours are untouched
    for (std::size_t i = 0; i < skip; ++i) REQUIRE((*b)[i] == T(-7));
    REQUIRE(b->back() == T(-7));
    b->pop_back();
    b->erase(b->begin(), b->begin() + static_cast<std::ptrdiff_t>(skip));
  }
  return got;
}

template <class T>
Buffers<T> adam_on_cpu(const AdamOptions& options, Buffers<T> b, std::uint32_t first,
                       std::uint32_t steps) {
  for (std::uint32_t k = 0; k < steps; ++k) {
    b.g = gradient_of_step<T>(b.x.size(), first + k);
    std::array<T*, 1> g{b.g.data()};
    poe::adam_range<T>(
        poe::AdamStep<T>(options, first + k),
        {b.x.data(), b.m.data(), b.v.data(), options.amsgrad ? b.largest.data() : nullptr}, g, 0,
        b.x.size());
  }
  return b;
}

/// Adam in double, as the paper writes it.
template <class T>
Buffers<double> adam_by_hand(const AdamOptions& o, const Buffers<T>& start, std::uint32_t first,
                             std::uint32_t steps) {
  Buffers<double> b;
  b.x.assign(start.x.begin(), start.x.end());
  b.m.assign(start.m.begin(), start.m.end());
  b.v.assign(start.v.begin(), start.v.end());
  b.largest.assign(start.largest.begin(), start.largest.end());
  for (std::uint32_t t = first; t < first + steps; ++t) {
    const auto g = gradient_of_step<T>(b.x.size(), t);
    for (std::size_t i = 0; i < b.x.size(); ++i) {
      const auto gi = static_cast<double>(g[i]);
      b.m[i] = o.beta1 * b.m[i] + (1 - o.beta1) * gi;
      b.v[i] = o.beta2 * b.v[i] + (1 - o.beta2) * gi * gi;
      const double m_hat = b.m[i] / (1 - std::pow(o.beta1, t));
      if (o.amsgrad) b.largest[i] = std::max(b.largest[i], b.v[i]);
      const double v_hat = (o.amsgrad ? b.largest : b.v)[i] / (1 - std::pow(o.beta2, t));
      b.x[i] -= o.learning_rate * m_hat / (std::sqrt(v_hat) + o.epsilon);
    }
  }
  return b;
}

/// |a - b| for two ways of taking these steps in T, which may differ in what the compiler contracts
/// and in the last bit of pow: an operation rounds by half a unit, so twice they are a unit apart.
template <class T>
Buffers<double> rounding_of_adam(const AdamOptions& o, const Buffers<T>& start, std::uint32_t first,
                                 std::uint32_t steps) {
  constexpr auto unit = static_cast<double>(std::numeric_limits<T>::epsilon());
  Buffers<double> error;
  error.x = error.m = error.v = std::vector<double>(start.x.size());
  for (std::uint32_t k = 0; k < steps; ++k) {
    const std::uint32_t t = first + k;
    const auto before = adam_by_hand(o, start, first, k),
               after = adam_by_hand(o, start, first, k + 1);
    const auto g = gradient_of_step<T>(start.x.size(), t);
    // pow, 2 units of double apart, and 1 - pow; then each factor is rounded to T.
    const double factors =
        2 * unit + 2 * std::numeric_limits<double>::epsilon() *
                       (1 / (1 - std::pow(o.beta1, t)) + 1 / (1 - std::pow(o.beta2, t)));
    for (std::size_t i = 0; i < g.size(); ++i) {
      double &x = error.x[i], &m = error.m[i], &v = error.v[i];
      // m += (1 - beta1) * (g - m): a difference, a product, a sum
      m = o.beta1 * m +
          unit * (2 * (1 - o.beta1) * std::abs(static_cast<double>(g[i]) - before.m[i]) +
                  std::abs(after.m[i]));
      // v = beta2 * v + (1 - beta2) * g * g: none of the terms is negative
      v = o.beta2 * v + unit * 3 * after.v[i];
      // x -= rate * m / (sqrt(v) * inverse_root2 + epsilon): five operations and the subtraction
      const double move = std::abs(after.x[i] - before.x[i]);
      x += move * (5 * unit + factors + m / std::abs(after.m[i]) + v / (2 * after.v[i])) +
           unit * std::abs(after.x[i]);
    }
  }
  return error;
}

template <class T>
void require_within(const std::vector<double>& error, const std::vector<T>& got,
                    const std::vector<T>& want, const char* what) {
  REQUIRE(got.size() == want.size());
  std::size_t outside = 0;
  for (std::size_t i = 0; i < got.size(); ++i)
    if (!(std::abs(static_cast<double>(got[i]) - static_cast<double>(want[i])) <= error[i]))
      ++outside;
  INFO(what << ": " << outside << " of " << got.size()
            << " are further off than rounding explains");
  REQUIRE(outside == 0);
}

/// Four steps from `first` on of n numbers that begin `skip` behind an aligned address.
template <class T>
void check_adam(bool amsgrad, std::uint32_t first, std::size_t n, std::size_t skip) {
  AdamOptions options;
  options.learning_rate = 0.01;
  options.amsgrad = amsgrad;
  const std::uint32_t steps = 4;
  // A step costs each of m, v, x a few units of numbers near 1; a few more in the factors.
  const double tolerance = 16 * steps * static_cast<double>(std::numeric_limits<T>::epsilon());
  INFO("n " << n << ", skip " << skip << ", first step " << first << ", AMSGrad " << amsgrad);
  const Buffers<T> start = some_buffers<T>(n);
  const auto cpu = adam_on_cpu(options, start, first, steps);
  const auto by_hand = adam_by_hand(options, start, first, steps);
  const auto rounding = rounding_of_adam(options, start, first, steps);
  Buffers<T> before;
  tests::for_each_order([&](const std::string& order) {
    INFO(order);
    const auto got = adam_on_device(options, start, first, steps, skip);
    poe::test::require_close(got.x, by_hand.x, tolerance, "x by hand");
    poe::test::require_close(got.m, by_hand.m, tolerance, "m by hand");
    poe::test::require_close(got.v, by_hand.v, tolerance, "v by hand");
    poe::test::require_close(got.largest, by_hand.largest, tolerance, "largest v by hand");
    require_within(rounding.x, got.x, cpu.x, "x of the CPU");
    require_within(rounding.m, got.m, cpu.m, "m of the CPU");
    require_within(rounding.v, got.v, cpu.v, "v of the CPU");
    REQUIRE(same_bytes(got.g, std::vector<T>(n, T(0))));
    if (before.x.empty()) before = got;
    REQUIRE(same_bytes(got.x, before.x));
    REQUIRE(same_bytes(got.m, before.m));
    REQUIRE(same_bytes(got.v, before.v));
    REQUIRE(same_bytes(got.largest, before.largest));
  });
  if (!amsgrad) REQUIRE(same_bytes(cpu.largest, start.largest));
}

}  // namespace

// Numbers in packs, in packs and a rest, one by one; blocks with several rounds.
TEMPLATE_TEST_CASE("adam_step takes the step of the state", "[cuda]", float, double) {
  for (const std::uint32_t first : {1U, 1000U})
    for (const std::size_t n : {1U, 3U, 31U, 32U, 33U, 100U, 4099U})
      for (const std::size_t skip : {0U, 1U})
        for (const bool amsgrad : {false, true}) check_adam<TestType>(amsgrad, first, n, skip);
}

TEMPLATE_TEST_CASE("adam_step on a few numbers", "[cuda][small]", float, double) {
  for (const bool amsgrad : {false, true}) {
    check_adam<TestType>(amsgrad, 5, 1003, 0);
    check_adam<TestType>(amsgrad, 5, 33, 1);
  }
}

// More numbers than the resident threads take in two rounds.
TEMPLATE_TEST_CASE("adam_step walks over large buffers", "[cuda]", float, double) {
  using T = TestType;
  const auto threads =
      std::size_t{2048} * static_cast<std::size_t>(poe::cuda::device_info().multiprocessors);
  const std::pair<std::size_t, bool> cases[] = {{0, false}, {1, false}, {0, true}};
  for (const auto& [skip, amsgrad] : cases) {
    AdamOptions options;
    options.amsgrad = amsgrad;
    const std::size_t n = (skip == 0 ? 16 / sizeof(T) : 1) * threads * 2 + 37;
    const Buffers<T> start = some_buffers<T>(n);
    const auto want = adam_by_hand(options, start, 3, 1);
    const auto got = adam_on_device(options, start, 3, 1, skip);
    const double tolerance = 16 * static_cast<double>(std::numeric_limits<T>::epsilon());
    poe::test::require_close(got.x, want.x, tolerance, "x");
    poe::test::require_close(got.m, want.m, tolerance, "m");
    poe::test::require_close(got.v, want.v, tolerance, "v");
    poe::test::require_close(got.largest, want.largest, tolerance, "largest v");
    REQUIRE(same_bytes(got.g, std::vector<T>(n, T(0))));
  }
}

TEMPLATE_TEST_CASE("after a fault adam_step clears the gradients alone", "[cuda][small]", float,
                   double) {
  using T = TestType;
  const std::size_t n = 1001;
  const Buffers<T> start = some_buffers<T>(n);
  for (const std::uint32_t fault :
       {StepState::bad_data, StepState::bad_term, StepState::bad_gradient})
    for (const std::size_t skip : {0U, 1U})
      tests::for_each_order([&](const std::string& order) {
        INFO(order);
        poe::Executor<poe::Cuda> on;
        auto gradient = start.g;
        gradient[5] = std::numeric_limits<T>::quiet_NaN();
        tests::OnDevice<T> x(start.x), m(start.m), v(start.v), g(gradient), largest(start.largest);
        State state(at_step(8, fault));
        const std::size_t count = n - skip;
        poe::adam_step<T>(
            AdamOptions{}, count,
            {x.data() + skip, m.data() + skip, v.data() + skip, largest.data() + skip},
            g.data() + skip, state.data(), on);
        poe::end_step(state.data(), on);
        REQUIRE(same_bytes(x.read(on), start.x));
        REQUIRE(same_bytes(m.read(on), start.m));
        REQUIRE(same_bytes(v.read(on), start.v));
        REQUIRE(same_bytes(largest.read(on), start.largest));
        std::vector<T> zeros(n, T(0));
        if (skip == 1) zeros[0] = start.g[0];
        REQUIRE(same_bytes(g.read(on), zeros));
        REQUIRE(state.read(on).fault == fault);
        REQUIRE(state.read(on).step == 8);
        REQUIRE(state.read(on).fault_step == 0);
      });
}

TEMPLATE_TEST_CASE("a gradient that is not finite is a fault", "[cuda][small]", float, double) {
  using T = TestType;
  const std::size_t n = 1003;  // the last three of them are no pack of 16 bytes in float
  const Buffers<T> start = some_buffers<T>(n);
  for (const T bad : {std::numeric_limits<T>::quiet_NaN(), std::numeric_limits<T>::infinity(),
                      -std::numeric_limits<T>::infinity()})
    for (const std::size_t at : {0U, 2U, 514U, 1002U})
      for (const std::size_t skip : {0U, 1U})
        tests::for_each_order([&](const std::string& order) {
          INFO(order << ", at " << at << ", skip " << skip);
          poe::Executor<poe::Cuda> on;
          auto gradient = start.g;
          gradient[at] = bad;
          gradient[700] = bad;
          gradient.insert(gradient.begin(), skip, T(0));
          tests::OnDevice<T> x(std::vector<T>(n + skip, T(1))), m(std::vector<T>(n + skip, T(0))),
              v(std::vector<T>(n + skip, T(0))), g(gradient);
          State state(at_step(12));
          poe::adam_step<T>(AdamOptions{}, n, {x.data() + skip, m.data() + skip, v.data() + skip},
                            g.data() + skip, state.data(), on);
          const StepState got = state.read(on);
          REQUIRE(got.fault == StepState::bad_gradient);
          REQUIRE(got.fault_step == 12);
          REQUIRE(got.step == 12);
          REQUIRE(same_bytes(g.read(on), std::vector<T>(n + skip, T(0))));
          // The next step does nothing.
          const auto lost = x.read(on);
          poe::cuda::upload(g.data() + skip, start.g.data(), n * sizeof(T), on.stream());
          poe::end_step(state.data(), on);
          poe::adam_step<T>(AdamOptions{}, n, {x.data() + skip, m.data() + skip, v.data() + skip},
                            g.data() + skip, state.data(), on);
          REQUIRE(same_bytes(x.read(on), lost));
          REQUIRE(same_bytes(g.read(on), std::vector<T>(n + skip, T(0))));
          REQUIRE(state.read(on).step == 12);
        });
}

TEST_CASE("adam_step of nothing does nothing", "[cuda]") {
  poe::Executor<poe::Cuda> on;
  State state;
  poe::adam_step<float>(AdamOptions{}, 0, {}, nullptr, state.data(), on);
  REQUIRE(state.read(on).fault == 0);
}
