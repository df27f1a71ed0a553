// SPDX-License-Identifier: MIT
// Convolutions, transposed convolutions and linear layers on the GPU against plain loops in double.
#include <algorithm>
#include <string>
#include <vector>

#include <poe/ops/conv_cuda.hpp>

#include "../support.hpp"
#include "device.hpp"
#include "layers.hpp"
#include "products.hpp"

using namespace poe;
using namespace poe::test;
using tests::conv, tests::halving, tests::linear, tests::upconv;
using tests::for_each_product, tests::index, tests::OnDevice;

namespace {

using Numbers = std::vector<double>;

/// Rounding of a sum of n products of N(0, 1) numbers in T, relative to 1 + |sum|. A partial sum of
/// k products is about sqrt(k), and adding to it costs a standard error of 0.2 epsilon of that: in
/// all 0.2 epsilon sqrt(1 + 2 + ... + n) = 0.14 epsilon n. Seven times that is allowed.
template <class T>
double rounding(double n) {
  return static_cast<double>(std::numeric_limits<T>::epsilon()) * (n + 4);
}

template <class T>
Numbers widened(const std::vector<T>& x) {
  return Numbers(x.begin(), x.end());
}

/// x plus bias, plus what was there, then ReLU: in this order.
template <class T>
void apply(const detail::Epilogue<T>& e, const std::vector<T>& bias, const std::vector<T>& old,
           Numbers& x) {
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (e.bias != nullptr) x[i] += static_cast<double>(bias[i % bias.size()]);
    if (e.accumulate) x[i] += static_cast<double>(old[i]);
    if (e.relu) x[i] = std::max(x[i], 0.0);
  }
}

template <class T>
struct Case {
  Window w;
  int rows;
  std::vector<T> large, small, weights;

  Case(const Window& window, int batch)
      : w(window),
        rows(batch),
        large(normals<T>(index(w.large()) * index(batch), 1)),
        small(normals<T>(index(w.small()) * index(batch), 2)),
        weights(normals<T>(w.weights(), 3)) {}

  std::string name() const {
    const auto pair = [](int a, int b) { return std::to_string(a) + "x" + std::to_string(b); };
    return std::to_string(w.channels) + "x" + pair(w.height, w.width) + " to " +
           std::to_string(w.filters) + "x" + pair(w.out_height, w.out_width) + ", kernel " +
           pair(w.kernel_h, w.kernel_w) + ", stride " + pair(w.stride_h, w.stride_w) + ", pad " +
           pair(w.pad_h, w.pad_w) + ", rows " + std::to_string(rows);
  }
};

/// A destination before the operation: NaN, or numbers to add to.
template <class T>
std::vector<T> before(std::size_t n, bool accumulate) {
  if (accumulate) return normals<T>(n, 4);
  return std::vector<T>(n, std::numeric_limits<T>::quiet_NaN());
}

template <class T>
void check_large_to_small(const Case<T>& c, bool with_bias, bool relu, bool accumulate) {
  Executor<Cuda> on;
  const auto bias = normals<T>(index(c.w.filters), 5);
  const auto old = before<T>(c.small.size(), accumulate);
  OnDevice<T> x(c.large), weights(c.weights), b(bias), y(old);
  const detail::Epilogue<T> e{with_bias ? b.data() : nullptr, relu, accumulate};
  large_to_small<T>(c.w, x.data(), weights.data(), y.data(), c.rows, e, on);

  Numbers want(c.small.size());
  for_each_product(c.w, c.rows, [&](std::size_t l, std::size_t s, std::size_t k) {
    want[s] += static_cast<double>(c.large[l]) * static_cast<double>(c.weights[k]);
  });
  apply(e, bias, old, want);
  require_close(y.read(on), want, rounding<T>(c.w.patch()), "large to small " + c.name());
}

template <class T>
void check_small_to_large(const Case<T>& c, bool with_bias, bool relu, bool accumulate) {
  Executor<Cuda> on;
  const auto bias = normals<T>(index(c.w.channels), 5);
  const auto old = before<T>(c.large.size(), accumulate);
  OnDevice<T> x(c.small), weights(c.weights), b(bias), y(old);
  const detail::Epilogue<T> e{with_bias ? b.data() : nullptr, relu, accumulate};
  small_to_large<T>(c.w, x.data(), weights.data(), y.data(), c.rows, e, on);

  Numbers want(c.large.size());
  for_each_product(c.w, c.rows, [&](std::size_t l, std::size_t s, std::size_t k) {
    want[l] += static_cast<double>(c.small[s]) * static_cast<double>(c.weights[k]);
  });
  apply(e, bias, old, want);
  require_close(y.read(on), want, rounding<T>(c.w.taps() * c.w.filters),
                "small to large " + c.name());
}

