// SPDX-License-Identifier: MIT
// The state of a step on the device, for the tests of its kernels.
#pragma once

#include "../same_bytes.hpp"
#include "../support.hpp"

#include <vector>

#include <poe/optim/step_cuda.hpp>

#include "device.hpp"

namespace tests {

using poe::StepState;

/// The state on the device.
class State {
 public:
  explicit State(const StepState& s = {}) : memory_(std::vector<StepState>{s}) {}
  StepState* data() { return memory_.data(); }
  StepState read(poe::Executor<poe::Cuda>& on) const { return memory_.read(on)[0]; }

 private:
  OnDevice<StepState> memory_;
};

inline StepState at_step(std::uint32_t step, std::uint32_t fault = 0) {
  StepState s;
  s.step = step;
  s.fault = fault;
  return s;
}

}  // namespace tests
