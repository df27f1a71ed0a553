// SPDX-License-Identifier: MIT
// The one header that every kernel file includes first: what differs between nvcc and the harness
// that runs the same sources on the CPU (tests/cuda_on_cpu).
//
//   POE_SHARED(float[32][33], tile);     a shared array of the block
//   POE_DYNAMIC_SHARED(float, buffer);   the dynamic shared memory that launch() was asked for
//   POE_UNROLL                           before a loop with constant bounds
//   launch(kernel, grid, block, bytes, stream, arguments...)
//
// Kernels are `static` templates over scalar types, functors and whole numbers. They use the _sync
// intrinsics only and do not return before a barrier.
#pragma once

#include <cstddef>
#include <type_traits>

#include <poe/core/config.hpp>
#include <poe/core/error.hpp>
#include <poe/cuda/runtime.hpp>

#if defined(__CUDACC__)

#include <cuda_runtime.h>

#define POE_UNROLL _Pragma("unroll")
#define POE_SHARED(T, name) __shared__ std::type_identity_t<T> name
#define POE_DYNAMIC_SHARED(T, name)                                 \
  extern __shared__ __align__(16) unsigned char poe_shared_bytes[]; \
  T* const name = reinterpret_cast<T*>(poe_shared_bytes)

namespace poe::cuda {

/// Fails, naming the call, unless it returned cudaSuccess.
inline void check(cudaError_t status, const char* call) {
  if (status == cudaSuccess) return;
  (void)cudaGetLastError();  // or the next check would report it again
  throw Error(std::string("CUDA: ") + call + ": " + cudaGetErrorString(status));
}

inline cudaStream_t native(Stream stream) { return reinterpret_cast<cudaStream_t>(stream); }

/// Puts one kernel into a stream. More than 48 KB of dynamic shared memory are asked for first.
template <class... P, class... A>
void launch(void (*kernel)(P...), dim3 grid, dim3 block, std::size_t shared_bytes, Stream stream,
            A&&... arguments) {
  if (shared_bytes > 48U * 1024U)
    check(cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                               cudaFuncAttributeMaxDynamicSharedMemorySize,
                               static_cast<int>(shared_bytes)),
          "cudaFuncSetAttribute");
  kernel<<<grid, block, shared_bytes, native(stream)>>>(static_cast<P>(arguments)...);
  check(cudaGetLastError(), "kernel launch");
}

}  // namespace poe::cuda

#else
#include <cuda_on_cpu/harness.hpp>
#endif

namespace poe::cuda {

/// Blocks of `size` that cover `n` elements.
template <class N>
constexpr N blocks_for(N n, N size) {
  return (n + size - 1) / size;
}

}  // namespace poe::cuda
