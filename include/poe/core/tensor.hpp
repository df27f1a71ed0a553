// SPDX-License-Identifier: MIT
// Tensor<T, Shape<...>>: a batch of samples whose extents are a type; views of a batch and of its
// rows.
#pragma once

#include <span>
#include <utility>

#include <poe/core/arena.hpp>
#include <poe/core/device.hpp>
#include <poe/core/error.hpp>
#include <poe/core/shape.hpp>

namespace poe {

/// Borrowed samples: `rows` blocks of S::size numbers, one after the other.
template <class T, class S, class Device = Cpu>
struct View {
  using Sample = S;
  const T* data = nullptr;
  int rows = 0;

  /// Rows [first, first + count).
  View slice(int first, int count) const {
    expect(first >= 0 && count >= 0 && first <= rows && count <= rows - first,
           "slice of a batch: {} rows from row {} on asked of a batch of {}", count, first, rows);
    return {data + static_cast<std::ptrdiff_t>(first) * S::size, count};
  }
  std::span<const T> flat() const {
    return {data, static_cast<std::size_t>(rows) * static_cast<std::size_t>(S::size)};
  }
};

/// An owning batch of samples, zero at first. Extents of a sample are compile-time, the batch is
/// not. Images are channels-last in memory; operator() takes (sample, channel, row, column) all the
/// same.
template <class T, class S, class Device = Cpu>
class Tensor {
  static_assert(is_available<Device>, "poe: this build has no operations on this Device");

 public:
  using Sample = S;

  Tensor() = default;
  explicit Tensor(int rows) : buffer_(count(rows)) {}

  int rows() const { return static_cast<int>(buffer_.size() / offset(1)); }
  T* data() { return buffer_.data(); }
  const T* data() const { return buffer_.data(); }
  std::span<T> flat() { return {buffer_.data(), buffer_.size()}; }
  std::span<const T> flat() const { return {buffer_.data(), buffer_.size()}; }
  std::span<T> row(int n) { return flat().subspan(offset(n), S::size); }
  std::span<const T> row(int n) const { return flat().subspan(offset(n), S::size); }

  View<T, S, Device> view() const& { return {buffer_.data(), rows()}; }
  operator View<T, S, Device>() const& { return view(); }
  View<T, S, Device> view() const&& = delete;  // of a temporary, whose memory ends with it
  operator View<T, S, Device>() const&& = delete;

  template <class... Index>
  T& operator()(int n, Index... index) {
    return data()[offset(n) + position(index...)];
  }
  template <class... Index>
  const T& operator()(int n, Index... index) const {
    return data()[offset(n) + position(index...)];
  }

 private:
  static std::size_t count(int rows) {
    expect(rows >= 0, "tensor: expected a batch of at least 0 samples, got {}", rows);
    return offset(rows);
  }
  static std::size_t offset(int n) {
    return static_cast<std::size_t>(n) * static_cast<std::size_t>(S::size);
  }
  template <class... Index>
  static std::size_t position(Index... index) {
    static_assert(sizeof...(Index) == static_cast<std::size_t>(S::rank),
                  "poe: a tensor element has one index for the sample and one for each extent");
    const int at[] = {static_cast<int>(index)..., 0};
    if constexpr (is_image<S>) {
      using I = ImageOf<S>;
      return static_cast<std::size_t>((at[1] * I::width + at[2]) * I::channels + at[0]);
    } else {
      int p = 0;
      for (int d = 0; d < S::rank; ++d) p = p * S::extents[static_cast<std::size_t>(d)] + at[d];
      return static_cast<std::size_t>(p);
    }
  }

  Buffer<T, Device> buffer_;
};

}  // namespace poe
