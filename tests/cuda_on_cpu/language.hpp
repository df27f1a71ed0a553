// SPDX-License-Identifier: MIT
// CUDA's keywords, vector types and built-in variables for a plain C++ compiler.
//
// __shared__ is missing on purpose: only POE_SHARED gives each block its own array.
#pragma once

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __grid_constant__
#define __align__(n) __attribute__((aligned(n)))

// clang-format off
// A whole vector is loaded and stored at once, so it is aligned to its size, as in CUDA;
// UndefinedBehaviorSanitizer finds a pointer that is not.
#define POE_HARNESS_VECTOR2(name, T)         \
  struct alignas(2 * sizeof(T)) name {       \
    T x, y;                                  \
  };                                         \
  constexpr name make_##name(T x, T y) {     \
    return {x, y};                           \
  }
#define POE_HARNESS_VECTOR4(name, T)                   \
  struct alignas(4 * sizeof(T)) name {                 \
    T x, y, z, w;                                      \
  };                                                   \
  constexpr name make_##name(T x, T y, T z, T w) {     \
    return {x, y, z, w};                               \
  }

POE_HARNESS_VECTOR2(float2, float)
POE_HARNESS_VECTOR2(double2, double)
POE_HARNESS_VECTOR2(int2, int)
POE_HARNESS_VECTOR2(uint2, unsigned)
POE_HARNESS_VECTOR2(longlong2, long long)
POE_HARNESS_VECTOR2(ulonglong2, unsigned long long)
POE_HARNESS_VECTOR4(float4, float)
POE_HARNESS_VECTOR4(int4, int)
POE_HARNESS_VECTOR4(uint4, unsigned)
POE_HARNESS_VECTOR4(uchar4, unsigned char)

// clang-format on
#undef POE_HARNESS_VECTOR2
#undef POE_HARNESS_VECTOR4

struct float3 {
  float x, y, z;
};
struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned nx = 1, unsigned ny = 1, unsigned nz = 1) : x(nx), y(ny), z(nz) {}
};

constexpr float3 make_float3(float x, float y, float z) { return {x, y, z}; }

// One CUDA thread runs at a time, so its coordinates are plain variables.
inline uint3 threadIdx{}, blockIdx{};
inline dim3 blockDim, gridDim;
inline constexpr int warpSize = 32;