template <class T>
void check_weight_gradient(const Case<T>& c) {
  Executor<Cuda> on;
  const auto old = before<T>(c.weights.size(), true);
  OnDevice<T> large(c.large), small(c.small), gradient(old);
  weight_gradient<T>(c.w, large.data(), small.data(), gradient.data(), c.rows, on);

  Numbers want = widened(old);
  for_each_product(c.w, c.rows, [&](std::size_t l, std::size_t s, std::size_t k) {
    want[k] += static_cast<double>(c.large[l]) * static_cast<double>(c.small[s]);
  });
  require_close(gradient.read(on), want, rounding<T>(c.rows * c.w.positions()),
                "weight gradient " + c.name());
}

/// All three operations, as a training step uses them.
template <class T>
void check_all(const Window& w, int rows) {
  const Case<T> c(w, rows);
  check_large_to_small(c, true, true, false);
  check_small_to_large(c, false, false, true);
  check_weight_gradient(c);
}

/// Every layer of a list; the widest ones with fewer rows, for the sake of time.
void check_layers(const std::vector<Window>& layers) {
  for (const Window& w : layers) {
    const double products = static_cast<double>(w.weights()) * w.positions();
    check_all<float>(w, products < 3e5 ? 3 : products < 2e6 ? 2 : 1);
  }
}

/// Whole numbers of a fixed sequence.
class Dice {
 public:
  int operator()(int low, int high) {
    state_ = state_ * 6364136223846793005U + 1442695040888963407U;
    return low + static_cast<int>((state_ >> 33U) % static_cast<std::uint64_t>(high - low + 1));
  }

 private:
  std::uint64_t state_ = 7;
};

constexpr int odd_sizes[] = {1, 2, 3, 4, 5, 8, 31, 32, 33, 64, 100};

/// A random geometry: any kernel, stride and padding, and output padding (pixels of the large image
/// that no window reaches).
Window random_window(Dice& dice) {
  Window w{.kernel_h = dice(1, 5),
           .kernel_w = dice(1, 5),
           .stride_h = dice(1, 3),
           .stride_w = dice(1, 3)};
  w.pad_h = dice(0, w.kernel_h - 1);
  w.pad_w = dice(0, w.kernel_w - 1);
  const auto size = [&](int kernel, int stride, int pad, int& large, int& small) {
    do {
      small = dice(1, 5);
      large = (small - 1) * stride - 2 * pad + kernel + dice(0, stride - 1);
    } while (large < 1);
  };
  size(w.kernel_h, w.stride_h, w.pad_h, w.height, w.out_height);
  size(w.kernel_w, w.stride_w, w.pad_w, w.width, w.out_width);
  constexpr int last = std::size(odd_sizes) - 1;
  do {
    w.channels = odd_sizes[dice(0, last)];
    w.filters = odd_sizes[dice(0, last)];
  } while (w.weights() > 30000);
  return w;
}

/// Shapes that are small, but have several tiles, ragged edges, and every kind of load.
std::vector<Window> small_windows() {
  return {conv(5, 5, 4, 33, 3, 2, 2, 1, 1, 1), conv(4, 4, 5, 36, 3, 3, 1, 2, 1, 0),
          conv(8, 3, 3, 5, 2, 2), conv(3, 6, 5, 4, 3, 4, 2, 2, 1, 1), linear(37, 35),
          // The kernel covers the image: a linear layer with a bias that repeats, whole and in
          // parts of the depth.
          conv(9, 3, 5, 12, 3, 5), conv(10, 2, 3, 300, 2, 3)};
}

