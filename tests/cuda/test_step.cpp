// SPDX-License-Identifier: MIT
// The kernels of kernels/step.cuh around Adam: rows are gathered, terms are closed, a step ends.
#include <algorithm>

#include "step_state.hpp"

namespace {

using poe::StepState;
using poe::TermShare;
using poe::test::same_bytes;
using tests::at_step;
using tests::State;

struct Closed {
  std::vector<double> means;
  StepState state;
};

Closed close_terms(const std::vector<TermShare>& terms, const std::vector<double>& sums,
                   std::size_t rows, const StepState& start) {
  poe::Executor<poe::Cuda> on;
  std::vector<double> before(rows);
  for (std::size_t r = 0; r < rows; ++r) before[r] = 0.25 * static_cast<double>(r) - 1;
  tests::OnDevice<double> device_sums(sums), means(before);
  State state(start);
  poe::close_terms(terms, device_sums.data(), means.data(), state.data(), on);
  return {means.read(on), state.read(on)};
}

/// Several terms of a row, terms without samples.
std::vector<TermShare> some_terms(std::size_t n, std::size_t rows) {
  std::vector<TermShare> terms(n);
  for (std::size_t i = 0; i < n; ++i) {
    terms[i].total = i % 6 == 3 ? 0.0 : 100.0 + static_cast<double>(i);
    terms[i].weight = i % 2 == 0 ? -1.0 : 0.3;
    terms[i].row = static_cast<int>((i * 5) % rows);
  }
  return terms;
}

void check_terms(std::size_t n) {
  INFO(n << " terms");
  const std::size_t rows = n / 2 + 1;
  const auto terms = some_terms(n, rows);
  auto sums = poe::test::normals<double>(n + 1, 1, 1000);
  for (std::size_t i = 0; i < n; ++i)  // not looked at
    if (terms[i].total == 0) sums[i] = std::numeric_limits<double>::quiet_NaN();
  StepState start = at_step(77);
  start.loss = 12.5;
  double loss = start.loss;
  std::vector<double> means(rows);
  for (std::size_t r = 0; r < rows; ++r) means[r] = 0.25 * static_cast<double>(r) - 1;
  for (std::size_t i = 0; i < n; ++i) {
    if (terms[i].total == 0) continue;
    means[static_cast<std::size_t>(terms[i].row)] += sums[i] / terms[i].total;
    loss += terms[i].weight * (sums[i] / terms[i].total);
  }
  // Doubles, one rounding a term.
  const double tolerance = 4e-16 * static_cast<double>(n + 1) * 10;
  tests::for_each_order([&](const std::string& order) {
    INFO(order);
    const Closed got = close_terms(terms, sums, rows, start);
    poe::test::require_close(got.means, means, tolerance, "means");
    poe::test::require_close(std::vector<double>{got.state.loss}, std::vector<double>{loss},
                             tolerance, "loss");
    REQUIRE(got.state.fault == 0);
    REQUIRE(got.state.step == 77);
  });
}

}  // namespace

// 128 terms fit into one launch.
TEST_CASE("close_terms adds means and loss in the order of the terms", "[cuda]") {
  for (const std::size_t n : {0U, 1U, 2U, 31U, 32U, 33U, 100U, 127U, 128U, 129U, 300U})
    check_terms(n);
}

TEST_CASE("close_terms of one launch and of several", "[cuda][small]") {
  check_terms(33);
  check_terms(130);
}

TEST_CASE("warming terms count by the step of the device", "[cuda][small]") {
  for (const std::size_t n : {3U, 130U})
    for (const std::uint32_t steps : {0U, 1U, 10U})
      for (const std::uint32_t step : {1U, 3U, 9U, 10U, 11U}) {
        INFO(n << " terms, step " << step << " of " << steps);
        auto terms = some_terms(n, 5);
        const auto sums = poe::test::normals<double>(n, 2, 1000);
        double loss = 0;
        for (std::size_t i = 0; i < n; ++i) {
          terms[i].warming = i % 2 == 1;
          if (terms[i].total == 0) continue;
          const double factor = i % 2 == 0 || step >= steps ? 1.0 : step / double{10};
          loss += factor * terms[i].weight * sums[i] / terms[i].total;
        }
        poe::Executor<poe::Cuda> on;
        tests::OnDevice<double> device_sums(sums), means(std::vector<double>(5));
        tests::OnDevice<double> cold_means(std::vector<double>(5));
        State state(at_step(step)), cold(at_step(step));
        poe::close_terms(terms, device_sums.data(), means.data(), state.data(), on, steps);
        // Means are of what was found, whatever it counts.
        poe::close_terms(terms, device_sums.data(), cold_means.data(), cold.data(), on);
        REQUIRE(same_bytes(means.read(on), cold_means.read(on)));
        REQUIRE(state.read(on).loss ==
                Approx(loss).epsilon(1e-14 * static_cast<double>(n)).margin(1e-12));
      }
}

