// SPDX-License-Identifier: MIT
// Transposes and copies of blocks, number by number.
#include <poe/ops/rearrange.hpp>

#include "placed.hpp"

namespace {

using poe::Columns;
using poe::Sink;
using poe::test::normals;
using tests::Placed;
using tests::same_in_every_order;
using On = poe::Executor<poe::Cuda>;

template <class T>
void check_transpose(int rows, int m, int n, std::size_t from_offset, std::size_t to_offset) {
  INFO(rows << " samples of " << m << " x " << n << ", offsets " << from_offset << to_offset);
  On on;
  const auto height = static_cast<std::size_t>(m), width = static_cast<std::size_t>(n);
  const std::size_t count = static_cast<std::size_t>(rows) * height * width;
  const auto from = normals<T>(count, 1), old = normals<T>(count, 2);
  std::vector<T> put(count), added(count);
  for (std::size_t e = 0; e < count; ++e) {
    const std::size_t sample = e / (height * width), i = e / width % height, j = e % width;
    const std::size_t to = (sample * width + j) * height + i;
    put[to] = from[e];
    added[to] = old[to] + from[e];
  }
  Placed<T> x(from, from_offset);
  REQUIRE(same_in_every_order([&] {
            Placed<T> y(count, to_offset);
            poe::transpose_samples(rows, m, n, x.data(), Sink<T>{y.data(), false}, on);
            return y.read(on);
          }) == put);
  REQUIRE(same_in_every_order([&] {
            Placed<T> y(old, to_offset);
            poe::transpose_samples(rows, m, n, x.data(), Sink<T>{y.data(), true}, on);
            return y.read(on);
          }) == added);
}

/// A (rows, columns) block that begins at column `first` of a matrix `stride` wide.
struct Place {
  int first, stride;
};

template <class T>
void check_columns(int rows, int columns, Place source, Place target) {
  INFO(rows << " x " << columns << ", from column " << source.first << " of " << source.stride
            << " to column " << target.first << " of " << target.stride);
  On on;
  const auto count = [&](Place p) {
    return static_cast<std::size_t>(rows) * static_cast<std::size_t>(p.stride);
  };
  const auto from = normals<T>(count(source), 3), old = normals<T>(count(target), 4);
  for (const bool accumulate : {false, true}) {
    std::vector<T> want = old;
    for (int r = 0; r < rows; ++r)
      for (int c = 0; c < columns; ++c) {
        const T x = from[static_cast<std::size_t>(r * source.stride + source.first + c)];
        T& y = want[static_cast<std::size_t>(r * target.stride + target.first + c)];
        y = accumulate ? y + x : x;
      }
    Placed<T> x(from, 0);
    REQUIRE(same_in_every_order([&] {
              Placed<T> y(old, 0);
              poe::copy_columns(rows, columns,
                                Columns<const T>{x.data() + source.first, source.stride},
                                Columns<T>{y.data() + target.first, target.stride}, accumulate, on);
              return y.read(on);
            }) == want);
  }
}

}  // namespace

TEMPLATE_TEST_CASE("samples are transposed", "", float, double) {
  struct Shape {
    int rows, m, n;
  };
  for (const Shape s : {// One side is 1: a copy.
                        Shape{3, 1, 7},
                        {3, 100, 1},
                        {1, 1, 1},
                        // A short side.
                        {5, 2, 31},
                        {3, 100, 3},
                        {2, 33, 8},
                        {2, 8, 300},
                        {1, 5, 8},
                        {4, 8, 8},
                        // Tiles.
                        {3, 9, 9},
                        {2, 31, 33},
                        {2, 32, 32},
                        {1, 100, 65},
                        {7, 49, 64},
                        {1, 9, 1009}})
    for (const std::size_t offset : {0U, 1U, 2U, 3U})
      check_transpose<TestType>(s.rows, s.m, s.n, offset % 2, offset / 2);
}

TEMPLATE_TEST_CASE("more samples than blocks that run at a time", "", float, double) {
  check_transpose<TestType>(2300, 9, 10, 0, 0);  // tiles
  check_transpose<TestType>(17001, 3, 9, 0, 0);  // a short side
  check_transpose<TestType>(17001, 9, 3, 0, 0);
}

TEMPLATE_TEST_CASE("a block of columns is copied", "", float, double) {
  using T = TestType;
  for (const int rows : {1, 31, 100})
    for (const int columns : {1, 3, 4, 32, 33, 600}) {
      check_columns<T>(rows, columns, {0, columns}, {0, columns});
      check_columns<T>(rows, columns, {4, columns + 8}, {8, columns + 12});  // 16-byte steps
      check_columns<T>(rows, columns, {1, columns + 4}, {0, columns});
      check_columns<T>(rows, columns, {0, columns}, {3, columns + 4});
      check_columns<T>(rows, columns, {0, columns + 1}, {0, columns});
      check_columns<T>(rows, columns, {0, columns}, {0, columns + 1});
    }
  check_columns<T>(2200, 520, {0, 520}, {4, 528});
  check_columns<T>(2200, 133, {0, 133}, {4, 140});
  On on;
  poe::copy_columns<T>(0, 5, {}, {}, false, on);
  poe::copy_columns<T>(5, 0, {}, {}, false, on);
}

TEMPLATE_TEST_CASE("small rearrangements", "[small]", float, double) {
  check_transpose<TestType>(2, 33, 40, 0, 0);
  check_transpose<TestType>(2, 3, 40, 0, 0);
  check_columns<TestType>(5, 12, {4, 20}, {0, 12});
}
