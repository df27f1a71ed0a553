// SPDX-License-Identifier: MIT
// Batch normalisation on the tape: statistics of the whole batch, also when several ranks share it.
#pragma once

#include <poe/autograd/context.hpp>
#include <poe/core/math.hpp>

namespace poe {

struct BatchNormOptions {
  double epsilon = 1e-5;
  double momentum = 0.1;  // weight of the new batch in the running statistics
};

/// y = (x - mean) / sqrt(var + epsilon) * scale + shift, per channel (last extent in memory).
/// Training uses the batch's mean and biased variance and moves the running statistics (with the
/// unbiased variance, as PyTorch does); evaluation uses the running statistics. Ranks that share a
/// batch meet here. x: (rows * pixels, channels); running: mean, then variance.
template <class T, class S, class D>
Variable<T, S, D> batch_norm(Context<T, D>& ctx, Variable<T, S, D> x, int channels,
                             Parameter<T> scale, Parameter<T> shift, T* running_mean,
                             T* running_variance, BatchNormOptions options) {
  const auto n = static_cast<std::size_t>(channels);
  const std::size_t samples = x.count() / n;
  auto y = ctx.tape.template make<S>(x.rows, x.differentiable() || scale.gradient != nullptr);
  T* const mean = ctx.arena().template take<T>(n);
  T* const inverse = ctx.arena().template take<T>(n);  // 1 / sqrt(var + epsilon)
  const bool train = ctx.training();
  Team* const team = ctx.team;
  const int rank = ctx.rank;
  double total = static_cast<double>(samples);
  if (train) {
    Scratch scratch(ctx.arena());
    // Two passes: sum of squares minus square of the sum would cancel.
    double* const sums = scratch.take<double>(n + 1);
    for (std::size_t c = 0; c < n; ++c) sums[c] = 0;
    for (std::size_t i = 0; i < samples; ++i)
      for (std::size_t c = 0; c < n; ++c) sums[c] += static_cast<double>(x.value[i * n + c]);
    sums[n] = total;
    if (team != nullptr) team->sum(rank, {sums, n + 1});
    total = sums[n];
    for (std::size_t c = 0; c < n; ++c) mean[c] = static_cast<T>(sums[c] / total), sums[c] = 0;
    for (std::size_t i = 0; i < samples; ++i)
      for (std::size_t c = 0; c < n; ++c) {
        const auto d = static_cast<double>(x.value[i * n + c] - mean[c]);
        sums[c] += d * d;
      }
    if (team != nullptr) team->sum(rank, {sums, n});
    expect(total > 1, "batch_norm: more than one value per channel is needed in training, got {}",
           total);
    for (std::size_t c = 0; c < n; ++c) {
      const double variance = sums[c] / total;
      inverse[c] = static_cast<T>(1.0 / std::sqrt(variance + options.epsilon));
      if (rank == 0) {
        const auto m = static_cast<T>(options.momentum);
        running_mean[c] += m * (mean[c] - running_mean[c]);
        running_variance[c] += m * (static_cast<T>(sums[c] / (total - 1)) - running_variance[c]);
      }
    }
  } else {
    for (std::size_t c = 0; c < n; ++c) {
      mean[c] = running_mean[c];
      inverse[c] = T(1) / math::sqrt(running_variance[c] + static_cast<T>(options.epsilon));
    }
  }
  for (std::size_t i = 0; i < samples; ++i)
    for (std::size_t c = 0; c < n; ++c)
      y.value[i * n + c] =
          (x.value[i * n + c] - mean[c]) * inverse[c] * scale.value[c] + shift.value[c];

  ctx.tape.record(y, [=, arena = &ctx.arena()] {
    Scratch scratch(*arena);
    const T* const dy = y.gradient->data;
    double* const sums = scratch.take<double>(2 * n);  // of dy, and of dy * normalised x
    for (std::size_t c = 0; c < 2 * n; ++c) sums[c] = 0;
    for (std::size_t i = 0; i < samples; ++i)
      for (std::size_t c = 0; c < n; ++c) {
        const T g = dy[i * n + c];
        sums[c] += static_cast<double>(g);
        sums[n + c] += static_cast<double>(g * (x.value[i * n + c] - mean[c]) * inverse[c]);
      }
    // The parameters' gradients are those of this rank's samples; the mean below is over all of
    // them.
    if (scale.gradient != nullptr)
      for (std::size_t c = 0; c < n; ++c) {
        shift.gradient[c] += static_cast<T>(sums[c]);
        scale.gradient[c] += static_cast<T>(sums[n + c]);
      }
    if (train && team != nullptr) team->sum(rank, {sums, 2 * n});
    const Sink<T> dx = sink(x);
    if (dx.data == nullptr) return;
    T* const a = scratch.take<T>(n);
    T* const b = scratch.take<T>(n);
    for (std::size_t c = 0; c < n; ++c) {
      a[c] = train ? static_cast<T>(sums[c] / total) : T(0);
      b[c] = train ? static_cast<T>(sums[n + c] / total) * inverse[c] : T(0);
    }
    for (std::size_t i = 0; i < samples; ++i)
      for (std::size_t c = 0; c < n; ++c) {
        const std::size_t e = i * n + c;
        dx.put(e, (dy[e] - a[c] - (x.value[e] - mean[c]) * b[c]) * inverse[c] * scale.value[c]);
      }
  });
  return y;
}

}  // namespace poe
