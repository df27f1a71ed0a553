// SPDX-License-Identifier: MIT
// CUDA's execution model for a plain C++ compiler: kernels/*.cuh, unchanged, on the CPU.
//
// One block runs at a time. A CUDA thread gets a stack of its own when it first has to wait; in
// between the order of the threads is that of config(). Barriers and warp collectives are exact:
// whoever waits for somebody who will never come is named, with the line, in a poe::Error.
// Host code uses include/poe/cuda/runtime.hpp as on a GPU.
//
// One thread of the host may use it. Blocks run one after the other, so a block that waits for
// another one never ends. Not seen here: speed, memory order beyond barriers and fences, 32-bit
// overflow at sizes that no test has, the last bits of fast functions; with Config::late not set,
// missing events between streams that are not being captured.
#pragma once

#include <cstddef>
#include <type_traits>
#include <utility>

#include <poe/cuda/runtime.hpp>

#include "arithmetic.hpp"
#include "block.hpp"
#include "config.hpp"
#include "intrinsics.hpp"
#include "language.hpp"

#define POE_UNROLL
#define POE_SHARED(T, name) auto& name = ::poe::harness::shared_reference<T>([] {})
#define POE_DYNAMIC_SHARED(T, name) \
  T* const name = static_cast<T*>(::poe::harness::dynamic_shared())

namespace poe::harness {

/// Bytes of the parameters of a kernel, one behind the other as their alignment asks.
template <class... P>
constexpr std::size_t parameter_bytes() {
  std::size_t bytes = 0;
  ((bytes = (bytes + alignof(P) - 1) / alignof(P) * alignof(P) + sizeof(P)), ...);
  return bytes;
}

/// Puts a kernel into a stream: runs it, or notes it down while the stream is being captured.
void submit(cuda::Stream stream, Launch launch);

}  // namespace poe::harness

namespace poe::cuda {

/// Puts one kernel into a stream.
template <class... P, class... A>
void launch(void (*kernel)(P...), dim3 grid, dim3 block, std::size_t shared_bytes, Stream stream,
            A&&... arguments) {
  static_assert(harness::parameter_bytes<P...>() <= harness::kMostParameters,
                "the parameters of a kernel have at most 32764 bytes together");
  harness::Launch call;
  call.grid = grid;
  call.block = block;
  call.shared_bytes = shared_bytes;
  [&](P... values) {
    int number = 0;
    const auto note = [&]([[maybe_unused]] const auto& value) {
      ++number;
      if constexpr (std::is_pointer_v<std::remove_cvref_t<decltype(value)>>)
        call.pointers.push_back({number, value});
    };
    (note(values), ...);
    call.thread = [=] { kernel(values...); };
  }(static_cast<P>(arguments)...);
  harness::submit(stream, std::move(call));
}

}  // namespace poe::cuda
