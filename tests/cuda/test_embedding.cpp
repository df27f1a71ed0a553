// SPDX-License-Identifier: MIT
// Table look-up and its gradient against loops over tokens.
#include <cmath>

#include <poe/ops/embedding.hpp>

#include "placed.hpp"

namespace {

using poe::TableShape;
using poe::test::normals;
using tests::OnDevice;
using tests::Placed;
using tests::same_in_every_order;
using On = poe::Executor<poe::Cuda>;
using Ids = std::vector<std::int32_t>;

std::size_t size(int n) { return static_cast<std::size_t>(n); }

Ids random_ids(std::size_t n, int below, std::uint32_t stream) {
  const poe::Random random{.seed = 5, .stream = stream};
  Ids ids(n);
  for (std::size_t i = 0; i < n; ++i)
    ids[i] = static_cast<std::int32_t>(random.below(static_cast<std::uint32_t>(below), i));
  return ids;
}

template <class T>
void check_gradient(TableShape s, const Ids& ids, std::size_t dy_offset, std::size_t table_offset) {
  INFO(ids.size() << " tokens, " << s.rows << " x " << s.width << ", padding " << s.padding
                  << ", offsets " << dy_offset << table_offset);
  On on;
  const std::size_t width = size(s.width);
  const auto dy = normals<T>(ids.size() * width, 1), old = normals<T>(size(s.rows) * width, 2);
  // In T and in order of position: this is the promise, so the bits are the same.
  auto want = old;
  for (std::size_t i = 0; i < ids.size(); ++i)
    for (std::size_t j = 0; j < width && ids[i] != s.padding; ++j)
      want[size(ids[i]) * width + j] += dy[i * width + j];
  const OnDevice<std::int32_t> found(ids);
  Placed<T> ddy(dy, dy_offset);
  REQUIRE(same_in_every_order([&] {
            Placed<T> gradient(old, table_offset);
            poe::embed_gradient(s, ids.size(), found.data(), ddy.data(), gradient.data(), on);
            return gradient.read(on);
          }) == want);
}

}  // namespace

TEMPLATE_TEST_CASE("rows of a table are found", "", float, double) {
  using T = TestType;
  for (const int width : {1, 3, 4, 32, 33, 520})
    for (const std::size_t n : {1U, 31U, 32U, 33U, 100U, 1009U})
      for (const std::size_t offset : {0U, 1U, 2U}) {
        INFO(n << " tokens, width " << width << ", offset case " << offset);
        On on;
        OnDevice<std::uint32_t> fault(std::vector<std::uint32_t>{0});
        on.fault = fault.data();
        const TableShape s{.rows = 37, .width = width, .padding = 0};
        const Ids ids = random_ids(n, s.rows, 3);
        const auto table = normals<T>(size(s.rows) * size(width), 4);
        std::vector<T> want;
        for (const std::int32_t id : ids)
          for (int j = 0; j < width; ++j) want.push_back(table[size(id) * size(width) + size(j)]);
        const OnDevice<T> tokens(std::vector<T>(ids.begin(), ids.end()));
        Placed<T> rows(table, offset % 2);
        REQUIRE(same_in_every_order([&] {
                  Placed<T> y(want.size(), offset / 2);
                  OnDevice<std::int32_t> found(n);
                  poe::embed_values(s, 1, n, tokens.data(), rows.data(), y.data(), found.data(),
                                    on);
                  REQUIRE(found.read(on) == ids);
                  return y.read(on);
                }) == want);
        REQUIRE(fault.read(on)[0] == 0);
      }
}

TEMPLATE_TEST_CASE("an id outside the table is reported and gives NaN", "[small]", float, double) {
  using T = TestType;
  for (const int width : {3, 8})
    for (const double wrong : {-1.0, 5.0, 6.0, 1.5, -0.5, 1e30, std::nan(""), -HUGE_VAL})
      for (const bool report : {true, false}) {
        INFO("id " << wrong << ", width " << width << ", reported " << report);
        On on;
        OnDevice<std::uint32_t> fault(std::vector<std::uint32_t>{0});
        if (report) on.fault = fault.data();
        const TableShape s{.rows = 5, .width = width, .padding = 2};
        const auto table = normals<T>(5 * size(width), 5);
        const OnDevice<T> tokens(std::vector<T>{4, static_cast<T>(wrong), 0});
        OnDevice<T> rows(table), y(3 * size(width));
        OnDevice<std::int32_t> found(3);
        poe::embed_values(s, 3, 3, tokens.data(), rows.data(), y.data(), found.data(), on);
        REQUIRE(found.read(on) == Ids{4, 2, 0});
        const auto got = y.read(on);
        for (std::size_t j = 0; j < size(width); ++j) {
          REQUIRE(got[j] == table[4 * size(width) + j]);
          REQUIRE(std::isnan(got[size(width) + j]));
          REQUIRE(got[2 * size(width) + j] == table[j]);
        }
        REQUIRE(fault.read(on)[0] == (report ? 1U : 0U));
      }
}

TEMPLATE_TEST_CASE("gradients of a row are summed in the order of its tokens", "", float, double) {
  using T = TestType;
  for (const int width : {1, 3, 4, 31, 32, 100, 130})
    for (const std::size_t n : {1U, 2U, 31U, 127U, 128U, 129U, 300U})
      for (const std::size_t offset : {0U, 1U, 2U}) {
        // Few rows: many occurrences; one row: all of them; many rows: most occur once.
        check_gradient<T>({7, width, 3}, random_ids(n, 7, 6), offset % 2, offset / 2);
        if (n > 1 && offset == 0) {
          check_gradient<T>({1, width, -1}, Ids(n, 0), 0, 0);
          check_gradient<T>({1, width, 0}, Ids(n, 0), 0, 0);  // all of it is padding
          check_gradient<T>({500, width, 0}, random_ids(n, 500, 7), 0, 0);
        }
      }
  check_gradient<T>({50, 8, 0}, random_ids(2003, 50, 8), 0, 0);
  // Several blocks of the width, and more parts of it than blocks.
  check_gradient<T>({3, 1030, 0}, random_ids(40, 3, 9), 0, 1);
  check_gradient<T>({3, 2200, 0}, random_ids(20, 3, 9), 0, 1);
  check_gradient<T>({3, 8400, 0}, random_ids(20, 3, 9), 0, 0);
}

TEMPLATE_TEST_CASE("more tokens than the grid of a look-up has rows", "", float, double) {
  using T = TestType;
  On on;
  const TableShape s{.rows = 11, .width = 66, .padding = 0};
  const std::size_t n = 5003;
  const Ids ids = random_ids(n, s.rows, 10);
  const auto table = normals<T>(11 * 66, 11);
  std::vector<T> want;
  for (const std::int32_t id : ids)
    for (std::size_t j = 0; j < 66; ++j) want.push_back(table[size(id) * 66 + j]);
  const OnDevice<T> tokens(std::vector<T>(ids.begin(), ids.end())), rows(table);
  REQUIRE(same_in_every_order([&] {
            OnDevice<T> y(want.size());
            OnDevice<std::int32_t> found(n);
            poe::embed_values(s, 1, n, tokens.data(), rows.data(), y.data(), found.data(), on);
            REQUIRE(found.read(on) == ids);
            return y.read(on);
          }) == want);
}

TEMPLATE_TEST_CASE("small gradients of a table", "[small]", float, double) {
  check_gradient<TestType>({5, 12, 0}, random_ids(140, 5, 12), 0, 0);
  check_gradient<TestType>({5, 3, 0}, random_ids(33, 5, 13), 0, 0);
}
