// SPDX-License-Identifier: MIT
// The instructions of tensor cores (kernels/mma.cuh) by themselves: rounding, and products of
// matrices that lie in registers as in the figures of the PTX ISA.
#include <mma.cuh>

#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "../support.hpp"

using namespace poe;
using namespace poe::cuda;

namespace {

/// Device memory for n floats.
class Device {
 public:
  explicit Device(const std::vector<float>& values) : size_(values.size()) {
    data_ = static_cast<float*>(allocate(size_ * sizeof(float)));
    upload(data_, values.data(), size_ * sizeof(float), nullptr);
  }
  ~Device() { release(data_); }
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;
  float* data() { return data_; }
  std::vector<float> read() const {
    std::vector<float> values(size_);
    download(values.data(), data_, size_ * sizeof(float), nullptr);
    return values;
  }

 private:
  float* data_ = nullptr;
  std::size_t size_;
};

/// c (16 x 8) += a (16 x Depth) b (Depth x 8), all row-major. A figure shows a matrix as quarters
/// of 8 rows (or columns) by half of the depth. In each, lane l is at row l / 4 and has the (l %
/// 4)th share of the depth.
template <int Depth>
static __global__ void one_product(const float* a, const float* b, float* c) {
  const int line = static_cast<int>(threadIdx.x) / 4, share = static_cast<int>(threadIdx.x) % 4;
  constexpr int each = Depth / 8;  // numbers of a share: in one register
  std::conditional_t<each == 1, float, std::uint32_t> left[4], right[2];
  for (int quarter = 0; quarter < 4; ++quarter) {
    const float* const x =
        a + (line + quarter % 2 * 8) * Depth + quarter / 2 * (Depth / 2) + share * each;
    if constexpr (each == 1)
      left[quarter] = to_tf32(x[0]);
    else
      left[quarter] = to_bf16_pair(x[0], x[1]);
  }
  for (int half = 0; half < 2; ++half) {
    const float* const x = b + (half * (Depth / 2) + share * each) * 8 + line;
    if constexpr (each == 1)
      right[half] = to_tf32(x[0]);
    else
      right[half] = to_bf16_pair(x[0], x[8]);
  }
  float sum[4];
  float* const rows[2] = {c + line * 8 + share * 2, c + (line + 8) * 8 + share * 2};
  for (int i = 0; i < 4; ++i) sum[i] = rows[i / 2][i % 2];
  if constexpr (each == 1)
    mma_tf32(sum, left, right);
  else
    mma_bf16(sum, left, right);
  for (int i = 0; i < 4; ++i) rows[i / 2][i % 2] = sum[i];
}

/// A number that was not rounded, or a warp that is not complete.
static __global__ void wrong_use(float* c, int lanes) {
  if (static_cast<int>(threadIdx.x) >= lanes) return;
  const float exact = 1.0F + std::ldexp(1.0F, -20);
  const float x = lanes == 32 ? exact : to_tf32(exact);
  float sum[4] = {};
  mma_tf32(sum, {x, x, x, x}, {x, x});
  c[threadIdx.x] = sum[0];
}

/// Both halves of a pair, of which the other one is 3.
std::array<float, 2> bf16(float x) {
  const std::uint32_t as_low = to_bf16_pair(x, 3), as_high = to_bf16_pair(3, x);
  CHECK(as_low >> 16U == 0x4040U);
  CHECK((as_high & 0xffffU) == 0x4040U);
  return {std::bit_cast<float>(as_low << 16U), std::bit_cast<float>(as_high & 0xffff0000U)};
}

/// Whole numbers, as many in each direction as there are places: every element is another one.
template <int Depth>
void check_one_product(float scale) {
  std::vector<float> a(16 * Depth), b(Depth * 8), c(16 * 8);
  for (std::size_t i = 0; i < a.size(); ++i) a[i] = scale * static_cast<float>(i * 37 % 251);
  for (std::size_t i = 0; i < b.size(); ++i) b[i] = static_cast<float>(i * 53 % 127) - 60;
  for (std::size_t i = 0; i < c.size(); ++i) c[i] = scale * static_cast<float>(i);
  std::vector<float> want = c;
  for (int i = 0; i < 16; ++i)
    for (int j = 0; j < 8; ++j) {
      double sum = 0;
      for (int k = 0; k < Depth; ++k)
        sum += double{a[static_cast<std::size_t>(i * Depth + k)]} *
               double{b[static_cast<std::size_t>(k * 8 + j)]};
      want[static_cast<std::size_t>(i * 8 + j)] += static_cast<float>(sum);  // exact
    }
  Device left(a), right(b), sums(c);
  launch(one_product<Depth>, dim3(1), dim3(32), 0, nullptr, left.data(), right.data(), sums.data());
  CHECK(sums.read() == want);
}

}  // namespace

TEST_CASE("tf32 has 10 bits after the point, and ties go away from zero") {
  const float inf = std::numeric_limits<float>::infinity();
  const auto power = [](int e) { return std::ldexp(1.0F, e); };
  CHECK(to_tf32(0.0F) == 0.0F);
  CHECK(to_tf32(1 + power(-10)) == 1 + power(-10));
  CHECK(to_tf32(1 + power(-11)) == 1 + power(-10));
  CHECK(to_tf32(-1 - power(-11)) == -1 - power(-10));
  CHECK(to_tf32(1 + power(-11) - power(-23)) == 1.0F);
  CHECK(to_tf32(1 + 3 * power(-11)) == 1 + 2 * power(-10));
  CHECK(to_tf32(2 - power(-23)) == 2.0F);
  CHECK(to_tf32(power(-140)) == 0.0F);
  CHECK(to_tf32(power(-136)) == power(-136));
  CHECK(to_tf32(std::numeric_limits<float>::max()) == inf);
  CHECK(to_tf32(-inf) == -inf);
  CHECK(std::isnan(to_tf32(std::numeric_limits<float>::quiet_NaN())));
}

TEST_CASE("bf16 has 7 bits after the point, and ties go to even") {
  const float inf = std::numeric_limits<float>::infinity();
  const auto power = [](int e) { return std::ldexp(1.0F, e); };
  const auto check = [](float x, float want) {
    INFO(x);
    CHECK(bf16(x) == std::array{want, want});
  };
  check(0, 0);
  check(1 + power(-7), 1 + power(-7));
  check(1 + power(-8), 1);
  check(-1 - power(-8), -1);
  check(1 + 3 * power(-8), 1 + power(-6));
  check(1 + power(-8) + power(-23), 1 + power(-7));
  check(std::numeric_limits<float>::max(), inf);
  check(-inf, -inf);
  CHECK(std::isnan(bf16(std::numeric_limits<float>::quiet_NaN())[0]));
}

TEST_CASE("one instruction multiplies 16 x 8 by 8 x 8 in tf32, 16 x 16 by 16 x 8 in bf16") {
  for (const float scale : {1.0F, 0.5F, -2.0F}) {
    check_one_product<8>(scale);
    check_one_product<16>(scale);
  }
}

TEST_CASE("a factor that was not rounded, and a warp that is not complete, are errors") {
  Device c(std::vector<float>(32, 0.0F));
  CHECK_THROWS_WITH(launch(wrong_use, dim3(1), dim3(32), 0, nullptr, c.data(), 32),
                    Catch::Contains("mma.m16n8k8.tf32") && Catch::Contains("not rounded"));
  CHECK_THROWS_WITH(launch(wrong_use, dim3(1), dim3(32), 0, nullptr, c.data(), 31),
                    Catch::Contains("a lane of the warp takes no part"));
}
