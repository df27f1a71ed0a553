// SPDX-License-Identifier: MIT
// The instructions of tensor cores, of compute capability 8.0 and later. A warp multiplies
// together: every lane brings some numbers of each matrix, as the PTX ISA has it ("Matrix
// Fragments").
#pragma once

#include "launch.cuh"

#include <cstdint>

#if !defined(__CUDACC__)
#include <cuda_on_cpu/mma.hpp>
#endif

namespace poe::cuda {

/// x with 10 bits after the point, rounded to nearest, ties away from zero; only for mma_tf32(),
/// because a GPU may leave any bits behind those.
__device__ __forceinline__ float to_tf32(float x) {
#if defined(__CUDACC__)
  std::uint32_t word;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(word) : "f"(x));
  return __uint_as_float(word);
#else
  return harness::to_tf32(x);
#endif
}

/// Two numbers with 7 bits after the point, rounded to nearest, ties to even; `low` comes first.
__device__ __forceinline__ std::uint32_t to_bf16_pair(float low, float high) {
#if defined(__CUDACC__)
  std::uint32_t word;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(high), "f"(low));
  return word;
#else
  return harness::to_bf16_pair(low, high);
#endif
}

/// sum (16 x 8) += a (16 x 8) b (8 x 8), of numbers that to_tf32() rounded.
__device__ __forceinline__ void mma_tf32(float (&sum)[4], const float (&a)[4],
                                         const float (&b)[2]) {
#if defined(__CUDACC__)
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(__float_as_uint(a[0])), "r"(__float_as_uint(a[1])), "r"(__float_as_uint(a[2])),
        "r"(__float_as_uint(a[3])), "r"(__float_as_uint(b[0])), "r"(__float_as_uint(b[1])));
#else
  harness::mma_tf32(sum, a, b);
#endif
}

/// sum (16 x 8) += a (16 x 16) b (16 x 8), of pairs that to_bf16_pair() rounded.
__device__ __forceinline__ void mma_bf16(float (&sum)[4], const std::uint32_t (&a)[4],
                                         const std::uint32_t (&b)[2]) {
#if defined(__CUDACC__)
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  harness::mma_bf16(sum, a, b);
#endif
}

}  // namespace poe::cuda
