// SPDX-License-Identifier: MIT
// Convolutions and products against loops that follow their definition, over random geometries.
#include "support.hpp"

#include <poe/ops/columns.hpp>
#include <poe/ops/conv.hpp>

#include <algorithm>
#include <limits>
#include <string>
#include <vector>

namespace {

using poe::Window;
using poe::test::normals;
using poe::test::require_close;
using poe::test::sum_tolerance;

constexpr std::uint32_t geometries = 200;

std::size_t size(int n) { return static_cast<std::size_t>(n); }

/// What one call is to compute.
struct Case {
  Window window;
  int rows;
  bool bias, relu, accumulate;

  std::string text() const {
    const Window& w = window;
    return fmt::format(
        "{} rows, image ({}, {}, {}), {} filters, kernel ({}, {}), stride ({}, {}), padding ({}, "
        "{}), bias {}, relu {}, accumulate {}",
        rows, w.channels, w.height, w.width, w.filters, w.kernel_h, w.kernel_w, w.stride_h,
        w.stride_w, w.pad_h, w.pad_w, bias, relu, accumulate);
  }
};

/// Case number i: every fourth a matrix product, the others windows whose two directions differ.
Case random_case(std::uint32_t i) {
  std::uint64_t next = 0;
  const poe::Random random{.seed = 17, .step = i};
  const auto from = [&](int low, int high) {
    return low + static_cast<int>(random.below(static_cast<std::uint32_t>(high - low + 1), next++));
  };
  Case c{};
  c.rows = from(0, 33);  // none: a rank without samples
  Window& w = c.window;
  // Few channels take a way of their own.
  w.channels = from(0, 1) == 0 ? from(1, 9) : from(1, 70);
  w.filters = from(0, 1) == 0 ? from(1, 9) : from(1, 70);
  c.bias = from(0, 1) == 1;
  c.relu = from(0, 1) == 1;
  c.accumulate = from(0, 1) == 1;
  if (i % 4 == 0) return c;
  const auto direction = [&](int& extent, int& out, int& kernel, int& stride, int& pad) {
    kernel = from(1, 5);
    stride = from(1, 3);
    pad = from(0, kernel - 1);
    extent = std::max(from(1, 7), kernel - 2 * pad);
    out = (extent + 2 * pad - kernel) / stride + 1;
  };
  direction(w.height, w.out_height, w.kernel_h, w.stride_h, w.pad_h);
  direction(w.width, w.out_width, w.kernel_w, w.stride_w, w.pad_w);
  return c;
}

/// Calls f(index in the large image, in the weights, in the small image) for every product.
template <class F>
void for_each_product(const Case& k, F&& f) {
  const Window& w = k.window;
  for (int n = 0; n < k.rows; ++n)
    for (int oh = 0; oh < w.out_height; ++oh)
      for (int ow = 0; ow < w.out_width; ++ow)
        for (int kh = 0; kh < w.kernel_h; ++kh)
          for (int kw = 0; kw < w.kernel_w; ++kw) {
            const int h = oh * w.stride_h + kh - w.pad_h;
            const int x = ow * w.stride_w + kw - w.pad_w;
            if (h < 0 || h >= w.height || x < 0 || x >= w.width) continue;
            const int pixel = (n * w.height + h) * w.width + x;
            const int position = (n * w.out_height + oh) * w.out_width + ow;
            for (int c = 0; c < w.channels; ++c)
              for (int j = 0; j < w.filters; ++j)
                f(size(pixel * w.channels + c),
                  size(((kh * w.kernel_w + kw) * w.channels + c) * w.filters + j),
                  size(position * w.filters + j));
          }
}

/// Numbers with NaN on both sides: whoever reads beyond them and uses it is found out.
template <class T>
struct Fenced {
  static constexpr std::size_t margin = 64;
  std::vector<T> memory;

