// SPDX-License-Identifier: MIT
// The kernels of particles, compiled: their launchers for float and double.
#include "particles.cuh"
#include "particles_rows.cuh"

namespace poe::particles {

#define POE_INSTANTIATE(T)                                                                         \
  template void draw_cloud<T>(const CloudMemory<T>&, const Noise&, Executor<Cuda>&);               \
  template void spread_cloud<T>(const CloudMemory<T>&, const CloudGradients<T>&, Executor<Cuda>&); \
  template void estimate_rows<T>(const EstimateMemory<T>&, Executor<Cuda>&);                       \
  template void link_scales<T>(const RawScales<T>&, T*, Executor<Cuda>&);                          \
  template void link_scales_gradient<T>(const RawScales<T>&, const T*, T*, Executor<Cuda>&);

POE_INSTANTIATE(float)
POE_INSTANTIATE(double)

#undef POE_INSTANTIATE

}  // namespace poe::particles
