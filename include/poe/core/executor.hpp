// SPDX-License-Identifier: MIT
// Executor: where the operations of one pass run, and the memory that they take.
#pragma once

#include <poe/core/arena.hpp>

namespace poe {

/// One for every Device. An operation has one implementation for each: overloads that differ in the
/// executor they are given.
template <class Device>
class Executor;

/// The calling thread, with an arena of its own. Converts to that arena, which is all that the
/// operations of the CPU ask for.
template <>
class Executor<Cpu> {
 public:
  /// Memory of handles, closures and everything else that the host reads.
  Arena& host() { return arena_; }
  /// Memory of values and gradients: kept until reset().
  Arena& values() { return arena_; }
  operator Arena&() { return arena_; }  // NOLINT: an operation wants scratch memory, this is it

  /// Gives back all memory.
  void reset() { arena_.reset(); }

  // Independent parts of a pass run one after the other: see Executor<Cuda>.
  void fork(int /*branches*/) {}
  void enter(int /*branch*/) {}
  void leave() {}
  void join(int /*branches*/) {}

 private:
  Arena arena_;
};

}  // namespace poe
