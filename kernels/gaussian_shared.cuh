// SPDX-License-Identifier: MIT
// Fusion of Gaussian experts in one kernel each way: what its kernels share.
//
// A thread owns one row and V consecutive dimensions: it reads location and raw scale of every
// expert once, keeps the products in registers, adds up its part of every divergence and draws its
// part of every sample. V is up to 16 bytes, or one number where arrays are not aligned, or where
// so few warps would leave multiprocessors without work. The threads of a row are neighbours in one
// warp; a row with more than 32 V dimensions makes them loop. A divergence is summed over a
// thread's dimensions in ascending order and then over the threads of the row by a tree of
// shuffles. V, and with it the order of this sum, is a function of the number of rows and
// dimensions, of the alignment and of the device: there the same input gives the same bytes, but
// the same row in a smaller batch may have another last bit.
//
// Two arithmetics. Scales and locations between 2^-40 and 2^40 are combined as plain precisions and
// variances, which needs no exp beyond that of the softplus. Everything else takes the functions of
// gaussian/algebra.hpp that work on logarithms, dimension by dimension, with values in shared
// memory: fuse_dimension() and spread_dimension() in gaussian_dimension.cuh. Plans that
// are too large for registers (many experts or products), have links with different floors or share
// experts use only these.
#pragma once

#include "device.cuh"

#include <poe/gaussian/plan.hpp>

namespace poe::gaussian::gpu {

template <class T>
struct ExpertArgument {
  const T* value;
  T* sink;
};
template <class T>
struct ProductArgument {
  T* posterior;
  const T* gradient;
  T floor, log_share;
  std::uint32_t experts, shared;
  bool prior, variance;
  bool differentiated;  // a gradient arrives: its own, of a divergence or of a sample
};
template <class T>
struct DivergenceArgument {
  T* value;
  const T* gradient;
  std::int16_t from, to;
  bool stop_gradient_on_target;
};
template <class T>
struct DrawArgument {
  T* sample;
  const T* gradient;
  std::uint32_t stream;
  std::int32_t product;
};

/// How the threads of a warp share rows: `count` neighbours for each of `rows` rows.
struct Lanes {
  int count, rows;
  std::uint32_t inverse;  // lane / count = lane * inverse >> 16
};

inline Lanes lanes_for(int parts) {
  const int count = parts < 32 ? parts : 32;
  const auto divisor = static_cast<std::uint32_t>(count);
  return {count, 32 / count, (65535U + divisor) / divisor};
}

/// f(Index<0>{}), ..., f(Index<N - 1>{}): a loop whose numbers are constants from the start. Arrays
/// that an unrolled loop indexes behind a condition do not stay in registers.
template <int I>
struct Index {
  static constexpr int value = I;
};
template <int N, int I = 0, class F>
__device__ __forceinline__ void each(F&& f) {
  if constexpr (I < N) {
    f(Index<I>{});
    each<N, I + 1>(f);
  }
}

/// The arguments of both kernels: a plan with at most E experts, P products, K divergences and S
/// draws, and its memory.
template <class T, int E, int P, int K, int S>
struct Arguments {
  static constexpr int most_experts = E, most_products = P, most_divergences = K, most_draws = S;
  int rows, latent;
  int experts, products, divergences, draws;
  Lanes lanes;
  const std::uint8_t* observed;
  Random random;
  const std::uint32_t* step;
  std::uint64_t first_row;
  ExpertArgument<T> expert[E];
  ProductArgument<T> product[P];
  DivergenceArgument<T> divergence[K];
  DrawArgument<T> draw[S];
};

/// Threads of a block, and blocks of a multiprocessor that leave registers enough for V dimensions
/// (`words` of 32 bits) of P products: found by compiling, as many as do not spill.
inline constexpr int threads = 128;
constexpr int forward_blocks(int words, int experts, int products) {
  if (products > 3) return 2;
  return words == 2 || (words == 4 && products == 3 && experts > 2) ? 3 : 4;
}
constexpr int backward_blocks(int words, int experts, int products) {
  return words < 4 ? 4 : products == 3 && experts > 2 ? 2 : 3;
}

/// Where a thread works: its row and its place among the threads of that row.
struct Place {
  std::ptrdiff_t row;
  int lane;
  bool active;
};

template <class A>
__device__ __forceinline__ Place place_of(const A& a) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  const int row_of_warp =
      static_cast<int>((static_cast<std::uint32_t>(lane) * a.lanes.inverse) >> 16);
  const std::ptrdiff_t warp =
      (static_cast<std::ptrdiff_t>(blockIdx.x) * blockDim.x + threadIdx.x) / 32;
  const std::ptrdiff_t row = warp * a.lanes.rows + row_of_warp;
  return {row, lane - row_of_warp * a.lanes.count, row_of_warp < a.lanes.rows && row < a.rows};
}

