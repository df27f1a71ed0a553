// SPDX-License-Identifier: MIT
// Batch normalisation on the GPU.
//
// Sums over samples are taken in double. A block sums 32 channels: thread (x, y) takes every 16th
// sample of its channel, then all threads add the 16 partial sums in order. Up to small_batch
// samples one block does all samples of its channels, and statistics are one launch; above, the
// samples are cut into parts, whose number is a function of the shape alone, and the next kernel
// adds the sums of the parts in order. So the same input gives the same bytes.
#pragma once

#include "device.cuh"

#include <poe/ops/batch_norm.hpp>

namespace poe {
namespace cuda {

inline constexpr int sum_width = 32, sum_height = 16;
inline constexpr std::size_t small_batch = 256;
inline constexpr std::size_t most_parts = 128;
inline constexpr std::size_t most_sum_blocks = 512;  // about as many as run at a time

/// Parts of the samples that are summed by blocks of their own.
inline std::size_t sum_parts(std::size_t samples, std::size_t channels) {
  if (samples <= small_batch) return 1;
  const std::size_t across = blocks_for<std::size_t>(channels, sum_width);
  const std::size_t room = std::max<std::size_t>(most_sum_blocks / across, 1);
  return std::min({blocks_for<std::size_t>(samples, 4 * sum_height), most_parts, room});
}
/// First sample of a part; the end of the last one is that of part `parts`.
__device__ __forceinline__ std::size_t part_begin(std::size_t samples, std::size_t parts,
                                                  std::size_t part) {
  return samples * part / parts;
}

/// What the terms of a sum are made of.
struct TwoSums {
  double first = 0, second = 0;
  POE_HD TwoSums& operator+=(const TwoSums& other) {
    first += other.first;
    second += other.second;
    return *this;
  }
};

/// The sum of f(i) for i in [begin, end) by the sum_height threads of one column of a block, in
/// each of them. `inside`: whether the column exists. All threads call it, with the same range.
template <class V, class F>
__device__ __forceinline__ V column_sum(const F& f, bool inside, std::size_t begin,
                                        std::size_t end) {
  POE_SHARED(V[sum_height][sum_width], partial);
  V sum = V();
  if (inside)
    for (std::size_t i = begin + threadIdx.y; i < end; i += sum_height) sum += f(i);
  partial[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  V total = V();
  POE_UNROLL
  for (int y = 0; y < sum_height; ++y) total += partial[y][threadIdx.x];
  __syncthreads();
  return total;
}

template <class T>
struct ValueTerm {
  const T* x;
  std::size_t step;
  __device__ double operator()(std::size_t i) const { return static_cast<double>(x[i * step]); }
};
template <class T>
struct SquareTerm {
  const T* x;
  std::size_t step;
  T mean;
  __device__ double operator()(std::size_t i) const {
    const auto d = static_cast<double>(x[i * step] - mean);
    return d * d;
  }
};
/// Of dy as it comes through the ReLU, and of that * normalised x.
template <class T>
struct GradientTerm {
  const T *x, *dy;
  std::size_t step;
  T mean, inverse, scale, shift, floor;
  __device__ TwoSums operator()(std::size_t i) const {
    const T h = (x[i * step] - mean) * inverse;
    const T g = above_floor(h * scale + shift, floor, dy[i * step]);
    TwoSums term;
    term.first = static_cast<double>(g);
    term.second = static_cast<double>(g * h);
    return term;
  }
};
template <class V>
struct PartTerm {
  const V* sums;
  std::size_t step;
  __device__ V operator()(std::size_t i) const { return sums[i * step]; }
};

/// What follows from the mean and the sum of squares of channel c.
template <class T>
__device__ __forceinline__ void finish_statistics(const BatchNormMemory<T>& m,
                                                  BatchNormOptions options, std::size_t c, T mean,
                                                  double squares) {
  const auto total = static_cast<double>(m.samples);
  m.mean[c] = mean;
  m.inverse[c] = static_cast<T>(1.0 / std::sqrt(squares / total + options.epsilon));
  const auto a = static_cast<T>(options.momentum);
  m.running_mean[c] += a * (mean - m.running_mean[c]);
  m.running_variance[c] += a * (static_cast<T>(squares / (total - 1)) - m.running_variance[c]);
}

/// Everything, by one block for its channels.
template <class T>
static __global__ void __launch_bounds__(sum_width* sum_height)
    small_statistics(BatchNormMemory<T> m, BatchNormOptions options) {
  const std::size_t c = column();
  const bool inside = c < m.channels;
  const T* const x = m.x + c;
  const double sum = column_sum<double>(ValueTerm<T>{x, m.channels}, inside, 0, m.samples);
  const T mean = static_cast<T>(sum / static_cast<double>(m.samples));
  const double squares =
      column_sum<double>(SquareTerm<T>{x, m.channels, mean}, inside, 0, m.samples);
  if (inside && threadIdx.y == 0) finish_statistics(m, options, c, mean, squares);
}

/// Three kernels for a large batch. Block (channels, part); sums: (parts, channels).
template <class T>
static __global__ void __launch_bounds__(sum_width* sum_height)
    sums_of_parts(BatchNormMemory<T> m, double* sums) {
  const std::size_t c = column(), part = blockIdx.y, parts = gridDim.y;
  const bool inside = c < m.channels;
  const double sum = column_sum<double>(ValueTerm<T>{m.x + c, m.channels}, inside,
                                        part_begin(m.samples, parts, part),
                                        part_begin(m.samples, parts, part + 1));
  if (inside && threadIdx.y == 0) sums[part * m.channels + c] = sum;
}
template <class T>
static __global__ void __launch_bounds__(sum_width* sum_height)
    squares_of_parts(BatchNormMemory<T> m, const double* sums, double* squares) {
  const std::size_t c = column(), part = blockIdx.y, parts = gridDim.y;
  const bool inside = c < m.channels;
  const double sum = column_sum<double>(PartTerm<double>{sums + c, m.channels}, inside, 0, parts);
  const T mean = static_cast<T>(sum / static_cast<double>(m.samples));
  const double square = column_sum<double>(SquareTerm<T>{m.x + c, m.channels, mean}, inside,
                                           part_begin(m.samples, parts, part),
                                           part_begin(m.samples, parts, part + 1));
  if (inside && threadIdx.y == 0) squares[part * m.channels + c] = square;
}
template <class T>
static __global__ void __launch_bounds__(sum_width* sum_height)
    statistics_of_parts(BatchNormMemory<T> m, BatchNormOptions options, std::size_t parts,
                        const double* sums, const double* squares) {
  const std::size_t c = column();
  const bool inside = c < m.channels;
  const double sum = column_sum<double>(PartTerm<double>{sums + c, m.channels}, inside, 0, parts);
  const double square =
      column_sum<double>(PartTerm<double>{squares + c, m.channels}, inside, 0, parts);
  if (inside && threadIdx.y == 0)
    finish_statistics(m, options, c, static_cast<T>(sum / static_cast<double>(m.samples)), square);
}

template <class T>
static __global__ void __launch_bounds__(grid_threads)
    running_statistics(BatchNormMemory<T> m, BatchNormOptions options) {
  for (std::size_t c = thread_in_grid(); c < m.channels; c += threads_in_grid()) {
    m.mean[c] = m.running_mean[c];
    m.inverse[c] = T(1) / math::sqrt(m.running_variance[c] + static_cast<T>(options.epsilon));
  }
}

/// Rows are samples, columns packs of channels.
template <int W, class T>
static __global__ void __launch_bounds__(grid_threads) normalise_rows(BatchNormMemory<T> m, T* y) {
  const std::size_t c = column() * W;
  if (c >= m.channels) return;
  const Pack<T, W> mean = load<W>(static_cast<const T*>(m.mean) + c);
  const Pack<T, W> inverse = load<W>(static_cast<const T*>(m.inverse) + c);
  const Pack<T, W> scale = load<W>(m.scale + c), shift = load<W>(m.shift + c);
  for (std::size_t r = first_row(); r < m.samples; r += row_step()) {
    Pack<T, W> x = load<W>(m.x + r * m.channels + c);
    POE_UNROLL
    for (int k = 0; k < W; ++k) {
      const T value = (x.at[k] - mean.at[k]) * inverse.at[k] * scale.at[k] + shift.at[k];
      x.at[k] = value < m.floor ? m.floor : value;
    }
    store<W>(y + r * m.channels + c, x);
  }
}

/// The two means that the gradient of x subtracts, one number of each a channel.
template <class T>
struct GradientMeans {
  T *a, *b;
};

/// Adds to the parameters' gradients (null: not) and makes the means, which are 0 if total is 0.
template <class T>
struct GradientTarget {
  T *scale, *shift;
  GradientMeans<T> means;
  double total;

  __device__ void put(std::size_t c, T inverse, TwoSums sums) const {
    if (scale != nullptr) {
      shift[c] += static_cast<T>(sums.first);
      scale[c] += static_cast<T>(sums.second);
    }
    const bool train = total > 0;
    means.a[c] = train ? static_cast<T>(sums.first / total) : T(0);
    means.b[c] = train ? static_cast<T>(sums.second / total) * inverse : T(0);
  }
};

/// Block (channels, part). With one part the sums go to their target, else to `sums`.
template <class T>
static __global__ void __launch_bounds__(sum_width* sum_height)
    gradient_sums(BatchNormMemory<T> m, const T* dy, TwoSums* sums, GradientTarget<T> target) {
  const std::size_t c = column(), part = blockIdx.y, parts = gridDim.y;
  const bool inside = c < m.channels;
  GradientTerm<T> term{m.x + c, dy + c, m.channels, T(0), T(0), T(0), T(0), m.floor};
  if (inside)
    term.mean = m.mean[c], term.inverse = m.inverse[c], term.scale = m.scale[c],
    term.shift = m.shift[c];
  const TwoSums sum = column_sum<TwoSums>(term, inside, part_begin(m.samples, parts, part),
                                          part_begin(m.samples, parts, part + 1));
  if (!inside || threadIdx.y != 0) return;
  if (parts == 1)
    target.put(c, term.inverse, sum);
  else
    sums[part * m.channels + c] = sum;
}
template <class T>
static __global__ void __launch_bounds__(sum_width* sum_height)
    gradient_sums_of_parts(BatchNormMemory<T> m, std::size_t parts, const TwoSums* sums,
                           GradientTarget<T> target) {
  const std::size_t c = column();
  const bool inside = c < m.channels;
  const TwoSums sum =
      column_sum<TwoSums>(PartTerm<TwoSums>{sums + c, m.channels}, inside, 0, parts);
  if (inside && threadIdx.y == 0) target.put(c, m.inverse[c], sum);
}

/// Rows are samples, columns packs of channels.
template <int W, class T>
static __global__ void __launch_bounds__(grid_threads)
    gradient_rows(BatchNormMemory<T> m, GradientMeans<T> means, const T* dy, Sink<T> dx) {
  const std::size_t c = column() * W;
  if (c >= m.channels) return;
  const Pack<T, W> mean = load<W>(static_cast<const T*>(m.mean) + c);
  const Pack<T, W> inverse = load<W>(static_cast<const T*>(m.inverse) + c);
  const Pack<T, W> scale = load<W>(m.scale + c), shift = load<W>(m.shift + c);
  const Pack<T, W> a = load<W>(static_cast<const T*>(means.a) + c);
  const Pack<T, W> b = load<W>(static_cast<const T*>(means.b) + c);
  for (std::size_t r = first_row(); r < m.samples; r += row_step()) {
    const Pack<T, W> x = load<W>(m.x + r * m.channels + c);
    Pack<T, W> g = load<W>(dy + r * m.channels + c);
    POE_UNROLL
    for (int k = 0; k < W; ++k) {
      const T d = x.at[k] - mean.at[k];
      const T value = d * inverse.at[k] * scale.at[k] + shift.at[k];
      g.at[k] = (above_floor(value, m.floor, g.at[k]) - a.at[k] - d * b.at[k]) * inverse.at[k] *
                scale.at[k];
    }
    put(dx, r * m.channels + c, g);
  }
}

inline dim3 sum_grid(std::size_t channels, std::size_t parts) {
  return dim3(static_cast<unsigned>(blocks_for<std::size_t>(channels, sum_width)),
              static_cast<unsigned>(parts));
}

}  // namespace cuda

template <class T>
double batch_statistics(const BatchNormMemory<T>& m, BatchNormOptions options, BatchShare,
                        Executor<Cuda>& on) {
  expect(m.samples > 1, "batch_norm: more than one value per channel is needed in training, got {}",
         m.samples);
  const auto total = static_cast<double>(m.samples);
  if (m.channels == 0) return total;
  const dim3 block(cuda::sum_width, cuda::sum_height);
  const std::size_t parts = cuda::sum_parts(m.samples, m.channels);
  if (parts == 1) {
    cuda::launch(cuda::small_statistics<T>, cuda::sum_grid(m.channels, 1), block, 0, on.stream(), m,
                 options);
    return total;
  }
  Scratch scratch(on.scratch());
  auto* const sums = scratch.template take<double>(parts * m.channels);
  auto* const squares = scratch.template take<double>(parts * m.channels);
  cuda::launch(cuda::sums_of_parts<T>, cuda::sum_grid(m.channels, parts), block, 0, on.stream(), m,
               sums);
  cuda::launch(cuda::squares_of_parts<T>, cuda::sum_grid(m.channels, parts), block, 0, on.stream(),
               m, sums, squares);
  cuda::launch(cuda::statistics_of_parts<T>, cuda::sum_grid(m.channels, 1), block, 0, on.stream(),
               m, options, parts, sums, squares);
  return total;
}

template <class T>
void use_running_statistics(const BatchNormMemory<T>& m, BatchNormOptions options,
                            Executor<Cuda>& on) {
  if (m.channels == 0) return;
  const cuda::Grid g = cuda::array_grid(m.channels);
  cuda::launch(cuda::running_statistics<T>, g.blocks, g.threads, 0, on.stream(), m, options);
}

template <class T>
void normalise(const BatchNormMemory<T>& m, T* y, Executor<Cuda>& on) {
  if (m.samples == 0 || m.channels == 0) return;
  constexpr int w = cuda::wide<T>;
  if (m.channels % w == 0 && cuda::aligned(m.x, m.scale, m.shift, m.mean, m.inverse, y)) {
    const cuda::Grid g = cuda::matrix_grid(m.samples, m.channels / w);
    cuda::launch(cuda::normalise_rows<w, T>, g.blocks, g.threads, 0, on.stream(), m, y);
  } else {
    const cuda::Grid g = cuda::matrix_grid(m.samples, m.channels);
    cuda::launch(cuda::normalise_rows<1, T>, g.blocks, g.threads, 0, on.stream(), m, y);
  }
}

template <class T>
void batch_norm_gradient(const BatchNormMemory<T>& m, double total, BatchShare, const T* dy,
                         T* scale_gradient, T* shift_gradient, Sink<T> dx, Executor<Cuda>& on) {
  if (m.samples == 0 || m.channels == 0) return;
  Scratch scratch(on.scratch());
  auto* const a = scratch.template take<T>(m.channels);
  auto* const b = scratch.template take<T>(m.channels);
  const cuda::GradientTarget<T> target{scale_gradient, shift_gradient, {a, b}, total};
  const dim3 block(cuda::sum_width, cuda::sum_height);
  const std::size_t parts = cuda::sum_parts(m.samples, m.channels);
  auto* const sums =
      parts == 1 ? nullptr : scratch.template take<cuda::TwoSums>(parts * m.channels);
  cuda::launch(cuda::gradient_sums<T>, cuda::sum_grid(m.channels, parts), block, 0, on.stream(), m,
               dy, sums, target);
  if (parts > 1)
    cuda::launch(cuda::gradient_sums_of_parts<T>, cuda::sum_grid(m.channels, 1), block, 0,
                 on.stream(), m, parts, sums, target);
  if (dx.data == nullptr) return;

  constexpr int w = cuda::wide<T>;
  if (m.channels % w == 0 && cuda::aligned(m.x, m.scale, m.shift, m.mean, m.inverse, dy, dx.data)) {
    const cuda::Grid g = cuda::matrix_grid(m.samples, m.channels / w);
    cuda::launch(cuda::gradient_rows<w, T>, g.blocks, g.threads, 0, on.stream(), m, target.means,
                 dy, dx);
  } else {
    const cuda::Grid g = cuda::matrix_grid(m.samples, m.channels);
    cuda::launch(cuda::gradient_rows<1, T>, g.blocks, g.threads, 0, on.stream(), m, target.means,
                 dy, dx);
  }
}

}  // namespace poe
