// SPDX-License-Identifier: MIT
// Products on tensor cores against plain loops in double: with the factors as they are, where the
// rounding of the factors bounds the error, and with rounded factors, where only that of the sums
// does. The instructions by themselves are in test_mma.cpp.
#include <algorithm>
#include <bit>
#include <string>
#include <vector>

#include <poe/ops/conv_cuda.hpp>
#include <poe/ops/engine_cuda.hpp>

#include "../support.hpp"
#include "device.hpp"
#include "layers.hpp"
#include "products.hpp"

using namespace poe;
using namespace poe::test;
using cuda::Precision;
using tests::index;
using tests::OnDevice;

namespace {

using Floats = std::vector<float>;
using Numbers = std::vector<double>;

/// x with so many bits after the point, by arithmetic: to nearest, ties away from zero or to even.
double rounded(float x, Precision precision) {
  if (precision == Precision::float32 || x == 0) return static_cast<double>(x);
  const int bits = precision == Precision::tf32 ? 10 : 7;
  int exponent = 0;
  const double scaled = std::ldexp(std::frexp(static_cast<double>(x), &exponent), bits + 1);
  const double whole = precision == Precision::tf32 ? std::round(scaled) : std::nearbyint(scaled);
  return std::ldexp(whole, exponent - bits - 1);
}

/// Rounding of the sums of n products of N(0, 1) numbers, relative to 1 + |sum|: that of ordinary
/// sums (test_convolution.cpp), and tensor cores cut off instead of rounding: each addition of 8
/// products or more loses up to one unit of a partial sum of about sqrt(k). In all that is
/// epsilon sqrt(8) (1 + sqrt(2) + ... + sqrt(n / 8)) = epsilon n^1.5 / 12; twice that is allowed.
double sums_tolerance(double n) {
  return std::numeric_limits<float>::epsilon() * (n + 4 + n * std::sqrt(n) / 6);
}

/// Rounding of the factors: each by at most u = 2^-11 (tf32) or 2^-8 (bf16) of itself, so a product
/// by about 2u of itself at most, with either sign, and with a standard error of 0.6 u or less. For
/// a sum of products p that is 0.6 u sqrt(sum of p^2); ten times as much is allowed.
double factors_tolerance(double squares, Precision precision) {
  return 6 * std::ldexp(std::sqrt(squares), precision == Precision::tf32 ? -11 : -8);
}

struct Layer {
  Window w;
  int rows;
  Floats large, small, weights, bias_of_small, bias_of_large;

  Layer(const Window& window, int batch)
      : w(window),
        rows(batch),
        large(normals<float>(index(w.large()) * index(batch), 1)),
        small(normals<float>(index(w.small()) * index(batch), 2)),
        weights(normals<float>(w.weights(), 3)),
        bias_of_small(normals<float>(index(w.filters), 4)),
        bias_of_large(normals<float>(index(w.channels), 5)) {}

  std::string name() const { return tests::describe(w) + ", rows " + std::to_string(rows); }

