// SPDX-License-Identifier: MIT
// Shapes, errors, tensors and their memory order, slices, and the arena.
#include "nchw.hpp"
#include "support.hpp"

#include <poe/core/tensor.hpp>
#include <poe/core/version.hpp>

#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

namespace {

using poe::Arena;
using poe::Shape;
using poe::Tensor;

static_assert(Shape<1, 14, 28>::size == 392 && Shape<1, 14, 28>::rank == 3);
static_assert(poe::Scalar::size == 1 && poe::Scalar::rank == 0);
static_assert(poe::is_image<Shape<3, 4, 5>> && !poe::is_image<Shape<60>> &&
              !poe::is_image<Shape<3, 20>> && !poe::is_image<Shape<3, 4, 5, 1>>);
static_assert(poe::ImageOf<Shape<3, 4, 5>>::channels == 3 &&
              poe::ImageOf<Shape<3, 4, 5>>::height == 4 &&
              poe::ImageOf<Shape<3, 4, 5>>::width == 5 &&
              poe::ImageOf<Shape<3, 4, 5>>::pixels == 20);
static_assert(poe::is_available<poe::Cpu>);

/// A device with memory for so many requests.
struct Scarce {};
int left = 0;

bool aligned(const void* p) { return reinterpret_cast<std::uintptr_t>(p) % poe::alignment == 0; }

/// A tensor whose elements are 0, 1, 2, ... in memory.
template <class S>
Tensor<int, S> counted(int rows) {
  Tensor<int, S> t(rows);
  for (int i = 0; i < rows * S::size; ++i) t.data()[i] = i;
  return t;
}

template <int C, int H, int W>
void check_image_order() {
  using S = Shape<C, H, W>;
  constexpr int rows = 3;
  auto t = counted<S>(rows);
  std::vector<int> nchw(t.flat().size()), back(t.flat().size());
  poe::test::to_nchw<int, S>(t.data(), nchw.data(), rows);
  poe::test::from_nchw<int, S>(nchw.data(), back.data(), rows);
  for (int n = 0; n < rows; ++n)
    for (int c = 0; c < C; ++c)
      for (int h = 0; h < H; ++h)
        for (int w = 0; w < W; ++w) {
          const int want = ((n * H + h) * W + w) * C + c;
          REQUIRE(t(n, c, h, w) == want);
          REQUIRE(nchw[static_cast<std::size_t>(((n * C + c) * H + h) * W + w)] == want);
          REQUIRE(back[static_cast<std::size_t>(want)] == want);
        }
  t(2, C - 1, H - 1, W - 1) = -1;
  CHECK(t.flat().back() == -1);
}

}  // namespace

template <>
struct poe::Memory<Scarce> {
  static void* allocate(std::size_t bytes) {
    if (left == 0) throw std::bad_alloc();
    --left;
    return Memory<Cpu>::allocate(bytes);
  }
  static void release(void* p) noexcept { Memory<Cpu>::release(p); }
};

TEST_CASE("shapes and the version print as a person writes them") {
  CHECK(poe::to_string(Shape<1, 14, 28>{}) == "(1, 14, 28)");
  CHECK(poe::to_string(Shape<64>{}) == "(64)");
  CHECK(poe::to_string(poe::Scalar{}) == "()");
  CHECK(poe::version == std::to_string(POE_VERSION_MAJOR) + "." +
                            std::to_string(POE_VERSION_MINOR) + "." +
                            std::to_string(POE_VERSION_PATCH));
}

TEST_CASE("expect throws a formatted poe::Error, or does nothing") {
  CHECK_NOTHROW(poe::expect(true, "never {}", 1));
  CHECK_THROWS_WITH(poe::expect(false, "rows: expected {}, got {}", 3, 4),
                    "rows: expected 3, got 4");
  CHECK_THROWS_AS(poe::fail("{}", "text"), poe::Error);
}

TEST_CASE("images are channels-last in memory, and PyTorch's order converts to and fro") {
  check_image_order<1, 1, 1>();
  check_image_order<1, 4, 5>();
  check_image_order<7, 1, 1>();
  check_image_order<2, 3, 5>();
  check_image_order<5, 2, 1>();
  check_image_order<3, 1, 6>();
}

