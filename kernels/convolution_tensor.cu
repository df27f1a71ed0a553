// SPDX-License-Identifier: MIT
// The products of the three operations on tensor cores, for every width of their loads. They are
// apart from convolution.cu so that both compile at the same time.
#include "tensor.cuh"

namespace poe::cuda {

#define POE_TENSOR_TILES(...)                                                                      \
  template void launch_tensor_tiles(const __VA_ARGS__&, const Target<float>&, TileKind, Precision, \
                                    Stream);
POE_TENSOR_TILES(LargeToSmall<float, 1, 1>)
POE_TENSOR_TILES(LargeToSmall<float, 1, 4>)
POE_TENSOR_TILES(LargeToSmall<float, 4, 1>)
POE_TENSOR_TILES(LargeToSmall<float, 4, 4>)
POE_TENSOR_TILES(SmallToLarge<float, 1>)
POE_TENSOR_TILES(SmallToLarge<float, 4>)
POE_TENSOR_TILES(WeightGradient<float, 1, 1>)
POE_TENSOR_TILES(WeightGradient<float, 1, 4>)
POE_TENSOR_TILES(WeightGradient<float, 4, 1>)
POE_TENSOR_TILES(WeightGradient<float, 4, 4>)
#undef POE_TENSOR_TILES

}  // namespace poe::cuda
