// SPDX-License-Identifier: MIT
// The layers without products: activations, shapes, dropout, pooling, normalisation, embedding.
#pragma once

#include <poe/autograd/batch_norm.hpp>
#include <poe/autograd/embedding.hpp>
#include <poe/autograd/pointwise.hpp>
#include <poe/autograd/pool.hpp>
#include <poe/autograd/rearrange.hpp>
#include <poe/nn/linear.hpp>

namespace poe {

/// An elementwise layer with function F.
template <class F>
struct Elementwise : Plain {
  template <class In>
  static auto apply(In) -> In;
  template <class In, class T, class D>
  static Variable<T, In, D> forward(Cursor<T, D>& cursor, Variable<T, In, D> x) {
    return map<F>(cursor.context, x);
  }
};

struct Relu : Elementwise<ReluFunction> {};
struct Elu : Elementwise<EluFunction> {};
struct Sigmoid : Elementwise<SigmoidFunction> {};
struct Softplus : Elementwise<SoftplusFunction> {};

/// (C, H, W) -> (C * H * W), in PyTorch's order.
struct Flatten : Plain {
  template <class In>
  static auto apply(In) -> Shape<In::size>;
  template <class In, class T, class D>
  static auto forward(Cursor<T, D>& cursor, Variable<T, In, D> x) {
    return reshape<Shape<In::size>>(cursor.context, x);
  }
};

/// (N) -> (Extent...), in PyTorch's order; N is the product of the extents.
template <int... Extent>
struct Reshape : Plain {
  template <int N>
  requires(N == Shape<Extent...>::size) static auto apply(Shape<N>) -> Shape<Extent...>;
  template <class In>
  struct Misfit {
    static_assert(detail::never<In>,
                  "poe: Reshape keeps the number of elements and takes a vector, Shape<N>; got the "
                  "Shape named in this "
                  "Misfit");
  };
  template <class In, class T, class D>
  static auto forward(Cursor<T, D>& cursor, Variable<T, In, D> x) {
    return reshape<Shape<Extent...>>(cursor.context, x);
  }
};

/// Sets elements to 0 with probability Percent / 100 in training and scales the others up.
template <int Percent>
struct Dropout : Plain {
  static_assert(Percent >= 0 && Percent < 100, "poe: a Dropout percentage lies in 0 .. 99");
  template <class In>
  static auto apply(In) -> In;
  template <class In, class T, class D>
  static Variable<T, In, D> forward(Cursor<T, D>& cursor, Variable<T, In, D> x) {
    return dropout(cursor.context, x, Percent / 100.0, false, cursor.next_noise++);
  }
};

/// As Dropout, for whole channels of an image.
template <int Percent>
struct ChannelDropout : Plain {
  static_assert(Percent >= 0 && Percent < 100, "poe: a Dropout percentage lies in 0 .. 99");
  template <int C, int H, int W>
  static auto apply(Shape<C, H, W>) -> Shape<C, H, W>;
  template <class In>
  struct Misfit {
    static_assert(detail::never<In>, "poe: ChannelDropout takes an image, Shape<C, H, W>");
  };
  template <class In, class T, class D>
  static Variable<T, In, D> forward(Cursor<T, D>& cursor, Variable<T, In, D> x) {
    return dropout(cursor.context, x, Percent / 100.0, true, cursor.next_noise++);
  }
};

/// Max-pooling under the windows of G (kernel, stride, padding).
template <Geometry G>
struct MaxPool2d : Plain {
  static_assert(G.valid() && 2 * G.pad_h <= G.kernel_h && 2 * G.pad_w <= G.kernel_w,
                "poe: MaxPool2d wants a padding of at most half its kernel");
  template <int C, int H, int W>
  requires(H + 2 * G.pad_h >= G.kernel_h &&
           W + 2 * G.pad_w >= G.kernel_w) static auto apply(Shape<C, H, W>)
      -> Shape<C, (H + 2 * G.pad_h - G.kernel_h) / G.stride_h + 1,
               (W + 2 * G.pad_w - G.kernel_w) / G.stride_w + 1>;
  template <class In>
  struct Misfit {
    static_assert(detail::never<In>,
                  "poe: MaxPool2d takes an image, Shape<C, H, W>, no smaller than its kernel");
  };
  template <class In, class T, class D>
  static auto forward(Cursor<T, D>& cursor, Variable<T, In, D> x) {
    using Out = decltype(apply(In{}));
    using I = ImageOf<In>;
    using O = ImageOf<Out>;
    constexpr Window window{I::channels, I::height,  I::width,   I::channels, O::height, O::width,
                            G.kernel_h,  G.kernel_w, G.stride_h, G.stride_w,  G.pad_h,   G.pad_w};
    return max_pool<Out>(cursor.context, window, x);
  }
};

/// Mean over all pixels: (C, H, W) -> (C).
struct GlobalAveragePool : Plain {
  template <int C, int H, int W>
  static auto apply(Shape<C, H, W>) -> Shape<C>;
  template <class In>
  struct Misfit {
    static_assert(detail::never<In>, "poe: GlobalAveragePool takes an image, Shape<C, H, W>");
  };
  template <class In, class T, class D>
  static auto forward(Cursor<T, D>& cursor, Variable<T, In, D> x) {
    return global_average_pool(cursor.context, x);
  }
};

/// Batch normalisation per channel, with scale and shift (BatchNormOptions gives epsilon and
/// momentum).
struct BatchNorm2d {
  static constexpr bool fuses_relu = true;
  template <int C, int H, int W>
  static auto apply(Shape<C, H, W>) -> Shape<C, H, W>;
  template <class In>
  struct Misfit {
    static_assert(detail::never<In>, "poe: BatchNorm2d takes an image, Shape<C, H, W>");
  };
  template <class In, class T>
  static void describe(Description<T>& d, const std::string& name) {
    constexpr int channels = ImageOf<In>::channels;
    d.add_parameter({.name = name + ".weight", .shape = {channels}, .initial = Initial::ones});
    d.add_parameter({.name = name + ".bias", .shape = {channels}, .initial = Initial::zeros});
    d.add_statistic(
        {.name = name + ".running_mean", .shape = {channels}, .initial = Initial::zeros});
    d.add_statistic({.name = name + ".running_var", .shape = {channels}, .initial = Initial::ones});
  }
  template <class In, class T, class D>
  static Variable<T, In, D> forward(Cursor<T, D>& cursor, Variable<T, In, D> x,
                                    Activation act = Activation::none) {
    constexpr int channels = ImageOf<In>::channels;
    const auto scale = cursor.take(channels), shift = cursor.take(channels);
    T* const mean = cursor.take_statistic(channels);
    T* const variance = cursor.take_statistic(channels);
    return batch_norm(cursor.context, x, channels, scale, shift, mean, variance, BatchNormOptions{},
                      act);
  }
};

/// Rows of a (Vocabulary, Width) table for a sentence of N token ids: (N) -> (1, N, Width). The ids
/// are whole numbers held in the scalar type; row Padding is zero and stays so.
template <int Vocabulary, int Width, int Padding = 0>
struct Embedding {
  template <int N>
  static auto apply(Shape<N>) -> Shape<1, N, Width>;
  template <class In>
  struct Misfit {
    static_assert(detail::never<In>, "poe: Embedding takes a sentence of token ids, Shape<N>");
  };
  template <class In, class T>
  static void describe(Description<T>& d, const std::string& name) {
    d.add_parameter({.name = name + ".weight",
                     .shape = {Vocabulary, Width},
                     .initial = Initial::normal,
                     .zero_row = Padding});
  }
  template <class In, class T, class D>
  static auto forward(Cursor<T, D>& cursor, Variable<T, In, D> x) {
    const auto table = cursor.take(static_cast<std::size_t>(Vocabulary) * Width);
    return embed<Width>(cursor.context, x, table, Vocabulary, Padding);
  }
};

/// The residual block of ResNet-18: two 3x3 convolutions with batch normalisation, added to the
/// input, or to its 1x1 projection where the shape changes. Parameter names are torchvision's.
template <int Channels, int Stride>
struct BasicBlock {
  using Conv1 = Conv2d<Channels, kernel(3).stride(Stride).pad(1).no_bias()>;
  using Conv2 = Conv2d<Channels, kernel(3).pad(1).no_bias()>;
  using Projection = Conv2d<Channels, kernel(1).stride(Stride).no_bias()>;

