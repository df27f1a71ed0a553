// SPDX-License-Identifier: MIT
// What a captured training step does besides its passes. All kernels read the number of the step
// from the state on the device.
//
// close_terms is one block: a thread for each term, then one thread that adds them in their order.
// The kernels of adam_step and gather_rows move 16 bytes at a time where the pointers allow it; no
// thread reads what another one writes, but for the fault.
#pragma once

#include "device.cuh"

#include <span>

#include <poe/optim/step_cuda.hpp>

namespace poe::cuda {

template <class T>
__device__ __forceinline__ bool is_finite(T x) {
  return x - x == T(0);
}

/// Terms of one launch; they travel as an argument of the kernel.
inline constexpr int most_terms = 128;

struct Terms {
  TermShare at[most_terms];
  int first = 0, count = 0;       // at[i] belongs to sums[first + i]
  bool check = true, add = true;  // what this launch does: both, if it has all of the terms
  std::uint32_t warm_up_steps = 0;
};

/// One block of Threads >= most_terms.
template <int Threads, class State>
static __global__ __launch_bounds__(Threads) void close_terms_kernel(
    const __grid_constant__ Terms terms, const double* sums, double* means, State* state) {
  static_assert(Threads >= most_terms);
  POE_SHARED(double[Threads], shares);
  POE_SHARED(bool, stop);
  const int i = static_cast<int>(threadIdx.x);
  const bool counts = i < terms.count && terms.at[i].total != 0;
  if (i < terms.count) shares[i] = counts ? sums[terms.first + i] / terms.at[i].total : 0.0;
  __syncthreads();
  if (i == 0) {
    stop = state->fault != 0;
    if (terms.check && !stop) {
      int k = 0;
      while (k < terms.count && is_finite(shares[k])) ++k;
      if (k < terms.count) {
        stop = true;
        state->fault = State::bad_term;
        state->fault_step = state->step;
        state->fault_term = static_cast<std::uint32_t>(terms.first + k);
      }
    }
    if (terms.add && !stop) {
      double loss = state->loss;
      const double factor = WarmUp{terms.warm_up_steps, state->step}.factor();
      for (int k = 0; k < terms.count; ++k)
        loss += terms.at[k].weight * (terms.at[k].warming ? factor : 1.0) * shares[k];
      state->loss = loss;
    }
  }
  __syncthreads();
  // The first term of a row adds what all terms of that row say.
  if (!terms.add || stop || !counts) return;
  for (int k = 0; k < i; ++k)
    if (terms.at[k].row == terms.at[i].row && terms.at[k].total != 0) return;
  double mean = means[terms.at[i].row];
  for (int k = i; k < terms.count; ++k)
    if (terms.at[k].row == terms.at[i].row) mean += shares[k];
  means[terms.at[i].row] = mean;
}

/// What Adam reads of one pack of numbers, and what AMSGrad reads.
template <bool AmsGrad, class T, int W>
struct AdamPack {
  Pack<T, W> x, m, v, g;
};
template <class T, int W>
struct AdamPack<true, T, W> {
  Pack<T, W> x, m, v, g, largest;
};

template <bool AmsGrad, class T>
struct AdamBuffers {
  AdamNumbers<T> at;
  T* gradient;

