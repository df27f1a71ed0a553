// SPDX-License-Identifier: MIT
// The shared memory of a block: each array is its own piece of the heap, so an index past its end
// is seen, and full of NaN bytes, so a value that nobody wrote is seen too.
#include <sys/mman.h>

#include <cstdlib>

#include "engine.hpp"

namespace poe::harness {
namespace {

constexpr std::size_t kArenaBytes = std::size_t{1} << 30U;

POE_UNSEEN constexpr std::size_t rounded(std::size_t bytes, std::size_t unit) {
  return (bytes + unit - 1) / unit * unit;
}

/// Not seen by ThreadSanitizer: no thread of the kernel does it.
[[maybe_unused]] POE_UNSEEN void fill_with_nan(void* memory, std::size_t bytes) {
  auto* byte = static_cast<volatile unsigned char*>(memory);
  for (std::size_t i = 0; i < bytes; ++i) byte[i] = 0xFF;
}

POE_UNSEEN void* take(std::size_t bytes, std::size_t alignment) {
  void* memory = nullptr;
  if constexpr (kThreadSanitizer) {
    memory = engine().arena.take(bytes);
    fill_with_nan(memory, bytes);
  } else {
    const std::size_t whole = rounded(bytes, alignment);
    memory = std::aligned_alloc(alignment, whole);
    __builtin_memset(memory, 0xFF, bytes);
    forbid(static_cast<char*>(memory) + bytes, whole - bytes);
  }
  return memory;
}

void drop(void* memory, std::size_t bytes, std::size_t alignment) {
  if constexpr (kThreadSanitizer) return;
  permit(memory, rounded(bytes, alignment));
  std::free(memory);
}

constexpr std::size_t kAlignment = 16;  // what CUDA promises for dynamic shared memory

}  // namespace

POE_UNSEEN void Arena::renew() {
  if (base_ && used_ < kArenaBytes / 2) return;
  if (base_) munmap(base_, kArenaBytes);
  void* memory = mmap(nullptr, kArenaBytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  expect(memory != MAP_FAILED, "CUDA harness: no address space for shared memory");
  base_ = static_cast<char*>(memory);
  used_ = 0;
}

POE_UNSEEN void* Arena::take(std::size_t bytes) {
  const std::size_t first = rounded(used_, 256);
  if (first + bytes > kArenaBytes)
    stop("too many blocks for ThreadSanitizer: launch a smaller grid");
  used_ = first + bytes;
  return base_ + first;
}

POE_UNSEEN void SharedMemory::begin(std::size_t bytes) {
  count = 0;
  static_bytes = 0;
  dynamic_bytes = bytes;
  dynamic = bytes > 0 ? take(bytes, kAlignment) : nullptr;
}

POE_UNSEEN void SharedMemory::end() {
  for (unsigned i = 0; i < count; ++i) drop(variables[i].memory, variables[i].bytes, kAlignment);
  if (dynamic) drop(dynamic, dynamic_bytes, kAlignment);
}

POE_UNSEEN void* shared_variable(const void* site, std::size_t bytes, std::size_t alignment) {
  SharedMemory& shared = engine().shared;
  for (unsigned i = 0; i < shared.count; ++i)
    if (shared.variables.data()[i].site == site) return shared.variables.data()[i].memory;
  if (shared.count == SharedMemory::kMostVariables) stop("too many shared arrays in one kernel");
  shared.static_bytes += rounded(bytes, alignment);
  if (shared.static_bytes > kMostStaticShared)
    stop(
        fmt::format("{} bytes of shared arrays, a block has at most {}; ask launch() for dynamic "
                    "shared memory",
                    shared.static_bytes, kMostStaticShared));
  // launch() asks for more than CUDA's 48 KB only where the dynamic part alone is larger.
  const std::size_t whole = shared.static_bytes + shared.dynamic_bytes;
  const std::size_t most =
      shared.dynamic_bytes > kMostStaticShared ? kMostShared : kMostStaticShared;
  if (whole > most)
    stop(
        fmt::format("{} bytes of shared memory, a block has at most {}: {} in shared arrays and {} "
                    "that launch() was asked for",
                    whole, most, shared.static_bytes, shared.dynamic_bytes));
  void* memory = take(bytes, alignment < kAlignment ? kAlignment : alignment);
  shared.variables.data()[shared.count++] = {site, memory, bytes};
  return memory;
}

POE_UNSEEN void* dynamic_shared() { return engine().shared.dynamic; }

}  // namespace poe::harness
