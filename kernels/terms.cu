// SPDX-License-Identifier: MIT
// The sums of terms, for both scalar types.
#include "terms.cuh"

namespace poe {

template void sum_terms(std::span<const TermPart<float>>, int, double*, Executor<Cuda>&);
template void sum_terms(std::span<const TermPart<double>>, int, double*, Executor<Cuda>&);

}  // namespace poe