  template <int C, int H, int W>
  static auto apply(Shape<C, H, W> in) -> decltype(Conv1::apply(in));
  template <class In>
  struct Misfit {
    static_assert(detail::never<In>, "poe: BasicBlock takes an image, Shape<C, H, W>");
  };
  template <class In>
  using Out = decltype(Conv1::apply(In{}));

  template <class In, class T>
  static void describe(Description<T>& d, const std::string& name) {
    Conv1::template describe<In>(d, name + ".conv1");
    BatchNorm2d::describe<Out<In>>(d, name + ".bn1");
    Conv2::template describe<Out<In>>(d, name + ".conv2");
    BatchNorm2d::describe<Out<In>>(d, name + ".bn2");
    if constexpr (!std::is_same_v<In, Out<In>>) {
      Projection::template describe<In>(d, name + ".downsample.0");
      BatchNorm2d::describe<Out<In>>(d, name + ".downsample.1");
    }
  }
  template <class In, class T, class D>
  static auto forward(Cursor<T, D>& cursor, Variable<T, In, D> x) {
    auto h = BatchNorm2d::forward(cursor, Conv1::template forward<In>(cursor, x), Activation::relu);
    h = BatchNorm2d::forward(cursor, Conv2::template forward<Out<In>>(cursor, h));
    if constexpr (std::is_same_v<In, Out<In>>) {
      h = add(cursor.context, h, x);
    } else {
      h = add(cursor.context, h,
              BatchNorm2d::forward(cursor, Projection::template forward<In>(cursor, x)));
    }
    return Relu::forward(cursor, h);
  }
};

}  // namespace poe
