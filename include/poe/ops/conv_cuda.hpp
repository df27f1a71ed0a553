// SPDX-License-Identifier: MIT
// Convolution on the GPU: declarations, with the meaning of their namesakes in ops/conv.hpp and
// ops/columns.hpp; kernels/convolution.cuh defines them.
#pragma once

#include <poe/cuda/executor.hpp>
#include <poe/ops/window.hpp>

namespace poe {

template <class T>
void large_to_small(const Window& w, const T* large, const T* weights, T* small, int rows,
                    const detail::Epilogue<T>& epilogue, Executor<Cuda>& on);
template <class T>
void small_to_large(const Window& w, const T* small, const T* weights, T* large, int rows,
                    const detail::Epilogue<T>& epilogue, Executor<Cuda>& on);
template <class T>
void weight_gradient(const Window& w, const T* large, const T* small, T* weights_gradient, int rows,
                     Executor<Cuda>& on);
template <class T>
void mask_and_sum_columns(T* gradient, const T* y, T* sums, std::ptrdiff_t rows, int columns,
                          Executor<Cuda>& on);

}  // namespace poe
