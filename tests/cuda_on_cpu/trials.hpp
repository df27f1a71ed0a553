// SPDX-License-Identifier: MIT
// One trial per kernel of mutants.cuh: runs it on the harness and compares with plain C++ in
// double.
#pragma once

#include <cmath>
#include <initializer_list>
#include <span>
#include <vector>

#include "mutants.cuh"

namespace poe::harness {

/// Device memory with values, released at the end of the scope.
template <class T>
class OnDevice {
 public:
  OnDevice(std::span<const T> values, cuda::Stream stream)
      : memory_(static_cast<T*>(cuda::allocate(values.size_bytes()))), size_(values.size()) {
    cuda::upload(memory_, values.data(), values.size_bytes(), stream);
  }
  /// Not initialised.
  explicit OnDevice(std::size_t size)
      : memory_(static_cast<T*>(cuda::allocate(size * sizeof(T)))), size_(size) {}
  ~OnDevice() { cuda::release(memory_); }
  OnDevice(const OnDevice&) = delete;
  OnDevice& operator=(const OnDevice&) = delete;

  T* data() const { return memory_; }
  std::vector<T> values(cuda::Stream stream) const {
    std::vector<T> result(size_);
    cuda::download(result.data(), memory_, size_ * sizeof(T), stream);
    return result;
  }

 private:
  T* memory_;
  std::size_t size_;
};

struct OwnStream {
  cuda::Stream stream = cuda::create_stream();
  OwnStream() = default;
  ~OwnStream() { cuda::destroy(stream); }
  OwnStream(const OwnStream&) = delete;
  OwnStream& operator=(const OwnStream&) = delete;
  operator cuda::Stream() const { return stream; }
};

/// Runs a kernel over an array of n words, first filled with NaN, and returns it.
template <class T, class... P, class... A>
std::vector<T> run_kernel(void (*kernel)(T*, P...), dim3 grid, dim3 block, std::size_t n,
                          A... arguments) {
  const OwnStream stream;
  const OnDevice<T> memory(n);
  cuda::launch(kernel, grid, block, 0, stream, memory.data(), arguments...);
  return memory.values(stream);
}

/// Numbers in (0, 1), the same for the same seed.
inline std::vector<float> numbers(std::size_t n, unsigned seed) {
  std::vector<float> x(n);
  for (float& value : x) {
    seed = seed * 1664525U + 1013904223U;
    value = static_cast<float>((seed >> 8U) + 1U) / 16777218.0F;
  }
  return x;
}

/// Every |got - want| <= 1e-5 (1 + |want|); NaN is never close.
inline bool close(std::span<const float> got, std::span<const double> want) {
  if (got.size() != want.size()) return false;
  for (std::size_t i = 0; i < got.size(); ++i)
    if (!(std::abs(got[i] - want[i]) <= 1e-5 * (1 + std::abs(want[i])))) return false;
  return true;
}

template <Bug bug = Bug::none>
bool try_product(int m = 13, int n = 18, int k = 21) {
  const auto rows = static_cast<std::size_t>(m), columns = static_cast<std::size_t>(n),
             inner = static_cast<std::size_t>(k);
  const auto a = numbers(rows * inner, 1), b = numbers(inner * columns, 2);
  std::vector<double> want(rows * columns);
  for (std::size_t i = 0; i < rows; ++i)
    for (std::size_t p = 0; p < inner; ++p)
      for (std::size_t j = 0; j < columns; ++j)
        want[i * columns + j] += static_cast<double>(a[i * inner + p]) * b[p * columns + j];
  const OwnStream stream;
  const OnDevice<float> da(a, stream), db(b, stream), dc(want.size());
  cuda::launch(product<bug>,
               dim3(static_cast<unsigned>(n + 7) / 8, static_cast<unsigned>(m + 7) / 8), dim3(8, 8),
               0, stream, da.data(), db.data(), dc.data(), m, n, k);
  return close(dc.values(stream), want);
}

template <Bug bug = Bug::none>
bool try_block_sum(std::size_t rows = 3, std::size_t columns = 100) {
  const auto x = numbers(rows * columns, 3);
  std::vector<double> want(rows);
  for (std::size_t i = 0; i < x.size(); ++i) want[i / columns] += x[i];
  const OwnStream stream;
  const OnDevice<float> dx(x, stream), out(rows);
  cuda::launch(block_sum<bug>, dim3(static_cast<unsigned>(rows)), dim3(128), 0, stream, dx.data(),
               out.data(), columns);
  return close(out.values(stream), want);
}

template <Bug bug = Bug::none>
bool try_softmax(std::size_t rows = 2, std::size_t columns = 150) {
  const auto x = numbers(rows * columns, 4);
  std::vector<double> total(rows), want(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) total[i / columns] += std::exp(double{x[i]});
  for (std::size_t i = 0; i < x.size(); ++i) want[i] = std::exp(double{x[i]}) / total[i / columns];
  const OwnStream stream;
  const OnDevice<float> dx(x, stream), out(x.size());
  const std::size_t floats = bug == Bug::dynamic_shared_too_small ? columns : columns + 1;
  cuda::launch(softmax<bug>, dim3(static_cast<unsigned>(rows)), dim3(64), floats * sizeof(float),
               stream, dx.data(), out.data(), columns);
  return close(out.values(stream), want);
}

template <Bug bug = Bug::none>
bool try_scale_rows() {
  const auto x = numbers(128, 5);
  std::vector<double> want(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) want[i] = double{x[i]} / x[i / 32 * 32];
  const OwnStream stream;
  const OnDevice<float> dx(x, stream), out(x.size());
  cuda::launch(scale_rows<bug>, dim3(2), dim3(64), 0, stream, dx.data(), out.data());
  return close(out.values(stream), want);
}

template <Bug bug = Bug::none>
bool try_axpy(std::size_t n = 203) {
  const std::size_t first = bug == Bug::misaligned ? 1 : 0;
  const auto x = numbers(n + first, 6), y = numbers(n, 7);
  std::vector<double> want(n);
  for (std::size_t i = 0; i < n; ++i) want[i] = y[i] + 0.5 * x[first + i];
  const OwnStream stream;
  const OnDevice<float> dx(x, stream), dy(y, stream);
  cuda::launch(axpy<bug>, dim3(2), dim3(32), 0, stream, dx.data() + first, dy.data(), 0.5F, n);
  return close(dy.values(stream), want);
}

template <Bug bug = Bug::none>
bool try_last_block_sum() {
  constexpr std::size_t blocks = 9;
  const auto x = numbers(blocks, 8);
  double want = 0;
  for (const float value : x) want += value;
  const OwnStream stream;
  const OnDevice<float> dx(x, stream), parts(blocks + 1), out(1);
  const OnDevice<unsigned> count(1);
  cuda::clear(count.data(), sizeof(unsigned), stream);
  cuda::launch(last_block_sum<bug>, dim3(blocks), dim3(32), 0, stream, dx.data(), parts.data(),
               count.data(), out.data());
  return close(out.values(stream), std::vector<double>{want});
}

}  // namespace poe::harness
