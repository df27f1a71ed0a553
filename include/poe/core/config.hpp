// SPDX-License-Identifier: MIT
// Compiler annotations: the only file that asks which compiler is running.
#pragma once

#if defined(__CUDACC__)
#define POE_HD __host__ __device__ __forceinline__
#else
/// Marks a function that both back ends call; plain C++ when no CUDA compiler is at work.
#define POE_HD inline
#endif

/// For the few inner loops in which a call would move accumulators out of registers.
#define POE_ALWAYS_INLINE inline __attribute__((always_inline))
#define POE_RESTRICT __restrict__
