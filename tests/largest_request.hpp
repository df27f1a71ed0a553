// SPDX-License-Identifier: MIT
// The largest request for memory of a program: readers must not take a header's word for it. To be
// included by one file of a program.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>

namespace poe::test {
inline std::atomic<std::size_t> largest_request{0};
}  // namespace poe::test

// Every request for memory in this program passes here.
// Not inline: g++ would see free() meet memory of operator new, and warn.
[[gnu::noinline]] void* operator new(std::size_t bytes) {
  if (bytes > poe::test::largest_request) poe::test::largest_request = bytes;
  if (void* p = std::malloc(bytes == 0 ? 1 : bytes)) return p;
  throw std::bad_alloc();
}
[[gnu::noinline]] void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  return std::malloc(bytes == 0 ? 1 : bytes);  // AddressSanitizer has one that delete below misfits
}
[[gnu::noinline]] void operator delete(void* p) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, std::size_t) noexcept { std::free(p); }