  template <class F>
  void for_each_product(F&& f) const {
    tests::for_each_product(w, rows, f);
  }
};

/// What the three operations make of a layer. The epilogues are different ones: bias and ReLU, bias
/// and a sum with what was there, and the sum of weight gradients.
template <class T>
struct Results {
  std::vector<T> small, large, weights;
};

/// What the destinations hold before: NaN where it does not matter.
Results<float> before(const Layer& l) {
  return {Floats(l.small.size(), std::numeric_limits<float>::quiet_NaN()),
          normals<float>(l.large.size(), 6), normals<float>(l.weights.size(), 7)};
}

Results<float> on_gpu(const Layer& l, const cuda::Engines& engines) {
  Executor<Cuda> on;
  on.engines = engines;
  const Results<float> old = before(l);
  OnDevice<float> large(l.large), small(l.small), weights(l.weights);
  OnDevice<float> bias_of_small(l.bias_of_small), bias_of_large(l.bias_of_large);
  OnDevice<float> to_small(old.small), to_large(old.large), to_weights(old.weights);
  large_to_small<float>(l.w, large.data(), weights.data(), to_small.data(), l.rows,
                        {bias_of_small.data(), true, false}, on);
  small_to_large<float>(l.w, small.data(), weights.data(), to_large.data(), l.rows,
                        {bias_of_large.data(), false, true}, on);
  weight_gradient<float>(l.w, large.data(), small.data(), to_weights.data(), l.rows, on);
  return {to_small.read(on), to_large.read(on), to_weights.read(on)};
}

Results<float> on_gpu(const Layer& l, Precision precision) {
  return on_gpu(l, cuda::Engines{.precision = precision});
}

/// The sums, of factors rounded to `precision`; if asked for, the sums of squared products too.
Results<double> in_double(const Layer& l, Precision precision, Results<double>* squares = nullptr) {
  const auto factors = [&](const Floats& x) {
    Numbers y(x.size());
    std::ranges::transform(x, y.begin(), [&](float v) { return rounded(v, precision); });
    return y;
  };
  const Numbers large = factors(l.large), small = factors(l.small), weights = factors(l.weights);
  const Results<float> old = before(l);
  Results<double> r{Numbers(small.size()), Numbers(old.large.begin(), old.large.end()),
                    Numbers(old.weights.begin(), old.weights.end())};
  l.for_each_product([&](std::size_t x, std::size_t y, std::size_t k) {
    r.small[y] += large[x] * weights[k];
    r.large[x] += small[y] * weights[k];
    r.weights[k] += large[x] * small[y];
  });
  if (squares != nullptr) {
    *squares = {Numbers(small.size()), Numbers(large.size()), Numbers(weights.size())};
    l.for_each_product([&](std::size_t x, std::size_t y, std::size_t k) {
      squares->small[y] += large[x] * weights[k] * large[x] * weights[k];
      squares->large[x] += small[y] * weights[k] * small[y] * weights[k];
      squares->weights[k] += large[x] * small[y] * large[x] * small[y];
    });
  }
  for (std::size_t i = 0; i < r.small.size(); ++i)
    r.small[i] = std::max(0.0, r.small[i] + double{l.bias_of_small[i % l.bias_of_small.size()]});
  for (std::size_t i = 0; i < r.large.size(); ++i)
    r.large[i] += double{l.bias_of_large[i % l.bias_of_large.size()]};
  return r;
}

/// Calls f(name, member of Results, length of its sums).
template <class F>
void for_each_operation(const Layer& l, F&& f) {
  const auto go = [&](const char* name, auto member, int length) {
    f(std::string(name) + " " + l.name(), member, static_cast<double>(length));
  };
  go(
      "large to small", [](const auto& r) -> const auto& { return r.small; }, l.w.patch());
  go(
      "small to large", [](const auto& r) -> const auto& { return r.large; },
      l.w.taps() * l.w.filters);
  go(
      "weight gradient", [](const auto& r) -> const auto& { return r.weights; },
      l.rows* l.w.positions());
}

/// Compares with sums of unrounded products.
void check_exact(const Layer& l, Precision precision, const Results<float>& got,
                 const Results<double>& exact, const Results<double>& squares) {
  for_each_operation(l, [&](const std::string& name, auto of, double length) {
    for (std::size_t i = 0; i < of(got).size(); ++i) {
      const double error = std::abs(double{of(got)[i]} - of(exact)[i]);
      const double allowed = factors_tolerance(of(squares)[i], precision) +
                             sums_tolerance(length) * (1 + std::abs(of(exact)[i]));
      if (!(error <= allowed)) FAIL(name << ", element " << i << ": error " << error);
    }
  });
}

void check(const Window& w, int rows,
           std::initializer_list<Precision> precisions = {Precision::tf32, Precision::bf16}) {
  const Layer l(w, rows);
  Results<double> squares;
  const Results<double> exact = in_double(l, Precision::float32, &squares);
  for (const Precision precision : precisions) {
    const Results<float> got = on_gpu(l, precision);
    const Results<double> want = in_double(l, precision);
    for_each_operation(l, [&](const std::string& name, auto of, double length) {
      require_close(of(got), of(want), sums_tolerance(length), name + ", rounded");
    });
    check_exact(l, precision, got, exact, squares);
  }
}

/// Every product of one of the papers' lists of layers, the large ones with few rows.
void check_network(const std::string& network) {
  bool found = false;
  for (const auto& [name, windows] : tests::paper_layers())
    if (name == network)
      for (const Window& w : windows) {
        found = true;
        const double products = static_cast<double>(w.weights()) * w.positions();
        if (products < 3e5)
          check(w, 3);
        else
          check(w, products < 2e6 ? 2 : 1, {products < 1e6 ? Precision::bf16 : Precision::tf32});
      }
  REQUIRE(found);
}

/// Several tiles, ragged edges, and every width of the loads.
std::vector<Window> ragged() {
  return {tests::conv(5, 5, 4, 33, 3, 2, 2, 1, 1, 1),
          tests::conv(4, 4, 5, 36, 3, 3, 1, 2, 1, 0),
          tests::conv(8, 3, 3, 5, 2, 2),
          tests::conv(3, 6, 5, 4, 3, 4, 2, 2, 1, 1),
          tests::linear(37, 35),
          tests::halving(3, 8, 6, 5),
          tests::upconv(4, 2, 3, 3, 2, 5, 2, 2, 1)};
}

}  // namespace

