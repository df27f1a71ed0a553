// SPDX-License-Identifier: MIT
// The sums of terms, for both scalar types.
#include "terms.cuh"

namespace poe {

template void sum_terms(std::span<const TermPart<float>>, int, double*, const WarmUp&,
                        Executor<Cuda>&);
template void sum_terms(std::span<const TermPart<double>>, int, double*, const WarmUp&,
                        Executor<Cuda>&);

}  // namespace poe
