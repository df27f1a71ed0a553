// SPDX-License-Identifier: MIT
// The passes of batch normalisation over a matrix of samples and channels.
//
// The overloads for Executor<Cuda> mean the same; kernels/batch_norm.cuh defines them.
#pragma once

#include <cmath>
#include <limits>

#include <poe/core/math.hpp>
#include <poe/core/team.hpp>
#include <poe/cuda/executor.hpp>
#include <poe/ops/sink.hpp>

namespace poe {

struct BatchNormOptions {
  double epsilon = 1e-5;
  double momentum = 0.1;  // weight of the new batch in the running statistics
};

/// One batch normalisation, y = max(floor, (x - mean) * inverse * scale + shift): x is a (samples,
/// channels) matrix; the other arrays are (channels) vectors.
template <class T>
struct BatchNormMemory {
  std::size_t samples = 0, channels = 0;
  const T* x = nullptr;
  const T *scale = nullptr, *shift = nullptr;
  T *mean = nullptr, *inverse = nullptr;  // used by the pass: mean, 1 / sqrt(variance + epsilon)
  T *running_mean = nullptr, *running_variance = nullptr;
  T floor = -std::numeric_limits<T>::infinity();  // 0 with a ReLU
};

/// What of the gradient g of y comes through to max's other argument, `value`. It is computed anew
/// from x: a second reading of y would cost more.
template <class T>
POE_HD T above_floor(T value, T floor, T g) {
  return value <= floor ? T(0) : g;
}

/// The ranks that share the batch; on the GPU there is one.
struct BatchShare {
  Team* team = nullptr;
  int rank = 0;
};

/// mean and inverse of the whole batch, with its biased variance; the running statistics move
/// towards the batch's mean and unbiased variance. -> samples of the whole batch.
template <class T>
double batch_statistics(const BatchNormMemory<T>& m, BatchNormOptions options, BatchShare share,
                        Executor<Cpu>& on) {
  const std::size_t n = m.channels;
  Scratch<Cpu> scratch(on.host());
  // Two passes: sum of squares minus square of the sum would cancel.
  double* const sums = scratch.take<double>(n + 1);
  for (std::size_t c = 0; c < n; ++c) sums[c] = 0;
  for (std::size_t i = 0; i < m.samples; ++i)
    for (std::size_t c = 0; c < n; ++c) sums[c] += static_cast<double>(m.x[i * n + c]);
  sums[n] = static_cast<double>(m.samples);
  if (share.team != nullptr) share.team->sum(share.rank, {sums, n + 1});
  const double total = sums[n];
  for (std::size_t c = 0; c < n; ++c) m.mean[c] = static_cast<T>(sums[c] / total), sums[c] = 0;
  for (std::size_t i = 0; i < m.samples; ++i)
    for (std::size_t c = 0; c < n; ++c) {
      const auto d = static_cast<double>(m.x[i * n + c] - m.mean[c]);
      sums[c] += d * d;
    }
  if (share.team != nullptr) share.team->sum(share.rank, {sums, n});
  expect(total > 1, "batch_norm: more than one value per channel is needed in training, got {}",
         total);
  for (std::size_t c = 0; c < n; ++c) {
    m.inverse[c] = static_cast<T>(1.0 / std::sqrt(sums[c] / total + options.epsilon));
    if (share.rank == 0) {
      const auto a = static_cast<T>(options.momentum);
      m.running_mean[c] += a * (m.mean[c] - m.running_mean[c]);
      m.running_variance[c] += a * (static_cast<T>(sums[c] / (total - 1)) - m.running_variance[c]);
    }
  }
  return total;
}
template <class T>
double batch_statistics(const BatchNormMemory<T>& m, BatchNormOptions options, BatchShare share,
                        Executor<Cuda>& on);

/// mean and inverse from the running statistics.
template <class T>
void use_running_statistics(const BatchNormMemory<T>& m, BatchNormOptions options, Executor<Cpu>&) {
  for (std::size_t c = 0; c < m.channels; ++c) {
    m.mean[c] = m.running_mean[c];
    m.inverse[c] = T(1) / math::sqrt(m.running_variance[c] + static_cast<T>(options.epsilon));
  }
}
template <class T>
void use_running_statistics(const BatchNormMemory<T>& m, BatchNormOptions options,
                            Executor<Cuda>& on);

/// y from mean and inverse; NaN stays NaN.
template <class T>
void normalise(const BatchNormMemory<T>& m, T* y, Executor<Cpu>&) {
  const std::size_t n = m.channels;
  for (std::size_t i = 0; i < m.samples; ++i)
    for (std::size_t c = 0; c < n; ++c) {
      const T value = (m.x[i * n + c] - m.mean[c]) * m.inverse[c] * m.scale[c] + m.shift[c];
      y[i * n + c] = value < m.floor ? m.floor : value;
    }
}
template <class T>
void normalise(const BatchNormMemory<T>& m, T* y, Executor<Cuda>& on);

/// Adds the gradients of scale and shift (where wanted: null otherwise) and puts that of x.
/// `total`: samples of the whole batch if its statistics were used, 0 if the running ones were.
template <class T>
void batch_norm_gradient(const BatchNormMemory<T>& m, double total, BatchShare share, const T* dy,
                         T* scale_gradient, T* shift_gradient, Sink<T> dx, Executor<Cpu>& on) {
  const std::size_t n = m.channels;
  Scratch<Cpu> scratch(on.host());
  double* const sums = scratch.take<double>(2 * n);  // of dy, and of dy * normalised x
  for (std::size_t c = 0; c < 2 * n; ++c) sums[c] = 0;
  for (std::size_t i = 0; i < m.samples; ++i)
    for (std::size_t c = 0; c < n; ++c) {
      const T h = (m.x[i * n + c] - m.mean[c]) * m.inverse[c];
      const T g = above_floor(h * m.scale[c] + m.shift[c], m.floor, dy[i * n + c]);
      sums[c] += static_cast<double>(g);
      sums[n + c] += static_cast<double>(g * h);
    }
  // The parameters' gradients are those of this rank's samples; the means below are over all of
  // them.
  if (scale_gradient != nullptr)
    for (std::size_t c = 0; c < n; ++c) {
      shift_gradient[c] += static_cast<T>(sums[c]);
      scale_gradient[c] += static_cast<T>(sums[n + c]);
    }
  const bool train = total > 0;
  if (train && share.team != nullptr) share.team->sum(share.rank, {sums, 2 * n});
  if (dx.data == nullptr) return;
  T* const a = scratch.take<T>(n);
  T* const b = scratch.take<T>(n);
  for (std::size_t c = 0; c < n; ++c) {
    a[c] = train ? static_cast<T>(sums[c] / total) : T(0);
    b[c] = train ? static_cast<T>(sums[n + c] / total) * m.inverse[c] : T(0);
  }
  for (std::size_t i = 0; i < m.samples; ++i)
    for (std::size_t c = 0; c < n; ++c) {
      const std::size_t e = i * n + c;
      const T d = m.x[e] - m.mean[c];
      const T g = above_floor(d * m.inverse[c] * m.scale[c] + m.shift[c], m.floor, dy[e]);
      dx.put(e, (g - a[c] - d * b[c]) * m.inverse[c] * m.scale[c]);
    }
}
template <class T>
void batch_norm_gradient(const BatchNormMemory<T>& m, double total, BatchShare share, const T* dy,
                         T* scale_gradient, T* shift_gradient, Sink<T> dx, Executor<Cuda>& on);

}  // namespace poe