TEST_CASE("tensor cores: the layers of MNIST-Split") { check_network("MNIST-Split"); }
TEST_CASE("tensor cores: the layers of MNIST-SVHN") { check_network("MNIST-SVHN"); }
TEST_CASE("tensor cores: the layers of CUB") { check_network("CUB"); }

TEST_CASE("tensor cores: ragged sizes", "[small]") {
  for (const Window& w : ragged()) check(w, 3);
}

TEST_CASE("tensor cores: numbers of rows") {
  for (const int rows : {1, 31, 32, 33, 100}) {
    check(tests::halving(16, 3, 5, 36), rows);  // from 32 rows on, taps are listed
    check(tests::conv(6, 3, 4, 7, 2, 2), rows);
  }
  check(tests::linear(20, 12), 1009);
}

// Both tiles (on a device of 132 multiprocessors), with single and wide loads, whole and in parts
// of the depth. In a weight gradient the channels are what the rows are otherwise.
TEST_CASE("tensor cores: every tile and every split of the depth") {
  for (const int filters : {33, 36}) {
    for (const int channels : {3, 4}) check(tests::linear(channels, filters), 33000);
    for (const int channels : {33000, 33001}) check(tests::linear(channels, filters), 2);
  }
  const Layer deep(tests::linear(500, 64), 9000);
  Floats large = deep.large, weights = deep.weights;  // rounded
  for (Floats* factor : {&large, &weights})
    for (float& v : *factor) v = static_cast<float>(rounded(v, Precision::tf32));
  Executor<Cuda> on;
  on.engines.precision = Precision::tf32;
  OnDevice<float> x(deep.large), k(deep.weights), y(deep.small.size());
  large_to_small<float>(deep.w, x.data(), k.data(), y.data(), deep.rows, {}, on);
  Numbers want(deep.small.size());
  deep.for_each_product([&](std::size_t l, std::size_t s, std::size_t i) {
    want[s] += double{large[l]} * double{weights[i]};
  });
  require_close(y.read(on), want, sums_tolerance(500));

  check(tests::linear(300, 36), 3000, {Precision::tf32});
  check(tests::linear(301, 33), 3000, {Precision::bf16});
  check(tests::linear(5003, 33), 11, {Precision::tf32});
  check(tests::linear(5004, 32), 12, {Precision::bf16});
}

// Sums of few whole numbers are exact in any order: a number in the wrong place shows as such.
TEST_CASE("tensor cores: whole numbers are multiplied exactly", "[small]") {
  for (const Window& w :
       {tests::linear(16, 8), tests::linear(33, 40), tests::halving(4, 4, 6, 8)}) {
    Layer l(w, 16);
    for (Floats* x : {&l.large, &l.small, &l.weights, &l.bias_of_small, &l.bias_of_large})
      for (float& v : *x) v = std::round(4 * v);
    const Results<double> want = in_double(l, Precision::float32);
    for (const Precision precision : {Precision::tf32, Precision::bf16}) {
      const Results<float> got = on_gpu(l, precision);
      INFO(l.name());
      CHECK(Numbers(got.small.begin(), got.small.end()) == want.small);
      const Results<float> old = before(l);
      for (std::size_t i = 0; i < old.large.size(); ++i)  // what was there is no whole number
        REQUIRE(std::abs(double{got.large[i]} - want.large[i]) < 1e-4);
      for (std::size_t i = 0; i < old.weights.size(); ++i)
        REQUIRE(std::abs(double{got.weights[i]} - want.weights[i]) < 1e-4);
    }
  }
}

