// SPDX-License-Identifier: MIT
// The convolutions and linear layers of the networks of the papers, as windows.
#pragma once

#include <string>
#include <vector>

#include <poe/core/config.hpp>
#include <poe/ops/window.hpp>

namespace tests {

/// A Conv2d of `filters` on channels x height x width.
inline poe::Window conv(int channels, int height, int width, int filters, int kernel_h,
                        int kernel_w, int stride_h = 1, int stride_w = 1, int pad_h = 0,
                        int pad_w = 0) {
  return {channels,
          height,
          width,
          filters,
          (height + 2 * pad_h - kernel_h) / stride_h + 1,
          (width + 2 * pad_w - kernel_w) / stride_w + 1,
          kernel_h,
          kernel_w,
          stride_h,
          stride_w,
          pad_h,
          pad_w};
}
/// 4x4, stride 2, padding 1: halves an image. As a ConvTranspose2d it doubles one.
inline poe::Window halving(int channels, int height, int width, int filters) {
  return conv(channels, height, width, filters, 4, 4, 2, 2, 1, 1);
}
/// A ConvTranspose2d without padding, from `filters` x out_height x out_width to `channels`.
inline poe::Window upconv(int filters, int out_height, int out_width, int channels, int kernel_h,
                          int kernel_w, int stride_h, int stride_w, int extra_h = 0,
                          int extra_w = 0) {
  return {channels,
          (out_height - 1) * stride_h + kernel_h + extra_h,
          (out_width - 1) * stride_w + kernel_w + extra_w,
          filters,
          out_height,
          out_width,
          kernel_h,
          kernel_w,
          stride_h,
          stride_w};
}
inline poe::Window linear(int in, int out) { return {.channels = in, .filters = out}; }

struct Layers {
  const char* network;
  std::vector<poe::Window> windows;
};

/// Every window once: a ConvTranspose2d has the window of the Conv2d that it is the adjoint of.
inline std::vector<Layers> paper_layers() {
  return {
      {"MNIST-Split",
       {halving(1, 14, 28, 64), halving(64, 7, 14, 128), halving(128, 3, 7, 256), linear(768, 512),
        linear(1536, 512), linear(512, 128), linear(64, 512), linear(512, 112), linear(768, 400),
        linear(400, 20), linear(400, 64), upconv(112, 1, 1, 56, 3, 5, 2, 2),
        upconv(56, 3, 5, 28, 3, 5, 2, 2), upconv(28, 7, 13, 1, 2, 4, 2, 2)}},
      {"MNIST-Split-3",
       {halving(1, 9, 28, 64), halving(64, 4, 14, 128), halving(128, 2, 7, 256), linear(2304, 512),
        upconv(112, 1, 1, 56, 2, 5, 2, 2), upconv(56, 2, 5, 28, 2, 5, 2, 2),
        upconv(28, 4, 13, 1, 2, 4, 2, 2, 1)}},
      {"MNIST-SVHN",
       {linear(784, 400), linear(400, 784), linear(20, 400), linear(800, 20),
        halving(3, 32, 32, 32), halving(32, 16, 16, 64), halving(64, 8, 8, 128),
        conv(128, 4, 4, 20, 4, 4), conv(128, 4, 4, 400, 4, 4)}},
      {"CUB",
       {halving(1, 32, 128, 32), halving(32, 16, 64, 64), halving(64, 8, 32, 128),
        conv(128, 4, 16, 128, 1, 4, 1, 2, 0, 1), conv(128, 4, 8, 128, 1, 4, 1, 2, 0, 1),
        conv(128, 4, 4, 64, 4, 4), linear(128, 1590), linear(2048, 1024), linear(1024, 512),
        linear(512, 256), linear(256, 64), linear(64, 256), linear(256, 512), linear(512, 1024),
        linear(1024, 2048)}},
      {"digit classifiers",
       {conv(1, 28, 28, 10, 5, 5), conv(10, 12, 12, 20, 5, 5), conv(3, 32, 32, 10, 5, 5),
        conv(10, 14, 14, 20, 5, 5), linear(320, 50), linear(500, 50), linear(50, 10)}},
      {"ResNet-18",
       {conv(1, 28, 28, 64, 7, 7, 2, 2, 3, 3), conv(64, 7, 7, 64, 3, 3, 1, 1, 1, 1),
        conv(64, 7, 7, 128, 3, 3, 2, 2, 1, 1), conv(64, 7, 7, 128, 1, 1, 2, 2),
        conv(128, 4, 4, 128, 3, 3, 1, 1, 1, 1), conv(128, 4, 4, 256, 3, 3, 2, 2, 1, 1),
        conv(128, 4, 4, 256, 1, 1, 2, 2), conv(256, 2, 2, 256, 3, 3, 1, 1, 1, 1),
        conv(256, 2, 2, 512, 3, 3, 2, 2, 1, 1), conv(256, 2, 2, 512, 1, 1, 2, 2),
        conv(512, 1, 1, 512, 3, 3, 1, 1, 1, 1), linear(512, 10)}}};
}

/// Sizes that are no multiples of anything, a single tap, a window over the whole image.
inline std::vector<poe::Window> odd_layers() {
  return {halving(3, 8, 6, 5), linear(33, 31), conv(6, 3, 5, 7, 3, 5), conv(8, 5, 4, 12, 1, 1),
          upconv(4, 2, 3, 3, 2, 5, 2, 2, 1)};
}

/// "64x7x14 to 128x3x7, kernel 4x4, stride 2x2, padding 1x1"
inline std::string describe(const poe::Window& w) {
  const auto pair = [](int a, int b) { return std::to_string(a) + "x" + std::to_string(b); };
  return std::to_string(w.channels) + "x" + pair(w.height, w.width) + " to " +
         std::to_string(w.filters) + "x" + pair(w.out_height, w.out_width) + ", kernel " +
         pair(w.kernel_h, w.kernel_w) + ", stride " + pair(w.stride_h, w.stride_w) + ", padding " +
         pair(w.pad_h, w.pad_w);
}

}  // namespace tests
