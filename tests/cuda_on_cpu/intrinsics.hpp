// SPDX-License-Identifier: MIT
// CUDA's device functions that let threads meet, exchange values or update one word together.
//
// Atomics take whole numbers only: the order of a sum must not depend on the order of the threads.
// They order nothing else in memory: what another block wrote is seen after __threadfence() here
// and there.
#pragma once

#include <bit>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "block.hpp"
#include "sanitizers.hpp"

inline void __syncthreads(poe::harness::Where where = poe::harness::Where::here()) {
  poe::harness::block_barrier("__syncthreads", false, where);
}
inline int __syncthreads_or(int yes, poe::harness::Where where = poe::harness::Where::here()) {
  return poe::harness::block_barrier("__syncthreads_or", yes != 0, where).yes > 0 ? 1 : 0;
}
inline int __syncthreads_and(int yes, poe::harness::Where where = poe::harness::Where::here()) {
  return poe::harness::block_barrier("__syncthreads_and", yes != 0, where).all;
}
inline int __syncthreads_count(int yes, poe::harness::Where where = poe::harness::Where::here()) {
  return poe::harness::block_barrier("__syncthreads_count", yes != 0, where).yes;
}

inline void __threadfence() { poe::harness::fence(true); }
inline void __threadfence_block() { poe::harness::fence(false); }

inline void __syncwarp(unsigned mask = 0xFFFFFFFFU,
                       poe::harness::Where where = poe::harness::Where::here()) {
  poe::harness::warp_collective({"__syncwarp", nullptr, true, mask, nullptr, where});
}

namespace poe::harness {

/// What one lane hands in, and gets.
struct Shuffle {
  std::uint64_t value;
  std::uint64_t result;
  int argument;  // a lane, a distance or a bit pattern
  int width;
};
enum class Source { lane, above, below, exchanged };

/// The lane that `lane` reads.
template <Source source>
POE_UNSEEN int source_lane(int lane, const Shuffle& request) {
  const int width = request.width, argument = request.argument;
  const int first = lane & ~(width - 1);
  if constexpr (source == Source::lane) return first + (argument & (width - 1));
  int from = lane;
  if constexpr (source == Source::above) from = lane - argument;
  if constexpr (source == Source::below) from = lane + argument;
  if constexpr (source == Source::exchanged) from = lane ^ argument;
  // The lower edge of an exchange may be crossed, the upper edge never.
  const bool inside = from < first + width && (source != Source::above || from >= first);
  return inside ? from : lane;
}

[[noreturn]] void stop_absent_lane(const Collective& call, int lane, int absent);

template <Source source>
POE_UNSEEN void complete_shuffle(void* const* requests, const Collective& call) {
  for (int lane = 0; lane < 32; ++lane) {
    auto* request = static_cast<Shuffle*>(requests[lane]);
    if (!request) continue;
    const int from = source_lane<source>(lane, *request);
    if (!requests[from]) stop_absent_lane(call, lane, from);
    request->result = static_cast<const Shuffle*>(requests[from])->value;
  }
}

template <Source source, class T>
T shuffle(const char* name, unsigned mask, T value, int argument, int width, Where where) {
  static_assert(sizeof(T) <= 8 && std::is_arithmetic_v<T>);
  Shuffle request{0, 0, argument, width};
  std::memcpy(&request.value, &value, sizeof value);
  warp_collective({name, &complete_shuffle<source>, false, mask, &request, where});
  std::memcpy(&value, &request.result, sizeof value);
  return value;
}

/// One value of every lane, and what all of them make together.
template <class T>
struct Joint {
  T value;
  T result;
};

template <class T, class Combine>
POE_UNSEEN void complete_joint(void* const* requests, const Collective&) {
  bool first = true;
  T all{};
  for (int lane = 0; lane < 32; ++lane) {
    const auto* request = static_cast<const Joint<T>*>(requests[lane]);
    if (!request) continue;
    all = first ? request->value : Combine::of(all, request->value);
    first = false;
  }
  for (int lane = 0; lane < 32; ++lane)
    if (requests[lane]) static_cast<Joint<T>*>(requests[lane])->result = all;
}

template <class Combine, class T>
T joint(const char* name, unsigned mask, T value, Where where) {
  Joint<T> request{value, T{}};
  warp_collective({name, &complete_joint<T, Combine>, false, mask, &request, where});
  return request.result;
}

/// This thread's number within its warp.
inline unsigned lane_number() {
  return (threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z)) % kWarp;
}

// clang-format off
struct Sum { template <class T> static POE_UNSEEN T of(T a, T b) { return a + b; } };
struct Largest { template <class T> static POE_UNSEEN T of(T a, T b) { return a < b ? b : a; } };
struct Smallest { template <class T> static POE_UNSEEN T of(T a, T b) { return b < a ? b : a; } };
struct Or { template <class T> static POE_UNSEEN T of(T a, T b) { return a | b; } };
struct And { template <class T> static POE_UNSEEN T of(T a, T b) { return a & b; } };
// clang-format on

}  // namespace poe::harness