TEST_CASE("all other shapes are row-major") {
  const auto matrix = counted<Shape<3, 4>>(2);
  const auto block = counted<Shape<2, 3, 4, 5>>(2);
  for (int n = 0; n < 2; ++n)
    for (int i = 0; i < 3; ++i)
      for (int j = 0; j < 4; ++j) {
        REQUIRE(matrix(n, i, j) == (n * 3 + i) * 4 + j);
        REQUIRE(block(n, 1, i, j, 2) == (((n * 2 + 1) * 3 + i) * 4 + j) * 5 + 2);
      }
  CHECK(counted<Shape<9>>(4)(3, 8) == 35);
  CHECK(counted<poe::Scalar>(4)(3) == 3);
}

TEST_CASE("a tensor owns aligned zeros, and its views borrow them") {
  Tensor<double, Shape<3, 5>> t(7);
  CHECK(t.rows() == 7);
  CHECK(t.flat().size() == 105);
  CHECK(aligned(t.data()));
  for (const double x : t.flat()) REQUIRE(x == 0);
  CHECK(t.row(6).data() == t.data() + 90);
  CHECK(t.row(6).size() == 15);
  const poe::View<double, Shape<3, 5>> view = t;
  CHECK(view.data == t.data());
  CHECK(view.flat().size() == 105);
  const double* const memory = t.data();
  auto moved = std::move(t);
  CHECK(moved.data() == memory);
  CHECK(moved.rows() == 7);
  // What was moved from is an empty batch, not one of rows that are not there.
  CHECK((t.rows() == 0 && t.flat().empty() && t.view().rows == 0));  // NOLINT: after the move
  Tensor<double, Shape<3, 5>> other(2);
  other = std::move(moved);
  CHECK((other.rows() == 7 && other.data() == memory));
  CHECK((moved.rows() == 0 && moved.flat().empty()));  // NOLINT: after the move
  poe::Buffer<int> buffer(5);
  const poe::Buffer<int> taken = std::move(buffer);
  CHECK((taken.size() == 5 && buffer.size() == 0 && buffer.begin() == buffer.end()));  // NOLINT

  // Large enough for huge pages.
  const Tensor<float, Shape<1024>> large(1025);
  CHECK(aligned(large.data()));
  for (const float x : large.flat()) REQUIRE(x == 0);
  CHECK(Tensor<float, Shape<3>>(0).flat().empty());
  CHECK(Tensor<float, Shape<3>>().rows() == 0);
  CHECK_THROWS_AS((Tensor<float, Shape<784>>(-1)), poe::Error);
}

TEST_CASE("a slice has the rows it names; a slice beyond the batch is an error that names both") {
  const auto t = counted<Shape<2, 3>>(10);
  for (int first = 0; first <= 10; ++first)
    for (int count = 0; first + count <= 10; ++count) {
      const auto slice = t.view().slice(first, count);
      REQUIRE(slice.rows == count);
      REQUIRE(slice.data == t.data() + 6 * first);
      REQUIRE(slice.flat().size() == static_cast<std::size_t>(6 * count));
    }
  constexpr int most = std::numeric_limits<int>::max();
  const int wrong[][2] = {{0, 11}, {10, 1}, {11, 0}, {-1, 2}, {3, -1}, {1, most}, {most, most}};
  for (const auto& [first, count] : wrong)
    CHECK_THROWS_AS(t.view().slice(first, count), poe::Error);
  CHECK_THROWS_WITH(t.view().slice(4, 7),
                    "slice of a batch: 7 rows from row 4 on asked of a batch "
                    "of 10");
}

