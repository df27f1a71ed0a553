// SPDX-License-Identifier: MIT
// The layers of the paper's networks that are products: convolutions, transposed convolutions and
// linear layers of MNIST-Split, MNIST-SVHN and CUB.
#pragma once

#include <poe/ops/window.hpp>

namespace bench {

enum class Kind { convolution, transposed, linear };

struct Layer {
  const char* network;
  const char* name;
  Kind kind;
  poe::Window window;
  int rows = 1;  // of one sample

  /// Multiplications of a sample: taps in the padding do not count.
  double products() const {
    double links = 0;
    poe::detail::for_each_link(window, [&](int, int, int) { ++links; });
    return links * window.channels * window.filters * rows;
  }
};

/// A kernel of so many pixels, its steps and its padding, in both directions.
struct Taps {
  int h, w, stride_h, stride_w, pad_h, pad_w;
};
inline constexpr Taps halving = {4, 4, 2, 2, 1, 1}, whole = {4, 4, 1, 1, 0, 0},
                      halving_width = {1, 4, 1, 2, 0, 1};

/// From `in` channels on height x width to `out` channels.
constexpr Layer conv(const char* network, const char* name, int in, int height, int width, int out,
                     Taps t) {
  const int out_h = (height + 2 * t.pad_h - t.h) / t.stride_h + 1;
  const int out_w = (width + 2 * t.pad_w - t.w) / t.stride_w + 1;
  return {
      network,
      name,
      Kind::convolution,
      {in, height, width, out, out_h, out_w, t.h, t.w, t.stride_h, t.stride_w, t.pad_h, t.pad_w}};
}
/// The same for a transposed convolution: the window lies on its output.
constexpr Layer upconv(const char* network, const char* name, int in, int height, int width,
                       int out, Taps t) {
  const int out_h = (height - 1) * t.stride_h - 2 * t.pad_h + t.h;
  const int out_w = (width - 1) * t.stride_w - 2 * t.pad_w + t.w;
  return {
      network,
      name,
      Kind::transposed,
      {out, out_h, out_w, in, height, width, t.h, t.w, t.stride_h, t.stride_w, t.pad_h, t.pad_w}};
}
constexpr Layer linear(const char* network, const char* name, int in, int out, int rows = 1) {
  return {network, name, Kind::linear, {.channels = in, .filters = out}, rows};
}

inline constexpr const char *split = "MNIST-Split", *svhn = "MNIST-SVHN", *cub = "CUB";

inline constexpr Layer layers[] = {
    conv(split, "conv 1->64 4x4", 1, 14, 28, 64, halving),
    conv(split, "conv 64->128 4x4", 64, 7, 14, 128, halving),
    conv(split, "conv 128->256 4x4", 128, 3, 7, 256, halving),
    linear(split, "linear 768->512", 768, 512),
    linear(split, "linear 1536->512", 1536, 512),
    linear(split, "linear 512->128", 512, 128),
    linear(split, "linear 64->512", 64, 512),
    linear(split, "linear 512->112", 512, 112),
    upconv(split, "upconv 112->56 3x5", 112, 1, 1, 56, {3, 5, 2, 2, 0, 0}),
    upconv(split, "upconv 56->28 3x5", 56, 3, 5, 28, {3, 5, 2, 2, 0, 0}),
    upconv(split, "upconv 28->1 2x4", 28, 7, 13, 1, {2, 4, 2, 2, 0, 0}),

    linear(svhn, "linear 784->400", 784, 400),
    linear(svhn, "linear 400->40", 400, 40),
    linear(svhn, "linear 20->400", 20, 400),
    linear(svhn, "linear 400->784", 400, 784),
    conv(svhn, "conv 3->32 4x4", 3, 32, 32, 32, halving),
    conv(svhn, "conv 32->64 4x4", 32, 16, 16, 64, halving),
    conv(svhn, "conv 64->128 4x4", 64, 8, 8, 128, halving),
    conv(svhn, "conv 128->40 4x4", 128, 4, 4, 40, whole),
    conv(svhn, "conv 128->400 4x4", 128, 4, 4, 400, whole),
    linear(svhn, "linear 800->40", 800, 40),
    upconv(svhn, "upconv 20->128 4x4", 20, 1, 1, 128, whole),
    upconv(svhn, "upconv 128->64 4x4", 128, 4, 4, 64, halving),
    upconv(svhn, "upconv 64->32 4x4", 64, 8, 8, 32, halving),
    upconv(svhn, "upconv 32->3 4x4", 32, 16, 16, 3, halving),

    conv(cub, "conv 1->32 4x4", 1, 32, 128, 32, halving),
    conv(cub, "conv 32->64 4x4", 32, 16, 64, 64, halving),
    conv(cub, "conv 64->128 4x4", 64, 8, 32, 128, halving),
    conv(cub, "conv 128->128 1x4 a", 128, 4, 16, 128, halving_width),
    conv(cub, "conv 128->128 1x4 b", 128, 4, 8, 128, halving_width),
    conv(cub, "conv 128->128 4x4", 128, 4, 4, 128, whole),
    upconv(cub, "upconv 64->128 4x4", 64, 1, 1, 128, whole),
    upconv(cub, "upconv 128->128 1x4 a", 128, 4, 4, 128, halving_width),
    upconv(cub, "upconv 128->128 1x4 b", 128, 4, 8, 128, halving_width),
    upconv(cub, "upconv 128->64 4x4", 128, 4, 16, 64, halving),
    upconv(cub, "upconv 64->32 4x4", 64, 8, 32, 32, halving),
    upconv(cub, "upconv 32->1 4x4", 32, 16, 64, 1, halving),
    linear(cub, "linear 2048->1024", 2048, 1024),
    linear(cub, "linear 1024->512", 1024, 512),
    linear(cub, "linear 512->256", 512, 256),
    linear(cub, "linear 256->128", 256, 128),
    linear(cub, "linear 2304->512", 2304, 512),
    linear(cub, "linear 512->128", 512, 128),
    linear(cub, "linear 64->256", 64, 256),
    linear(cub, "linear 256->512", 256, 512),
    linear(cub, "linear 512->1024", 512, 1024),
    linear(cub, "linear 1024->2048", 1024, 2048),
    linear(cub, "linear 128->1590", 128, 1590, 32),  // of every word of a caption
};

}  // namespace bench
