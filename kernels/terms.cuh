// SPDX-License-Identifier: MIT
// Sums of terms. One block adds up one slot, in double: thread t takes values t, t + 256, ... of
// each part of the slot, in the order of the parts; then the threads are added in a fixed order.
#pragma once

#include "device.cuh"

#include <poe/ops/terms.hpp>

namespace poe::cuda {

/// Parts that one launch adds up; they travel as an argument of the kernel.
inline constexpr int most_parts = 64;
inline constexpr int term_threads = 256;

template <class T>
struct Parts {
  TermPart<T> at[most_parts];
  WarmUp warm_up;
  const std::uint32_t* step = nullptr;  // of the warm-up, if not null
  int count = 0;
  bool add = false;  // to what other launches have found
};

template <int Threads, class T>
static __global__ __launch_bounds__(Threads) void sum_terms_kernel(
    const __grid_constant__ Parts<T> parts, double* sums) {
  POE_SHARED(double[Threads / 32], partial);
  const int slot = static_cast<int>(blockIdx.x);
  double sum = 0;
  for (int p = 0; p < parts.count; ++p) {
    if (parts.at[p].slot != slot) continue;
    const T* const values = parts.at[p].values;
    for (int i = static_cast<int>(threadIdx.x); i < parts.at[p].count; i += Threads)
      sum += static_cast<double>(values[i]);
  }
  WarmUp warm_up = parts.warm_up;
  if (parts.step != nullptr) warm_up.step = *parts.step;
  for (int p = 0; p < parts.count; ++p) {
    T* const gradient = parts.at[p].gradient;
    if (parts.at[p].slot != slot || gradient == nullptr) continue;
    const T slope = parts.at[p].slope(warm_up);
    for (int i = static_cast<int>(threadIdx.x); i < parts.at[p].count; i += Threads)
      gradient[i] = slope;
  }
  sum = block_sum<Threads>(sum, partial);
  if (threadIdx.x == 0) sums[slot] = parts.add ? sums[slot] + sum : sum;
}

}  // namespace poe::cuda

namespace poe {

template <class T>
void sum_terms(std::span<const TermPart<T>> parts, int slots, double* sums, const WarmUp& warm_up,
               Executor<Cuda>& on) {
  if (slots == 0) return;
  cuda::Parts<T> some;
  some.warm_up = warm_up;
  some.step = on.step;
  const auto flush = [&] {
    cuda::launch(cuda::sum_terms_kernel<cuda::term_threads, T>, dim3(static_cast<unsigned>(slots)),
                 dim3(cuda::term_threads), 0, on.stream(), some, sums);
    some.add = true;
    some.count = 0;
  };
  for (const TermPart<T>& part : parts) {
    if (some.count == cuda::most_parts) flush();
    some.at[some.count++] = part;
  }
  flush();  // also without a part: the sums are 0 then
}

}  // namespace poe
