// SPDX-License-Identifier: MIT
// Matrix products on the GPU: the kernel, the choice of a tile, and the split of the depth.
//
// Sums are taken in the order of the depth; where the depth is split over blocks, the parts are
// added in order by a second kernel. The plan depends on the sizes and on the device only: the same
// input gives the same bytes.
#pragma once

#include "columns.cuh"
#include "window.cuh"

namespace poe::cuda {

/// Where a product goes, and how its tiles are dealt to blocks.
template <class T>
struct Target {
  T* data;
  detail::Epilogue<T> epilogue;
  int bias_count;              // column j takes bias j % bias_count
  std::ptrdiff_t part_stride;  // numbers between the results of two parts of the depth
  bool in_packs;               // rows can be stored 16 bytes at a time
  int row_tiles, column_tiles, classes, parts;
};

/// Receives the sums of a thread (see Sums::for_each_run) and stores them.
template <class T, class Destination>
struct Writer {
  const Target<T>& target;
  const Destination& to;
  T* data;
  int first_row, first_column, rows, columns;
  int column = 0;
  Pack<T, wide<T>> bias = {};

  __device__ __forceinline__ void begin_columns(int j) {
    column = first_column + j;
    if (target.epilogue.bias == nullptr) return;
    POE_UNROLL
    for (int k = 0; k < wide<T>; ++k)
      if (column + k < columns) bias.at[k] = target.epilogue.bias[(column + k) % target.bias_count];
  }
  __device__ __forceinline__ void store_run(int i, Pack<T, wide<T>> sums) const {
    const int row = first_row + i;
    if (row >= rows || column >= columns) return;
    T* const out = data + to(row) + column;
    if (target.in_packs) {
      const auto old = target.epilogue.accumulate ? load<wide<T>>(out) : Pack<T, wide<T>>{};
      POE_UNROLL
      for (int k = 0; k < wide<T>; ++k)
        sums.at[k] = finish(sums.at[k], bias.at[k], old.at[k], target.epilogue);
      store(out, sums);
    } else {
      POE_UNROLL
      for (int k = 0; k < wide<T>; ++k)
        if (column + k < columns)
          out[k] = finish(sums.at[k], bias.at[k], target.epilogue.accumulate ? out[k] : T(0),
                          target.epilogue);
    }
  }
};

/// Depth at which the slabs of a tile begin: in order, or those of the listed taps.
template <class T>
struct SlabStart {
  const int* listed;
  const DepthOrder& order;
  __device__ __forceinline__ int operator()(int slab) const {
    if (order.taps == 0) return slab * slab_depth<T>;
    const int i = order.tap_slabs(slab);
    return listed[i] * order.tap_depth + (slab - i * order.tap_slabs.value) * slab_depth<T>;
  }
};

/// The first warp lists the taps that are inside the image for any of the rows first .. last; their
/// number comes after the list.
template <class P>
__device__ __forceinline__ void list_live_taps(const P& product, int first, int last, int* listed,
                                               int lane) {
  bool live = false;
  if (lane < product.order.taps) {
    const Place tap = product.a.depth(lane * product.order.tap_depth);
    for (int row = first; row < last; row += product.order.samples)
      live = live || product.a.at(product.a.across(row), tap) != nullptr;
    live = live || product.a.at(product.a.across(last), tap) != nullptr;
  }
  const unsigned all = __ballot_sync(all_lanes, live);
  if (live) listed[__popc(all & ((1U << lane) - 1U))] = lane;
  if (lane == 0) listed[most_listed_taps] = __popc(all);
}

/// One block: one tile of one class, over one part of the depth.
template <class T, class Tile, class Math, class Problem>
static __global__ void __launch_bounds__(Tile::threads, Tile::resident - Problem::fewer_resident)
    product_tiles(Problem problem, Target<T> target) {
  using A = typename Problem::A;
  using B = typename Problem::B;
  using SlabA = Slab<T, Tile::rows, A, Math::fragments>;
  using SlabB = Slab<T, Tile::columns, B, Math::fragments>;
  // Names, because nvcc takes the quotients themselves for variables.
  constexpr int packs_a = 2 * SlabA::numbers / wide<T>, packs_b = 2 * SlabB::numbers / wide<T>;
  using MemoryA = Pack<T, wide<T>>[packs_a];
  using MemoryB = Pack<T, wide<T>>[packs_b];
  using PlacesA = Place[Loader<T, Tile::rows, Tile::threads, A>::shared_places];
  using PlacesB = Place[Loader<T, Tile::columns, Tile::threads, B>::shared_places];
  POE_SHARED(MemoryA, slabs_a);
  POE_SHARED(MemoryB, slabs_b);
  POE_SHARED(PlacesA, places_a);
  POE_SHARED(PlacesB, places_b);
  POE_SHARED(int[most_listed_taps + 1], taps);

  const int thread = static_cast<int>(threadIdx.x);
  int block = static_cast<int>(blockIdx.x);
  const int row_tile = block % target.row_tiles;
  block /= target.row_tiles;
  const int column_tile = block % target.column_tiles;
  block /= target.column_tiles;
  const int part = block / target.classes;

  const auto& product = problem.of_class(block - part * target.classes);
  const int first_row = row_tile * Tile::rows, first_column = column_tile * Tile::columns;
  // Classes have a few more or fewer rows and taps: for some, nothing may be left to do here.
  int slabs = first_row < product.rows ? (product.depth + slab_depth<T> - 1) / slab_depth<T> : 0;
  if constexpr (Problem::lists_taps) {
    if (product.order.taps > 0 && slabs > 0) {
      if (thread < 32)
        list_live_taps(product, first_row, min(first_row + Tile::rows, product.rows) - 1, taps,
                       thread);
      __syncthreads();
      slabs = taps[most_listed_taps] * product.order.tap_slabs.value;
    }
  }
  const int share = (slabs + target.parts - 1) / target.parts;
  const int first = min(part * share, slabs), last = min(first + share, slabs);

  typename Math::template Sums<T, Tile> sums(thread);
  multiply_tile<T, Tile, Math>(product.a, product.b, first_row, first_column, first, last,
                               SlabStart<T>{taps, product.order}, reinterpret_cast<T*>(slabs_a),
                               reinterpret_cast<T*>(slabs_b), places_a, places_b, sums, thread);
  Writer<T, std::remove_cvref_t<decltype(product.to)>> writer{
      target,         product.to,   target.data + part * target.part_stride,
      first_row,      first_column, product.rows,
      product.columns};
  sums.for_each_run(writer);
}

/// The tiles, from many sums per number loaded to few. `resident` is the number of blocks of a
/// multiprocessor that the compiler leaves registers for.
template <class T>
struct Tiles {
  using Wide = Tile<128, 64, 8, 8, 2>;    // large layers
  using Square = Tile<64, 64, 8, 4, 4>;   // most layers of a batch of some hundred rows
  using Narrow = Tile<128, 32, 8, 4, 3>;  // up to 32 channels or filters
  using Small = Tile<32, 32, 4, 4, 8>;    // few rows, few columns: linear layers, first weights
};
/// Double is for tests of gradients: one tile is enough.
template <>
struct Tiles<double> {
  using Square = Tile<64, 64, 8, 4, 2>;
};

enum class TileKind { wide, square, narrow, small };

struct Plan {
  TileKind tile = TileKind::square;
  int parts = 1;
};

/// The plan with the least estimated time. The estimate, in cycles of one multiprocessor, knows
/// four things. (1) A multiprocessor does 128 multiply-adds a cycle, of which a tile reaches a
/// share that falls with the multiply-adds per 16-byte load of shared memory (16, 10.7, 10.7, 8):
/// these shares are estimates, to be replaced when measured. (2) Below 8 warps it waits for
/// latencies. (3) Filling the pipeline and storing the tile cost a block about as much as two
/// slabs. (4) Parts are written and read once more, some 24 bytes a cycle and multiprocessor, by
/// one more kernel.
/// Tensor cores have the two large tiles, which they fill so many times as fast (estimates again,
/// below what the instructions allow: shared memory is the limit).
template <class T>
Plan choose_plan(std::ptrdiff_t rows, int columns, int depth, int classes, Precision precision) {
  struct Option {
    TileKind kind;
    int rows, columns, warps;
    double share;
  };
  constexpr Option options[] = {{TileKind::wide, 128, 64, 4, 0.8},
                                {TileKind::square, 64, 64, 4, 0.7},
                                {TileKind::narrow, 128, 32, 4, 0.65},
                                {TileKind::small, 32, 32, 2, 0.5}};
  constexpr int slab = slab_depth<T>;
  constexpr int least_depth = 4 * slab;  // of a part
  const bool tensor = std::is_same_v<T, float> && precision != Precision::float32;
  const double gain = !tensor ? 1 : precision == Precision::tf32 ? 3 : 4;
  const int processors = device_info().multiprocessors;
  const double numbers = static_cast<double>(rows) * classes * columns;
  Plan best;
  double best_time = 0;
  for (const Option& o : options) {
    if (!std::is_same_v<T, float> && o.kind != TileKind::square) continue;
    if (tensor && o.kind != TileKind::wide && o.kind != TileKind::square) continue;
    const std::ptrdiff_t tiles =
        blocks_for<std::ptrdiff_t>(rows, o.rows) * blocks_for(columns, o.columns) * classes;
    int before = 0;
    for (int load = 1; load <= 8; ++load) {  // blocks of a multiprocessor
      const auto wanted = std::max<std::ptrdiff_t>(load * processors / tiles, 1);
      const int most = std::max(depth / least_depth, 1);
      const int part_depth =
          blocks_for(blocks_for(depth, static_cast<int>(std::min<std::ptrdiff_t>(wanted, most))),
                     slab) *
          slab;
      const int parts = std::max(blocks_for(depth, std::max(part_depth, 1)), 1);
      if (parts == before) continue;
      before = parts;
      const auto rounds =
          static_cast<double>(blocks_for<std::ptrdiff_t>(tiles * parts, processors));
      const double busy = std::min(1.0, rounds * o.warps / 8);
      const double rate = 128 * o.share * gain * busy;
      double time = rounds * o.rows * o.columns * (part_depth + 2 * slab) / rate;
      if (parts > 1) time += 3000 + 2 * parts * numbers * sizeof(T) / (24.0 * processors);
      if (best_time == 0 || time < best_time) {
        best_time = time;
        best = {o.kind, parts};
      }
    }
  }
  return best;
}

template <class T, class Tile, class Math, class Problem>
void launch_tiles(const Problem& problem, Target<T> target, Stream stream) {
  target.row_tiles = blocks_for(problem.most_rows(), Tile::rows);
  target.column_tiles = blocks_for(problem.columns(), Tile::columns);
  const int blocks = target.row_tiles * target.column_tiles * target.classes * target.parts;
  launch(product_tiles<T, Tile, Math, Problem>, dim3(static_cast<unsigned>(blocks)),
         dim3(Tile::threads), 0, stream, problem, target);
}

/// The same on tensor cores; defined in tensor.cuh, which convolution_tensor.cu compiles.
template <class Problem>
void launch_tensor_tiles(const Problem& problem, const Target<float>& target, TileKind tile,
                         Precision precision, Stream stream);

/// to <- epilogue(product); `numbers` is the size of the destination, `bias_count` that of the
/// bias.
template <class T, class Problem>
void multiply(const Problem& problem, T* to, std::ptrdiff_t numbers,
              const detail::Epilogue<T>& epilogue, int bias_count, Executor<Cuda>& on) {
  const Precision precision = on.engines.precision;
  const Plan plan = choose_plan<T>(problem.most_rows(), problem.columns(), problem.typical_depth,
                                   problem.classes, precision);
  Scratch<Cuda> scratch(on.scratch());
  Target<T> target{to, epilogue, bias_count, 0, false, 0, 0, problem.classes, plan.parts};
  if (plan.parts > 1) {
    target.data = scratch.take<T>(static_cast<std::size_t>(numbers * plan.parts));
    target.part_stride = numbers;
    target.epilogue = {};
  }
  target.in_packs =
      problem.columns() % wide<T> == 0 && aligned(target.data) && numbers % wide<T> == 0;
  const auto go = [&]<class Tile>(Tile) {
    launch_tiles<T, Tile, FusedMultiplyAdd>(problem, target, on.stream());
  };
  if constexpr (std::is_same_v<T, float>) {
    if (precision != Precision::float32)
      launch_tensor_tiles(problem, target, plan.tile, precision, on.stream());
    else if (plan.tile == TileKind::wide)
      go(typename Tiles<T>::Wide{});
    else if (plan.tile == TileKind::narrow)
      go(typename Tiles<T>::Narrow{});
    else if (plan.tile == TileKind::small)
      go(typename Tiles<T>::Small{});
    else
      go(typename Tiles<T>::Square{});
  } else {
    go(typename Tiles<T>::Square{});
  }
  if (plan.parts > 1)
    launch_add_parts(target.data, plan.parts, static_cast<std::size_t>(numbers), bias_count, to,
                     epilogue, on.stream());
}

}  // namespace poe::cuda
