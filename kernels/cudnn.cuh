// SPDX-License-Identifier: MIT
// What cuDNN's plans and measurements are filed under, for the engines that use them.
#pragma once

#include "device.cuh"

#include <bit>

#include <poe/cuda/executor.hpp>

#include "cudnn_plan.hpp"

namespace poe::cuda {

/// Window, product, rows, precision and the alignment of the images: all that a plan depends on.
using ProductKey = std::array<int, 16>;
static_assert(sizeof(Window) == 12 * sizeof(int));

inline ProductKey key_of(plans::Product product, const Window& w, int rows, Precision precision,
                         const float* large, const float* small) {
  ProductKey key{};
  std::ranges::copy(std::bit_cast<std::array<int, 12>>(w), key.begin());
  key[12] = static_cast<int>(product);
  key[13] = rows;
  key[14] = static_cast<int>(precision);
  key[15] = aligned(large, small) ? 16 : static_cast<int>(sizeof(float));
  return key;
}

/// Numbers in a batch of rows of this size.
inline std::size_t numbers(int rows, int size) {
  return static_cast<std::size_t>(rows) * static_cast<std::size_t>(size);
}

inline bool is_capturing(Stream stream) {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  check(cudaStreamIsCapturing(native(stream), &status), "cudaStreamIsCapturing");
  return status != cudaStreamCaptureStatusNone;
}

}  // namespace poe::cuda