TEST_CASE("a sum that is not finite stops everything", "[cuda][small]") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double inf = std::numeric_limits<double>::infinity();
  for (const std::size_t n : {5U, 128U, 300U})
    for (const std::size_t at : {std::size_t{0}, std::size_t{4}, n - 1})
      for (const double bad : {nan, inf, -inf}) {
        INFO(n << " terms, bad at " << at);
        const auto terms = some_terms(n, 7);
        auto sums = poe::test::normals<double>(n, 1, 1000);
        sums[at] = bad;
        sums[n - 1] = bad;
        const auto nothing = close_terms({}, {}, 7, at_step(9)).means;
        tests::for_each_order([&](const std::string& order) {
          INFO(order);
          const Closed got = close_terms(terms, sums, 7, at_step(9));
          REQUIRE(got.state.fault == StepState::bad_term);
          REQUIRE(got.state.fault_step == 9);
          REQUIRE(got.state.fault_term == at);
          REQUIRE(got.state.loss == 0);
          REQUIRE(same_bytes(got.means, nothing));
        });
      }
}

TEST_CASE("close_terms keeps an earlier fault and adds nothing", "[cuda][small]") {
  const auto nothing = close_terms({}, {}, 7, at_step(9)).means;
  for (const std::size_t n : {20U, 200U})
    for (const bool bad : {false, true}) {
      auto sums = poe::test::normals<double>(n, 1);
      if (bad) sums[2] = std::numeric_limits<double>::quiet_NaN();
      const Closed got = close_terms(some_terms(n, 7), sums, 7, at_step(9, StepState::bad_data));
      REQUIRE(got.state.fault == StepState::bad_data);
      REQUIRE(got.state.fault_step == 0);
      REQUIRE(got.state.fault_term == 0);
      REQUIRE(got.state.loss == 0);
      REQUIRE(same_bytes(got.means, nothing));
    }
}

TEST_CASE("end_step counts steps until a fault", "[cuda][small]") {
  poe::Executor<poe::Cuda> on;
  State good(at_step(41)), bad(at_step(41, StepState::bad_term));
  for (int i = 0; i < 3; ++i) {
    poe::end_step(good.data(), on);
    poe::end_step(bad.data(), on);
  }
  REQUIRE(good.read(on).step == 44);
  REQUIRE(bad.read(on).step == 41);
}

namespace {

template <class T>
std::vector<T> unset(std::size_t n) {
  return std::vector<T>(n, std::numeric_limits<T>::quiet_NaN());
}

template <class T>
void check_gather(int size, int rows, std::size_t skip) {
  const std::size_t n = 50;
  INFO("size " << size << ", rows " << rows << ", skip " << skip);
  const auto width = static_cast<std::size_t>(size);
  const auto count = static_cast<std::size_t>(rows);
  const std::uint32_t first_step = 5, steps = 3;
  const int stride = rows + 7, offset = 4;
  std::vector<std::uint32_t> schedule(steps * static_cast<std::size_t>(stride) + 1);
  for (std::size_t i = 0; i < schedule.size(); ++i)
    schedule[i] = static_cast<std::uint32_t>((i * 37 + 11) % n);
  const auto data = poe::test::normals<T>(n * width + skip, 1);
  tests::for_each_order([&](const std::string& order) {
    INFO(order);
    poe::Executor<poe::Cuda> on;
    tests::OnDevice<T> from(data);
    tests::OnDevice<std::uint32_t> index(schedule);
    StepState start = at_step(first_step);
    start.first_step = first_step;
    State state(start);
    for (std::uint32_t k = 0; k < steps; ++k) {
      tests::OnDevice<T> out(count * width + 1);
      poe::gather_rows<T>(from.data() + skip, size, index.data(), stride, offset, rows,
                          state.data(), out.data(), on);
      auto want = unset<T>(count * width + 1);
      for (std::size_t r = 0; r < count; ++r) {
        const std::size_t row = schedule[k * static_cast<std::size_t>(stride) + 4 + r];
        std::copy_n(data.begin() + static_cast<std::ptrdiff_t>(skip + row * width), width,
                    want.begin() + static_cast<std::ptrdiff_t>(r * width));
      }
      REQUIRE(same_bytes(out.read(on), want));
      poe::end_step(state.data(), on);
    }
  });
}

}  // namespace

// Rows of packs and of single numbers, narrower and wider than a block; one block and several.
TEMPLATE_TEST_CASE("gather_rows takes the rows of its step", "[cuda]", float, double) {
  for (const int size : {1, 2, 3, 4, 31, 32, 33, 100, 392, 1009, 1024})
    for (const int rows : {0, 1, 33, 100})
      for (const std::size_t skip : {0U, 1U}) check_gather<TestType>(size, rows, skip);
}

TEMPLATE_TEST_CASE("gather_rows of a few rows", "[cuda][small]", float, double) {
  check_gather<TestType>(36, 5, 0);
  check_gather<TestType>(33, 5, 1);
}
