// SPDX-License-Identifier: MIT
// Log-likelihoods of class ids. One block scores one row; a group of its warps takes one position
// at a time. The first pass over the logits keeps a running maximum and the sum of exponentials
// relative to it: a thread adds up what it sees, then come the lanes, then the warps of the group.
// The second pass, out of the caches, writes the gradient. The values of the positions are added in
// their order.
#pragma once

#include "likelihood_pieces.cuh"

#include <cfloat>
#include <cmath>

#include <poe/likelihood/element.hpp>
#include <poe/optim/step_cuda.hpp>

namespace poe::cuda {

/// Numbers [begin, end) of an array, which need not begin or end with a pack: thread t of `threads`
/// sees packs t, t + threads, ... of those that cover it, four at a time.
template <int W>
struct Cover {
  static constexpr int packs = 4;
  std::size_t begin, end;
  unsigned thread, threads;

  __device__ __forceinline__ std::size_t first() const { return begin / W * W + thread * W; }
  __device__ __forceinline__ std::size_t step() const { return std::size_t{threads} * W; }
  __device__ __forceinline__ bool whole(std::size_t i) const { return i >= begin && i + W <= end; }
  __device__ __forceinline__ bool inside(std::size_t i) const { return i >= begin && i < end; }

  /// Numbers i .. i+W-1; what lies outside is -infinity, whose exponential is 0.
  template <class T>
  __device__ __forceinline__ Pack<T, W> get(const T* from, std::size_t i) const {
    if (whole(i)) return load<W>(from + i);
    Pack<T, W> x;
    POE_UNROLL
    for (int k = 0; k < W; ++k) {
      const std::size_t j = i + static_cast<std::size_t>(k);
      x.at[k] = inside(j) ? from[j] : static_cast<T>(-INFINITY);
    }
    return x;
  }
  template <class T>
  __device__ __forceinline__ void set(Sink<T> to, std::size_t i, const Pack<T, W>& x) const {
    if (whole(i)) return put(to, i, x);
    POE_UNROLL
    for (int k = 0; k < W; ++k) {
      const std::size_t j = i + static_cast<std::size_t>(k);
      if (inside(j)) to.put(j, x.at[k]);
    }
  }
};

/// total * e^top, a sum of exponentials. None at all: top is finite, so that top - top is 0.
template <class T>
struct SumOfExponentials {
  T top = static_cast<T>(-FLT_MAX), total = T(0);