/// <conv(x), y> = <x, convT(y)> = <W, gradient(x, y)>, in the precision of the sums.
template <class T>
void check_adjoint(const Window& w, int rows) {
  Executor<Cuda> on;
  const Case<T> c(w, rows);
  OnDevice<T> x(c.large), y(c.small), weights(c.weights);
  OnDevice<T> small(c.small.size()), large(c.large.size());
  OnDevice<T> gradient(std::vector<T>(c.weights.size(), T(0)));
  large_to_small<T>(w, x.data(), weights.data(), small.data(), rows, {}, on);
  small_to_large<T>(w, y.data(), weights.data(), large.data(), rows, {}, on);
  weight_gradient<T>(w, x.data(), y.data(), gradient.data(), rows, on);
  double squares = 0;
  const auto dot = [&](const std::vector<T>& a, const std::vector<T>& b) {
    double sum = 0;
    squares = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
      const double product = static_cast<double>(a[i]) * static_cast<double>(b[i]);
      sum += product;
      squares += product * product;
    }
    return sum;
  };
  const double forward = dot(small.read(on), c.small);
  const double tolerance = rounding<T>(w.patch()) * std::sqrt(squares);
  const double back = dot(large.read(on), c.large);
  const double by_weight = dot(gradient.read(on), c.weights);
  INFO(c.name());
  CHECK(std::abs(forward - back) <= tolerance);
  CHECK(std::abs(forward - by_weight) <= tolerance);
}

template <class T>
void check_columns(std::ptrdiff_t rows, int columns, bool mask, bool sum, std::size_t skip = 0) {
  Executor<Cuda> on;
  const std::size_t n = index(rows) * index(columns);
  auto g = normals<T>(n + skip, 1), y = normals<T>(n + skip, 2);
  for (std::size_t i = skip; i < y.size(); i += 3) y[i] = T(0);  // what ReLU stores
  const auto old = normals<T>(index(columns), 3);
  OnDevice<T> gradient(g), values(y), sums(old);
  mask_and_sum_columns(gradient.data() + skip, mask ? values.data() + skip : nullptr,
                       sum ? sums.data() : nullptr, rows, columns, on);
  Numbers want = widened(old);
  for (std::size_t i = 0; i < n; ++i) {
    if (mask && !(y[skip + i] > T(0))) g[skip + i] = T(0);
    if (sum) want[i % index(columns)] += static_cast<double>(g[skip + i]);
  }
  INFO(rows << " rows, " << columns << " columns, mask " << mask << ", sum " << sum);
  CHECK(gradient.read(on) == g);
  require_close(sums.read(on), want, rounding<T>(static_cast<double>(rows)), "column sums");
}

}  // namespace

TEST_CASE("the layers of MNIST-Split") {
  check_layers({// whole digits, and the joint encoder
                halving(1, 14, 28, 64), halving(64, 7, 14, 128), halving(128, 3, 7, 256),
                linear(768, 512), linear(1536, 512), linear(512, 128), linear(768, 400),
                linear(400, 20), linear(64, 512), linear(512, 112),
                upconv(112, 1, 1, 56, 3, 5, 2, 2), upconv(56, 3, 5, 28, 3, 5, 2, 2),
                upconv(28, 7, 13, 1, 2, 4, 2, 2),
                // thirds
                halving(1, 9, 28, 64), halving(64, 4, 14, 128), halving(128, 2, 7, 256),
                linear(2304, 512), upconv(112, 1, 1, 56, 2, 5, 2, 2),
                upconv(56, 2, 5, 28, 2, 5, 2, 2), upconv(28, 4, 13, 1, 2, 4, 2, 2, 1, 0)});
}

TEST_CASE("the layers of MNIST-SVHN") {
  check_layers({linear(784, 400), linear(400, 20), linear(20, 400), linear(400, 784),
                halving(3, 32, 32, 32), halving(32, 16, 16, 64), halving(64, 8, 8, 128),
                conv(128, 4, 4, 20, 4, 4), conv(128, 4, 4, 400, 4, 4), linear(800, 20)});
}

TEST_CASE("the layers of CUB") {
  check_layers({halving(1, 32, 128, 32), halving(32, 16, 64, 64), halving(64, 8, 32, 128),
                conv(128, 4, 16, 128, 1, 4, 1, 2, 0, 1), conv(128, 4, 8, 128, 1, 4, 1, 2, 0, 1),
                conv(128, 4, 4, 64, 4, 4), linear(128, 1590), linear(2048, 1024), linear(1024, 512),
                linear(512, 256), linear(256, 64), linear(64, 256)});
}

TEST_CASE("the layers of the classifiers") {
  check_layers({conv(1, 28, 28, 10, 5, 5), conv(10, 12, 12, 20, 5, 5), linear(320, 50),
                linear(50, 10), conv(3, 32, 32, 10, 5, 5), conv(10, 14, 14, 20, 5, 5),
                linear(500, 50), conv(1, 28, 28, 64, 7, 7, 2, 2, 3, 3),
                conv(64, 7, 7, 64, 3, 3, 1, 1, 1, 1), conv(64, 7, 7, 128, 3, 3, 2, 2, 1, 1),
                conv(64, 7, 7, 128, 1, 1, 2, 2), conv(128, 4, 4, 256, 3, 3, 2, 2, 1, 1),
                conv(256, 2, 2, 256, 3, 3, 1, 1, 1, 1), conv(256, 2, 2, 512, 1, 1, 2, 2)});
}

