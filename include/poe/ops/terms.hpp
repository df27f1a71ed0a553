// SPDX-License-Identifier: MIT
// Sums of the reported terms of a loss, and the gradients with which its backward pass starts.
#pragma once

#include <span>

#include <poe/cuda/executor.hpp>

namespace poe {

/// `count` per-sample values that belong to the reported sum number `slot`. Where `gradient` is not
/// null, each of its `count` numbers is set to `weight`.
template <class T>
struct TermPart {
  const T* values = nullptr;
  int count = 0;
  int slot = 0;
  T* gradient = nullptr;
  T weight = 0;
};

/// sums[s] = the sum over all parts of slot s, for `slots` slots, in the order of the parts; sets
/// the gradients. `sums` is memory of the executor's device.
template <class T>
void sum_terms(std::span<const TermPart<T>> parts, int slots, double* sums, Executor<Cpu>&) {
  for (int s = 0; s < slots; ++s) sums[s] = 0;
  for (const TermPart<T>& p : parts) {
    for (int i = 0; i < p.count; ++i) sums[p.slot] += static_cast<double>(p.values[i]);
    if (p.gradient != nullptr)
      for (int i = 0; i < p.count; ++i) p.gradient[i] = p.weight;
  }
}
/// In one kernel (more than 64 parts: a few): kernels/terms.cuh.
template <class T>
void sum_terms(std::span<const TermPart<T>> parts, int slots, double* sums, Executor<Cuda>& on);

}  // namespace poe