  template <int W>
  __device__ __forceinline__ AdamPack<AmsGrad, T, W> get(std::size_t i) const {
    AdamPack<AmsGrad, T, W> p;
    p.x = load<W>(at.x + i);
    p.m = load<W>(at.m + i);
    p.v = load<W>(at.v + i);
    p.g = load<W>(gradient + i);
    if constexpr (AmsGrad) p.largest = load<W>(at.largest + i);
    return p;
  }
  /// Returns whether all gradients are finite.
  template <int W>
  __device__ __forceinline__ bool update(std::size_t i, const AdamStep<T>& step,
                                         AdamPack<AmsGrad, T, W> p) const {
    bool finite = true;
    POE_UNROLL
    for (int k = 0; k < W; ++k) {
      finite = finite && is_finite(p.g.at[k]);
      if constexpr (AmsGrad)
        step.apply(p.x.at[k], p.m.at[k], p.v.at[k], p.largest.at[k], p.g.at[k]);
      else
        step.apply(p.x.at[k], p.m.at[k], p.v.at[k], p.g.at[k]);
    }
    store(at.x + i, p.x);
    store(at.m + i, p.m);
    store(at.v + i, p.v);
    if constexpr (AmsGrad) store(at.largest + i, p.largest);
    return finite;
  }
};

/// Shared memory for the factors of a step, which cannot be constructed there.
template <class T>
struct alignas(AdamStep<T>) AdamStepMemory {
  unsigned char bytes[sizeof(AdamStep<T>)];
};

/// Blocks of adam_kernel that a multiprocessor runs at one time: a thread holds 4 packs (of AMSGrad
/// 5) and has the next ones on their way.
template <bool AmsGrad>
inline constexpr int adam_blocks = AmsGrad ? 5 : 7;

/// One thread of each block computes the factors, in double, while the numbers of the first round
/// are on their way. A fault that this launch itself finds may stop its later blocks or not: the
/// parameters are lost either way.
template <int W, class T, class State, bool AmsGrad>
static __global__ __launch_bounds__(grid_threads, adam_blocks<AmsGrad>) void adam_kernel(
    AdamOptions options, std::size_t n, AdamBuffers<AmsGrad, T> buffers, State* state) {
  POE_SHARED(AdamStepMemory<T>, factors);
  POE_SHARED(bool, stop);
  const std::size_t packs = n / W;
  std::size_t i = thread_in_grid();
  AdamPack<AmsGrad, T, W> next{};
  if (i < packs) next = buffers.template get<W>(i * W);
  if (threadIdx.x == 0) {
    reinterpret_cast<AdamStep<T>&>(factors) =
        AdamStep<T>(options, static_cast<double>(state->step));
    stop = atomicOr(&state->fault, 0U) != 0;  // a read that another block may write meanwhile
  }
  __syncthreads();
  const AdamStep<T> step = reinterpret_cast<const AdamStep<T>&>(factors);
  bool finite = true;
  while (i < packs) {
    if (!stop) finite = buffers.update(i * W, step, next) && finite;
    store(buffers.gradient + i * W, Pack<T, W>{});
    i += threads_in_grid();
    if (i < packs) next = buffers.template get<W>(i * W);
  }
  if constexpr (W > 1) {
    for (i = packs * W + thread_in_grid(); i < n; i += threads_in_grid()) {
      if (!stop) finite = buffers.update(i, step, buffers.template get<1>(i)) && finite;
      buffers.gradient[i] = T(0);
    }
  }
  if (!finite && atomicOr(&state->fault, State::bad_gradient) == 0) state->fault_step = state->step;
}

template <class State>
static __global__ void end_step_kernel(State* state) {
  if (state->fault == 0) ++state->step;
}

template <int W, class T, class State>
static __global__ __launch_bounds__(grid_threads) void gather_rows_kernel(
    const T* data, std::size_t size, const std::uint32_t* schedule, int stride, int offset,
    std::size_t rows, const State* state, T* out) {
  const std::size_t packs = size / W;
  const std::size_t steps = state->step - state->first_step;
  const std::uint32_t* const index =
      schedule + steps * static_cast<std::size_t>(stride) + static_cast<std::size_t>(offset);
  if (column() < packs)
    for (std::size_t r = first_row(); r < rows; r += row_step())
      store(out + r * size + column() * W, load<W>(data + index[r] * size + column() * W));
}

template <int W, bool AmsGrad, class T>
void launch_adam_packs(const AdamOptions& options, std::size_t n,
                       const AdamBuffers<AmsGrad, T>& buffers, StepState* state, Stream stream) {
  const std::size_t needed = blocks_for<std::size_t>(blocks_for<std::size_t>(n, W), grid_threads);
  const std::size_t resident =
      std::size_t{adam_blocks<AmsGrad>} * static_cast<std::size_t>(device_info().multiprocessors);
  launch(adam_kernel<W, T, StepState, AmsGrad>,
         dim3(static_cast<unsigned>(std::min(needed, resident))), dim3(grid_threads), 0, stream,
         options, n, buffers, state);
}
template <bool AmsGrad, class T>
void launch_adam(const AdamOptions& options, std::size_t n, const AdamNumbers<T>& numbers,
                 T* gradient, StepState* state, Stream stream) {
  const AdamBuffers<AmsGrad, T> buffers{numbers, gradient};
  if (aligned(numbers.x, numbers.m, numbers.v, numbers.largest, gradient))
    launch_adam_packs<wide<T>>(options, n, buffers, state, stream);
  else
    launch_adam_packs<1>(options, n, buffers, state, stream);
}

template <int W, class T>
void launch_gather(const T* data, int size, const std::uint32_t* schedule, int stride, int offset,
                   int rows, const StepState* state, T* out, Stream stream) {
  const Grid g = matrix_grid(static_cast<std::size_t>(rows), static_cast<std::size_t>(size / W));
  launch(gather_rows_kernel<W, T, StepState>, g.blocks, g.threads, 0, stream, data, size, schedule,
         stride, offset, rows, state, out);
}

}  // namespace poe::cuda

namespace poe {

template <class T>
void adam_step(const AdamOptions& options, std::size_t n, const AdamNumbers<T>& numbers,
               T* gradient, StepState* state, Executor<Cuda>& on) {
  if (n == 0) return;
  if (numbers.largest == nullptr)
    cuda::launch_adam<false>(options, n, numbers, gradient, state, on.stream());
  else
    cuda::launch_adam<true>(options, n, numbers, gradient, state, on.stream());
}

template <class T>
void gather_rows(const T* data, int size, const std::uint32_t* schedule, int stride, int offset,
                 int rows, const StepState* state, T* out, Executor<Cuda>& on) {
  if (rows == 0 || size == 0) return;
  if (size % cuda::wide<T> == 0 && cuda::aligned(data, out))
    cuda::launch_gather<cuda::wide<T>>(data, size, schedule, stride, offset, rows, state, out,
                                       on.stream());
  else
    cuda::launch_gather<1>(data, size, schedule, stride, offset, rows, state, out, on.stream());
}

}  // namespace poe