TEMPLATE_TEST_CASE("random geometries", "", float, double) {
  Dice dice;
  for (int i = 0; i < 150; ++i) {
    const Case<TestType> c(random_window(dice), dice(1, 4));
    check_large_to_small(c, dice(0, 1) == 1, dice(0, 1) == 1, dice(0, 1) == 1);
    check_small_to_large(c, dice(0, 1) == 1, dice(0, 1) == 1, dice(0, 1) == 1);
    check_weight_gradient(c);
  }
}

// With many samples and whole slabs of channels, rows of one pixel lie side by side, and taps that
// are outside of the image for a whole tile are left out.
TEMPLATE_TEST_CASE("random geometries with many samples", "", float, double) {
  Dice dice;
  constexpr int whole[] = {8, 16, 32, 48};
  for (int i = 0; i < 40; ++i) {
    Window w = random_window(dice);
    w.channels = whole[dice(0, 3)];
    w.filters = whole[dice(0, 3)];
    const int rows = dice(32, 70);
    if (static_cast<double>(w.weights()) * w.positions() * rows > 1e7) continue;
    const Case<TestType> c(w, rows);
    check_large_to_small(c, dice(0, 1) == 1, dice(0, 1) == 1, dice(0, 1) == 1);
    check_small_to_large(c, dice(0, 1) == 1, dice(0, 1) == 1, dice(0, 1) == 1);
    check_weight_gradient(c);
  }
}

TEST_CASE("taps outside the image, whole tiles and parts") {
  for (const int rows : {32, 100, 130}) check_all<float>(halving(16, 3, 5, 32), rows);
  check_all<float>(halving(64, 3, 7, 64), 33);
  check_all<float>(conv(16, 1, 2, 16, 3, 5, 1, 1, 2, 4), 40);
}

TEMPLATE_TEST_CASE("bias, ReLU and accumulation in all combinations", "[small]", float, double) {
  for (const Window& w : small_windows()) {
    const Case<TestType> c(w, 2);
    for (int bits = 0; bits < 8; ++bits) {
      check_large_to_small(c, (bits & 1) != 0, (bits & 2) != 0, (bits & 4) != 0);
      check_small_to_large(c, (bits & 1) != 0, (bits & 2) != 0, (bits & 4) != 0);
    }
  }
}

// Matrix products of few channels whose rows, columns and depth make the launcher choose every tile
// (on a device of 132 multiprocessors), with wide and with single loads, whole and in parts. As a
// weight gradient the rows are the depth; the roles are exchanged accordingly.
TEST_CASE("every tile and every split of the depth") {
  struct Sizes {
    int rows, columns, depth;
  };
  const Sizes wide[] = {{33000, 33, 3}, {33000, 36, 4}, {9000, 64, 500}};
  const Sizes square[] = {{12000, 33, 3}, {12000, 36, 4}, {3000, 33, 301}, {3000, 36, 300}};
  const Sizes narrow[] = {{33000, 10, 3}, {33000, 12, 4}, {9000, 11, 201}, {9000, 12, 200}};
  const Sizes small[] = {{33, 10, 3}, {36, 12, 4}, {33, 10, 130}, {36, 12, 132}, {33, 11, 5003}};
  const auto check = [](const Sizes& s) {
    check_large_to_small(Case<float>(linear(s.depth, s.columns), s.rows), true, true, true);
    check_small_to_large(Case<float>(linear(s.columns, s.depth), s.rows), true, true, true);
    check_weight_gradient(Case<float>(linear(s.rows, s.columns), s.depth));
  };
  for (const Sizes& s : wide)
    if (s.depth < 100)
      check(s);
    else
      check_large_to_small(Case<float>(linear(s.depth, s.columns), s.rows), true, true, true);
  for (const Sizes& s : square) check(s);
  for (const Sizes& s : narrow) check(s);
  for (const Sizes& s : small) check(s);
  for (const int depth : {30, 600})
    check_large_to_small(Case<double>(linear(depth, 70), 100), true, true, true);
}

