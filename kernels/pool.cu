// SPDX-License-Identifier: MIT
// The passes of ops/pool.hpp, for float and double.
#include "pool.cuh"

namespace poe {

#define POE_POOL(T)                                                                          \
  template void max_pool_values<T>(const Window&, int, const T*, T*, int*, Executor<Cuda>&); \
  template void max_pool_gradient<T>(const Window&, int, const int*, const T*, Sink<T>,      \
                                     Executor<Cuda>&);                                       \
  template void pixel_mean<T>(int, int, int, const T*, T*, Executor<Cuda>&);                 \
  template void pixel_mean_gradient<T>(int, int, int, const T*, Sink<T>, Executor<Cuda>&);
POE_POOL(float)
POE_POOL(double)
#undef POE_POOL

}  // namespace poe
