// SPDX-License-Identifier: MIT
// The MNIST-Split networks as types, a small smooth variant of them, and one pass of a model.
#pragma once

#include "support.hpp"

#include <poe/models/paper.hpp>

namespace poe::test {

struct Top {
  static constexpr const char* name = "top";
};
struct Bottom {
  static constexpr const char* name = "bottom";
};
struct Middle {
  static constexpr const char* name = "middle";
};

struct Fourth {
  static constexpr const char* name = "fourth";
};
struct Fifth {
  static constexpr const char* name = "fifth";
};

// clang-format off
using Half = Shape<1, 14, 28>;
struct Features : Net<Half,
    Conv2d<64, kernel(4).stride(2).pad(1).no_bias()>, Relu,     //  64 x 7 x 14
    Conv2d<128, kernel(4).stride(2).pad(1).no_bias()>, Relu,    // 128 x 3 x 7
    Conv2d<256, kernel(4).stride(2).pad(1).no_bias()>, Relu,    // 256 x 1 x 3
    Flatten> {};
struct Head : Sequence<Linear<512>, Relu, GaussianHead<64>> {};
struct Decoder : Net<Shape<64>,
    Linear<512>, Relu,
    Linear<112>, Relu,
    Reshape<112, 1, 1>,
    ConvTranspose2d<56, kernel(3, 5).stride(2)>, Relu,          //  56 x 3 x 5
    ConvTranspose2d<28, kernel(3, 5).stride(2)>, Relu,          //  28 x 7 x 13
    ConvTranspose2d<1, kernel(2, 4).stride(2)>> {};             //   1 x 14 x 28
struct Digit : Modalities<Modality<Top, Features, Decoder, Bernoulli>,
                          Modality<Bottom, Features, Decoder, Bernoulli>> {};

// Smooth everywhere, so that central differences are good to 1e-9, and cheap enough for all of them.
struct SmallFeatures : Net<Shape<1, 4, 6>, Conv2d<2, kernel(2).stride(2)>, Softplus, Flatten> {};
struct SmallHead : Sequence<Linear<5>, Elu, GaussianHead<3>> {};
struct SmallLaplaceHead : Sequence<Linear<5>, Elu, LaplaceHead<3>> {};
struct SmallDecoder : Net<Shape<3>,
    Linear<12>, Softplus, Reshape<2, 2, 3>, ConvTranspose2d<1, kernel(2).stride(2)>> {};
// clang-format on
template <class... Tags>
struct Small : Modalities<Modality<Tags, SmallFeatures, SmallDecoder, Bernoulli>...> {};

/// A loader's batch: pixel e of sample i of modality m is u^2, u = Random{8, m, i}.uniform(e).
template <class T, class M>
struct Batch {
  std::array<std::vector<T>, static_cast<std::size_t>(M::count)> pixels;  // observed or not
  Group<T, M> group;

  Batch(std::uint32_t loader, Subset observed, int first_sample, int rows) {
    group.observed = observed;
    group.rows = group.total = rows;
    group.loader = loader;
    fill(first_sample, std::make_index_sequence<static_cast<std::size_t>(M::count)>{});
  }
  Batch(const Batch&) = delete;

 private:
  template <std::size_t... I>
  void fill(int first_sample, std::index_sequence<I...>) {
    const auto one = [&]<class S>(View<T, S>& view, std::size_t m) {
      for (int i = first_sample; i < first_sample + group.rows; ++i)
        for (std::uint64_t e = 0; e < S::size; ++e) {
          const Random random{8, static_cast<std::uint32_t>(m), static_cast<std::uint32_t>(i)};
          const auto u = random.template uniform<double>(e);
          pixels[m].push_back(static_cast<T>(static_cast<float>(u * u)));
        }
      if (contains(group.observed, static_cast<int>(m))) view = {pixels[m].data(), group.rows};
    };
    (one(std::get<I>(group.x), I), ...);
  }
};

/// A model with its buffers, and what one pass found.
template <class V>
struct Trial {
  using T = typename V::Real;
  using M = typename V::ModalitySet;
  V model;
  Buffer<T> parameters, gradients, statistics;
  Tape<T> tape;
  Random noise{9, 0, 3};
  int choice = 0;  // of an objective that draws
  std::vector<TermValue> terms;

  explicit Trial(VaeOptions options = {})
      : model(options),
        parameters(model.description().parameter_size),
        gradients(parameters.size()),
        statistics(model.description().statistic_size) {
    initialise<T>({parameters.data(), parameters.size()}, model.description().parameters, 7);
    for (T& p : parameters) p = static_cast<T>(static_cast<float>(p));
  }

  Context<T> context() {
    return {.tape = tape,
            .parameters = parameters.data(),
            .gradients = gradients.data(),
            .statistics = statistics.data(),
            .mode = Mode::train,
            .random = noise};
  }

  /// Adds the gradient of the loss of these groups. -> the loss.
  double accumulate(std::span<const Group<T, M>> groups) {
    tape.reset();
    auto ctx = context();
    const auto values = model.loss(ctx, groups, choice);
    terms.assign(values.begin(), values.end());
    tape.backward();
    double loss = 0;
    for (const TermValue& t : terms) loss += t.weight * t.sum / t.total;
    return loss;
  }
  double run(const std::vector<Group<T, M>>& groups) {
    gradients.clear();
    return accumulate(groups);
  }

  const ParameterInfo& info(const std::string& name) const {
    for (const ParameterInfo& p : model.description().parameters)
      if (p.name == name) return p;
    fail("no parameter '{}'", name);
  }
  /// The largest |gradient| of the parameters whose name starts with `prefix`.
  double largest_gradient(const std::string& prefix) const {
    double largest = -1;
    for (const ParameterInfo& p : model.description().parameters)
      if (p.name.starts_with(prefix))
        for (std::size_t e = 0; e < p.count(); ++e)
          largest = std::max(largest, std::abs(static_cast<double>(gradients[p.offset + e])));
    return largest;
  }
};

}  // namespace poe::test
