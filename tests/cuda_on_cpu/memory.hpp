// SPDX-License-Identifier: MIT
// Device memory: exact bounds, NaN in every byte that nobody wrote, closed to host code.
#pragma once

#include <cstddef>

namespace poe::harness {

/// Pieces of device memory that were allocated and not yet released.
std::size_t live_allocations();

/// Fails, naming `what`, unless all the bytes lie in one live piece of device memory.
void expect_on_device(const void* memory, std::size_t bytes, const char* what);
/// Fails, naming `what`, if the bytes touch device memory.
void expect_on_host(const void* memory, std::size_t bytes, const char* what);
/// Whether `pointer` is into a live piece, or just past its end.
bool points_to_device(const void* pointer);

/// While one of these lives, device memory may be read and written. At other times
/// AddressSanitizer reports it: only kernels and copies have that right.
class DeviceAccess {
 public:
  DeviceAccess();
  ~DeviceAccess();
  DeviceAccess(const DeviceAccess&) = delete;
  DeviceAccess& operator=(const DeviceAccess&) = delete;
};

}  // namespace poe::harness