TEST_CASE("tensor cores: the factors are rounded, and only if that is asked for", "[small]") {
  const Layer l(tests::linear(48, 40), 40);
  const auto same = [](const Results<float>& a, const Results<float>& b) {
    return a.small == b.small && a.large == b.large && a.weights == b.weights;
  };
  const Results<float> plain = on_gpu(l, Precision::float32);
  const Results<float> tf32 = on_gpu(l, Precision::tf32), bf16 = on_gpu(l, Precision::bf16);
  CHECK(same(on_gpu(l, cuda::Engines{}.precision), plain));
  CHECK(same(on_gpu(l, Precision::tf32), tf32));
  const Results<double> exact = in_double(l, Precision::float32);
  for_each_operation(l, [&](const std::string& name, auto of, double length) {
    const auto error = [&](const Results<float>& r) {
      double worst = 0;
      for (std::size_t i = 0; i < of(r).size(); ++i)
        worst = std::max(worst, std::abs(double{of(r)[i]} - of(exact)[i]));
      return worst;
    };
    INFO(name);
    CHECK(error(plain) < sums_tolerance(length));
    CHECK(error(tf32) > 5 * error(plain));
    CHECK(error(bf16) > 3 * error(tf32));
  });
}

TEST_CASE("tensor cores: libraries round their factors no more than they are allowed to") {
  for (const cuda::ProductEngine* engine : {cuda::cudnn(), cuda::cublaslt(), cuda::fastest()}) {
    if (engine == nullptr) continue;  // not in this build
    for (const Window& w : {tests::halving(64, 7, 14, 128), tests::linear(512, 128)}) {
      const Layer l(w, 20);
      Results<double> squares;
      const Results<double> exact = in_double(l, Precision::float32, &squares);
      for (const Precision precision : {Precision::tf32, Precision::bf16}) {
        INFO(engine->name);
        check_exact(l, precision, on_gpu(l, {engine, engine, precision}), exact, squares);
      }
    }
  }
  SUCCEED();
}

TEST_CASE("tensor cores: double is never rounded", "[small]") {
  const Window w = tests::conv(5, 5, 4, 33, 3, 2, 2, 1, 1, 1);
  const auto large = normals<double>(index(w.large()) * 3, 1),
             weights = normals<double>(w.weights(), 2);
  std::vector<std::vector<double>> results;
  for (const Precision precision : {Precision::float32, Precision::tf32, Precision::bf16}) {
    Executor<Cuda> on;
    on.engines.precision = precision;
    OnDevice<double> x(large), k(weights), y(index(w.small()) * 3);
    large_to_small<double>(w, x.data(), k.data(), y.data(), 3, {}, on);
    results.push_back(y.read(on));
  }
  CHECK(results[1] == results[0]);
  CHECK(results[2] == results[0]);
}

TEST_CASE("tensor cores: the order of threads and blocks does not change a byte", "[small]") {
  for (const Window& w : {ragged()[0], ragged()[1], ragged()[4]})
    for (const Precision precision : {Precision::tf32, Precision::bf16}) {
      const Layer l(w, 6);
      std::vector<Results<float>> all;
      tests::for_each_order([&](const std::string& order) {
        all.push_back(on_gpu(l, precision));
        INFO(l.name() << ", order " << order);
        CHECK(all.back().small == all[0].small);
        CHECK(all.back().large == all[0].large);
        CHECK(all.back().weights == all[0].weights);
      });
    }
}

TEST_CASE("tensor cores: arrays that are aligned to a float only", "[small]") {
  const Layer l(tests::halving(8, 4, 6, 12), 3);
  const auto shifted = [](Floats x) {
    x.insert(x.begin(), 0.0F);
    return x;
  };
  const Results<double> want = in_double(l, Precision::tf32);
  Executor<Cuda> on;
  on.engines.precision = Precision::tf32;
  const OnDevice<float> small(shifted(l.small)), weights(shifted(l.weights)),
      large(shifted(l.large)), bias(l.bias_of_small);
  OnDevice<float> to(l.small.size() + 1), gradient(shifted(before(l).weights));
  large_to_small<float>(l.w, large.data() + 1, weights.data() + 1, to.data() + 1, l.rows,
                        {bias.data(), true, false}, on);
  weight_gradient<float>(l.w, large.data() + 1, small.data() + 1, gradient.data() + 1, l.rows, on);
  Floats got = to.read(on), got_gradient = gradient.read(on);
  got.erase(got.begin()), got_gradient.erase(got_gradient.begin());
  require_close(got, want.small, sums_tolerance(l.w.patch()));
  require_close(got_gradient, want.weights, sums_tolerance(l.rows * l.w.positions()));
}
