// SPDX-License-Identifier: MIT
// Batch normalisation on the tape: statistics of the whole batch, also when several ranks share it.
#pragma once

#include <poe/autograd/context.hpp>
#include <poe/ops/batch_norm.hpp>
#include <poe/ops/functions.hpp>

namespace poe {

/// y = (x - mean) / sqrt(var + epsilon) * scale + shift, per channel (last extent in memory), and
/// its ReLU where that is asked for.
/// Training uses the batch's mean and biased variance and moves the running statistics (with the
/// unbiased variance, as PyTorch does); evaluation uses the running statistics. Ranks that share a
/// batch meet here. x: (rows * pixels, channels); running: mean, then variance.
template <class T, class S, class D>
Variable<T, S, D> batch_norm(Context<T, D>& ctx, Variable<T, S, D> x, int channels,
                             Parameter<T> scale, Parameter<T> shift, T* running_mean,
                             T* running_variance, BatchNormOptions options,
                             Activation act = Activation::none) {
  const auto n = static_cast<std::size_t>(channels);
  auto y = ctx.tape.template make<S>(x.rows, x.differentiable() || scale.gradient != nullptr);
  BatchNormMemory<T> memory{.samples = x.count() / n,
                            .channels = n,
                            .x = x.value,
                            .scale = scale.value,
                            .shift = shift.value,
                            .mean = ctx.template take_values<T>(n),
                            .inverse = ctx.template take_values<T>(n),
                            .running_mean = running_mean,
                            .running_variance = running_variance};
  if (act == Activation::relu) memory.floor = T(0);
  const BatchShare share{ctx.team, ctx.rank};
  double total = 0;
  if (ctx.training())
    total = batch_statistics(memory, options, share, ctx.executor());
  else
    use_running_statistics(memory, options, ctx.executor());
  normalise(memory, y.value, ctx.executor());
  ctx.tape.record(y, [=, on = &ctx.executor()] {
    batch_norm_gradient(memory, total, share, y.gradient->data, scale.gradient, shift.gradient,
                        sink(x), *on);
  });
  return y;
}

}  // namespace poe
