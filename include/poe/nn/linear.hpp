// SPDX-License-Identifier: MIT
// Linear, Conv2d and ConvTranspose2d as layer types.
#pragma once

#include <cmath>

#include <poe/nn/net.hpp>

namespace poe {

/// The window of a convolution, said by name: kernel(4).stride(2).pad(1), kernel(3,
/// 5).stride(2).no_bias(). Two numbers are (height, width).
struct Geometry {
  int kernel_h, kernel_w;
  int stride_h = 1, stride_w = 1, pad_h = 0, pad_w = 0, output_pad_h = 0, output_pad_w = 0;
  bool bias = true;

  constexpr Geometry stride(int h, int w) const {
    Geometry g = *this;
    g.stride_h = h, g.stride_w = w;
    return g;
  }
  constexpr Geometry stride(int both) const { return stride(both, both); }
  constexpr Geometry pad(int h, int w) const {
    Geometry g = *this;
    g.pad_h = h, g.pad_w = w;
    return g;
  }
  constexpr Geometry pad(int both) const { return pad(both, both); }
  /// ConvTranspose2d only: rows and columns added at the far edges, to choose among the sizes that
  /// a strided convolution maps to the same size.
  constexpr Geometry output_pad(int h, int w) const {
    Geometry g = *this;
    g.output_pad_h = h, g.output_pad_w = w;
    return g;
  }
  constexpr Geometry output_pad(int both) const { return output_pad(both, both); }
  constexpr Geometry no_bias() const {
    Geometry g = *this;
    g.bias = false;
    return g;
  }

  constexpr bool valid() const {
    return kernel_h > 0 && kernel_w > 0 && stride_h > 0 && stride_w > 0 && pad_h >= 0 &&
           pad_w >= 0 && pad_h < kernel_h && pad_w < kernel_w && output_pad_h >= 0 &&
           output_pad_w >= 0 && output_pad_h < stride_h && output_pad_w < stride_w;
  }
};
constexpr Geometry kernel(int h, int w) { return {h, w}; }
constexpr Geometry kernel(int both) { return {both, both}; }

namespace detail {

/// Weight and bias of a product with `fan_in` inputs per output, PyTorch's default initialisation.
template <class T>
void describe_product(Description<T>& d, const std::string& name, std::vector<int> shape,
                      int outputs, int fan_in, bool bias) {
  const double bound = 1.0 / std::sqrt(static_cast<double>(fan_in));
  d.add_parameter(
      {.name = name + ".weight", .shape = std::move(shape), .weights = true, .bound = bound});
  if (bias) d.add_parameter({.name = name + ".bias", .shape = {outputs}, .bound = bound});
}

}  // namespace detail

/// y = x W + b: (N) -> (Out).
template <int OutFeatures, bool Bias = true>
struct Linear {
  static constexpr bool fuses_relu = true;

  template <int N>
  static auto apply(Shape<N>) -> Shape<OutFeatures>;

  template <class In>
  struct Misfit {
    static_assert(detail::never<In>,
                  "poe: Linear takes a vector, Shape<N>; got the Shape named in this Misfit: put a "
                  "Flatten before it");
  };

  template <class In, class T>
  static void describe(Description<T>& d, const std::string& name) {
    detail::describe_product(d, name, {OutFeatures, In::size}, OutFeatures, In::size, Bias);
  }

  template <class In, class T, class D>
  static auto forward(Cursor<T, D>& cursor, Variable<T, In, D> x,
                      Activation act = Activation::none) {
    const auto weight = cursor.take(static_cast<std::size_t>(In::size) * OutFeatures);
    const auto bias = Bias ? cursor.take(OutFeatures) : Parameter<T>{};
    return convolve<Shape<OutFeatures>>(cursor.context, linear_window(In::size, OutFeatures), x,
                                        weight, bias, act);
  }
};

/// The last layer of an encoder: a Linear layer whose 2 L outputs are the locations and the raw
/// scales of L latent dimensions.
template <int Latent, bool Bias = true>
struct GaussianHead : Linear<2 * Latent, Bias> {};

/// The same for Laplace experts: locations and raw scales of Laplace distributions. Mixtures of
/// experts take them; a product of Laplace experts is not a Laplace distribution.
template <int Latent, bool Bias = true>
struct LaplaceHead : Linear<2 * Latent, Bias> {
  static constexpr bool laplace = true;
};

/// The same Linear layer at every position of a sentence: (1, N, Width) -> (Classes, N, 1), which
/// in memory is N times the Classes numbers of one position, as a Categorical likelihood wants its
/// logits.
template <int Classes, bool Bias = true>
struct TokenLinear {
  template <int N, int Width>
  static auto apply(Shape<1, N, Width>) -> Shape<Classes, N, 1>;

  template <class In>
  struct Misfit {
    static_assert(detail::never<In>,
                  "poe: TokenLinear takes a sentence of vectors, Shape<1, N, Width>");
  };

  template <class In, class T>
  static void describe(Description<T>& d, const std::string& name) {
    constexpr int width = ImageOf<In>::width;
    detail::describe_product(d, name, {Classes, width}, Classes, width, Bias);
  }

