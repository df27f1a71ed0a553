// SPDX-License-Identifier: MIT
// Pooling kernels against loops over windows.
#include <cmath>

#include <poe/ops/pool.hpp>

#include "placed.hpp"

namespace {

using poe::Sink;
using poe::Window;
using poe::test::normals;
using poe::test::require_close;
using poe::test::sum_tolerance;
using tests::Placed;
using tests::same_in_every_order;
using On = poe::Executor<poe::Cuda>;

struct Direction {
  int extent, kernel, stride, pad;
  int out() const { return (extent + 2 * pad - kernel) / stride + 1; }
};

Window window(int channels, Direction h, Direction w) {
  return {.channels = channels,
          .height = h.extent,
          .width = w.extent,
          .filters = channels,
          .out_height = h.out(),
          .out_width = w.out(),
          .kernel_h = h.kernel,
          .kernel_w = w.kernel,
          .stride_h = h.stride,
          .stride_w = w.stride,
          .pad_h = h.pad,
          .pad_w = w.pad};
}

/// Calls f(output in the sample, input in the sample) for every pixel under every window.
template <class F>
void for_each_pair(const Window& w, F&& f) {
  for (int oh = 0; oh < w.out_height; ++oh)
    for (int ow = 0; ow < w.out_width; ++ow)
      for (int c = 0; c < w.channels; ++c)
        for (int ih = oh * w.stride_h - w.pad_h; ih < oh * w.stride_h - w.pad_h + w.kernel_h; ++ih)
          for (int iw = ow * w.stride_w - w.pad_w; iw < ow * w.stride_w - w.pad_w + w.kernel_w;
               ++iw)
            if (ih >= 0 && ih < w.height && iw >= 0 && iw < w.width)
              f((oh * w.out_width + ow) * w.channels + c, (ih * w.width + iw) * w.channels + c);
}

template <class T>
struct Pooled {
  std::vector<T> y;
  std::vector<int> winner;
};

template <class T>
Pooled<T> pooled(const Window& w, int rows, const std::vector<T>& x) {
  const auto in = static_cast<std::size_t>(w.large());
  const auto out = static_cast<std::size_t>(w.positions() * w.channels);
  Pooled<T> result{std::vector<T>(static_cast<std::size_t>(rows) * out),
                   std::vector<int>(static_cast<std::size_t>(rows) * out, -1)};
  for (std::size_t r = 0; r < static_cast<std::size_t>(rows); ++r)
    for_each_pair(w, [&](int o, int i) {
      const T value = x[r * in + static_cast<std::size_t>(i)];
      const std::size_t at = r * out + static_cast<std::size_t>(o);
      if (result.winner[at] >= 0 && !(value > result.y[at]) && !std::isnan(value)) return;
      result.y[at] = value;
      result.winner[at] = i;
    });
  return result;
}

/// Offsets of x, y and winner.
struct Places {
  std::size_t x, y, winner;
};
const std::vector<Places> places{{0, 0, 0}, {1, 0, 0}, {0, 1, 0}, {0, 0, 1}};

template <class T>
void check_max_pool(const Window& w, int rows, const Places& place, const std::vector<T>& x) {
  INFO(rows << " samples, " << w.channels << " channels, " << w.height << " x " << w.width
            << ", kernel " << w.kernel_h << " x " << w.kernel_w << ", stride " << w.stride_h
            << " x " << w.stride_w << ", padding " << w.pad_h << " x " << w.pad_w << ", offsets "
            << place.x << place.y << place.winner);
  On on;
  const Pooled<T> want = pooled(w, rows, x);
  const std::size_t in = x.size(), out = want.y.size();
  Placed<T> dx(x, place.x);
  std::vector<int> winner;
  const auto y = same_in_every_order([&] {
    Placed<T> values(out, place.y);
    Placed<int> winners(out, place.winner);
    poe::max_pool_values(w, rows, dx.data(), values.data(), winners.data(), on);
    winner = winners.read(on);
    REQUIRE(winner == want.winner);
    return values.read(on);
  });
  for (std::size_t i = 0; i < out; ++i) {
    INFO("output " << i);
    if (!(y[i] == want.y[i])) REQUIRE((std::isnan(y[i]) && std::isnan(want.y[i])));
  }

  // Of at most all windows that cover one pixel.
  const double tolerance = sum_tolerance<T>(w.taps() + 1);
  const auto dy = normals<T>(out, 2), old = normals<T>(in, 3);
  std::vector<double> put(in), added(old.begin(), old.end());
  for (std::size_t o = 0; o < out; ++o) {
    const std::size_t sample = o / (out / static_cast<std::size_t>(rows));
    const std::size_t i =
        sample * static_cast<std::size_t>(w.large()) + static_cast<std::size_t>(want.winner[o]);
    put[i] += static_cast<double>(dy[o]);
    added[i] += static_cast<double>(dy[o]);
  }
  Placed<int> winners(want.winner, place.winner);
  Placed<T> ddy(dy, place.y);
  for (const bool accumulate : {false, true}) {
    const auto got = same_in_every_order([&] {
      Placed<T> g = accumulate ? Placed<T>(old, place.x) : Placed<T>(in, place.x);
      poe::max_pool_gradient(w, rows, winners.data(), ddy.data(), Sink<T>{g.data(), accumulate},
                             on);
      return g.read(on);
    });
    require_close(got, accumulate ? added : put, tolerance);
  }
}

/// Numbers with many equal ones.
template <class T>
std::vector<T> coarse(const Window& w, int rows) {
  auto x = normals<T>(static_cast<std::size_t>(rows) * static_cast<std::size_t>(w.large()), 1);
  for (T& value : x) value = std::round(value * 2);
  return x;
}

struct Means {
  int rows, pixels, channels;
};

template <class T>
void check_mean(Means s, std::size_t x_offset, std::size_t y_offset) {
  On on;
  INFO(s.rows << " samples, " << s.pixels << " pixels, " << s.channels << " channels, offsets "
              << x_offset << y_offset);
  const auto rows = static_cast<std::size_t>(s.rows), pixels = static_cast<std::size_t>(s.pixels),
             channels = static_cast<std::size_t>(s.channels);
  const std::size_t large = rows * pixels * channels, small = rows * channels;
  const auto x = normals<T>(large, 4), dy = normals<T>(small, 5), old = normals<T>(large, 6);
  std::vector<double> mean(small), put(large), added(large);
  for (std::size_t e = 0; e < large; ++e) {
    const std::size_t at = e / (pixels * channels) * channels + e % channels;
    mean[at] += static_cast<double>(x[e]) / s.pixels;
    put[e] = static_cast<double>(dy[at]) / s.pixels;
    added[e] = static_cast<double>(old[e]) + put[e];
  }
  Placed<T> dx(x, x_offset), ddy(dy, x_offset);
  const auto y = same_in_every_order([&] {
    Placed<T> result(small, y_offset);
    poe::pixel_mean(s.rows, s.pixels, s.channels, dx.data(), result.data(), on);
    return result.read(on);
  });
  require_close(y, mean, sum_tolerance<T>(s.pixels));
  for (const bool accumulate : {false, true}) {
    const auto got = same_in_every_order([&] {
      Placed<T> g = accumulate ? Placed<T>(old, y_offset) : Placed<T>(large, y_offset);
      poe::pixel_mean_gradient(s.rows, s.pixels, s.channels, ddy.data(),
                               Sink<T>{g.data(), accumulate}, on);
      return g.read(on);
    });
    require_close(got, accumulate ? added : put, sum_tolerance<T>(2));
  }
}

}  // namespace

