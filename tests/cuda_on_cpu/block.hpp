// SPDX-License-Identifier: MIT
// What a running CUDA thread asks of the harness. The intrinsics and POE_SHARED are built on these.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "language.hpp"

namespace poe::harness {

inline constexpr unsigned kWarp = 32;
inline constexpr unsigned kMostThreads = 1024;
inline constexpr std::size_t kMostStaticShared = std::size_t{48} << 10U;
inline constexpr std::size_t kMostShared = std::size_t{227} << 10U;
inline constexpr std::size_t kMostParameters = 32764;  // bytes, of a kernel

/// A line of a kernel. std::source_location is missing in the library of clang 14.
struct Where {
  unsigned line = 0;
  const char* file = "";
  static constexpr Where here(unsigned line = __builtin_LINE(),
                              const char* file = __builtin_FILE()) {
    return {line, file};
  }
};

/// What the threads of a block said at a barrier.
struct Votes {
  int yes = 0;
  int all = 0;
};

/// __syncthreads(): waits for every thread of the block that has not returned.
Votes block_barrier(const char* name, bool vote, Where where);

/// What the lanes of a warp do together. Each lane hands in its own request; the last one to arrive
/// calls complete(requests) once, with null for each lane that takes no part. `complete` runs
/// outside of every CUDA thread's order, so it must be POE_UNSEEN.
struct Collective {
  const char* name;
  void (*complete)(void* const* requests, const Collective& call);
  bool orders_memory;  // only __syncwarp does
  unsigned mask;
  void* request;
  Where where;
};
void warp_collective(const Collective& call);

/// __threadfence() and __threadfence_block()
void fence(bool whole_device);

/// The block's object that belongs to `site`, filled with NaN bytes when the first thread comes.
void* shared_variable(const void* site, std::size_t bytes, std::size_t alignment);
void* dynamic_shared();

template <class T, class Site>
T& shared_reference(Site) {
  static const char key = 0;
  return *static_cast<T*>(shared_variable(&key, sizeof(T), alignof(T)));
}

/// Ends the launch, which throws poe::Error with the number of the block and `message`.
[[noreturn]] void stop(const std::string& message);

/// One kernel with its arguments.
struct Launch {
  dim3 grid, block;
  std::size_t shared_bytes = 0;
  std::function<void()> thread;  // what one thread does
  struct Pointer {
    int argument;  // from 1
    const void* address;
  };
  std::vector<Pointer> pointers;  // among the arguments
};

/// Fails if CUDA would refuse it, or if a pointer is not into device memory.
void check_launch(const Launch& launch);
/// Runs every block, one after the other.
void run(const Launch& launch);

}  // namespace poe::harness
