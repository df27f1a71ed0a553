// SPDX-License-Identifier: MIT
// Adam and AMSGrad: one pass over the flat buffers.
#pragma once

#include <poe/core/math.hpp>

#include <cmath>
#include <cstddef>
#include <span>

namespace poe {

/// Settings of Adam (Kingma & Ba 2015); PyTorch's defaults but for the learning rate, the paper's.
struct AdamOptions {
  double learning_rate = 2e-4;
  double beta1 = 0.9, beta2 = 0.999;
  double epsilon = 1e-8;
  bool amsgrad = false;  // Reddi et al. 2018: moves are divided by the largest v so far
  friend constexpr bool operator==(const AdamOptions&, const AdamOptions&) = default;
};

/// The factors of one step, in the scalar type of the parameters.
template <class T>
struct AdamStep {
  T rate, beta1, beta2, epsilon, inverse_root2;

  /// `step` counts from 1.
  POE_HD AdamStep(const AdamOptions& o, double step)
      : rate(static_cast<T>(o.learning_rate / (1 - std::pow(o.beta1, step)))),
        beta1(static_cast<T>(o.beta1)),
        beta2(static_cast<T>(o.beta2)),
        epsilon(static_cast<T>(o.epsilon)),
        inverse_root2(static_cast<T>(1 / std::sqrt(1 - std::pow(o.beta2, step)))) {}

  /// m, v: running means of g and g^2; x -= rate * m / (sqrt(v) / sqrt(1 - beta2^t) + epsilon).
  POE_HD void apply(T& x, T& m, T& v, T g) const {
    average(m, v, g);
    move(x, m, v);
  }
  /// AMSGrad, as PyTorch computes it: the same with `largest`, the largest v so far, in its place.
  POE_HD void apply(T& x, T& m, T& v, T& largest, T g) const {
    average(m, v, g);
    largest = math::max(largest, v);
    move(x, m, largest);
  }

 private:
  POE_HD void average(T& m, T& v, T g) const {
    m += (T(1) - beta1) * (g - m);
    v = beta2 * v + (T(1) - beta2) * g * g;
  }
  POE_HD void move(T& x, T m, T v) const {
    x -= rate * m / (math::sqrt(v) * inverse_root2 + epsilon);
  }
};

/// The numbers of Adam: parameters x, running means m and v; of AMSGrad also the largest v so far,
/// `largest`, which is null for Adam.
template <class T>
struct AdamNumbers {
  T *x = nullptr, *m = nullptr, *v = nullptr, *largest = nullptr;
};

/// Applies one step to numbers [first, last) of the flat buffers. The gradient is the sum of the
/// ranks' parts, in rank order; the parts are set to zero for the next pass. Returns false if a
/// gradient was not finite.
template <class T>
bool adam_range(AdamStep<T> step, const AdamNumbers<T>& numbers, std::span<T* const> gradients,
                std::size_t first, std::size_t last) {
  const auto [x, m, v, largest] = numbers;
  // Blocks that stay in the first-level cache: the parts are added there, and the update reads the
  // sum.
  constexpr std::size_t block = 1024;
  int broken = 0;
  for (std::size_t i = first; i < last; i += block) {
    const std::size_t end = last - i < block ? last : i + block;
    T* const g = gradients[0];
    for (std::size_t r = 1; r < gradients.size(); ++r) {
      T* const part = gradients[r];
      for (std::size_t k = i; k < end; ++k) g[k] += part[k], part[k] = T(0);
    }
    if (largest == nullptr)
      for (std::size_t k = i; k < end; ++k) step.apply(x[k], m[k], v[k], g[k]);
    else
      for (std::size_t k = i; k < end; ++k) step.apply(x[k], m[k], v[k], largest[k], g[k]);
    for (std::size_t k = i; k < end; ++k) {
      broken |= g[k] - g[k] != T(0);  // inf - inf and NaN - NaN are NaN
      g[k] = T(0);
    }
  }
  return broken == 0;
}

}  // namespace poe
