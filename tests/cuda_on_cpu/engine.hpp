// SPDX-License-Identifier: MIT
// The state of the block that is running. Only the sources of the harness include this.
//
// Every function that CUDA threads reach is POE_UNSEEN and keeps to plain arrays: functions of the
// standard library would be instrumented, and their accesses taken for races of the kernel.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <string>

#include <poe/core/error.hpp>

#include "block.hpp"
#include "config.hpp"
#include "fiber.hpp"
#include "sanitizers.hpp"

namespace poe::harness {

enum class State : unsigned char { fresh, ready, running, at_barrier, at_collective, done };

struct CudaThread {
  uint3 index{};
  unsigned number = 0;
  State state = State::fresh;
  Fiber* fiber = nullptr;  // from its first instruction to its last
  const char* waits_in = "";
  Where where;
  Collective call{};

  POE_UNSEEN unsigned lane() const { return number % kWarp; }
};

/// The threads that could go on, in the order of the configuration.
class ReadyQueue {
 public:
  void begin(Order order, Choices& choices);
  /// `numbers` rise, and may be mixed here.
  void push(unsigned* numbers, unsigned count);
  /// -> the number of a thread, or -1
  int pop();

 private:
  Order order_ = Order::forward;
  Choices* choices_ = nullptr;
  // breadth first: a ring
  std::array<unsigned, kMostThreads> ring_{};
  unsigned first_ = 0, count_ = 0;
  // warp_first: the ready lanes of each warp, and the warps by rank
  std::array<unsigned, kMostThreads / kWarp> lanes_{}, rank_{};
};

/// Addresses for ThreadSanitizer, and its shared memory. Nothing is used twice: what one block did
/// must not look ordered before the next one.
class Arena {
 public:
  /// Between two launches: at least half of it is free afterwards.
  void renew();
  void* take(std::size_t bytes);

 private:
  char* base_ = nullptr;
  std::size_t used_ = 0;
};

struct SharedMemory {
  struct Variable {
    const void* site;
    void* memory;
    std::size_t bytes;
  };
  static constexpr unsigned kMostVariables = 64;
  std::array<Variable, kMostVariables> variables{};
  unsigned count = 0;
  std::size_t static_bytes = 0, dynamic_bytes = 0;
  void* dynamic = nullptr;

  void begin(std::size_t bytes);
  void end();
};

/// Addresses that stand for the points of order, see sanitizers.hpp.
struct OrderPoints {
  static constexpr std::size_t kBytes = 24 + 8 * (kMostThreads / kWarp);

  std::array<char, kBytes> unused{};                          // where no sanitizer asks
  void *begin = unused.data(), *end = begin, *fence = begin;  // of the launch
  char* block = unused.data();  // of the block: two barriers in turn, a fence, 32 warps

  POE_UNSEEN void* barrier(unsigned phase) const { return block + 8 * (phase % 2); }
  POE_UNSEEN void* block_fence() const { return block + 16; }
  POE_UNSEEN void* warp(unsigned number) const { return block + 24 + std::size_t{8} * number; }
};

struct Engine {
  std::array<CudaThread, kMostThreads> threads{};
  unsigned count = 0;    // of threads in a block
  unsigned live = 0;     // those that have not returned
  unsigned waiting = 0;  // those at a barrier
  unsigned meeting = 0;  // those at a collective
  unsigned phase = 0;    // barriers passed
  int yes = 0;           // votes at the barrier that is filling
  Votes votes;           // of the last full barrier
  CudaThread* current = nullptr;
  Fiber* here = nullptr;  // the current fibre
  ReadyQueue ready;
  Choices choices;

  std::array<Fiber*, kMostThreads> fibers{};  // all that were made
  std::array<Fiber*, kMostThreads> idle{};
  unsigned fiber_count = 0, idle_count = 0;
  unsigned serial = 0;  // of the block, in the whole program

  SharedMemory shared;
  Arena arena;
  OrderPoints points;

  const Launch* launch = nullptr;  // null: no kernel is running
  bool stopped = false;
  std::string report;  // what stopped the launch
};

Engine& engine();

/// The current thread cannot go on: others run until it can.
void wait_for_others(CudaThread& self);
/// `thread` has arrived at a collective, or has returned: completes what waited only for it.
void complete_collective(const CudaThread& thread);
/// The current thread becomes `thread`, whose fibre is running.
void make_current(CudaThread& thread);
/// "kernels.cuh:17"
std::string text(Where where);

}  // namespace poe::harness