/// Sum over the threads of a row, complete in the first of them. Called by the whole warp.
template <class T>
__device__ __forceinline__ T sum_over_row(T value, int lane, int count) {
  for (int step = 1; step < count; step *= 2) {
    const T other = __shfl_down_sync(0xffffffffU, value, static_cast<unsigned>(step));
    if (lane + step < count) value += other;
  }
  return value;
}

using cuda::load, cuda::Pack;

/// V neighbouring numbers as one access, past the first cache, which nobody reads them from. (A
/// plain assignment of so many numbers becomes one store each if the compiler likes that better.)
template <int V, class T>
__device__ __forceinline__ void write(T* to, const Pack<T, V>& x) {
  if constexpr (V == 1)
    *to = x.at[0];
  else if constexpr (sizeof(T) == sizeof(double))
    __stcg(reinterpret_cast<double2*>(to), make_double2(x.at[0], x.at[1]));
  else if constexpr (V == 2)
    __stcg(reinterpret_cast<float2*>(to), make_float2(x.at[0], x.at[1]));
  else
    __stcg(reinterpret_cast<float4*>(to), make_float4(x.at[0], x.at[1], x.at[2], x.at[3]));
}
/// True if rows of `latent` numbers at `p` can be moved V at a time.
template <int V, class T>
bool in_packs(const T* p) {
  return reinterpret_cast<std::uintptr_t>(p) % (V * sizeof(T)) == 0;
}

/// V standard normal numbers from `element` on, which is a multiple of V.
template <int V, class T>
__device__ __forceinline__ Pack<T, V> normals(const Random& random, std::uint64_t element) {
  Pack<T, V> z;
  if constexpr (V == 4) {
    random.normal_block(element / 4, z.at);
  } else if constexpr (V == 2) {
    random.normal_pair(element / 2, z.at[0], z.at[1]);
  } else {
    T first, second;
    random.normal_pair(element / 2, first, second);
    z.at[0] = element % 2 == 0 ? first : second;
  }
  return z;
}

template <class A>
__device__ __forceinline__ Random random_of(const A& a) {
  return a.step == nullptr ? a.random : a.random.at_step(*a.step);
}

/// Bit e: expert e is observed in this row.
template <class A>
__device__ __forceinline__ std::uint32_t observed_in(const A& a, std::ptrdiff_t row) {
  if (a.observed == nullptr) return ~std::uint32_t{0};
  std::uint32_t bits = 0;
  for (int e = 0; e < a.experts; ++e)
    bits |= static_cast<std::uint32_t>(a.observed[row * a.experts + e] != 0) << e;
  return bits;
}

/// The values of a thread in shared memory: number i of thread t at i * threads + t.
template <class T>
struct Slots {
  T* first;
  __device__ T& operator[](int i) const { return first[i * static_cast<int>(blockDim.x)]; }
  __device__ Slots from(int i) const { return {&(*this)[i]}; }
};

/// Numbers in shared memory that one thread needs: the sums of divergences, and what one dimension
/// takes, forwards and backwards.
inline int forward_slots(int experts, int products) { return 2 * experts + 2 * products; }
inline int backward_slots(int experts, int products) { return 5 * experts + 4 * products; }

