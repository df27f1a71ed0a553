// SPDX-License-Identifier: MIT
// The rest of a training step: the functions that are no templates, and both scalar types of those
// that are.
#include "step.cuh"

#include <algorithm>

namespace poe {

void close_terms(std::span<const TermShare> terms, const double* sums, double* means,
                 StepState* state, Executor<Cuda>& on, std::uint32_t warm_up_steps) {
  constexpr std::size_t most = cuda::most_terms;
  const auto pass = [&](bool check, bool add) {
    for (std::size_t first = 0; first < terms.size(); first += most) {
      cuda::Terms some;
      some.warm_up_steps = warm_up_steps;
      some.first = static_cast<int>(first);
      some.count = static_cast<int>(std::min(most, terms.size() - first));
      some.check = check;
      some.add = add;
      std::copy_n(terms.begin() + static_cast<std::ptrdiff_t>(first), some.count, some.at);
      cuda::launch(cuda::close_terms_kernel<cuda::most_terms, StepState>, dim3(1),
                   dim3(cuda::most_terms), 0, on.stream(), some, sums, means, state);
    }
  };
  // Nothing is added unless all sums are finite.
  const bool at_once = terms.size() <= most;
  if (!at_once) pass(true, false);
  pass(at_once, true);
}

void end_step(StepState* state, Executor<Cuda>& on) {
  cuda::launch(cuda::end_step_kernel<StepState>, dim3(1), dim3(1), 0, on.stream(), state);
}

#define POE_STEP(T)                                                                      \
  template void adam_step<T>(const AdamOptions&, std::size_t, const AdamNumbers<T>&, T*, \
                             StepState*, Executor<Cuda>&);                               \
  template void gather_rows<T>(const T*, int, const std::uint32_t*, int, int, int,       \
                               const StepState*, T*, Executor<Cuda>&);
POE_STEP(float)
POE_STEP(double)
#undef POE_STEP

}  // namespace poe
