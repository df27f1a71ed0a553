// SPDX-License-Identifier: MIT
// kernels/likelihood.cuh against naive sums in double.
#include "../same_bytes.hpp"
#include "../support.hpp"

#include <algorithm>
#include <memory>

#include <poe/likelihood/score.hpp>

#include "placed.hpp"

namespace {

using poe::LikelihoodSpec;
using poe::ScorePiece;
using poe::Sink;
using poe::test::same_bytes;
using tests::Placed;

struct Case {
  LikelihoodSpec spec;
  int size = 1, classes = 1;
  std::vector<int> pieces = {3, 2};
  bool row_weights = false;
  bool log_p = true;
  enum { none, overwrite, accumulate } gradient = overwrite;
  std::size_t skip = 0;  // numbers before decoded and gradient: beyond 16-byte alignment
  bool shift_x = false;

  int parameters() const { return size * classes; }
  int rows() const {
    int sum = 0;
    for (const int n : pieces) sum += n;
    return sum;
  }
};

/// A number, and the sum of the absolute values of what was added up to get it: rounding errors are
/// relative to that.
struct Number {
  double value = 0, scale = 0;
  void add(double x) { value += x, scale += std::abs(x); }
};

/// Log-density of one row and its derivatives, term by term.
struct RowResult {
  Number log_p;
  std::vector<Number> slope;
};

template <class T>
RowResult reference(const Case& c, const T* parameters, const T* x) {
  RowResult r;
  r.slope.resize(static_cast<std::size_t>(c.parameters()));
  if (c.spec.kind == LikelihoodSpec::categorical) {
    for (int i = 0; i < c.size; ++i) {
      const auto id = static_cast<double>(x[i]);
      if (id == c.spec.ignore) continue;
      const T* const t = parameters + i * c.classes;
      double total = 0, top = -1e300;
      for (int k = 0; k < c.classes; ++k) top = std::max(top, static_cast<double>(t[k]));
      for (int k = 0; k < c.classes; ++k) total += std::exp(static_cast<double>(t[k]) - top);
      const double normaliser = top + std::log(total);
      const bool valid = id >= 0 && id < c.classes && id == std::floor(id);
      const double nan = std::numeric_limits<double>::quiet_NaN();
      r.log_p.add(valid ? static_cast<double>(t[static_cast<int>(id)]) : nan);
      r.log_p.add(valid ? -normaliser : nan);
      for (int k = 0; k < c.classes; ++k) {
        Number& g = r.slope[static_cast<std::size_t>(i * c.classes + k)];
        const auto tk = static_cast<double>(t[k]);
        const double p = std::exp(tk - normaliser);
        g.value = valid ? (k == static_cast<int>(id) ? 1.0 : 0.0) - p : nan;
        // The exponent is rounded relative to its two parts.
        g.scale = 1.0 + (p > 0 ? p * (std::abs(tk) + std::abs(normaliser)) : 0.0);
      }
    }
    return r;
  }
  for (int i = 0; i < c.size; ++i) {
    const auto t = static_cast<double>(parameters[i]), v = static_cast<double>(x[i]);
    Number& g = r.slope[static_cast<std::size_t>(i)];
    const double s = c.spec.scale;
    if (c.spec.kind == LikelihoodSpec::bernoulli) {
      r.log_p.add(v * t);
      r.log_p.add(-std::max(t, 0.0));
      r.log_p.add(-std::log1p(std::exp(-std::abs(t))));
      g.add(v);
      g.add(-1 / (1 + std::exp(-t)));
    } else if (c.spec.kind == LikelihoodSpec::normal) {
      r.log_p.add(-(v - t) * (v - t) / (2 * s * s));
      r.log_p.add(-std::log(s));
      r.log_p.add(-0.5 * std::log(2 * std::acos(-1.0)));
      g.add(v / (s * s));
      g.add(-t / (s * s));
    } else if (c.spec.kind == LikelihoodSpec::laplace_pixels) {
      const double p = 1 / (1 + std::exp(-t));
      const double kept = std::min(std::max(p, c.spec.margin), 1 - c.spec.margin);
      r.log_p.add(-std::abs(v - kept) / s);
      r.log_p.add(-std::log(2 * s));
      r.log_p.scale += 1 / s;  // p itself is rounded
      g.add(kept == p ? (v > p ? 1 : -1) * p * (1 - p) / s : 0.0);
    } else {
      r.log_p.add(-std::abs(v - t) / s);
      r.log_p.add(-std::log(2 * s));
      g.add(v > t ? 1 / s : (v < t ? -1 / s : 0.0));
    }
  }
  return r;
}

template <class T>
struct Inputs {
  std::vector<T> decoded, x, row_weights, before;

