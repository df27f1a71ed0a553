// SPDX-License-Identifier: MIT
// What the tests of the Gaussian kernels share: textbook formulas in double, and lists of arrays.
#pragma once

#include <cmath>
#include <memory>
#include <numbers>
#include <span>
#include <vector>

#include <poe/gaussian/plan.hpp>

#include "placed.hpp"

namespace tests {

template <class T>
using Lists = std::vector<std::vector<T>>;

struct Moments {
  double mean = 0, variance = 1;
};

inline double softplus(double r) { return r > 40 ? r : std::log1p(std::exp(r)); }

inline Moments expert_of(double location, double raw, poe::gaussian::ScaleLink link) {
  const double s = softplus(raw) + link.floor;
  return {location, link.variance ? s : s * s};
}

inline double kl(Moments q, Moments p) {
  const double d = q.mean - p.mean;
  return 0.5 * std::log(p.variance / q.variance) + (q.variance + d * d) / (2 * p.variance) - 0.5;
}

/// Element i of the standard normal sequence: Box-Muller in double, from uniform numbers in T.
template <class T>
double normal_of(const poe::Random& random, std::uint64_t i) {
  const poe::Words w = random.block(i / 4);
  const auto unit = [](std::uint32_t bits) {
    return static_cast<double>(static_cast<T>((bits + 0.5) / 4294967296.0));
  };
  const double u = unit(i % 4 < 2 ? w.x : w.z), v = unit(i % 4 < 2 ? w.y : w.w);
  const double angle = 2 * std::numbers::pi * v;
  return std::sqrt(-2 * std::log(u)) * (i % 2 == 0 ? std::cos(angle) : std::sin(angle));
}

/// `count` lists of N(0, 1).
template <class T>
Lists<T> lists_of_normals(std::size_t count, std::size_t size, std::uint32_t stream) {
  Lists<T> lists;
  for (std::size_t i = 0; i < count; ++i)
    lists.push_back(poe::test::normals<T>(size, stream + static_cast<std::uint32_t>(i)));
  return lists;
}

/// Which factors are observed: two of three.
inline std::vector<std::uint8_t> random_mask(std::size_t n) {
  std::vector<std::uint8_t> mask(n);
  for (std::size_t i = 0; i < n; ++i)
    mask[i] = static_cast<std::uint8_t>(poe::Random{8}.below(3, i));  // 1 and 2: observed
  return mask;
}

template <class T>
std::vector<T> join(const Lists<T>& lists) {
  std::vector<T> all;
  for (const auto& list : lists) all.insert(all.end(), list.begin(), list.end());
  return all;
}

/// Lists on the device; where a list is empty its pointer is null.
template <class T>
class ListsOnDevice {
 public:
  ListsOnDevice(const Lists<T>& lists, std::size_t offset = 0) {
    for (const auto& list : lists) add(list, offset);
  }
  /// Not written yet.
  ListsOnDevice(std::size_t count, std::size_t size, std::size_t offset = 0) {
    for (std::size_t i = 0; i < count; ++i) {
      arrays_.push_back(std::make_unique<Placed<T>>(size, offset));
      pointers_.push_back(arrays_.back()->data());
    }
  }
  std::span<T* const> pointers() const { return pointers_; }
  std::span<const T* const> values() const { return {pointers_.data(), pointers_.size()}; }
  Lists<T> read(poe::Executor<poe::Cuda>& on) const {
    Lists<T> result;
    for (const auto& a : arrays_) result.push_back(a == nullptr ? std::vector<T>{} : a->read(on));
    return result;
  }

 private:
  void add(const std::vector<T>& list, std::size_t offset) {
    arrays_.push_back(list.empty() ? nullptr : std::make_unique<Placed<T>>(list, offset));
    pointers_.push_back(list.empty() ? nullptr : arrays_.back()->data());
  }
  std::vector<std::unique_ptr<Placed<T>>> arrays_;
  std::vector<T*> pointers_;
};

/// An expert's scale is wrong by a few units, its precision by twice that; sums have `terms` terms.
template <class T>
double tolerance(double terms) {
  return 64 * static_cast<double>(std::numeric_limits<T>::epsilon()) * std::sqrt(terms);
}

inline constexpr int latents[] = {1, 2, 3, 4, 20, 31, 32, 33, 64, 100, 128, 200};

}  // namespace tests
