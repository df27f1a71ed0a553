// SPDX-License-Identifier: MIT
// Fibres: several call stacks of one operating-system thread, switched by hand.
#pragma once

#include <cstddef>

namespace poe::harness {

struct Fiber {
  void* stack_pointer = nullptr;  // while another fibre runs
  const void* stack = nullptr;    // lowest usable address
  std::size_t stack_bytes = 0;
  void* sanitizer = nullptr;  // the sanitizer's own idea of this fibre
  void* context = nullptr;    // of processors without a switch of our own
};

/// A fibre that will call `entry` when it is first switched to. `entry` never returns.
Fiber* make_fiber(void (*entry)());
/// The stack that the program began with.
Fiber* host_fiber();
/// Goes on in `to`; returns when somebody switches back to `from`, which is the current fibre.
void switch_fiber(Fiber& from, Fiber& to);
/// To be called first in `entry`.
void arrive_in_new_fiber();
/// Forgets what the fibre was doing; it begins again with `entry`. Called from the host fibre.
void restart_fiber(Fiber& fiber, void (*entry)());

}  // namespace poe::harness
