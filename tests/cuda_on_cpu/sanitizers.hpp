// SPDX-License-Identifier: MIT
// Which sanitizer is at work, and how the harness tells it what CUDA means.
//
// AddressSanitizer sees exact bounds of device and shared memory. For ThreadSanitizer every CUDA
// thread is a thread; only barriers, fences and the begin and end of a launch order memory, so a
// missing barrier is a data race even when the result is right.
#pragma once

#include <cstddef>

#if defined(__SANITIZE_ADDRESS__)
#define POE_HARNESS_ASAN 1
#elif defined(__SANITIZE_THREAD__)
#define POE_HARNESS_TSAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POE_HARNESS_ASAN 1
#elif __has_feature(thread_sanitizer)
#define POE_HARNESS_TSAN 1
#endif
#endif

#if defined(POE_HARNESS_ASAN)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#elif defined(POE_HARNESS_TSAN)
#include <sanitizer/tsan_interface.h>
#endif

/// The harness itself switches between CUDA threads: its state is not a race of the kernel.
#define POE_UNSEEN __attribute__((no_sanitize("thread")))

namespace poe::harness {

#if defined(POE_HARNESS_TSAN)
inline constexpr bool kThreadSanitizer = true;
#else
inline constexpr bool kThreadSanitizer = false;
#endif

inline void forbid([[maybe_unused]] const void* memory, [[maybe_unused]] std::size_t bytes) {
#if defined(POE_HARNESS_ASAN)
  __asan_poison_memory_region(memory, bytes);
#endif
}

inline void permit([[maybe_unused]] const void* memory, [[maybe_unused]] std::size_t bytes) {
#if defined(POE_HARNESS_ASAN)
  __asan_unpoison_memory_region(memory, bytes);
#endif
}

/// What happened before signal(object) is seen by whoever calls observe(object) later. The object
/// is an address that stands for it.
inline void signal([[maybe_unused]] void* object) {
#if defined(POE_HARNESS_TSAN)
  __tsan_release(object);
#endif
}

inline void observe([[maybe_unused]] void* object) {
#if defined(POE_HARNESS_TSAN)
  __tsan_acquire(object);
#endif
}

}  // namespace poe::harness
