// SPDX-License-Identifier: MIT
// What the tests of networks share: a network with its buffers and one tape.
#pragma once

#include "gradients.hpp"

#include <poe/nn/layers.hpp>

namespace poe::test {

/// A network with PyTorch's initial values.
template <class N>
struct Model {
  Description<double> description = describe<N, double>("net");
  Buffer<double> parameters{description.parameter_size}, gradients{description.parameter_size},
      statistics{description.statistic_size};
  Tape<double> tape;

  explicit Model(std::uint64_t seed) {
    initialise<double>({parameters.data(), parameters.size()}, description.parameters, seed);
    initialise<double>({statistics.data(), statistics.size()}, description.statistics, seed);
  }

  /// Rows of a batch, of which the first is number `first_row`, through the network.
  Variable<double, typename N::Out> forward(const Tensor<double, typename N::In>& x, Mode mode,
                                            int first_row = 0) {
    tape.reset();
    Context<double> context{.tape = tape,
                            .parameters = parameters.data(),
                            .gradients = gradients.data(),
                            .statistics = statistics.data(),
                            .mode = mode,
                            .random = {.seed = 3, .step = 4},
                            .first_row = first_row};
    Cursor<double> cursor{context};
    return N::forward(cursor, tape.constant(x.view()));
  }
};

}  // namespace poe::test