  explicit Inputs(const Case& c) {
    const auto rows = static_cast<std::size_t>(c.rows());
    const auto parameters = static_cast<std::size_t>(c.parameters());
    const auto size = static_cast<std::size_t>(c.size);
    decoded = poe::test::normals<T>(rows * parameters, 1, 3);
    x = poe::test::normals<T>(rows * size, 2, 3);
    row_weights = poe::test::normals<T>(rows, 3);
    before = poe::test::normals<T>(rows * parameters, 4);
    for (std::size_t i = 0; i < x.size(); ++i) {
      if (c.spec.kind == LikelihoodSpec::bernoulli ||
          c.spec.kind == LikelihoodSpec::laplace_pixels)  // black, white and grey
        x[i] = i % 3 == 0 ? T(0) : (i % 3 == 1 ? T(1) : T(0.25));
      if (c.spec.kind == LikelihoodSpec::laplace && i % 7 == 0) x[i] = decoded[i];
      if (c.spec.kind == LikelihoodSpec::categorical)
        x[i] = i % 5 == 2 ? static_cast<T>(c.spec.ignore)
                          : static_cast<T>((i * 7919) % static_cast<std::size_t>(c.classes));
    }
  }
};

template <class T>
struct Outputs {
  std::vector<T> log_p, gradient;
};

/// The weights of the pieces differ.
template <class T>
T piece_weight(std::size_t piece) {
  return static_cast<T>(0.5 + 0.25 * static_cast<double>(piece));
}

template <class T>
Outputs<T> run(const Case& c, const Inputs<T>& in, poe::Executor<poe::Cuda>& on) {
  const auto size = static_cast<std::size_t>(c.size);
  std::vector<std::unique_ptr<Placed<T>>> x, weights;
  std::vector<ScorePiece<T>> pieces;
  std::size_t first = 0;
  for (std::size_t p = 0; p < c.pieces.size(); ++p) {
    const auto rows = static_cast<std::size_t>(c.pieces[p]);
    const auto part = [&](const std::vector<T>& v, std::size_t width) {
      return std::vector<T>(v.begin() + static_cast<std::ptrdiff_t>(first * width),
                            v.begin() + static_cast<std::ptrdiff_t>((first + rows) * width));
    };
    // Only one piece lies badly: it decides for all of them.
    const std::size_t shift = c.shift_x && p + 1 == c.pieces.size() ? 1 : 0;
    x.push_back(std::make_unique<Placed<T>>(part(in.x, size), shift));
    weights.push_back(std::make_unique<Placed<T>>(part(in.row_weights, 1), 0));
    pieces.push_back({x.back()->data(), c.pieces[p], piece_weight<T>(p),
                      c.row_weights ? weights.back()->data() : nullptr});
    first += rows;
  }
  Placed<T> decoded(in.decoded, c.skip);
  const T nan = std::numeric_limits<T>::quiet_NaN();
  Placed<T> gradient(
      c.gradient == Case::accumulate ? in.before : std::vector<T>(in.decoded.size(), nan), c.skip);
  tests::OnDevice<T> log_p(first);
  const Sink<T> sink{c.gradient == Case::none ? nullptr : gradient.data(),
                     c.gradient == Case::accumulate};
  poe::score_rows<T>(c.spec, c.size, c.parameters(), decoded.data(), pieces,
                     c.log_p ? log_p.data() : nullptr, sink, on);
  return {log_p.read(on), gradient.read(on)};
}

/// Rounding errors: an element's function and its product with the weight cost a few units, its sum
/// over n elements sqrt(n) of them.
template <class T>
double tolerance(double n, double scale) {
  return 8 * static_cast<double>(std::numeric_limits<T>::epsilon()) * std::sqrt(n) * scale;
}

template <class T>
void check(const Case& c) {
  INFO("kind " << c.spec.kind << ", size " << c.size << ", classes " << c.classes << ", "
               << c.pieces.size() << " pieces, skip " << c.skip << ", shift " << c.shift_x
               << ", gradient " << c.gradient << ", bytes of T " << sizeof(T));
  const Inputs<T> in(c);
  Outputs<T> first;
  tests::for_each_order([&](const std::string& order) {
    INFO(order);
    poe::Executor<poe::Cuda> on;
    const Outputs<T> out = run(c, in, on);
    if (!first.log_p.empty()) {  // every order, every run: the same bytes
      REQUIRE(same_bytes(out.log_p, first.log_p));
      REQUIRE(same_bytes(out.gradient, first.gradient));
      return;
    }
    first = out;
  });
  std::size_t row = 0, wrong = 0;
  std::string where;
  const auto compare = [&](const char* what, std::size_t r, std::size_t at, T got, double want,
                           double limit) {
    const bool good =
        std::isnan(want) ? std::isnan(got) : std::abs(static_cast<double>(got) - want) <= limit;
    if (good || ++wrong > 1) return;
    where =
        fmt::format("{} of row {} at {}: got {}, want {}, limit {}", what, r, at, got, want, limit);
  };
  for (std::size_t p = 0; p < c.pieces.size(); ++p)
    for (int i = 0; i < c.pieces[p]; ++i, ++row) {
      const std::size_t width = static_cast<std::size_t>(c.parameters());
      const RowResult want = reference(c, in.decoded.data() + row * width,
                                       in.x.data() + row * static_cast<std::size_t>(c.size));
      const double weight = static_cast<double>(piece_weight<T>(p)) *
                            (c.row_weights ? static_cast<double>(in.row_weights[row]) : 1.0);
      if (c.log_p)
        compare("log p", row, 0, first.log_p[row], want.log_p.value,
                tolerance<T>(c.size + c.classes, want.log_p.scale));
      else
        REQUIRE(std::isnan(first.log_p[row]));  // not written
      for (std::size_t k = 0; k < width; ++k) {
        const std::size_t at = row * width + k;
        const double old =
            c.gradient == Case::accumulate ? static_cast<double>(in.before[at]) : 0.0;
        if (c.gradient == Case::none)
          REQUIRE(std::isnan(first.gradient[at]));
        else
          compare("gradient", row, k, first.gradient[at], old + weight * want.slope[k].value,
                  tolerance<T>(c.classes, std::abs(old) + std::abs(weight) * want.slope[k].scale));
      }
    }
  INFO(where);
  REQUIRE(wrong == 0);
}

const LikelihoodSpec bernoulli{LikelihoodSpec::bernoulli, 1, -1};
const LikelihoodSpec normal{LikelihoodSpec::normal, 0.75, -1};
const LikelihoodSpec laplace{LikelihoodSpec::laplace, 0.6, -1};
// Wide margins, so that some of the means reach them.
const LikelihoodSpec pixels{LikelihoodSpec::laplace_pixels, 0.75, -1, 0.1};
const LikelihoodSpec categorical{LikelihoodSpec::categorical, 1, -1};

}  // namespace

