// SPDX-License-Identifier: MIT
// The passes of ops/rearrange.hpp, for float and double.
#include "rearrange.cuh"

namespace poe {

#define POE_REARRANGE(T)                                                                 \
  template void transpose_samples<T>(int, int, int, const T*, Sink<T>, Executor<Cuda>&); \
  template void copy_columns<T>(int, int, Columns<const T>, Columns<T>, bool, Executor<Cuda>&);
POE_REARRANGE(float)
POE_REARRANGE(double)
#undef POE_REARRANGE

}  // namespace poe
