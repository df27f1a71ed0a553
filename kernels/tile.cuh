// SPDX-License-Identifier: MIT
// The matrix product of a block: tiles of two factors in shared memory, sums in registers.
//
// A block computes Rows x Columns sums over a range of the depth (the index that is summed over).
// It walks the depth in slabs of 64 bytes of numbers. While one slab is multiplied, the next one is
// on its way from global memory into registers; two slabs in shared memory need one barrier per
// step. A slab lies depth-major, slab[k][i], so that a thread reads 16 bytes of neighbouring rows
// (or columns) at once.
//
// Each of the two matrices is a Factor with two axes. An axis turns an index into a Place; the
// number is at the sum of two places if that is inside the image, and is 0 otherwise. So
// convolution needs no matrix of patches, and a plain matrix is an image of one pixel. Every sum is
// taken in the order of the depth.
#pragma once

#include "device.cuh"

namespace poe::cuda {

/// Division of 0 <= n < 2^31 by a number that is known on the host: one wide product.
struct Divisor {
  int value = 1;
  std::uint32_t multiplier = 1;
  int shift = 0;

  Divisor() = default;
  explicit Divisor(int d) : value(d) {
    while ((std::int64_t{1} << shift) < d) ++shift;
    const std::uint64_t missing = (std::uint64_t{1} << shift) - static_cast<std::uint64_t>(d);
    multiplier = static_cast<std::uint32_t>((missing << 32) / static_cast<std::uint64_t>(d) + 1);
  }
  POE_HD int operator()(int n) const {
    const auto u = static_cast<std::uint32_t>(n);
    const auto high = static_cast<std::uint32_t>((std::uint64_t{u} * multiplier) >> 32);
    return static_cast<int>((high + u) >> shift);
  }
};

/// One end of an address: the number is at offset a + offset b of the image, and exists if pixel
/// (h, w) of a + pixel of b is inside.
struct alignas(16) Place {
  std::ptrdiff_t offset;
  int h, w;
};
/// Outside of every image, whatever is added.
POE_HD Place nowhere() { return {0, -(1 << 30), 0}; }

/// An image, for a Factor.
struct Image {
  int height, width;
  POE_HD bool has(const Place& a, const Place& b) const {
    return static_cast<unsigned>(a.h + b.h) < static_cast<unsigned>(height) &&
           static_cast<unsigned>(a.w + b.w) < static_cast<unsigned>(width);
  }
};
/// An image of one pixel: a matrix. All that can be outside is a row or a column.
struct OnePixel {
  POE_HD bool has(const Place& a, const Place& b) const { return (a.h | b.h) >= 0; }
};

/// One factor of a product. `Width` numbers at a time are loaded along the depth (AlongDepth) or
/// across it; they must be neighbours in memory, aligned, and all inside or all outside.
template <class T, class Extent, class AcrossAxis, class DepthAxis, int Width, bool AlongDepth>
struct Factor {
  static constexpr int width = Width;
  static constexpr bool along_depth = AlongDepth;
  static constexpr bool tabulated = DepthAxis::tabulated;
  const T* data;
  Extent extent;
  AcrossAxis across;
  DepthAxis depth;

  /// The number at the sum of two places; null outside.
  POE_HD const T* at(const Place& a, const Place& d) const {
    return extent.has(a, d) ? data + (a.offset + d.offset) : nullptr;
  }
};

/// Depth of a slab: 16 floats or 8 doubles.
template <class T>
inline constexpr int slab_depth = 4 * wide<T>;

/// Where slab[k][i] lies. What is loaded along the depth is stored transposed: neighbouring lanes
/// write to different k. Exclusive-or with a function of k sends them to different banks, and keeps
/// 16 bytes together (4 lanes hold 16 bytes of depth of 8 rows, or 8 lanes 4 bytes of 4 rows).
/// Fragments are read by 8 lanes at a time: 16 bytes of each of k, k + 4, k + 8 and k + 12, at two
/// places that differ by an odd multiple of 16 bytes.
template <class T, int Size, class F, bool Fragments>
struct Slab {
  static constexpr int numbers = Size * slab_depth<T>;
  POE_HD static int swizzle(int k) {
    if constexpr (Fragments) {
      if (F::along_depth && F::width == 1)
        return (k / 8 + k / 2) % 2 * 16 + k / 4 % 2 * 8 + k % 2 * 4;
      return k / 4 % 4 * 8;
    }
    if constexpr (!F::along_depth) return 0;
    return F::width == 1 ? k % 8 * 4 : k / F::width % 4 * 8;
  }
  POE_HD static int at(int k, int i) { return k * Size + (i ^ swizzle(k)); }
};

/// Brings slabs of one factor from global memory into registers and on into shared memory.
template <class T, int Size, int Threads, class F>
class Loader {
  static constexpr int width = F::width;
  static constexpr int depth = slab_depth<T>;
  /// Neighbouring threads that follow the contiguous direction; the other threads are spread over
  /// the other direction. Scalar loads along the depth take a sector (32 bytes) of each row.
  static constexpr int run = !F::along_depth ? Size / width : width == 1 ? 8 : depth / width;
  static constexpr int spread = Threads / run;
  static constexpr int outer = (F::along_depth ? Size : depth) / spread;
  static constexpr int inner = (F::along_depth ? depth : Size) / (run * width);
  static_assert(spread * run == Threads && outer * spread == (F::along_depth ? Size : depth));