// Rows of up to 32, up to 128 and more packs, of 16 bytes and of one number.
TEMPLATE_TEST_CASE("rows of independent elements are scored", "[cuda]", float, double) {
  for (const LikelihoodSpec& spec : {bernoulli, normal, laplace, pixels})
    for (const int size : {1, 31, 32, 33, 100, 128, 129, 392, 784, 1009, 3072}) {
      Case c;
      c.spec = spec;
      c.size = size;
      check<TestType>(c);
    }
}

TEMPLATE_TEST_CASE("values, gradients and weights are optional", "[cuda]", float, double) {
  for (const LikelihoodSpec& spec : {bernoulli, normal, laplace, pixels, categorical})
    for (const bool log_p : {true, false})
      for (const auto gradient : {Case::none, Case::overwrite, Case::accumulate})
        for (const bool row_weights : {false, true}) {
          Case c;
          c.spec = spec;
          c.size = spec.kind == LikelihoodSpec::categorical ? 6 : 132;
          c.classes = spec.kind == LikelihoodSpec::categorical ? 22 : 1;
          c.log_p = log_p;
          c.gradient = gradient;
          c.row_weights = row_weights;
          check<TestType>(c);
        }
}

TEMPLATE_TEST_CASE("rows may begin anywhere", "[cuda][small]", float, double) {
  for (const LikelihoodSpec& spec : {bernoulli, categorical})
    for (const auto gradient : {Case::overwrite, Case::accumulate}) {
      Case c;
      c.spec = spec;
      c.size = spec.kind == LikelihoodSpec::categorical ? 3 : 264;
      c.classes = spec.kind == LikelihoodSpec::categorical ? 88 : 1;
      c.gradient = gradient;
      c.skip = 1;
      check<TestType>(c);
      c.skip = 0;
      c.shift_x = true;
      check<TestType>(c);
    }
}