TEST_CASE("pointers that are not aligned take the path of single loads", "[small]") {
  Executor<Cuda> on;
  const Window w = conv(8, 5, 5, 12, 3, 3, 2, 2, 1, 1);
  const Case<float> c(w, 3);
  const auto shifted = [](std::vector<float> x) {
    x.insert(x.begin(), 0.0F);
    return x;
  };
  OnDevice<float> large(shifted(c.large)), small(shifted(c.small)), weights(shifted(c.weights));
  const auto same = [&](std::size_t n, auto&& run) {
    OnDevice<float> straight(std::vector<float>(n, 0.0F)), moved(std::vector<float>(n + 1, 0.0F));
    OnDevice<float> l(c.large), s(c.small), k(c.weights);
    run(l.data(), s.data(), k.data(), straight.data());
    run(large.data() + 1, small.data() + 1, weights.data() + 1, moved.data() + 1);
    const auto a = straight.read(on);
    auto b = moved.read(on);
    b.erase(b.begin());
    require_close(b, a, rounding<float>(w.patch() * 10));
  };
  same(c.small.size(), [&](const float* l, const float*, const float* k, float* to) {
    large_to_small<float>(w, l, k, to, 3, {}, on);
  });
  same(c.large.size(), [&](const float*, const float* s, const float* k, float* to) {
    small_to_large<float>(w, s, k, to, 3, {}, on);
  });
  same(c.weights.size(), [&](const float* l, const float* s, const float*, float* to) {
    weight_gradient<float>(w, l, s, to, 3, on);
  });
}

TEMPLATE_TEST_CASE("forward and backward passes are adjoint", "[small]", float, double) {
  for (const Window& w : small_windows()) check_adjoint<TestType>(w, 3);
  check_adjoint<TestType>(halving(3, 8, 8, 20), 5);
  check_adjoint<TestType>(upconv(28, 3, 5, 1, 2, 4, 2, 2, 1, 0), 5);
}

TEST_CASE("the order of threads and blocks does not change a byte", "[small]") {
  for (const Window& w : small_windows()) {
    const Case<float> c(w, 20);
    std::vector<std::vector<float>> first;
    tests::for_each_order([&](const std::string& order) {
      Executor<Cuda> on;
      OnDevice<float> x(c.large), y(c.small), weights(c.weights);
      OnDevice<float> small(c.small.size()), large(c.large.size()), gradient(c.weights);
      OnDevice<float> sums(std::vector<float>(index(w.filters), 0.0F));
      large_to_small<float>(w, x.data(), weights.data(), small.data(), c.rows, {}, on);
      small_to_large<float>(w, y.data(), weights.data(), large.data(), c.rows, {}, on);
      weight_gradient<float>(w, x.data(), y.data(), gradient.data(), c.rows, on);
      mask_and_sum_columns(y.data(), small.data(), sums.data(),
                           static_cast<std::ptrdiff_t>(c.rows) * w.positions(), w.filters, on);
      std::vector<std::vector<float>> now{small.read(on), large.read(on), gradient.read(on),
                                          y.read(on), sums.read(on)};
      INFO(c.name() << ", order " << order);
      if (first.empty()) first = now;
      CHECK(now == first);
    });
  }
}

TEST_CASE("no rows", "[small]") {
  Executor<Cuda> on;
  const Window w = halving(3, 4, 4, 5);
  const std::vector<float> old = normals<float>(w.weights(), 1);
  OnDevice<float> x(16), gradient(old);
  large_to_small<float>(w, x.data(), gradient.data(), x.data(), 0, {}, on);
  small_to_large<float>(w, x.data(), gradient.data(), x.data(), 0, {}, on);
  weight_gradient<float>(w, x.data(), x.data(), gradient.data(), 0, on);
  mask_and_sum_columns<float>(x.data(), nullptr, gradient.data(), 0, 5, on);
  CHECK(gradient.read(on) == old);
}

TEMPLATE_TEST_CASE("ReLU masks and column sums", "[small]", float, double) {
  for (const int columns : {1, 3, 4, 20, 31, 32, 33, 64, 100, 129})
    for (const int rows : {1, 31, 33, 100, 1009}) {
      check_columns<TestType>(rows, columns, true, true);
      check_columns<TestType>(rows, columns, rows % 2 == 0, rows % 2 == 1);
    }
  check_columns<TestType>(100, 64, true, true, 1);  // not aligned
}

TEST_CASE("column sums of many rows, in slabs") {
  check_columns<float>(100003, 1, true, true);
  check_columns<float>(40000, 3, false, true);
  check_columns<float>(20000, 28, true, true);
  check_columns<float>(64, 1590, true, true);
}
