// SPDX-License-Identifier: MIT
// What the tests of kernels share: arrays on the device, and every order in which the harness can
// run a kernel. The same tests run on a GPU, where the hardware chooses the order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include <poe/cuda/executor.hpp>

#if defined(POE_CUDA_ON_CPU)
#include <cuda_on_cpu/harness.hpp>
#endif

namespace tests {

/// Numbers on the device, exactly as many as asked for. Without values they are NaN, so that a
/// result which was never written shows.
template <class T>
class OnDevice {
 public:
  explicit OnDevice(std::size_t n) : OnDevice(std::vector<T>(n, unset())) {}
  explicit OnDevice(const std::vector<T>& values) : size_(values.size()) {
    data_ = static_cast<T*>(poe::cuda::allocate(size_ * sizeof(T)));
    poe::cuda::upload(data_, values.data(), size_ * sizeof(T), nullptr);
    poe::cuda::synchronise(nullptr);
  }
  ~OnDevice() { poe::cuda::release(data_); }
  OnDevice(const OnDevice&) = delete;
  OnDevice& operator=(const OnDevice&) = delete;

  T* data() { return data_; }
  const T* data() const { return data_; }
  std::size_t size() const { return size_; }
  /// The values, after all work of `on`.
  std::vector<T> read(poe::Executor<poe::Cuda>& on) const {
    std::vector<T> values(size_);
    poe::cuda::download(values.data(), data_, size_ * sizeof(T), on.stream());
    return values;
  }

 private:
  static T unset() {
    if constexpr (std::numeric_limits<T>::has_quiet_NaN)
      return std::numeric_limits<T>::quiet_NaN();
    else
      return std::numeric_limits<T>::max();
  }
  T* data_ = nullptr;
  std::size_t size_ = 0;
};

/// Runs check(name of the order) once for every order of threads, blocks and streams that can be
/// asked for.
template <class F>
void for_each_order(F&& check) {
#if defined(POE_CUDA_ON_CPU)
  using poe::harness::Order;
  const auto before = poe::harness::config();
  for (const auto& [order, name] :
       {std::pair{Order::forward, "forward"}, std::pair{Order::reverse, "reverse"},
        std::pair{Order::random, "random"}, std::pair{Order::warp_first, "warp first"}}) {
    poe::harness::config().order = order;
    poe::harness::config().late = order != Order::forward;  // there errors come from the call
    check(std::string(name));
  }
  poe::harness::config() = before;
#else
  check(std::string("hardware"));
#endif
}

}  // namespace tests
