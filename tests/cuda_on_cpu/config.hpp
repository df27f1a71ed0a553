// SPDX-License-Identifier: MIT
// In which order the harness runs what CUDA leaves open: threads, blocks, branches of a graph.
#pragma once

#include <array>
#include <cstdint>

namespace poe::harness {

/// The order of the threads of a block between two points where they wait for each other.
/// The first three run every thread up to its next wait before any thread goes on. warp_first runs
/// one warp as far as it gets before the others: only this shows that a second barrier is missing.
/// Blocks run in the order of their numbers, backwards under `reverse`, mixed under the last two.
/// Nodes of a graph run as early as possible, as late as possible, or in random order.
enum class Order { forward, reverse, random, warp_first };

struct Config {
  Order order = Order::forward;
  std::uint64_t seed = 1;  // of the random choices; each launch starts from it
  /// Work of streams is not run at once but when the host waits for it, and what other streams have
  /// to do before or after it in that order: this shows an event that is missing, or a wait.
  bool late = false;
};

/// What the next launch does.
Config& config();

/// What happened so far.
struct Statistics {
  std::uint64_t launches = 0;
  std::uint64_t threads = 0;
  std::uint64_t waits = 0;  // of a thread in the middle of a kernel
};
Statistics& statistics();

/// Calls `run()` under every order (the random ones with several seeds) and puts the configuration
/// back, also when `run` throws.
template <class F>
void in_every_order(F&& run) {
  struct Restore {
    Config saved = config();
    ~Restore() { config() = saved; }
  } restore;
  constexpr std::array<Config, 7> all{{{Order::forward, 1},
                                       {Order::reverse, 1},
                                       {Order::random, 1},
                                       {Order::random, 2},
                                       {Order::warp_first, 1},
                                       {Order::warp_first, 2},
                                       {Order::warp_first, 3}}};
  for (const Config& one : all) {
    config() = one;
    run();
  }
}

/// Random numbers for the choices above (xorshift64).
class Choices {
 public:
  explicit Choices(std::uint64_t seed = 1) : state_(seed * 0x9E3779B97F4A7C15U | 1U) {}
  /// 0 <= result < n
  __attribute__((no_sanitize("thread"))) std::uint64_t below(std::uint64_t n) {
    state_ ^= state_ << 13U;
    state_ ^= state_ >> 7U;
    state_ ^= state_ << 17U;
    return (state_ >> 16U) % n;
  }

 private:
  std::uint64_t state_;
};

}  // namespace poe::harness