// 32 pieces fit into one launch; empty ones do not count.
TEMPLATE_TEST_CASE("samples come in any number of pieces", "[cuda]", float, double) {
  for (const std::size_t count : {1U, 6U, 31U, 32U, 33U, 70U})
    for (const LikelihoodSpec& spec : {normal, categorical}) {
      Case c;
      c.spec = spec;
      c.size = 5;
      c.classes = spec.kind == LikelihoodSpec::categorical ? 7 : 1;
      c.row_weights = true;
      c.pieces.assign(count, 1);
      for (std::size_t p = 0; p < count; ++p) c.pieces[p] = static_cast<int>((p * 3 + 1) % 4);
      check<TestType>(c);
    }
  poe::Executor<poe::Cuda> on;
  poe::score_rows<TestType>(normal, 5, 5, nullptr, {}, nullptr, {}, on);  // no rows, no launch
}

// One position in a block of one or many warps, fewer positions than warps, as many, more (two
// rounds, the second not full); few classes, several rounds of packs, no whole number of them.
TEMPLATE_TEST_CASE("class ids are scored", "[cuda]", float, double) {
  struct Sizes {
    int size, classes;
  };
  const std::vector<Sizes> all = {{1, 2},    {1, 10},  {1, 5003}, {2, 1031}, {3, 1000},
                                  {5, 600},  {16, 65}, {17, 33},  {31, 3},   {32, 127},
                                  {33, 128}, {100, 5}, {32, 1597}};
  for (const Sizes& s : all) {
    Case c;
    c.spec = categorical;
    c.size = s.size;
    c.classes = s.classes;
    c.pieces = {1, 2};
    check<TestType>(c);
  }
}

TEMPLATE_TEST_CASE("ignored positions give exactly nothing", "[cuda][small]", float, double) {
  using T = TestType;
  for (const bool accumulate : {false, true}) {
    Case c;
    c.spec = {LikelihoodSpec::categorical, 1, 3};
    c.size = 4;
    c.classes = 9;
    c.pieces = {2};
    c.gradient = accumulate ? Case::accumulate : Case::overwrite;
    Inputs<T> in(c);
    std::fill(in.x.begin(), in.x.end(), T(3));
    in.decoded[5] = std::numeric_limits<T>::quiet_NaN();  // not even looked at
    in.decoded[14] = std::numeric_limits<T>::infinity();
    tests::for_each_order([&](const std::string& order) {
      INFO(order);
      poe::Executor<poe::Cuda> on;
      const Outputs<T> out = run(c, in, on);
      REQUIRE(same_bytes(out.log_p, std::vector<T>(2, T(0))));
      REQUIRE(same_bytes(out.gradient, accumulate ? in.before : std::vector<T>(72, T(0))));
    });
  }
}

