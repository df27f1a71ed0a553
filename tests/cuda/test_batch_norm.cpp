// SPDX-License-Identifier: MIT
// Batch normalisation kernels against their definition in double.
#include <cmath>

#include <poe/ops/batch_norm.hpp>

#include "placed.hpp"

namespace {

using poe::BatchNormMemory;
using poe::BatchNormOptions;
using poe::Sink;
using poe::test::normals;
using poe::test::require_close;
using poe::test::sum_tolerance;
using tests::Placed;
using tests::same_in_every_order;
using On = poe::Executor<poe::Cuda>;

struct Shape {
  std::size_t samples, channels;
};

// One block sums up to 256 samples of its 32 channels; above, parts do, up to 128 of them.
const std::vector<Shape> shapes{{2, 1},    {2, 33},  {31, 3},   {33, 4},    {100, 100}, {64, 516},
                                {256, 31}, {257, 1}, {257, 33}, {1009, 32}, {9000, 4}};

template <class T>
constexpr double epsilon = static_cast<double>(std::numeric_limits<T>::epsilon());

/// Numbers whose mean is not small against their deviation.
template <class T>
std::vector<T> inputs(Shape s) {
  auto x = normals<T>(s.samples * s.channels, 1, 2);
  for (std::size_t e = 0; e < x.size(); ++e) x[e] += static_cast<T>(1 + e % s.channels % 3);
  return x;
}

struct Statistics {
  std::vector<double> mean, variance;  // biased
};

template <class T>
Statistics statistics(Shape s, const std::vector<T>& x) {
  const auto total = static_cast<double>(s.samples);
  Statistics result{std::vector<double>(s.channels), std::vector<double>(s.channels)};
  for (std::size_t e = 0; e < x.size(); ++e)
    result.mean[e % s.channels] += static_cast<double>(x[e]) / total;
  for (std::size_t e = 0; e < x.size(); ++e) {
    const double d = static_cast<double>(x[e]) - result.mean[e % s.channels];
    result.variance[e % s.channels] += d * d / total;
  }
  return result;
}

/// The arrays of one batch normalisation, each `offset` numbers behind an aligned address.
template <class T>
struct Arrays {
  Placed<T> x, scale, shift, mean, inverse, running_mean, running_variance;
  BatchNormMemory<T> memory;

  Arrays(Shape s, const std::vector<T>& values, std::size_t x_offset, std::size_t offset)
      : x(values, x_offset),
        scale(normals<T>(s.channels, 2), offset),
        shift(normals<T>(s.channels, 3), offset),
        mean(s.channels, offset),
        inverse(s.channels, offset),
        running_mean(normals<T>(s.channels, 4), offset),
        running_variance(positive(s.channels), offset),
        memory{.samples = s.samples,
               .channels = s.channels,
               .x = x.data(),
               .scale = scale.data(),
               .shift = shift.data(),
               .mean = mean.data(),
               .inverse = inverse.data(),
               .running_mean = running_mean.data(),
               .running_variance = running_variance.data()} {}