TEMPLATE_TEST_CASE("max-pooling over many geometries", "", float, double) {
  const std::vector<std::pair<Direction, Direction>> geometries{
      {{8, 2, 2, 0}, {8, 2, 2, 0}},   // windows side by side
      {{9, 3, 2, 1}, {7, 3, 2, 1}},   // overlapping, padded
      {{5, 3, 1, 1}, {6, 2, 1, 0}},   // every pixel under many windows
      {{8, 2, 3, 0}, {11, 2, 3, 1}},  // pixels that no window covers
      {{1, 1, 1, 0}, {9, 4, 2, 2}},   // a line
      {{4, 4, 4, 0}, {4, 4, 4, 0}}};  // one window
  for (const auto& [h, w] : geometries)
    for (const int channels : {1, 3, 4, 33})
      for (const int rows : {1, 3})
        for (const Places& place : places) {
          const Window all = window(channels, h, w);
          check_max_pool<TestType>(all, rows, place, coarse<TestType>(all, rows));
        }
}

TEMPLATE_TEST_CASE("max-pooling of more channels than a block has threads", "", float, double) {
  const Window w = window(520, {4, 2, 2, 0}, {4, 2, 2, 0});
  check_max_pool<TestType>(w, 2, places[0], coarse<TestType>(w, 2));
  check_max_pool<TestType>(w, 2, places[1], coarse<TestType>(w, 2));
}

TEMPLATE_TEST_CASE("max-pooling of more pixels than threads that run at a time", "", float,
                   double) {
  const Window one = window(1, {64, 2, 1, 0}, {64, 2, 1, 0});
  check_max_pool<TestType>(one, 70, places[0], coarse<TestType>(one, 70));
  const Window four = window(4, {64, 2, 2, 0}, {64, 2, 2, 0});
  check_max_pool<TestType>(four, 70, places[0], coarse<TestType>(four, 70));
}

TEMPLATE_TEST_CASE("NaN wins in max-pooling", "", float, double) {
  const Window w = window(4, {8, 3, 2, 1}, {8, 3, 2, 1});
  auto x = coarse<TestType>(w, 2);
  for (const std::size_t at : {0U, 37U, 38U, 41U, 150U, 300U})
    x[at] = std::numeric_limits<TestType>::quiet_NaN();
  check_max_pool<TestType>(w, 2, places[0], x);
  check_max_pool<TestType>(w, 2, places[1], x);
}

TEMPLATE_TEST_CASE("the mean over pixels and its gradient", "", float, double) {
  // The last three: more samples than blocks, more pixels than threads, more channels than a block.
  for (const Means s : {Means{1, 1, 1},
                        {3, 49, 3},
                        {2, 31, 4},
                        {5, 16, 33},
                        {2, 100, 2},
                        {2300, 2, 1},
                        {1, 70001, 4},
                        {3, 5, 520}})
    for (const std::size_t offset : {0U, 1U, 2U, 3U})
      if (offset < 2 || s.pixels < 1000) check_mean<TestType>(s, offset % 2, offset / 2);
}

TEMPLATE_TEST_CASE("small pooling", "[small]", float, double) {
  const Window w = window(5, {5, 3, 2, 1}, {6, 2, 2, 0});
  check_max_pool<TestType>(w, 2, places[0], coarse<TestType>(w, 2));
  check_mean<TestType>({2, 11, 3}, 0, 0);
  check_mean<TestType>({2, 9, 40}, 0, 0);
}