TEMPLATE_TEST_CASE("a class out of range gives NaN and a fault", "[cuda][small]", float, double) {
  using T = TestType;
  const T nan = std::numeric_limits<T>::quiet_NaN();
  for (const T id : {T(10), T(-2), T(1.5), T(9.5), T(-0.5), T(1e30), nan}) {
    Case c;
    c.spec = categorical;
    c.size = 3;
    c.classes = 10;
    c.pieces = {2, 2};
    INFO("id " << id);
    Inputs<T> in(c);
    std::fill(in.x.begin(), in.x.end(), T(2));
    in.x[4] = id;  // position 1 of row 1
    tests::for_each_order([&](const std::string& order) {
      INFO(order);
      poe::Executor<poe::Cuda> on;
      tests::OnDevice<std::uint32_t> fault(std::vector<std::uint32_t>{4});
      (void)run(c, in, on);  // nobody to tell
      REQUIRE(fault.read(on)[0] == 4);
      on.fault = fault.data();
      const Outputs<T> out = run(c, in, on);
      REQUIRE(fault.read(on)[0] == 5);
      for (std::size_t r = 0; r < 4; ++r) REQUIRE(std::isnan(out.log_p[r]) == (r == 1));
      for (std::size_t i = 0; i < out.gradient.size(); ++i)
        REQUIRE(std::isnan(out.gradient[i]) == (i / 10 == 4));
    });
  }
  // Good data are no fault.
  Case c;
  c.spec = categorical;
  c.size = 3;
  c.classes = 10;
  poe::Executor<poe::Cuda> on;
  tests::OnDevice<std::uint32_t> fault(std::vector<std::uint32_t>{0});
  on.fault = fault.data();
  (void)run(c, Inputs<T>(c), on);
  REQUIRE(fault.read(on)[0] == 0);
}

TEMPLATE_TEST_CASE("logits may be large and even -infinity", "[cuda]", float, double) {
  using T = TestType;
  const T least = -std::numeric_limits<T>::infinity();
  Case c;
  c.spec = categorical;
  c.size = 2;
  c.classes = 700;
  c.pieces = {1};
  Inputs<T> in(c);
  in.x = {T(699), T(3)};
  for (std::size_t i = 0; i < 690; ++i) in.decoded[i] = least;  // whole threads see nothing else
  for (std::size_t i = 690; i < 700; ++i) in.decoded[i] = T(1e4);
  for (std::size_t i = 700; i < 1400; ++i) in.decoded[i] = T(-2e4);
  in.decoded[703] = T(2e4);
  poe::Executor<poe::Cuda> on;
  const Outputs<T> out = run(c, in, on);
  REQUIRE(std::abs(static_cast<double>(out.log_p[0]) + std::log(10.0)) <= tolerance<T>(2, 2e4));
  for (std::size_t i = 0; i < 690; ++i) REQUIRE(out.gradient[i] == T(0));
  for (std::size_t i = 690; i < 700; ++i)
    REQUIRE(std::abs(static_cast<double>(out.gradient[i]) - 0.5 * (i == 699 ? 0.9 : -0.1)) <=
            tolerance<T>(2, 2e3));
  for (std::size_t i = 700; i < 1400; ++i) REQUIRE(out.gradient[i] == T(0));
}

// A logit that is no number, wherever a thread sees it, must show.
TEMPLATE_TEST_CASE("a logit that is NaN makes the position NaN", "[cuda][small]", float, double) {
  using T = TestType;
  for (const std::size_t at : {0U, 1U, 31U, 200U, 511U, 512U, 599U}) {
    Case c;
    c.spec = categorical;
    c.size = 1;
    c.classes = 600;
    c.pieces = {1};
    Inputs<T> in(c);
    in.decoded[at] = std::numeric_limits<T>::quiet_NaN();
    poe::Executor<poe::Cuda> on;
    const Outputs<T> out = run(c, in, on);
    REQUIRE(std::isnan(out.log_p[0]));
    for (const T g : out.gradient) REQUIRE(std::isnan(g));
  }
}