  static std::vector<T> positive(std::size_t n) {
    auto v = normals<T>(n, 5);
    for (T& one : v) one = one * one + T(0.5);
    return v;
  }
};

template <class T>
void append(std::vector<T>& all, const std::vector<T>& more) {
  all.insert(all.end(), more.begin(), more.end());
}

/// Entry `k` of the vectors of n numbers that one result consists of.
template <class T>
std::vector<T> entry(const std::vector<T>& all, std::size_t k, std::size_t n) {
  const auto begin = all.begin() + static_cast<std::ptrdiff_t>(k * n);
  return {begin, begin + static_cast<std::ptrdiff_t>(n)};
}

/// |got[i] - want[i]| <= bound[i].
template <class T>
void require_within(const std::vector<T>& got, const std::vector<double>& want,
                    const std::vector<double>& bound, const char* what) {
  REQUIRE(got.size() == want.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    if (std::abs(static_cast<double>(got[i]) - want[i]) <= bound[i]) continue;
    INFO(what << ", element " << i << ": got " << got[i] << ", want " << want[i] << " within "
              << bound[i]);
    REQUIRE(false);
  }
}

template <class T>
void check_statistics(Shape s, std::size_t offset) {
  const BatchNormOptions options{.epsilon = 1e-3, .momentum = 0.2};
  INFO(s.samples << " samples of " << s.channels << " channels, offset " << offset);
  On on;
  const auto x = inputs<T>(s);
  const auto all = same_in_every_order([&] {
    Arrays<T> a(s, x, offset, offset);
    const double total = poe::batch_statistics(a.memory, options, {}, on);
    REQUIRE(total == static_cast<double>(s.samples));
    std::vector<T> result = a.mean.read(on);
    append(result, a.inverse.read(on));
    append(result, a.running_mean.read(on));
    append(result, a.running_variance.read(on));
    return result;
  });
  Statistics want = statistics(s, x);
  const auto total = static_cast<double>(s.samples);
  const auto old_mean = normals<T>(s.channels, 4), old_variance = Arrays<T>::positive(s.channels);
  std::vector<double> inverse(s.channels), mean(s.channels), variance(s.channels);
  for (std::size_t c = 0; c < s.channels; ++c) {
    inverse[c] = 1 / std::sqrt(want.variance[c] + options.epsilon);
    const auto m = static_cast<double>(old_mean[c]), v = static_cast<double>(old_variance[c]);
    mean[c] = m + options.momentum * (want.mean[c] - m);
    variance[c] = v + options.momentum * (want.variance[c] * total / (total - 1) - v);
  }
  // Sums are in double, here and there in another order; then come the roundings of each result
  // to T, of the mean before the squares, and of momentum.
  const double tolerance = 8 * epsilon<T> + sum_tolerance<double>(static_cast<double>(s.samples));
  require_close(entry(all, 0, s.channels), want.mean, tolerance, "mean");
  require_close(entry(all, 1, s.channels), inverse, 4 * tolerance, "inverse");
  require_close(entry(all, 2, s.channels), mean, tolerance, "running mean");
  require_close(entry(all, 3, s.channels), variance, tolerance, "running variance");
}

/// `place`: bit 0 places the matrices, bit 1 the vectors of the channels off alignment.
template <class T>
void check_passes(Shape s, std::size_t place, bool train, bool relu) {
  INFO(s.samples << " samples of " << s.channels << " channels, offset case " << place
                 << ", statistics of the batch: " << train << ", ReLU: " << relu);
  On on;
  const std::size_t count = s.samples * s.channels;
  const auto x = inputs<T>(s), old = normals<T>(count, 7);
  auto dy = normals<T>(count, 6);
  const auto scale = normals<T>(s.channels, 2), shift = normals<T>(s.channels, 3);
  const auto old_scale = normals<T>(s.channels, 8), old_shift = normals<T>(s.channels, 9);
  // Any mean and inverse will do: they are what the passes are given.
  const auto mean = normals<T>(s.channels, 10), inverse = Arrays<T>::positive(s.channels);
  const double total = train ? static_cast<double>(s.samples) : 0;

  std::vector<double> y(count), put(count), added(count), y_bound(count), put_bound(count);
  std::vector<double> first(s.channels), second(s.channels), first_size(s.channels),
      second_size(s.channels), by_scale(s.channels), by_shift(s.channels), scale_bound(s.channels),
      shift_bound(s.channels);
  const auto number = [](T v) { return static_cast<double>(v); };
  const auto normal = [&](std::size_t e) {
    const std::size_t c = e % s.channels;
    return (number(x[e]) - number(mean[c])) * number(inverse[c]);
  };
  // What T makes of the arguments of that difference.
  const auto normal_size = [&](std::size_t e) {
    const std::size_t c = e % s.channels;
    return (std::abs(number(x[e])) + std::abs(number(mean[c]))) * number(inverse[c]);
  };
  for (std::size_t e = 0; e < count; ++e) {
    const std::size_t c = e % s.channels;
    y[e] = normal(e) * number(scale[c]) + number(shift[c]);
    y_bound[e] =
        8 * epsilon<T> * (normal_size(e) * std::abs(number(scale[c])) + std::abs(number(shift[c])));
    if (relu && std::abs(y[e]) <= y_bound[e]) dy[e] = T(0);  // nobody knows its sign
    y[e] = relu && y[e] <= 0 ? 0 : y[e];
  }
  const auto through = [&](std::size_t e) { return relu && y[e] == 0 ? 0 : number(dy[e]); };
  for (std::size_t e = 0; e < count; ++e) {
    const std::size_t c = e % s.channels;
    first[c] += through(e);
    second[c] += through(e) * normal(e);
    first_size[c] += std::abs(through(e));
    second_size[c] += std::abs(through(e)) * normal_size(e);
  }
  // At most eight roundings in T lie between the arguments and any result; sums are in double,
  // here and there in another order.
  for (std::size_t c = 0; c < s.channels; ++c) {
    by_shift[c] = number(old_shift[c]) + first[c];
    by_scale[c] = number(old_scale[c]) + second[c];
    shift_bound[c] = 4 * epsilon<T> * (std::abs(number(old_shift[c])) + std::abs(first[c])) +
                     4 * epsilon<double> * first_size[c];
    scale_bound[c] = 8 * epsilon<T> * (std::abs(number(old_scale[c])) + second_size[c]);
  }
  for (std::size_t e = 0; e < count; ++e) {
    const std::size_t c = e % s.channels;
    const double factor = number(inverse[c]) * number(scale[c]);
    double g = through(e), size = std::abs(g);
    if (train) {
      g -= (first[c] + normal(e) * second[c]) / total;
      size += (first_size[c] + normal_size(e) * second_size[c]) / total;
    }
    put[e] = g * factor;
    added[e] = number(old[e]) + put[e];
    put_bound[e] = 8 * epsilon<T> * (size * std::abs(factor) + std::abs(number(old[e])));
  }

  Arrays<T> a(s, x, place % 2, place / 2);
  if (relu) a.memory.floor = T(0);
  const std::size_t bytes = s.channels * sizeof(T);
  poe::cuda::upload(a.memory.mean, mean.data(), bytes, on.stream());
  poe::cuda::upload(a.memory.inverse, inverse.data(), bytes, on.stream());
  const auto values = same_in_every_order([&] {
    Placed<T> result(count, place % 2);
    poe::normalise(a.memory, result.data(), on);
    return result.read(on);
  });
  require_within(values, y, y_bound, "value");

  Placed<T> ddy(dy, place % 2);
  for (const bool accumulate : {false, true}) {
    const auto got = same_in_every_order([&] {
      Placed<T> ds(old_scale, 0), dt(old_shift, 0);
      Placed<T> dx = accumulate ? Placed<T>(old, place % 2) : Placed<T>(count, place % 2);
      poe::batch_norm_gradient(a.memory, total, {}, ddy.data(), ds.data(), dt.data(),
                               Sink<T>{dx.data(), accumulate}, on);
      std::vector<T> result = dx.read(on);
      append(result, ds.read(on));
      append(result, dt.read(on));
      return result;
    });
    const auto by_x = entry(got, 0, count);
    const std::vector<T> rest(got.begin() + static_cast<std::ptrdiff_t>(count), got.end());
    require_within(by_x, accumulate ? added : put, put_bound, "gradient of x");
    require_within(entry(rest, 0, s.channels), by_scale, scale_bound, "gradient of scale");
    require_within(entry(rest, 1, s.channels), by_shift, shift_bound, "gradient of shift");
  }
  // What nobody wants is not touched.
  Placed<T> ds(old_scale, 0), dt(old_shift, 0), dx(count, 0);
  poe::batch_norm_gradient<T>(a.memory, total, {}, ddy.data(), ds.data(), dt.data(), {}, on);
  require_within(dt.read(on), by_shift, shift_bound, "gradient of shift alone");
  poe::batch_norm_gradient<T>(a.memory, total, {}, ddy.data(), nullptr, nullptr,
                              Sink<T>{dx.data(), false}, on);
  require_within(dx.read(on), put, put_bound, "gradient of x alone");
}

}  // namespace

