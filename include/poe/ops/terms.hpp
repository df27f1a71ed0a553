// SPDX-License-Identifier: MIT
// Sums of the reported terms of a loss, and the gradients with which its backward pass starts.
#pragma once

#include <cstdint>
#include <span>

#include <poe/core/config.hpp>
#include <poe/cuda/executor.hpp>

namespace poe {

/// A weight that grows linearly over the first steps of a run, which are counted from 1: step /
/// steps, then 1. With `steps` 0 it is 1 from the start.
struct WarmUp {
  std::uint32_t steps = 0, step = 1;

  POE_HD constexpr double factor() const {
    return step < steps ? static_cast<double>(step) / steps : 1.0;
  }
};

/// `count` per-sample values that belong to the reported sum number `slot`. Where `gradient` is not
/// null, each of its `count` numbers is set to `weight`, times the factor of the warm-up if the
/// term is `warming`.
template <class T>
struct TermPart {
  const T* values = nullptr;
  int count = 0;
  int slot = 0;
  T* gradient = nullptr;
  T weight = 0;
  bool warming = false;

  POE_HD constexpr T slope(const WarmUp& warm_up) const {
    return warming ? static_cast<T>(static_cast<double>(weight) * warm_up.factor()) : weight;
  }
};

/// sums[s] = the sum over all parts of slot s, for `slots` slots, in the order of the parts; sets
/// the gradients. `sums` is memory of the executor's device.
template <class T>
void sum_terms(std::span<const TermPart<T>> parts, int slots, double* sums, const WarmUp& warm_up,
               Executor<Cpu>&) {
  for (int s = 0; s < slots; ++s) sums[s] = 0;
  for (const TermPart<T>& p : parts) {
    for (int i = 0; i < p.count; ++i) sums[p.slot] += static_cast<double>(p.values[i]);
    if (p.gradient != nullptr)
      for (int i = 0; i < p.count; ++i) p.gradient[i] = p.slope(warm_up);
  }
}
/// In one kernel (more than 64 parts: a few): kernels/terms.cuh. Where on.step is set, that is the
/// step of the warm-up, whatever `warm_up` says: one graph serves every step.
template <class T>
void sum_terms(std::span<const TermPart<T>> parts, int slots, double* sums, const WarmUp& warm_up,
               Executor<Cuda>& on);

}  // namespace poe