  /// The same number relative to a larger top.
  __device__ __forceinline__ T relative_to(T larger) const {
    return total * math::exp(top - larger);
  }
};

/// What the calling thread sees of the numbers.
template <int W, class T>
__device__ __forceinline__ SumOfExponentials<T> sum_exponentials(const Cover<W>& cover,
                                                                 const T* t) {
  constexpr int packs = Cover<W>::packs;
  SumOfExponentials<T> sum;
  for (std::size_t i = cover.first(); i < cover.end; i += packs * cover.step()) {
    Pack<T, W> part[packs];
    T top = sum.top;
    POE_UNROLL
    for (int p = 0; p < packs; ++p)
      part[p] = cover.get(t, i + static_cast<std::size_t>(p) * cover.step());
    POE_UNROLL
    for (int p = 0; p < packs; ++p) {
      POE_UNROLL
      for (int k = 0; k < W; ++k) top = math::max(top, part[p].at[k]);
    }
    T total = sum.relative_to(top);
    POE_UNROLL
    for (int p = 0; p < packs; ++p) {
      POE_UNROLL
      for (int k = 0; k < W; ++k) total += math::exp(part[p].at[k] - top);
    }
    sum.top = top;
    sum.total = total;
  }
  return sum;
}

/// The sum over the lanes of a warp.
template <class T>
__device__ __forceinline__ SumOfExponentials<T> warp_sum(SumOfExponentials<T> sum) {
  T top = sum.top;
  POE_UNROLL
  for (int offset = 16; offset > 0; offset /= 2)
    top = math::max(top, __shfl_xor_sync(all_lanes, top, offset));
  sum.total = warp_sum(sum.relative_to(top));
  sum.top = top;
  return sum;
}

/// The logarithm of the sum over `count` warps.
template <class T>
__device__ __forceinline__ T log_of_sum(const T* tops, const T* totals, unsigned count) {
  T top = tops[0], total = T(0);
  for (unsigned w = 1; w < count; ++w) top = math::max(top, tops[w]);
  for (unsigned w = 0; w < count; ++w)
    total += SumOfExponentials<T>{tops[w], totals[w]}.relative_to(top);
  return top + math::log(total);
}

/// weight * (1 at `target`, minus the probabilities).
template <int W, class T>
__device__ __forceinline__ void put_class_gradient(const Cover<W>& cover, const T* t, T normaliser,
                                                   std::size_t target, T weight, Sink<T> gradient) {
  constexpr int packs = Cover<W>::packs;
  for (std::size_t i = cover.first(); i < cover.end; i += packs * cover.step()) {
    Pack<T, W> part[packs];
    POE_UNROLL
    for (int p = 0; p < packs; ++p)
      part[p] = cover.get(t, i + static_cast<std::size_t>(p) * cover.step());
    POE_UNROLL
    for (int p = 0; p < packs; ++p) {
      const std::size_t at = i + static_cast<std::size_t>(p) * cover.step();
      POE_UNROLL
      for (int k = 0; k < W; ++k) {
        const T is_target = at + static_cast<std::size_t>(k) == target ? T(1) : T(0);
        part[p].at[k] = weight * (is_target - math::exp(part[p].at[k] - normaliser));
      }
      cover.set(gradient, at, part[p]);
    }
  }
}

/// Warps of the largest block that scores a row of class ids: double needs more registers.
template <class T>
inline constexpr int most_warps = sizeof(T) == sizeof(float) ? 32 : 16;

/// Rows of class ids. A block of (threads of a group, groups); a group's threads are whole warps.
template <int W, class T>
static __global__ __launch_bounds__(32 * most_warps<T>, 1) void score_classes_kernel(
    const __grid_constant__ Pieces<T> pieces, int size, int classes, T ignore, const T* decoded,
    T* log_p, Sink<T> gradient, std::uint32_t* fault) {
  POE_SHARED(T[most_warps<T>], tops);
  POE_SHARED(T[most_warps<T>], totals);
  POE_SHARED(T[most_warps<T>], values);
  const int row = pieces.first_row + static_cast<int>(blockIdx.x);
  const Observed<T> sample = observed(pieces, row, size);
  const int group = static_cast<int>(threadIdx.y), groups = static_cast<int>(blockDim.y);
  const unsigned group_warps = blockDim.x / 32, first_warp = threadIdx.y * group_warps;
  T log_density = T(0);
  for (int first = 0; first < size; first += groups) {
    const int position = first + group;
    const bool exists = position < size;
    const T id = exists ? sample.x[position] : ignore;
    const bool scored = id != ignore, valid = scored && is_class(id, classes);
    const std::size_t begin = (static_cast<std::size_t>(row) * static_cast<std::size_t>(size) +
                               static_cast<std::size_t>(position)) *
                              static_cast<std::size_t>(classes);
    const Cover<W> cover{begin, exists ? begin + static_cast<std::size_t>(classes) : begin,
                         threadIdx.x, blockDim.x};

    SumOfExponentials<T> sum;
    if (valid) sum = sum_exponentials(cover, decoded);
    sum = warp_sum(sum);
    if (threadIdx.x % 32 == 0) {
      tops[first_warp + threadIdx.x / 32] = sum.top;
      totals[first_warp + threadIdx.x / 32] = sum.total;
    }
    __syncthreads();
    // NaN for an id that is no class: so becomes all that is computed from it.
    const T normaliser = valid ? log_of_sum(tops + first_warp, totals + first_warp, group_warps)
                               : static_cast<T>(NAN);
    const std::size_t target = valid ? begin + static_cast<std::size_t>(id) : begin;

    if (threadIdx.x == 0) {
      values[group] = scored ? decoded[target] - normaliser : T(0);
      if (scored && !valid && fault != nullptr) atomicOr(fault, StepState::bad_data);
    }
    if (gradient.data != nullptr) {
      if (scored) {
        put_class_gradient(cover, decoded, normaliser, target, sample.weight, gradient);
      } else if (!gradient.accumulate) {
        for (std::size_t i = cover.first(); i < cover.end; i += cover.step())
          cover.set(gradient, i, Pack<T, W>{});
      }
    }
    __syncthreads();
    if (threadIdx.x == 0 && threadIdx.y == 0)
      for (int g = 0; g < groups; ++g) log_density += values[g];
  }
  if (log_p != nullptr && threadIdx.x == 0 && threadIdx.y == 0) log_p[row] = log_density;
}

/// Up to most_warps: a group for every position if there are not too many, and as many warps for a
/// group as have something to read.
template <class T>
void score_classes(const Pieces<T>& pieces, int size, int classes, T ignore, const T* decoded,
                   T* log_p, const Sink<T>& gradient, Executor<Cuda>& on) {
  const int groups = blocks_for(size, blocks_for(size, most_warps<T>));
  const int useful = blocks_for(classes, 32 * wide<T> * Cover<wide<T>>::packs);
  const int warps = std::min(most_warps<T> / groups, useful);
  const auto with = [&](auto kernel) {
    launch(kernel, dim3(static_cast<unsigned>(pieces.rows)),
           dim3(static_cast<unsigned>(32 * warps), static_cast<unsigned>(groups)), 0, on.stream(),
           pieces, size, classes, ignore, decoded, log_p, gradient, on.fault);
  };
  if (aligned(decoded, gradient.data)) return with(score_classes_kernel<wide<T>, T>);
  with(score_classes_kernel<1, T>);
}

}  // namespace poe::cuda