TEMPLATE_TEST_CASE("statistics of a batch", "", float, double) {
  for (const Shape s : shapes)
    for (const std::size_t offset : {0U, 1U}) check_statistics<TestType>(s, offset);
  // More parts would be more blocks than run at a time.
  check_statistics<TestType>({600, 2048}, 0);
}

TEMPLATE_TEST_CASE("statistics of a mean that is large against the deviation", "", float, double) {
  // All numbers and the mean are exact in T, so only the cancellation of one-pass sums would show.
  using T = TestType;
  On on;
  for (const std::size_t samples : {128U, 1024U}) {
    const Shape s{samples, 3};
    std::vector<T> x(samples * 3);
    for (std::size_t e = 0; e < x.size(); ++e) x[e] = e / 3 % 2 == 0 ? T(1000.0625) : T(999.9375);
    Arrays<T> a(s, x, 0, 0);
    poe::batch_statistics(a.memory, {.epsilon = 0, .momentum = 0.1}, {}, on);
    require_close(a.mean.read(on), std::vector<double>(3, 1000), 0.0);
    require_close(a.inverse.read(on), std::vector<double>(3, 16), epsilon<T>);
  }
}

TEMPLATE_TEST_CASE("one sample has no statistics", "", float, double) {
  On on;
  const Shape s{1, 3};
  Arrays<TestType> a(s, inputs<TestType>(s), 0, 0);
  REQUIRE_THROWS_WITH(
      poe::batch_statistics(a.memory, {}, {}, on),
      Catch::Contains("more than one value per channel") && Catch::Contains("got 1"));
}

