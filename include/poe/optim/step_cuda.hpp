// SPDX-License-Identifier: MIT
// What a captured training step does besides its passes: batches, reported sums, the update. All of
// it reads the number of the step on the device, so that one graph serves every step.
// kernels/step.cuh defines these functions.
#pragma once

#include <cstdint>
#include <span>

#include <poe/cuda/executor.hpp>
#include <poe/ops/terms.hpp>
#include <poe/optim/adam.hpp>

namespace poe {

/// The state of a run on the device, besides its parameters.
struct StepState {
  /// Reasons to take no more steps: the parameters stay as they are.
  enum Fault : std::uint32_t { bad_data = 1, bad_term = 2, bad_gradient = 4 };

  std::uint32_t step = 1;        // in progress, counted from 1: the step of all random numbers
  std::uint32_t first_step = 1;  // of the schedule
  std::uint32_t fault = 0;       // Fault bits; the rest says where
  std::uint32_t fault_step = 0, fault_term = 0;
  std::uint32_t padding = 0;
  double loss = 0;  // sum over the steps since it was last set to 0
};

/// A reported term of the step: its sum over `total` samples counts with `weight` in the loss,
/// times the factor of the warm-up if it is `warming`.
struct TermShare {
  double total = 0, weight = 0;
  int row = 0;  // of the running means
  bool warming = false;
};

/// means[row] += sums[i] / total and state->loss += weight * sums[i] / total for all terms in order
/// (terms with total 0 are skipped); the warm-up is that of step state->step. A sum that is not
/// finite sets the fault bad_term instead, with the step and the first such i; nothing is added
/// then, or if there was a fault already.
void close_terms(std::span<const TermShare> terms, const double* sums, double* means,
                 StepState* state, Executor<Cuda>& on, std::uint32_t warm_up_steps = 0);

/// One step of Adam on n numbers, as AdamStep of step state->step (of AMSGrad, where there is the
/// largest v); the gradients are set to zero. After a fault: nothing but the zeros. A gradient that
/// is not finite sets bad_gradient; the parameters are then lost.
template <class T>
void adam_step(const AdamOptions& options, std::size_t n, const AdamNumbers<T>& numbers,
               T* gradient, StepState* state, Executor<Cuda>& on);

/// ++state->step, unless there was a fault.
void end_step(StepState* state, Executor<Cuda>& on);

/// out[i] = row index[i] of data (n, size), where index = schedule + (state->step -
/// state->first_step) * stride + offset, for `rows` rows.
template <class T>
void gather_rows(const T* data, int size, const std::uint32_t* schedule, int stride, int offset,
                 int rows, const StepState* state, T* out, Executor<Cuda>& on);

}  // namespace poe
