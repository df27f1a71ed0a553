// SPDX-License-Identifier: MIT
// Products on tensor cores: another arithmetic for the tiles of product.cuh, for float. Factors are
// rounded to tf32 on the way into shared memory, where each is loaded from several times, or to
// bf16, for which there is a fast instruction, on the way out; sums stay in float32.
//
// A warp has a tile of 32 columns and some multiple of 32 rows. An instruction multiplies 16 rows
// and 8 columns, and lane 4g + t brings row g and row g + 8, column g, and two (tf32) or four
// (bf16) depths of its own. Which row of the tile is "row g" is for us to choose, and so is the
// depth, as long as both factors agree. Rows 4g .. 4g + 3 of 32 become row g of four halves of
// instructions, columns likewise, and depths 4t .. 4t + 3 of a slab are those of lane t: so every
// load is of 16 bytes, and every store of sums too. The swizzle of a slab (Slab::swizzle, for
// fragments) sends what 8 lanes load at once to all 32 banks.
#pragma once

#include "mma.cuh"
#include "product.cuh"

namespace poe::cuda {

/// Four depths are four words, which are the factors of two instructions.
struct Tf32 {
  using Word = float;
  static constexpr int words = 4;
  __device__ __forceinline__ static float to_slab(float x) { return to_tf32(x); }
  __device__ __forceinline__ static void to_words(const float (&x)[4], Word (&to)[words]) {
    POE_UNROLL
    for (int k = 0; k < 4; ++k) to[k] = x[k];
  }
  __device__ __forceinline__ static void multiply(float (&sum)[4], const Word (&a)[4],
                                                  const Word (&b)[2]) {
    mma_tf32(sum, a, b);
  }
};

/// Four depths become two words, which are the factors of one instruction.
struct Bf16 {
  using Word = std::uint32_t;
  static constexpr int words = 2;
  __device__ __forceinline__ static float to_slab(float x) { return x; }
  __device__ __forceinline__ static void to_words(const float (&x)[4], Word (&to)[words]) {
    to[0] = to_bf16_pair(x[0], x[1]);
    to[1] = to_bf16_pair(x[2], x[3]);
  }
  __device__ __forceinline__ static void multiply(float (&sum)[4], const Word (&a)[4],
                                                  const Word (&b)[2]) {
    mma_bf16(sum, a, b);
  }
};

/// The policy of product_tiles (see FusedMultiplyAdd).
template <class Instruction>
struct TensorCores {
  static constexpr bool fragments = true;
  __device__ __forceinline__ static float to_slab(float x) { return Instruction::to_slab(x); }

  template <class T, class Tile>
  class Sums {
    static_assert(std::is_same_v<T, float> && slab_depth<T> == 16);
    using Word = typename Instruction::Word;
    static constexpr int words = Instruction::words;
    static constexpr int warps_across = Tile::columns / 32;
    static constexpr int warp_rows = Tile::rows * 32 * warps_across / Tile::threads;
    static_assert(Tile::columns % 32 == 0 && warp_rows % 32 == 0);
    /// Four rows or columns, each as the words of its depths.
    using Fragments = Word[4][words];

   public:
    __device__ __forceinline__ explicit Sums(int thread) {
      const int warp = thread / 32, group = thread % 32 / 4;
      depth_ = thread % 4 * 4;
      row_ = warp / warps_across * warp_rows + group * 4;
      first_column_ = warp % warps_across * 32;
      column_ = first_column_ + four_of(group) * 4;
      column_of_sums_[0] = first_column_ + four_of(thread % 4 * 2) * 4;
      column_of_sums_[1] = first_column_ + four_of(thread % 4 * 2 + 1) * 4;
      POE_UNROLL
      for (int i = 0; i < warp_rows / 16; ++i) {
        POE_UNROLL
        for (int j = 0; j < 4; ++j) {
          POE_UNROLL
          for (int l = 0; l < 4; ++l) sum_[i][j][l] = 0;
        }
      }
    }

