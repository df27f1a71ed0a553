// SPDX-License-Identifier: MIT
// Other implementations of the products on the GPU, to choose from at run time.
#pragma once

#include <poe/cuda/executor.hpp>
#include <poe/ops/window.hpp>

namespace poe::cuda {

/// The three products of a convolution (ops/conv_cuda.hpp) by a library, for float, no less exact
/// than on.engines.precision. Each function returns false if it does not do this case: the
/// library's own kernels then do it.
struct ProductEngine {
  const char* name;
  bool (*large_to_small)(const Window& w, const float* large, const float* weights, float* small,
                         int rows, const detail::Epilogue<float>& epilogue, Executor<Cuda>& on);
  bool (*small_to_large)(const Window& w, const float* small, const float* weights, float* large,
                         int rows, const detail::Epilogue<float>& epilogue, Executor<Cuda>& on);
  bool (*weight_gradient)(const Window& w, const float* large, const float* small,
                          float* weights_gradient, int rows, Executor<Cuda>& on);
};

/// cuDNN's convolutions; null in a build without cuDNN.
const ProductEngine* cudnn();
/// cuBLASLt's matrix products, for linear layers; null in a build without it.
const ProductEngine* cublaslt();
/// For every layer the faster of cuDNN and our kernels, measured when it is first met. Which one
/// that is may differ from run to run, and with it the last bits; null in a build without cuDNN.
const ProductEngine* fastest();

}  // namespace poe::cuda
