// SPDX-License-Identifier: MIT
// The elementwise passes of ops/elementwise.hpp and ops/functions.hpp, for float and double.
#include "elementwise.cuh"

namespace poe {

#define POE_MAP(F, T)                                                                  \
  template void map_values<F, T>(std::size_t, const T*, T*, Executor<Cuda>&);          \
  template void map_gradient<F, T>(std::size_t, const T*, const T*, const T*, Sink<T>, \
                                   Executor<Cuda>&);
#define POE_ELEMENTWISE(T)                                                             \
  POE_MAP(ReluFunction, T)                                                             \
  POE_MAP(EluFunction, T)                                                              \
  POE_MAP(SigmoidFunction, T)                                                          \
  POE_MAP(SoftplusFunction, T)                                                         \
  template void add_values<T>(std::size_t, const T*, const T*, T*, Executor<Cuda>&);   \
  template void pass_on<T>(std::size_t, const T*, Sink<T>, Executor<Cuda>&);           \
  template void add_number<T>(std::size_t, T, T*, Executor<Cuda>&);                    \
  template void draw_dropout<T>(const DropoutDraw&, std::size_t, T*, Executor<Cuda>&); \
  template void scale_units<T>(int, int, int, const T*, const T*, Sink<T>, Executor<Cuda>&);
POE_ELEMENTWISE(float)
POE_ELEMENTWISE(double)
#undef POE_ELEMENTWISE
#undef POE_MAP

}  // namespace poe
