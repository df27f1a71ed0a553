// SPDX-License-Identifier: MIT
// The passes of ops/conv.hpp and ops/columns.hpp, for float and double.
#include "convolution.cuh"

namespace poe {

#define POE_CONVOLUTION(T)                                                                       \
  template void large_to_small<T>(const Window&, const T*, const T*, T*, int,                    \
                                  const detail::Epilogue<T>&, Executor<Cuda>&);                  \
  template void small_to_large<T>(const Window&, const T*, const T*, T*, int,                    \
                                  const detail::Epilogue<T>&, Executor<Cuda>&);                  \
  template void weight_gradient<T>(const Window&, const T*, const T*, T*, int, Executor<Cuda>&); \
  template void mask_and_sum_columns<T>(T*, const T*, T*, std::ptrdiff_t, int, Executor<Cuda>&);
POE_CONVOLUTION(float)
POE_CONVOLUTION(double)
#undef POE_CONVOLUTION

}  // namespace poe
