// SPDX-License-Identifier: MIT
// What the tests of training on the device share: one small run on either device, what it left
// behind, and how two runs are compared.
#pragma once

#include <poe/train/steps_cuda.hpp>

#include "../digit_model.hpp"
#include "../same_bytes.hpp"
#include "device.hpp"

namespace poe::test {

constexpr int training_samples = 26, training_batch = 8;  // the last batch of an epoch: 2

/// Grey images of every modality of M.
template <class M>
Group<float, M> grey_images() {
  using Pixels = Tensor<float, typename M::template At<0>::Sample>;
  static std::vector<Pixels> x = [] {
    std::vector<Pixels> all;
    for (std::uint32_t m = 0; m < static_cast<std::uint32_t>(M::count); ++m) {
      all.emplace_back(training_samples);
      for (std::size_t i = 0; i < all[m].flat().size(); ++i)
        all[m].flat()[i] = Random{5, m, 0}.uniform<float>(i);
    }
    return all;
  }();
  Group<float, M> group;
  group.observed = all_of(M::count);
  group.rows = group.total = training_samples;
  each_index<M::count>([&]<int I>(std::integral_constant<int, I>) {
    std::get<I>(group.x) = x[static_cast<std::size_t>(I)].view();
  });
  return group;
}

/// Data of M in batches: everything observed, or by masks.
template <class M>
SupervisionOptions in_batches(std::vector<Subset> masks = {}) {
  SupervisionOptions o;
  o.batch = training_batch;
  o.modalities = M::count;
  o.masks = std::move(masks);
  return o;
}

/// What a run left behind.
struct Outcome {
  std::vector<double> losses;  // summed up to each step
  std::vector<float> parameters;
  std::vector<double> terms;
};

/// How a run is made. The CPU has no graphs.
struct Manner {
  bool use_graphs = true;
  std::size_t most_graphs = 32;
  bool look_at_each = true;  // step, at its loss
};

template <class Model>
Outcome train(const Model& model, const SupervisionOptions& supervision, int steps, Manner manner,
              const Samples<float, typename Model::ModalitySet>& data) {
  LearnerOf<Model> learner(model.description(), 11, 1);
  learner.adam.learning_rate = 2e-3;
  Streams streams(data.rows, supervision, Random{11, 1, 0});
  Steps<Model> run(model, learner, data, streams, 11);
  if constexpr (std::is_same_v<typename Model::Device, Cuda>) {
    run.use_graphs = manner.use_graphs;
    run.most_graphs = manner.most_graphs;
  }
  Outcome out;
  for (int s = 0; s < steps; ++s) {
    run.step();
    if (manner.look_at_each) out.losses.push_back(run.loss());
  }
  for (const auto& row : run.terms().rows()) out.terms.push_back(row.mean());
  const auto& numbers = learner.state().parameters;
  out.parameters.assign(numbers.begin(), numbers.end());
  return out;
}

template <class Model>
Outcome train(const Model& model, const SupervisionOptions& supervision, int steps,
              Manner manner = {}) {
  return train(model, supervision, steps, manner, grey_images<typename Model::ModalitySet>());
}

inline void require_same(const Outcome& got, const Outcome& expected) {
  REQUIRE(got.losses == expected.losses);
  REQUIRE(got.terms == expected.terms);
  REQUIRE(same_bytes(got.parameters, expected.parameters));
}

/// Step by step the same loss: what 1e-4 leaves to the order of summation.
inline void require_agreement(const Outcome& got, const Outcome& expected) {
  REQUIRE(got.losses.size() == expected.losses.size());
  double before = 0, before_got = 0;
  for (std::size_t s = 0; s < expected.losses.size(); ++s) {
    INFO("after step " << s + 1);
    const double loss = expected.losses[s] - before;
    REQUIRE(std::abs((got.losses[s] - before_got) - loss) <= 1e-4 * std::abs(loss));
    before = expected.losses[s], before_got = got.losses[s];
  }
  require_close(got.terms, expected.terms, 1e-4);
}

}  // namespace poe::test
