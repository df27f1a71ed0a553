// SPDX-License-Identifier: MIT
// The matrix instructions of tensor cores, after the tables of the PTX ISA ("Matrix Fragments for
// mma.m16n8k8" with .tf32, "... for mma.m16n8k16 with floating point type" with .bf16).
//
// Products are exact and their sum is rounded once; the ISA leaves order and rounding of the sum
// open, and GPUs are a little less exact.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

#include "block.hpp"
#include "sanitizers.hpp"

namespace poe::harness {

/// cvt.rna.tf32.f32: to nearest, ties away from zero; the low 13 bits become 0.
inline float to_tf32(float x) {
  if (std::isnan(x)) return std::bit_cast<float>(0x7fffe000U);
  return std::bit_cast<float>((std::bit_cast<std::uint32_t>(x) + 0x1000U) & ~0x1fffU);
}

/// One half of cvt.rn.bf16x2.f32: to nearest, ties to even.
inline std::uint32_t to_bf16(float x) {
  if (std::isnan(x)) return 0x7fffU;
  const auto bits = std::bit_cast<std::uint32_t>(x);
  return (bits + 0x7fffU + (bits >> 16U & 1U)) >> 16U;
}
inline std::uint32_t to_bf16_pair(float low, float high) {
  return to_bf16(high) << 16U | to_bf16(low);
}

/// The registers of one lane, by the letters of the ISA: D = A B + C, where C and D are the same.
template <class Register>
struct MatrixRegisters {
  const Register* a;
  const Register* b;
  float* c;
};

/// m16n8k8 with .tf32: one element in a register.
struct ShapeTf32 {
  using Registers = MatrixRegisters<float>;
  static constexpr int k = 8, elements_a = 4, elements_b = 2;
  static int row_a(int group, int i) { return i == 0 || i == 2 ? group : group + 8; }
  static int column_a(int in_group, int i) { return i < 2 ? in_group : in_group + 4; }
  static int row_b(int in_group, int i) { return i == 0 ? in_group : in_group + 4; }
  POE_UNSEEN static double element(const float* registers, int i, const Collective& call) {
    const float x = registers[i];
    if ((std::bit_cast<std::uint32_t>(x) & 0x1fffU) != 0)
      stop(std::string(call.name) + ": a factor that was not rounded to tf32");
    return static_cast<double>(x);
  }
};

/// m16n8k16 with .bf16: two elements in a register, the lower one in its lower half.
struct ShapeBf16 {
  using Registers = MatrixRegisters<std::uint32_t>;
  static constexpr int k = 16, elements_a = 8, elements_b = 4;
  static int row_a(int group, int i) {
    return (0 <= i && i < 2) || (4 <= i && i < 6) ? group : group + 8;
  }
  static int column_a(int in_group, int i) {
    return i < 4 ? in_group * 2 + (i & 1) : in_group * 2 + (i & 1) + 8;
  }
  static int row_b(int in_group, int i) {
    return i < 2 ? in_group * 2 + (i & 1) : in_group * 2 + (i & 1) + 8;
  }
  POE_UNSEEN static double element(const std::uint32_t* registers, int i, const Collective&) {
    const std::uint32_t word = registers[i / 2];
    const std::uint32_t half = i % 2 == 0 ? word & 0xffffU : word >> 16U;
    return static_cast<double>(std::bit_cast<float>(half << 16U));
  }
};

template <class Shape>
POE_UNSEEN void complete_mma(void* const* requests, const Collective& call) {
  double a[16][Shape::k], b[Shape::k][8];
  for (int lane = 0; lane < 32; ++lane) {
    if (!requests[lane]) stop(std::string(call.name) + ": a lane of the warp takes no part");
    const auto& mine = *static_cast<const typename Shape::Registers*>(requests[lane]);
    const int group = lane >> 2, in_group = lane % 4;
    for (int i = 0; i < Shape::elements_a; ++i)
      a[Shape::row_a(group, i)][Shape::column_a(in_group, i)] = Shape::element(mine.a, i, call);
    for (int i = 0; i < Shape::elements_b; ++i)
      b[Shape::row_b(in_group, i)][group] = Shape::element(mine.b, i, call);
  }
  for (int lane = 0; lane < 32; ++lane) {
    const auto& mine = *static_cast<const typename Shape::Registers*>(requests[lane]);
    for (int i = 0; i < 4; ++i) {
      const int row = i < 2 ? lane >> 2 : (lane >> 2) + 8, column = lane % 4 * 2 + (i & 1);
      auto sum = static_cast<double>(mine.c[i]);
      for (int k = 0; k < Shape::k; ++k) sum += a[row][k] * b[k][column];
      mine.c[i] = static_cast<float>(sum);
    }
  }
}

inline void mma_tf32(float (&sum)[4], const float (&a)[4], const float (&b)[2],
                     Where where = Where::here()) {
  ShapeTf32::Registers mine{a, b, sum};
  warp_collective({"mma.m16n8k8.tf32", &complete_mma<ShapeTf32>, false, 0xffffffffU, &mine, where});
}

inline void mma_bf16(float (&sum)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2],
                     Where where = Where::here()) {
  ShapeBf16::Registers mine{a, b, sum};
  warp_collective(
      {"mma.m16n8k16.bf16", &complete_mma<ShapeBf16>, false, 0xffffffffU, &mine, where});
}

}  // namespace poe::harness