 public:
  /// Places across are shared where a thread loads from many rows: decoded once per block.
  /// Places along the depth are shared where they take long to decode: those of two slabs.
  static constexpr int across_places = F::along_depth ? Size : 0;
  static constexpr int depth_places = F::tabulated ? 2 * depth : 0;
  static constexpr int shared_places = across_places + depth_places + (F::along_depth ? 0 : 1);

  __device__ __forceinline__ Loader(const F& factor, Place* places, int first, int thread)
      : factor_(factor),
        places_(places),
        depth_places_(places + across_places),
        thread_(thread),
        lane_(thread % run),
        lead_(thread / run) {
    if constexpr (F::along_depth) {
      for (int i = thread; i < Size; i += Threads) places[i] = factor.across(first + i);
    } else {
      mine_ = factor.across(first + lane_ * width);
    }
  }

  /// Decodes the slab that begins at depth k0 into one of two tables. A barrier must follow.
  __device__ __forceinline__ void decode(int table, int k0) {
    if constexpr (F::tabulated)
      if (thread_ < depth) depth_places_[table * depth + thread_] = factor_.depth(k0 + thread_);
  }

  /// Starts the loads of the slab that begins at depth k0 and was decoded into the table.
  __device__ __forceinline__ void fetch(int table, int k0) {
    const auto place = [&](int k) {
      if constexpr (F::tabulated)
        return depth_places_[table * depth + k];
      else
        return factor_.depth(k0 + k);
    };
    POE_UNROLL
    for (int i = 0; i < inner; ++i) {
      const int in_run = (i * run + lane_) * width;
      Place d = nowhere();
      if constexpr (F::along_depth) d = place(in_run);
      POE_UNROLL
      for (int o = 0; o < outer; ++o) {
        const int other = o * spread + lead_;
        const T* from;
        if constexpr (F::along_depth)
          from = factor_.at(places_[other], d);
        else
          from = factor_.at(mine_, place(other));
        Pack<T, width>& to = held_[i * outer + o];
        if (from != nullptr)
          to = load<width>(from);
        else
          to = {};
      }
    }
  }

  /// Stores what fetch() brought where At says, a Slab, and as Math says.
  template <class At, class Math>
  __device__ __forceinline__ void commit(T* slab) const {
    POE_UNROLL
    for (int i = 0; i < inner; ++i) {
      const int in_run = (i * run + lane_) * width;
      POE_UNROLL
      for (int o = 0; o < outer; ++o) {
        const int other = o * spread + lead_;
        const Pack<T, width>& from = held_[i * outer + o];
        if constexpr (F::along_depth) {
          // All j have the swizzle of the first; what `other` adds to the lead has bits of its own.
          const int start = lead_ ^ At::swizzle(in_run);
          const int row = spread >= 32 ? start + o * spread : start ^ o * spread;
          POE_UNROLL
          for (int j = 0; j < width; ++j)
            slab[(in_run + j) * Size + row] = Math::to_slab(from.at[j]);
        } else {
          Pack<T, width> to;
          POE_UNROLL
          for (int j = 0; j < width; ++j) to.at[j] = Math::to_slab(from.at[j]);
          store(slab + At::at(other, in_run), to);
        }
      }
    }
  }

 private:
  const F& factor_;
  const Place* places_;
  Place* depth_places_;
  int thread_, lane_, lead_;
  Place mine_ = nowhere();
  Pack<T, width> held_[inner * outer];
};

/// Rows x Columns of a block, ThreadRows x ThreadColumns of a thread. Warps are 4 threads high and
/// 8 wide: 8 threads read 128 neighbouring bytes of a slab, which is one pass over all banks.
template <int Rows, int Columns, int ThreadRows, int ThreadColumns, int Resident>
struct Tile {
  static constexpr int resident = Resident;  // blocks of a multiprocessor, at the least
  static constexpr int rows = Rows, columns = Columns;
  static constexpr int thread_rows = ThreadRows, thread_columns = ThreadColumns;
  static constexpr int threads_down = Rows / ThreadRows, threads_across = Columns / ThreadColumns;
  static constexpr int threads = threads_down * threads_across;
  static constexpr int warps_across = threads_across / 8;
  static_assert(threads_across % 8 == 0 && threads_down % 4 == 0);
};

/// The arithmetic of a product, as a policy: fused multiply-adds in the type of the numbers, by the
/// ordinary cores. Another policy (tensor.cuh) brings a Sums of its own with the same functions,
/// and says whether it reads its slabs as fragments, and what is stored there for a number.
struct FusedMultiplyAdd {
  static constexpr bool fragments = false;
  template <class T>
  __device__ __forceinline__ static T to_slab(T x) {
    return x;
  }