TEMPLATE_TEST_CASE("running statistics are used", "", float, double) {
  using T = TestType;
  On on;
  for (const std::size_t channels : {1U, 100U, 2048U}) {
    const Shape s{1, channels};
    const BatchNormOptions options{.epsilon = 1e-3, .momentum = 0.2};
    const auto inverse = same_in_every_order([&] {
      Arrays<T> a(s, inputs<T>(s), 0, 0);
      poe::use_running_statistics(a.memory, options, on);
      REQUIRE(a.mean.read(on) == normals<T>(channels, 4));
      REQUIRE(a.running_mean.read(on) == normals<T>(channels, 4));
      return a.inverse.read(on);
    });
    std::vector<double> want;
    for (const T v : Arrays<T>::positive(channels))
      want.push_back(1 / std::sqrt(static_cast<double>(v) + options.epsilon));
    require_close(inverse, want, 4 * epsilon<T>);
  }
}

TEMPLATE_TEST_CASE("a ReLU lets NaN through", "[small]", float, double) {
  using T = TestType;
  On on;
  for (const std::size_t channels : {3U, 8U}) {  // single numbers, packs
    const Shape s{2, channels};
    auto x = inputs<T>(s);
    x[1] = std::numeric_limits<T>::quiet_NaN();
    Arrays<T> a(s, x, 0, 0);
    poe::use_running_statistics(a.memory, {}, on);
    a.memory.floor = T(0);
    Placed<T> y(s.samples * channels, 0);
    poe::normalise(a.memory, y.data(), on);
    const auto got = y.read(on);
    for (std::size_t e = 0; e < got.size(); ++e)
      REQUIRE((e == 1 ? std::isnan(got[e]) : got[e] >= 0));
  }
}

TEMPLATE_TEST_CASE("normalised values and all gradients", "", float, double) {
  // Every second case has a ReLU.
  for (const Shape s : shapes)
    for (const std::size_t place : {0U, 1U, 2U, 3U})
      for (const bool train : {true, false})
        if (s.samples * s.channels < 20000 || (place < 2 && train))
          check_passes<TestType>(s, place, train, (s.channels + place) % 2 == 1);
  for (const bool relu : {false, true}) check_passes<TestType>({64, 516}, 0, true, relu);
  check_passes<TestType>({1, 5}, 0, true, false);
  check_passes<TestType>({2200, 131}, 0, true, true);  // more rows than the grid has
}

TEMPLATE_TEST_CASE("a small batch", "[small]", float, double) {
  for (const Shape s : {Shape{7, 5}, {260, 34}}) {
    check_statistics<TestType>(s, 0);
    for (const bool relu : {false, true}) check_passes<TestType>(s, 0, true, relu);
  }
}
