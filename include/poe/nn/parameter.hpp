// SPDX-License-Identifier: MIT
// What a model says of its parameters: names, file shapes, places in the flat buffer, initial
// values.
#pragma once

#include <span>
#include <string>
#include <vector>

#include <poe/autograd/context.hpp>

namespace poe {

/// How a parameter starts.
enum class Initial { uniform, normal, zeros, ones };

/// One parameter or running statistic. `shape` and the order of elements in a file are PyTorch's.
/// In memory the weights of Linear, (out, in), Conv2d, (out, in, kh, kw), and ConvTranspose2d, (in,
/// out, kh, kw), have the kernel axes first and the two channel axes exchanged, as the products
/// want them; all else is as in the file.
struct ParameterInfo {
  std::string name;
  std::vector<int> shape;
  bool weights = false;  // axes permuted in memory
  Initial initial = Initial::uniform;
  double bound = 0;   // uniform: U(-bound, bound)
  int zero_row = -1;  // a row that stays 0 (padding of an embedding)
  std::size_t offset = 0;

  std::size_t count() const {
    std::size_t n = 1;
    for (const int s : shape) n *= static_cast<std::size_t>(s);
    return n;
  }

  /// Position in memory of file element `e`.
  std::size_t memory_position(std::size_t e) const {
    if (!weights) return e;
    const auto a = static_cast<std::size_t>(shape[0]);
    const auto b = static_cast<std::size_t>(shape[1]);
    const std::size_t taps = count() / (a * b);
    const std::size_t tap = e % taps, j = e / taps % b, i = e / taps / b;
    return (tap * b + j) * a + i;
  }
};

/// The parameters and running statistics of a model, in the order in which a forward pass takes
/// them.
template <class T>
struct Description {
  std::vector<ParameterInfo> parameters, statistics;
  std::size_t parameter_size = 0, statistic_size = 0;  // of the flat buffers, padding included

  void add_parameter(ParameterInfo p) { add(parameters, parameter_size, std::move(p)); }
  void add_statistic(ParameterInfo p) { add(statistics, statistic_size, std::move(p)); }

  /// Trainable numbers, padding not counted.
  std::size_t parameter_count() const {
    std::size_t n = 0;
    for (const ParameterInfo& p : parameters) n += p.count();
    return n;
  }

 private:
  static void add(std::vector<ParameterInfo>& list, std::size_t& size, ParameterInfo p) {
    p.offset = size;
    size += padded_count<T>(p.count());
    list.push_back(std::move(p));
  }
};

/// The stream of the initial values of parameter p is first_initial_stream + p.
inline constexpr std::uint32_t first_initial_stream = 1U << 20;

/// Sets every number to its initial value, a function of (seed, parameter, element in file order):
/// PyTorch's distributions (U(-1/sqrt(fan_in), 1/sqrt(fan_in)) for weights and biases of products,
/// N(0, 1) for embeddings).
template <class T>
void initialise(std::span<T> flat, const std::vector<ParameterInfo>& list, std::uint64_t seed) {
  for (std::size_t p = 0; p < list.size(); ++p) {
    const ParameterInfo& info = list[p];
    const Random random{seed, first_initial_stream + static_cast<std::uint32_t>(p), 0};
    const std::size_t row =
        info.zero_row < 0 ? 0 : info.count() / static_cast<std::size_t>(info.shape[0]);
    for (std::size_t e = 0; e < info.count(); ++e) {
      T& x = flat[info.offset + info.memory_position(e)];
      switch (info.initial) {
        case Initial::uniform:
          x = static_cast<T>(info.bound * (2 * random.uniform<double>(e) - 1));
          break;
        case Initial::normal:
          x = random.normal<T>(e);
          break;
        case Initial::zeros:
          x = T(0);
          break;
        case Initial::ones:
          x = T(1);
          break;
      }
      if (row != 0 && e / row == static_cast<std::size_t>(info.zero_row)) x = T(0);
    }
  }
}

/// A parameter's numbers in file order, and back.
template <class T>
std::vector<T> to_file_order(const ParameterInfo& info, const T* flat) {
  std::vector<T> out(info.count());
  for (std::size_t e = 0; e < out.size(); ++e) out[e] = flat[info.offset + info.memory_position(e)];
  return out;
}
template <class T>
void from_file_order(const ParameterInfo& info, std::span<const T> values, T* flat) {
  for (std::size_t e = 0; e < values.size(); ++e)
    flat[info.offset + info.memory_position(e)] = values[e];
}

}  // namespace poe
