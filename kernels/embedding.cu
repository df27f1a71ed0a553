// SPDX-License-Identifier: MIT
// The passes of ops/embedding.hpp, for float and double.
#include "embedding.cuh"

namespace poe {

#define POE_EMBEDDING(T)                                                                      \
  template void embed_values<T>(TableShape, int, std::size_t, const T*, const T*, T*,         \
                                std::int32_t*, Executor<Cuda>&);                              \
  template void embed_gradient<T>(TableShape, std::size_t, const std::int32_t*, const T*, T*, \
                                  Executor<Cuda>&);
POE_EMBEDDING(float)
POE_EMBEDDING(double)
#undef POE_EMBEDDING

}  // namespace poe
