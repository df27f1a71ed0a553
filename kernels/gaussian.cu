// SPDX-License-Identifier: MIT
// The Gaussian kernels, compiled: their launchers for float and double.
#include "gaussian.cuh"
#include "gaussian_single.cuh"

namespace poe::gaussian {

#define POE_INSTANTIATE(T)                                                                        \
  template void fuse_values<T>(const Plan&, const FusionMemory<T>&, const Random&, int,           \
                               Executor<Cuda>&);                                                  \
  template void fuse_gradients<T>(const Plan&, const FusionMemory<T>&, const FusionGradients<T>&, \
                                  Executor<Cuda>&);                                               \
  template void to_log_precision<T>(const T*, int, int, ScaleLink, T*, Executor<Cuda>&);          \
  template void to_log_precision_gradient<T>(const T*, const T*, int, int, ScaleLink, T*,         \
                                             Executor<Cuda>&);                                    \
  template void product<T>(std::span<const T* const>, const std::uint8_t*, bool, int, int, T*,    \
                           Executor<Cuda>&);                                                      \
  template void product_gradient<T>(std::span<const T* const>, const std::uint8_t*, const T*,     \
                                    const T*, int, int, std::span<T* const>, Executor<Cuda>&);    \
  template void divergence_rows<T>(const T*, const T*, int, int, T*, Executor<Cuda>&);            \
  template void divergence_rows_gradient<T>(const T*, const T*, const T*, int, int, T*, T*,       \
                                            Executor<Cuda>&);                                     \
  template void sample<T>(const T*, const Random&, int, int, int, T*, Executor<Cuda>&);           \
  template void sample_gradient<T>(const T*, const T*, const T*, int, int, T*, Executor<Cuda>&);  \
  template void log_mean_exp<T>(const T*, int, int, T*, Executor<Cuda>&);                         \
  template void log_mean_exp_gradient<T>(const T*, const T*, const T*, int, int, T*,              \
                                         Executor<Cuda>&);

POE_INSTANTIATE(float)
POE_INSTANTIATE(double)

#undef POE_INSTANTIATE

}  // namespace poe::gaussian
