// SPDX-License-Identifier: MIT
// The log-likelihoods of the library, for both scalar types.
#include "likelihood.cuh"

namespace poe {

template void score_rows(const LikelihoodSpec&, int, int, const float*,
                         std::span<const ScorePiece<float>>, float*, Sink<float>, Executor<Cuda>&);
template void score_rows(const LikelihoodSpec&, int, int, const double*,
                         std::span<const ScorePiece<double>>, double*, Sink<double>,
                         Executor<Cuda>&);

}  // namespace poe