/// What one expert contributes as plain numbers: location, scale, 1 / scale and the slope d log
/// scale / d raw, where the scale is sigma, or with ScaleLink::variance sigma^2. Forwards the slope
/// is not needed, backwards not the scale itself: what nobody reads takes no register.
template <class T, int V>
struct PlainExpert {
  T location[V], scale[V], inverse[V], slope[V];
};

/// A posterior as plain numbers.
template <class T, int V>
struct PlainPosterior {
  T location[V], log_precision[V], precision[V], variance[V];
};

/// True if plain precisions of such an expert can be added and multiplied without overflow.
template <class T>
POE_HD bool is_plain(T location, T scale) {
  constexpr T most = T(1099511627776.0);  // 2^40
  return scale >= T(1) / most && scale <= most && math::abs(location) <= most;
}

/// Loads V dimensions, at number `at` of its array, of every observed expert. -> whether plain
/// numbers serve for all of them.
template <class T, int V, int E, class A>
__device__ __forceinline__ bool load_plain_experts(const A& a, std::uint32_t observed,
                                                   std::ptrdiff_t at,
                                                   PlainExpert<T, V> (&expert)[E]) {
  bool plain = true;
  each<E>([&](auto e) {
    if (e.value >= a.experts || (observed >> e.value & 1U) == 0) return;
    const T* const from = a.expert[e.value].value + at;
    const Pack<T, V> location = load<V>(from), raw = load<V>(from + a.latent);
    PlainExpert<T, V>& one = expert[e.value];
    POE_UNROLL
    for (int j = 0; j < V; ++j) {
      const PlainScale<T> scale = plain_scale(raw.at[j], a.product[0].floor);
      one.location[j] = location.at[j];
      one.scale[j] = scale.value;
      one.inverse[j] = scale.inverse;
      one.slope[j] = scale.slope;
      plain = plain && is_plain(location.at[j], scale.value);
    }
  });
  return plain;
}

/// Product of the experts in `members`. WithLog: and its log-precision.
template <bool WithLog, class T, int V, int E>
__device__ __forceinline__ void plain_product(const PlainExpert<T, V> (&expert)[E],
                                              std::uint32_t members, bool with_prior, bool variance,
                                              PlainPosterior<T, V>& q) {
  if (members == 0) {  // the product of nothing is the prior
    POE_UNROLL
    for (int j = 0; j < V; ++j) {
      q.location[j] = q.log_precision[j] = T(0);
      q.precision[j] = q.variance[j] = T(1);
    }
  } else if ((members & (members - 1)) == 0 && !with_prior) {  // the expert itself
    each<E>([&](auto e) {
      if ((members >> e.value & 1U) == 0) return;
      const PlainExpert<T, V>& one = expert[e.value];
      POE_UNROLL
      for (int j = 0; j < V; ++j) {
        const T i = one.inverse[j];
        q.location[j] = one.location[j];
        q.precision[j] = variance ? i : i * i;
        if constexpr (WithLog) {
          const T s = one.scale[j];
          q.variance[j] = variance ? s : s * s;
          q.log_precision[j] = (variance ? T(-1) : T(-2)) * math::log(s);
        } else {
          q.variance[j] = plain_inverse(q.precision[j]);
        }
      }
    });
  } else {
    POE_UNROLL
    for (int j = 0; j < V; ++j) {
      q.precision[j] = with_prior ? T(1) : T(0);
      q.location[j] = T(0);
    }
    each<E>([&](auto e) {
      if ((members >> e.value & 1U) == 0) return;
      const PlainExpert<T, V>& one = expert[e.value];
      POE_UNROLL
      for (int j = 0; j < V; ++j) {
        const T precision = variance ? one.inverse[j] : one.inverse[j] * one.inverse[j];
        q.precision[j] += precision;
        q.location[j] += precision * one.location[j];
      }
    });
    POE_UNROLL
    for (int j = 0; j < V; ++j) {
      q.variance[j] = plain_inverse(q.precision[j]);
      q.location[j] *= q.variance[j];
      if constexpr (WithLog) q.log_precision[j] = math::log(q.precision[j]);
    }
  }
}

}  // namespace poe::gaussian::gpu