    /// Adds the product of two slabs.
    template <class SlabA, class SlabB>
    __device__ __forceinline__ void add(const T* a, const T* b) {
      Fragments right;
      load_fragments<SlabB>(b, column_, right);
      POE_UNROLL
      for (int block = 0; block < warp_rows / 32; ++block) {
        Fragments left;
        load_fragments<SlabA>(a, row_ + block * 32, left);
        POE_UNROLL
        for (int w = 0; w < words; w += 2) {
          POE_UNROLL
          for (int i = 0; i < 2; ++i) {
            const Word rows[4] = {left[2 * i][w], left[2 * i + 1][w], left[2 * i][w + 1],
                                  left[2 * i + 1][w + 1]};
            POE_UNROLL
            for (int j = 0; j < 4; ++j)
              Instruction::multiply(sum_[block * 2 + i][j], rows, {right[j][w], right[j][w + 1]});
          }
        }
      }
    }

    /// Tells the sums, 16 bytes at a time (see FusedMultiplyAdd).
    template <class F>
    __device__ __forceinline__ void for_each_run(F& f) const {
      POE_UNROLL
      for (int side = 0; side < 2; ++side) {
        f.begin_columns(column_of_sums_[side]);
        POE_UNROLL
        for (int i = 0; i < warp_rows / 8; ++i) {  // 8 rows: one half of an instruction's
          const Pack<T, 4> run{{sum_[i / 2][0][i % 2 * 2 + side], sum_[i / 2][1][i % 2 * 2 + side],
                                sum_[i / 2][2][i % 2 * 2 + side],
                                sum_[i / 2][3][i % 2 * 2 + side]}};
          f.store_run(row_ + i / 4 * 32 + i % 4, run);
        }
      }
    }

   private:
    /// Which four of 32 neighbouring columns are column j of the four instructions. Of the sums,
    /// lane t has columns 2t and 2t + 1. Here two neighbouring lanes have neighbouring fours, so
    /// that they store whole sectors, and columns 2t and 2t + 1 differ by an odd number of fours,
    /// as the swizzle needs: 0 3 1 2 4 7 5 6.
    __device__ __forceinline__ static int four_of(int j) {
      return (j & 4) + j % 2 * 2 + (j / 2 + j) % 2;
    }

    /// Loads depths depth_ .. depth_ + 3 of the rows i .. i + 3 of a slab.
    template <class Slab>
    __device__ __forceinline__ void load_fragments(const T* slab, int i, Fragments& to) const {
      Pack<T, 4> depths[4];
      POE_UNROLL
      for (int k = 0; k < 4; ++k) depths[k] = load<4>(slab + Slab::at(depth_ + k, i));
      POE_UNROLL
      for (int j = 0; j < 4; ++j) {
        const float row[4] = {depths[0].at[j], depths[1].at[j], depths[2].at[j], depths[3].at[j]};
        Instruction::to_words(row, to[j]);
      }
    }

    int depth_, row_, column_, first_column_, column_of_sums_[2];
    float sum_[warp_rows / 16][4][4];
  };
};

/// The large tiles of Tiles<float>; fragments take some more registers.
struct TensorTiles {
  using Wide = Tile<128, 64, 8, 8, 2>;
  using Square = Tile<64, 64, 8, 4, 3>;
};

template <class Problem>
void launch_tensor_tiles(const Problem& problem, const Target<float>& target, TileKind tile,
                         Precision precision, Stream stream) {
  const auto go = [&]<class Math>(Math) {
    if (tile == TileKind::wide)
      launch_tiles<float, TensorTiles::Wide, Math>(problem, target, stream);
    else
      launch_tiles<float, TensorTiles::Square, Math>(problem, target, stream);
  };
  if (precision == Precision::tf32)
    go(TensorCores<Tf32>{});
  else
    go(TensorCores<Bf16>{});
}

}  // namespace poe::cuda