  template <class T, class Tile>
  class Sums {
    static constexpr int pack = wide<T>;
    static constexpr int row_packs = Tile::thread_rows / pack;
    static constexpr int column_packs = Tile::thread_columns / pack;

   public:
    __device__ __forceinline__ explicit Sums(int thread) {
      const int warp = thread / 32, lane = thread % 32;
      row_ = (warp / Tile::warps_across * 4 + lane / 8) * pack;
      column_ = (warp % Tile::warps_across * 8 + lane % 8) * pack;
      POE_UNROLL
      for (int i = 0; i < Tile::thread_rows; ++i) {
        POE_UNROLL
        for (int j = 0; j < Tile::thread_columns; ++j) sum_[i][j] = T(0);
      }
    }

    /// Adds the product of two slabs.
    template <class SlabA, class SlabB>
    __device__ __forceinline__ void add(const T* a, const T* b) {
      POE_UNROLL
      for (int k = 0; k < slab_depth<T>; ++k) {
        Pack<T, wide<T>> left[row_packs], right[column_packs];
        POE_UNROLL
        for (int i = 0; i < row_packs; ++i) left[i] = load<wide<T>>(a + SlabA::at(k, row(i)));
        POE_UNROLL
        for (int j = 0; j < column_packs; ++j)
          right[j] = load<wide<T>>(b + SlabB::at(k, column(j)));
        POE_UNROLL
        for (int i = 0; i < Tile::thread_rows; ++i) {
          POE_UNROLL
          for (int j = 0; j < Tile::thread_columns; ++j)
            sum_[i][j] += left[i / pack].at[i % pack] * right[j / pack].at[j % pack];
        }
      }
    }

    /// Tells the sums, 16 bytes at a time: for each of its columns f.begin_columns(column), then
    /// f.store_run(row, sums from this column on) for each of its rows.
    template <class F>
    __device__ __forceinline__ void for_each_run(F& f) const {
      POE_UNROLL
      for (int j = 0; j < column_packs; ++j) {
        f.begin_columns(column(j));
        POE_UNROLL
        for (int i = 0; i < Tile::thread_rows; ++i) {
          Pack<T, wide<T>> run;
          POE_UNROLL
          for (int l = 0; l < pack; ++l) run.at[l] = sum_[i][j * pack + l];
          f.store_run(row(i / pack) + i % pack, run);
        }
      }
    }

   private:
    /// A thread's packs are as far apart as the packs of all threads are wide.
    __device__ __forceinline__ int row(int i) const { return row_ + i * Tile::threads_down * pack; }
    __device__ __forceinline__ int column(int j) const {
      return column_ + j * Tile::threads_across * pack;
    }

    int row_, column_;
    T sum_[Tile::thread_rows][Tile::thread_columns];
  };
};

/// Adds to `sums` the tile that begins at (first_row, first_column), over slabs of the depth: slab
/// number i begins at depth_of(i), first <= i < last. The memory is shared: two slabs of each
/// factor, and its places.
template <class T, class Tile, class Math, class A, class B, class Sums, class DepthOf>
__device__ __forceinline__ void multiply_tile(const A& a, const B& b, int first_row,
                                              int first_column, int first, int last,
                                              const DepthOf& depth_of, T* slabs_a, T* slabs_b,
                                              Place* places_a, Place* places_b, Sums& sums,
                                              int thread) {
  using SlabA = Slab<T, Tile::rows, A, Math::fragments>;
  using SlabB = Slab<T, Tile::columns, B, Math::fragments>;
  Loader<T, Tile::rows, Tile::threads, A> load_a(a, places_a, first_row, thread);
  Loader<T, Tile::columns, Tile::threads, B> load_b(b, places_b, first_column, thread);
  const auto decode = [&](int i) {
    if (i >= last) return;
    load_a.decode((i - first) % 2, depth_of(i));
    load_b.decode((i - first) % 2, depth_of(i));
  };
  const auto fetch = [&](int i) {
    load_a.fetch((i - first) % 2, depth_of(i));
    load_b.fetch((i - first) % 2, depth_of(i));
  };
  decode(first);
  decode(first + 1);
  __syncthreads();
  if (first < last) {
    fetch(first);
    load_a.template commit<SlabA, Math>(slabs_a);
    load_b.template commit<SlabB, Math>(slabs_b);
  }
  __syncthreads();
  for (int i = first; i < last; ++i) {
    const int now = (i - first) % 2, next = 1 - now;
    const bool more = i + 1 < last;
    if (more) fetch(i + 1);
    decode(i + 2);  // over the table of slab i, which was fetched before the last barrier
    sums.template add<SlabA, SlabB>(slabs_a + now * SlabA::numbers, slabs_b + now * SlabB::numbers);
    if (more) {
      load_a.template commit<SlabA, Math>(slabs_a + next * SlabA::numbers);
      load_b.template commit<SlabB, Math>(slabs_b + next * SlabB::numbers);
    }
    __syncthreads();
  }
}

}  // namespace poe::cuda