  explicit Fenced(const std::vector<T>& values)
      : memory(values.size() + 2 * margin, std::numeric_limits<T>::quiet_NaN()) {
    std::copy(values.begin(), values.end(), memory.begin() + margin);
  }
  T* data() { return memory.data() + margin; }
  std::vector<double> values() const { return {memory.begin() + margin, memory.end() - margin}; }
  /// Nothing was written beyond the ends.
  bool intact() const {
    const auto is_nan = [](T x) { return x != x; };
    return std::all_of(memory.begin(), memory.begin() + margin, is_nan) &&
           std::all_of(memory.end() - margin, memory.end(), is_nan);
  }
};

/// The epilogue by its definition.
void finish(std::vector<double>& y, const Case& c, const std::vector<double>& before,
            const std::vector<double>& bias) {
  for (std::size_t i = 0; i < y.size(); ++i) {
    if (c.bias) y[i] += bias[i % bias.size()];
    if (c.accumulate) y[i] += before[i];
    if (c.relu) y[i] = std::max(y[i], 0.0);
  }
}

template <class T>
void check_products(const Case& k) {
  INFO(k.text());
  const Window& w = k.window;
  const std::size_t large_size = size(k.rows * w.large());
  const std::size_t small_size = size(k.rows * w.small());
  // Each operand is scaled so that sums are of order 1, as sum_tolerance() wants them.
  const double position_terms = w.patch(), pixel_terms = w.taps() * w.filters;
  const double tap_terms = k.rows * w.positions();
  Fenced large(normals<T>(large_size, 1));
  Fenced small(normals<T>(small_size, 2));
  Fenced forward(normals<T>(w.weights(), 3, 1 / std::sqrt(position_terms)));
  Fenced backward(normals<T>(w.weights(), 4, 1 / std::sqrt(pixel_terms)));
  Fenced scaled(normals<T>(small_size, 5, 1 / std::sqrt(tap_terms)));
  Fenced bias(normals<T>(size(std::max(w.channels, w.filters)), 6));
  Fenced to_small(normals<T>(small_size, 7));
  Fenced to_large(normals<T>(large_size, 8));
  Fenced to_weights(normals<T>(w.weights(), 9));

  std::vector<double> want_small(small_size), want_large(large_size);
  std::vector<double> want_weights = to_weights.values();
  {
    const auto l = large.values(), s = small.values(), f = forward.values();
    const auto b = backward.values(), g = scaled.values();
    for_each_product(k, [&](std::size_t pixel, std::size_t weight, std::size_t position) {
      want_small[position] += l[pixel] * f[weight];
      want_large[pixel] += s[position] * b[weight];
      want_weights[weight] += l[pixel] * g[position];
    });
    auto offsets = bias.values();
    offsets.resize(size(w.filters));
    finish(want_small, k, to_small.values(), offsets);
    offsets = bias.values();
    offsets.resize(size(w.channels));
    finish(want_large, k, to_large.values(), offsets);
  }

  poe::Arena arena(1 << 12);
  const poe::detail::Epilogue<T> epilogue{k.bias ? bias.data() : nullptr, k.relu, k.accumulate};
  poe::large_to_small<T>(w, large.data(), forward.data(), to_small.data(), k.rows, epilogue, arena);
  poe::small_to_large<T>(w, small.data(), backward.data(), to_large.data(), k.rows, epilogue,
                         arena);
  poe::weight_gradient<T>(w, large.data(), scaled.data(), to_weights.data(), k.rows, arena);
  require_close(to_small.values(), want_small, sum_tolerance<T>(position_terms + 2),
                "large to small");
  require_close(to_large.values(), want_large, sum_tolerance<T>(pixel_terms + 2), "small to large");
  require_close(to_weights.values(), want_weights, sum_tolerance<T>(tap_terms + 1),
                "weight gradient");
  REQUIRE(to_small.intact());
  REQUIRE(to_large.intact());
  REQUIRE(to_weights.intact());
  // Everything was taken for the call alone.
  REQUIRE(arena.mark().block + arena.mark().used == 0);
}

}  // namespace

TEMPLATE_TEST_CASE("products and convolutions follow their definition for random geometries", "",
                   float, double) {
  int taps_in_padding = 0, overlapping = 0, pictures = 0;
  for (std::uint32_t i = 0; i < geometries; ++i) {
    const Case c = random_case(i);
    const Window& w = c.window;
    taps_in_padding += w.pad_h >= w.height || w.pad_w >= w.width;
    overlapping += w.kernel_h > w.stride_h && w.kernel_w > w.stride_w;
    pictures += poe::detail::has_few_channels(w);
    check_products<TestType>(c);
  }
  // The cases that are easily forgotten were there.
  CHECK(taps_in_padding > 5);
  CHECK(overlapping > 20);
  CHECK(pictures > 40);
  CHECK(pictures < static_cast<int>(geometries) - 80);
}

TEMPLATE_TEST_CASE("layers of the paper, and sums that are taken in blocks of samples", "", float,
                   double) {
  // channels, height, width, filters, output, kernel, stride, padding; rows
  const Case cases[] = {{{1, 14, 28, 64, 7, 14, 4, 4, 2, 2, 1, 1}, 5, false, true, false},
                        {{64, 7, 14, 128, 3, 7, 4, 4, 2, 2, 1, 1}, 5, false, true, false},
                        {{128, 3, 7, 256, 1, 3, 4, 4, 2, 2, 1, 1}, 5, false, true, false},
                        {{28, 7, 13, 56, 3, 5, 3, 5, 2, 2, 0, 0}, 5, true, true, false},
                        {{.channels = 768, .filters = 512}, 5, true, true, false},
                        {{.channels = 9, .filters = 37}, 3001, true, false, true},
                        {{2, 9, 8, 19, 9, 8, 3, 3, 1, 1, 1, 1}, 67, false, true, true},
                        {{11, 15, 14, 35, 15, 13, 3, 2, 1, 1, 1, 0}, 41, true, true, true}};
  for (const Case& c : cases) check_products<TestType>(c);
}

