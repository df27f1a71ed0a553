// SPDX-License-Identifier: MIT
// The passes of ops/batch_norm.hpp, for float and double.
#include "batch_norm.cuh"

namespace poe {

#define POE_BATCH_NORM(T)                                                                       \
  template double batch_statistics<T>(const BatchNormMemory<T>&, BatchNormOptions, BatchShare,  \
                                      Executor<Cuda>&);                                         \
  template void use_running_statistics<T>(const BatchNormMemory<T>&, BatchNormOptions,          \
                                          Executor<Cuda>&);                                     \
  template void normalise<T>(const BatchNormMemory<T>&, T*, Executor<Cuda>&);                   \
  template void batch_norm_gradient<T>(const BatchNormMemory<T>&, double, BatchShare, const T*, \
                                       T*, T*, Sink<T>, Executor<Cuda>&);
POE_BATCH_NORM(float)
POE_BATCH_NORM(double)
#undef POE_BATCH_NORM

}  // namespace poe
