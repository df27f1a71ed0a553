// SPDX-License-Identifier: MIT
// kernels/terms.cuh against sums in long double.
#include "../support.hpp"

#include <algorithm>
#include <cstring>

#include <poe/ops/terms.hpp>

#include "device.hpp"

namespace {

using poe::TermPart;

struct Part {
  int count, slot;
  bool gradient;
};

template <class T>
T weight_of(std::size_t part) {
  return static_cast<T>(0.5 - static_cast<double>(part));
}

/// Sums of doubles: each addition costs at most half a unit of the sum of the absolute values.
double tolerance(double terms, double scale) {
  return std::numeric_limits<double>::epsilon() * terms * scale;
}

/// min(1, step / steps), from its definition.
double factor_of(std::uint32_t steps, std::uint32_t step) {
  return steps == 0 ? 1 : std::min(1.0, static_cast<double>(step) / static_cast<double>(steps));
}

template <class T>
void check(const std::vector<Part>& parts, int slots) {
  INFO(parts.size() << " parts, " << slots << " slots, bytes of T " << sizeof(T));
  std::size_t total = 0;
  for (const Part& p : parts) total += static_cast<std::size_t>(p.count);
  const auto values = poe::test::normals<T>(total + 1, 1, 50);
  std::vector<double> first;
  tests::for_each_order([&](const std::string& order) {
    INFO(order);
    poe::Executor<poe::Cuda> on;
    tests::OnDevice<T> device(values), gradient(total + 1);
    std::vector<TermPart<T>> given;
    std::size_t at = 0;
    for (std::size_t p = 0; p < parts.size(); ++p) {
      given.push_back({device.data() + at, parts[p].count, parts[p].slot,
                       parts[p].gradient ? gradient.data() + at : nullptr, weight_of<T>(p)});
      at += static_cast<std::size_t>(parts[p].count);
    }
    tests::OnDevice<double> sums(static_cast<std::size_t>(slots) + 1);
    poe::sum_terms<T>(given, slots, sums.data(), poe::WarmUp{}, on);

    const auto got = sums.read(on);
    const auto slopes = gradient.read(on);
    std::vector<long double> want(static_cast<std::size_t>(slots), 0), scale = want, n = want;
    at = 0;
    for (std::size_t p = 0; p < parts.size(); ++p)
      for (int i = 0; i < parts[p].count; ++i, ++at) {
        const auto s = static_cast<std::size_t>(parts[p].slot);
        want[s] += values[at], scale[s] += std::abs(values[at]), n[s] += 1;
        if (parts[p].gradient)
          REQUIRE(slopes[at] == weight_of<T>(p));
        else
          REQUIRE(std::isnan(slopes[at]));  // not written
      }
    REQUIRE(std::isnan(slopes[total]));
    for (std::size_t s = 0; s < want.size(); ++s)
      REQUIRE(std::abs(static_cast<double>(got[s] - want[s])) <=
              tolerance(static_cast<double>(n[s]), static_cast<double>(scale[s])));
    REQUIRE(std::isnan(got[want.size()]));
    if (first.empty()) first = got;
    REQUIRE(std::memcmp(first.data(), got.data(), got.size() * sizeof(double)) == 0);
  });
}

}  // namespace

TEMPLATE_TEST_CASE("terms are summed slot by slot", "[cuda][small]", float, double) {
  using T = TestType;
  check<T>({}, 3);  // nothing to add: zeros
  check<T>({}, 0);
  check<T>({{1, 0, true}}, 1);
  check<T>({{31, 1, true}, {32, 0, false}, {33, 1, false}, {0, 2, true}, {100, 4, true}}, 5);
  check<T>({{255, 0, true}, {256, 0, true}, {257, 0, false}, {1009, 1, true}}, 2);
}

// 64 parts fit into one launch.
TEMPLATE_TEST_CASE("there may be any number of parts", "[cuda]", float, double) {
  for (const std::size_t count : {63U, 64U, 65U, 128U, 129U, 200U}) {
    std::vector<Part> parts;
    for (std::size_t p = 0; p < count; ++p)
      parts.push_back({static_cast<int>(p % 5), static_cast<int>((p * 7) % 4), p % 3 == 0});
    check<TestType>(parts, 6);
  }
}

TEMPLATE_TEST_CASE("terms that are not finite show in their slot alone", "[cuda]", float, double) {
  using T = TestType;
  std::vector<T> values(300, T(1));
  values[170] = std::numeric_limits<T>::quiet_NaN();
  values[280] = std::numeric_limits<T>::infinity();
  poe::Executor<poe::Cuda> on;
  tests::OnDevice<T> device(values);
  tests::OnDevice<double> sums(3);
  const std::vector<TermPart<T>> parts = {{device.data(), 100, 0, nullptr, T(0)},
                                          {device.data() + 100, 100, 1, nullptr, T(0)},
                                          {device.data() + 200, 100, 2, nullptr, T(0)}};
  poe::sum_terms<T>(parts, 3, sums.data(), poe::WarmUp{}, on);
  const auto got = sums.read(on);
  REQUIRE(got[0] == 100);
  REQUIRE(std::isnan(got[1]));
  REQUIRE(std::isinf(got[2]));
}

// On the CPU from the struct; on the device from the struct, or from the step in its memory.
TEMPLATE_TEST_CASE("slopes of warming parts follow the step", "[cuda][small]", float, double) {
  using T = TestType;
  const std::size_t n = 300;
  const std::vector<T> values(n, T(2));
  const double weights[] = {0.7, -1.3, 0.7};
  tests::OnDevice<T> device(values);
  for (const std::uint32_t steps : {0U, 1U, 7U, 1000U})
    for (const std::uint32_t step : {1U, 2U, 6U, 7U, 8U, 999U, 1000U, 4000000000U}) {
      INFO("step " << step << " of " << steps);
      const auto check = [&](const std::vector<T>& slopes, const std::vector<double>& sums) {
        for (std::size_t p = 0; p < 3; ++p) {
          const double factor = p == 1 ? 1 : factor_of(steps, step);  // the second is not warming
          const double want = static_cast<double>(static_cast<T>(weights[p])) * factor;
          for (std::size_t i = 0; i < 100; ++i)
            REQUIRE(std::abs(static_cast<double>(slopes[100 * p + i]) - want) <=
                    std::abs(want) * static_cast<double>(std::numeric_limits<T>::epsilon()));
          REQUIRE(sums[p] == 200);
        }
      };
      const auto parts_of = [&](const T* x, T* gradient) {
        std::vector<TermPart<T>> parts;
        for (int p = 0; p < 3; ++p)
          parts.push_back(
              {x + 100 * p, 100, p, gradient + 100 * p, static_cast<T>(weights[p]), p != 1});
        return parts;
      };
      std::vector<T> slopes(n);
      std::vector<double> sums(3);
      poe::Executor<poe::Cpu> cpu;
      poe::sum_terms<T>(parts_of(values.data(), slopes.data()), 3, sums.data(),
                        poe::WarmUp{steps, step}, cpu);
      check(slopes, sums);
      tests::OnDevice<std::uint32_t> counter(std::vector<std::uint32_t>{step});
      for (const bool on_device : {false, true}) {
        poe::Executor<poe::Cuda> on;
        on.step = on_device ? counter.data() : nullptr;
        tests::OnDevice<T> gradient(n);
        tests::OnDevice<double> device_sums(3);
        poe::sum_terms<T>(parts_of(device.data(), gradient.data()), 3, device_sums.data(),
                          poe::WarmUp{steps, on_device ? 5U : step}, on);
        check(gradient.read(on), device_sums.read(on));
      }
    }
}
