// SPDX-License-Identifier: MIT
// Every piece of device memory is a piece of the heap, with its bounds in a table.
#include "memory.hpp"

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>

#include <poe/core/error.hpp>
#include <poe/cuda/runtime.hpp>

#include "runtime.hpp"
#include "sanitizers.hpp"

namespace poe::harness {
namespace {

constexpr std::size_t kAlignment = 256;

/// First address -> bytes
std::map<std::uintptr_t, std::size_t>& pieces() {
  static std::map<std::uintptr_t, std::size_t> instance;
  return instance;
}
int accesses = 0;

std::uintptr_t number(const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer); }

/// The last piece that begins at or before `address`, or end().
auto piece_before(std::uintptr_t address) {
  const auto after = pieces().upper_bound(address);
  return after == pieces().begin() ? pieces().end() : std::prev(after);
}

void set_access(bool open) {
  for (const auto& [address, bytes] : pieces())
    (open ? permit : forbid)(reinterpret_cast<const void*>(address), bytes);
}

constexpr std::size_t rounded(std::size_t bytes) {
  return (bytes / kAlignment + 1) * kAlignment;  // never zero
}

}  // namespace

std::size_t live_allocations() { return pieces().size(); }

bool points_to_device(const void* pointer) {
  const auto piece = piece_before(number(pointer));
  return piece != pieces().end() && number(pointer) - piece->first <= piece->second;
}

void expect_on_device(const void* memory, std::size_t bytes, const char* what) {
  const auto piece = piece_before(number(memory));
  const bool inside = piece != pieces().end() && number(memory) - piece->first <= piece->second &&
                      bytes <= piece->second - (number(memory) - piece->first);
  expect(inside, "CUDA harness: {}: {} bytes at {} are not in one piece of device memory", what,
         bytes, memory);
}

void expect_on_host(const void* memory, std::size_t bytes, const char* what) {
  const auto piece = piece_before(number(memory) + bytes);
  const bool apart = bytes == 0 || piece == pieces().end() ||
                     piece->first + piece->second <= number(memory) ||
                     number(memory) + bytes <= piece->first;
  expect(apart, "CUDA harness: {}: {} is device memory, host memory was expected", what, memory);
}

DeviceAccess::DeviceAccess() {
  if (accesses++ == 0) set_access(true);
}

DeviceAccess::~DeviceAccess() {
  if (--accesses == 0) set_access(false);
}

}  // namespace poe::harness

namespace poe::cuda {

using namespace harness;

void* allocate(std::size_t bytes) {
  refuse_while_capturing("allocate");
  void* memory = std::aligned_alloc(kAlignment, rounded(bytes));
  expect(memory, "CUDA harness: no memory for {} bytes", bytes);
  std::memset(memory, 0xFF, rounded(bytes));
  forbid(memory, rounded(bytes));
  pieces().emplace(number(memory), bytes);
  return memory;
}

void release(void* memory) noexcept {
  if (!memory) return;
  spoil_captures("release");
  finish_all();
  const auto piece = pieces().find(number(memory));
  if (piece == pieces().end()) {
    fmt::print(stderr, "CUDA harness: release: {} is no live piece of device memory\n", memory);
    std::abort();
  }
  permit(memory, rounded(piece->second));
  pieces().erase(piece);
  std::free(memory);
}

}  // namespace poe::cuda