TEMPLATE_TEST_CASE("operands may end where the memory ends", "", float, double) {
  // No fences here: AddressSanitizer is to see what is read beyond the ends.
  using T = TestType;
  for (std::uint32_t i = 1; i < geometries; i += 4) {
    const Case k = random_case(i);
    const Window& w = k.window;
    const auto large = normals<T>(size(k.rows * w.large()), 1);
    const auto small = normals<T>(size(k.rows * w.small()), 2);
    const auto weights = normals<T>(w.weights(), 3);
    std::vector<T> to_small(small.size()), to_large(large.size()), to_weights(weights.size());
    poe::Arena arena(1 << 12);
    poe::large_to_small<T>(w, large.data(), weights.data(), to_small.data(), k.rows, {}, arena);
    poe::small_to_large<T>(w, small.data(), weights.data(), to_large.data(), k.rows, {}, arena);
    poe::weight_gradient<T>(w, large.data(), small.data(), to_weights.data(), k.rows, arena);
    // Each is the same sum over all products, in another order.
    const auto dot = [](const std::vector<T>& a, const std::vector<T>& b) {
      double sum = 0;
      for (std::size_t e = 0; e < a.size(); ++e) sum += static_cast<double>(a[e]) * b[e];
      return sum;
    };
    const double want = dot(to_small, small), terms = double(k.rows) * w.small() * w.patch();
    INFO(k.text());
    const Approx sum = Approx(want).margin(sum_tolerance<T>(terms) * std::sqrt(terms));
    REQUIRE(dot(to_large, large) == sum);
    REQUIRE(dot(to_weights, weights) == sum);
  }
}

TEMPLATE_TEST_CASE("taps that always lie in the padding get no gradient", "", float, double) {
  // Two rows of pixels under a kernel of four: its first and its last row see only padding.
  for (const int channels : {1, 3, 8, 17}) {
    const Window w{channels, 2, 6, 5, 1, 3, 4, 4, 2, 2, 1, 1};
    const auto large = normals<TestType>(size(4 * w.large()), 1);
    const auto small = normals<TestType>(size(4 * w.small()), 2);
    std::vector<TestType> gradient(w.weights());
    poe::Arena arena;
    poe::weight_gradient<TestType>(w, large.data(), small.data(), gradient.data(), 4, arena);
    const std::size_t row = w.weights() / 4;
    for (std::size_t i = 0; i < gradient.size(); ++i)
      REQUIRE((gradient[i] == 0) == (i < row || i >= 3 * row));
  }
}

TEMPLATE_TEST_CASE("columns are masked by the ReLU's result and added to the sums", "", float,
                   double) {
  using T = TestType;
  const poe::Random random{.seed = 23};
  for (std::uint32_t i = 0; i < 150; ++i) {
    const int columns = 1 + static_cast<int>(random.below(140, 2 * i));
    const int rows = static_cast<int>(random.below(80, 2 * i + 1));
    const bool masked = i % 2 == 0, summed = i % 3 != 0;
    INFO(rows << " rows, " << columns << " columns, mask " << masked << ", sums " << summed);
    auto y = normals<T>(size(rows * columns), i);
    for (std::size_t e = 0; e < y.size(); e += 5) y[e] = 0;
    Fenced gradient(normals<T>(y.size(), i + 1000, 1 / std::sqrt(rows + 1.0)));
    Fenced sums(normals<T>(size(columns), i + 2000));
    auto want = gradient.values(), want_sums = sums.values();
    for (std::size_t e = 0; e < want.size(); ++e) {
      if (masked && !(y[e] > 0)) want[e] = 0;
      if (summed) want_sums[e % size(columns)] += want[e];
    }
    poe::Arena arena;
    poe::mask_and_sum_columns<T>(gradient.data(), masked ? y.data() : nullptr,
                                 summed ? sums.data() : nullptr, rows, columns, arena);
    REQUIRE(gradient.values() == want);
    require_close(sums.values(), want_sums, sum_tolerance<T>(rows + 1));
    REQUIRE(gradient.intact());
    REQUIRE(sums.intact());
  }
}