TEST_CASE("the arena gives disjoint, aligned memory that keeps its contents while it grows") {
  Arena arena(256);
  std::vector<std::pair<unsigned char*, std::size_t>> taken;
  const poe::Random random{.seed = 1};
  for (std::uint32_t i = 0; i < 300; ++i) {
    const std::size_t bytes = random.below(i % 50 == 0 ? 20'000 : 200, i);
    auto* const p = arena.take<unsigned char>(bytes);
    REQUIRE(aligned(p));
    std::memset(p, static_cast<int>(i % 251), bytes);
    taken.emplace_back(p, bytes);
  }
  for (std::size_t i = 0; i < taken.size(); ++i)
    for (std::size_t k = 0; k < taken[i].second; ++k) REQUIRE(taken[i].first[k] == i % 251);
}

TEST_CASE("the growth of a first pass becomes one block, and later passes repeat its addresses") {
  Arena arena(128);
  const auto pass = [&] {
    std::vector<void*> places;
    for (std::size_t i = 0; i < 40; ++i) {
      places.push_back(arena.take<double>(17 * i));
      poe::Scratch scratch(arena);
      places.push_back(scratch.take<float>(1000 * (i % 3)));
    }
    return places;
  };
  CHECK(arena.allocation_count() == 0);
  pass();
  CHECK(arena.allocation_count() > 2);
  arena.reset();
  const std::size_t allocations = arena.allocation_count(), capacity = arena.capacity();
  const auto second = pass();
  for (int i = 0; i < 3; ++i) {
    arena.reset();
    CHECK(pass() == second);
  }
  CHECK(arena.allocation_count() == allocations);
  CHECK(arena.capacity() == capacity);
  // One block: what follows one after the other lies so in memory.
  arena.reset();
  auto* const a = arena.take<std::byte>(64);
  CHECK(arena.take<std::byte>(1) == a + 64);
  CHECK(arena.take<std::byte>(1) == a + 128);
}

TEST_CASE("the one block that an arena becomes is as large as the most that was taken at a time") {
  constexpr std::size_t unit = 1000 * poe::alignment;
  Arena arena(unit);
  arena.take<std::byte>(unit / 2);
  for (int i = 0; i < 3; ++i) {
    poe::Scratch scratch(arena);
    scratch.take<std::byte>(5 * unit);
    scratch.take<std::byte>(7 * unit + 1);  // and the rest of its line
  }
  arena.take<std::byte>(unit);
  CHECK(arena.capacity() > 13 * unit);
  arena.reset();
  CHECK(arena.capacity() == 12 * unit + unit / 2 + poe::alignment);
  const std::size_t allocations = arena.allocation_count();
  arena.take<std::byte>(12 * unit + unit / 2 + poe::alignment);
  CHECK(arena.allocation_count() == allocations);
  arena.take<std::byte>(1);
  CHECK(arena.allocation_count() == allocations + 1);
}

TEST_CASE("an arena that got no memory for its one block is empty, and grows again") {
  poe::BasicArena<Scarce> arena(64);
  left = 1000;
  arena.take<char>(64);
  arena.take<char>(640);
  left = 0;
  CHECK_THROWS_AS(arena.reset(), std::bad_alloc);
  CHECK(arena.capacity() == 0);
  CHECK_THROWS_AS(arena.take<char>(1), std::bad_alloc);
  left = 1000;
  char* const first = arena.take<char>(100);
  std::memset(first, 1, 100);
  CHECK(arena.take<char>(1) >= first + 256);
  CHECK_NOTHROW(arena.reset());
}

TEST_CASE("rewinding gives back what was taken since the mark, also across blocks") {
  Arena arena(64);
  int* const kept = arena.take<int>(4);
  kept[3] = 7;
  const Arena::Mark mark = arena.mark();
  int* const first = arena.take<int>(100);
  arena.take<int>(10'000);
  arena.rewind(mark);
  CHECK(arena.take<int>(100) == first);
  const std::size_t allocations = arena.allocation_count();
  arena.rewind(mark);
  arena.take<int>(100);
  arena.take<int>(10'000);
  CHECK(arena.allocation_count() == allocations);
  arena.rewind(mark);
  CHECK(arena.take<int>(10'000) != first);  // its block is too small
  CHECK(arena.allocation_count() == allocations);
  {
    poe::Scratch outer(arena);
    int* const x = outer.take<int>(8);
    {
      poe::Scratch inner(arena);
      CHECK(inner.take<int>(8) == x + 16);
    }
    CHECK(outer.take<int>(8) == x + 16);
  }
  CHECK(kept[3] == 7);
  CHECK_NOTHROW(arena.take<int>(0));
  CHECK(Arena(0).take<double>(3) != nullptr);
}