template <class T>
T __shfl_sync(unsigned mask, T value, int lane, int width = 32,
              poe::harness::Where where = poe::harness::Where::here()) {
  using poe::harness::Source;
  return poe::harness::shuffle<Source::lane>("__shfl_sync", mask, value, lane, width, where);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned distance, int width = 32,
                 poe::harness::Where where = poe::harness::Where::here()) {
  using poe::harness::Source;
  return poe::harness::shuffle<Source::above>("__shfl_up_sync", mask, value,
                                              static_cast<int>(distance), width, where);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned distance, int width = 32,
                   poe::harness::Where where = poe::harness::Where::here()) {
  using poe::harness::Source;
  return poe::harness::shuffle<Source::below>("__shfl_down_sync", mask, value,
                                              static_cast<int>(distance), width, where);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32,
                  poe::harness::Where where = poe::harness::Where::here()) {
  using poe::harness::Source;
  return poe::harness::shuffle<Source::exchanged>("__shfl_xor_sync", mask, value, bits, width,
                                                  where);
}

inline unsigned __ballot_sync(unsigned mask, int yes,
                              poe::harness::Where where = poe::harness::Where::here()) {
  const unsigned mine = yes != 0 ? 1U << poe::harness::lane_number() : 0U;
  return poe::harness::joint<poe::harness::Or>("__ballot_sync", mask, mine, where);
}
inline int __any_sync(unsigned mask, int yes,
                      poe::harness::Where where = poe::harness::Where::here()) {
  return poe::harness::joint<poe::harness::Or>("__any_sync", mask, yes != 0 ? 1 : 0, where);
}
inline int __all_sync(unsigned mask, int yes,
                      poe::harness::Where where = poe::harness::Where::here()) {
  return poe::harness::joint<poe::harness::And>("__all_sync", mask, yes != 0 ? 1 : 0, where);
}

template <std::integral T>
T __reduce_add_sync(unsigned mask, T value,
                    poe::harness::Where where = poe::harness::Where::here()) {
  return poe::harness::joint<poe::harness::Sum>("__reduce_add_sync", mask, value, where);
}
template <std::integral T>
T __reduce_max_sync(unsigned mask, T value,
                    poe::harness::Where where = poe::harness::Where::here()) {
  return poe::harness::joint<poe::harness::Largest>("__reduce_max_sync", mask, value, where);
}
template <std::integral T>
T __reduce_min_sync(unsigned mask, T value,
                    poe::harness::Where where = poe::harness::Where::here()) {
  return poe::harness::joint<poe::harness::Smallest>("__reduce_min_sync", mask, value, where);
}
inline unsigned __reduce_or_sync(unsigned mask, unsigned value,
                                 poe::harness::Where where = poe::harness::Where::here()) {
  return poe::harness::joint<poe::harness::Or>("__reduce_or_sync", mask, value, where);
}

namespace poe::harness {

/// *word = change(*word), as one step; -> the old value.
template <std::integral T, class F>
T update(T* word, F change) {
  T old = __atomic_load_n(word, __ATOMIC_RELAXED);
  T changed = change(old);
  while (
      !__atomic_compare_exchange_n(word, &old, changed, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
    changed = change(old);
  return old;
}

}  // namespace poe::harness

template <std::integral T>
T atomicAdd(T* word, std::type_identity_t<T> value) {
  return __atomic_fetch_add(word, value, __ATOMIC_RELAXED);
}
template <std::integral T>
T atomicSub(T* word, std::type_identity_t<T> value) {
  return __atomic_fetch_sub(word, value, __ATOMIC_RELAXED);
}
template <std::integral T>
T atomicOr(T* word, std::type_identity_t<T> value) {
  return __atomic_fetch_or(word, value, __ATOMIC_RELAXED);
}
template <std::integral T>
T atomicAnd(T* word, std::type_identity_t<T> value) {
  return __atomic_fetch_and(word, value, __ATOMIC_RELAXED);
}
template <std::integral T>
T atomicExch(T* word, std::type_identity_t<T> value) {
  return __atomic_exchange_n(word, value, __ATOMIC_RELAXED);
}
template <std::integral T>
T atomicMax(T* word, std::type_identity_t<T> value) {
  return poe::harness::update(word, [value](T old) { return old < value ? value : old; });
}
template <std::integral T>
T atomicMin(T* word, std::type_identity_t<T> value) {
  return poe::harness::update(word, [value](T old) { return value < old ? value : old; });
}
template <std::integral T>
T atomicCAS(T* word, std::type_identity_t<T> expected, std::type_identity_t<T> value) {
  __atomic_compare_exchange_n(word, &expected, value, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
  return expected;
}
inline unsigned atomicInc(unsigned* word, unsigned last) {
  return poe::harness::update(word, [last](unsigned old) { return old >= last ? 0U : old + 1U; });
}