  template <class In, class T, class D>
  static auto forward(Cursor<T, D>& cursor, Variable<T, In, D> x) {
    // A sentence of vectors lies in memory as an image of N x 1 pixels with Width channels.
    constexpr int length = ImageOf<In>::height, width = ImageOf<In>::width;
    constexpr Window window{width, length, 1, Classes, length, 1, 1, 1, 1, 1, 0, 0};
    const auto weight = cursor.take(window.weights());
    const auto bias = Bias ? cursor.take(Classes) : Parameter<T>{};
    return convolve<Shape<Classes, length, 1>>(cursor.context, window, x, weight, bias);
  }
};

/// 2-D convolution: (C, H, W) -> (Filters, H', W'), H' = floor((H + 2 pad - kernel) / stride) + 1.
template <int Filters, Geometry G>
struct Conv2d {
  static_assert(
      G.valid() && G.output_pad_h == 0 && G.output_pad_w == 0,
      "poe: Conv2d wants kernel > 0, stride > 0, 0 <= pad < kernel and no output padding");
  static constexpr bool fuses_relu = true;

  template <int C, int H, int W>
  requires(H + 2 * G.pad_h >= G.kernel_h &&
           W + 2 * G.pad_w >= G.kernel_w) static auto apply(Shape<C, H, W>)
      -> Shape<Filters, (H + 2 * G.pad_h - G.kernel_h) / G.stride_h + 1,
               (W + 2 * G.pad_w - G.kernel_w) / G.stride_w + 1>;

  template <class In>
  struct Misfit {
    static_assert(detail::never<In>,
                  "poe: Conv2d takes an image, Shape<C, H, W>, no smaller than its kernel; got the "
                  "Shape named in "
                  "this Misfit: put a Reshape before it, or choose a smaller kernel");
  };

  template <class In, class T>
  static void describe(Description<T>& d, const std::string& name) {
    constexpr int channels = ImageOf<In>::channels;
    detail::describe_product(d, name, {Filters, channels, G.kernel_h, G.kernel_w}, Filters,
                             channels * G.kernel_h * G.kernel_w, G.bias);
  }

  template <class In, class T, class D>
  static auto forward(Cursor<T, D>& cursor, Variable<T, In, D> x,
                      Activation act = Activation::none) {
    using Out = decltype(apply(In{}));
    using I = ImageOf<In>;
    using O = ImageOf<Out>;
    constexpr Window window{I::channels, I::height,  I::width,   Filters,    O::height, O::width,
                            G.kernel_h,  G.kernel_w, G.stride_h, G.stride_w, G.pad_h,   G.pad_w};
    const auto weight = cursor.take(window.weights());
    const auto bias = G.bias ? cursor.take(Filters) : Parameter<T>{};
    return convolve<Out>(cursor.context, window, x, weight, bias, act);
  }
};

/// Transposed 2-D convolution: (C, H, W) -> (Filters, H', W'), H' = (H - 1) stride - 2 pad + kernel
/// + output_pad.
template <int Filters, Geometry G>
struct ConvTranspose2d {
  static_assert(
      G.valid(),
      "poe: ConvTranspose2d wants kernel > 0, stride > 0, 0 <= pad < kernel, output_pad < stride");
  static constexpr bool fuses_relu = true;

  template <int C, int H, int W>
  requires((H - 1) * G.stride_h - 2 * G.pad_h + G.kernel_h + G.output_pad_h > 0 &&
           (W - 1) * G.stride_w - 2 * G.pad_w + G.kernel_w + G.output_pad_w >
               0) static auto apply(Shape<C, H, W>)
      -> Shape<Filters, (H - 1) * G.stride_h - 2 * G.pad_h + G.kernel_h + G.output_pad_h,
               (W - 1) * G.stride_w - 2 * G.pad_w + G.kernel_w + G.output_pad_w>;

  template <class In>
  struct Misfit {
    static_assert(detail::never<In>,
                  "poe: ConvTranspose2d takes an image, Shape<C, H, W>; got the Shape named in "
                  "this Misfit: put a "
                  "Reshape<C, H, W> before it, or choose a smaller padding");
  };

  template <class In, class T>
  static void describe(Description<T>& d, const std::string& name) {
    detail::describe_product(d, name, {ImageOf<In>::channels, Filters, G.kernel_h, G.kernel_w},
                             Filters, Filters * G.kernel_h * G.kernel_w, G.bias);
  }

  template <class In, class T, class D>
  static auto forward(Cursor<T, D>& cursor, Variable<T, In, D> x,
                      Activation act = Activation::none) {
    using Out = decltype(apply(In{}));
    using I = ImageOf<In>;
    using O = ImageOf<Out>;
    constexpr Window window{Filters,    O::height,  O::width,   I::channels, I::height, I::width,
                            G.kernel_h, G.kernel_w, G.stride_h, G.stride_w,  G.pad_h,   G.pad_w};
    const auto weight = cursor.take(window.weights());
    const auto bias = G.bias ? cursor.take(Filters) : Parameter<T>{};
    return convolve_transposed<Out>(cursor.context, window, x, weight, bias, act);
  }
};

}  // namespace poe
