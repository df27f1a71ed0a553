// SPDX-License-Identifier: MIT
// A pass over many samples: all ranks of a learner, in chunks, so that memory stays bounded.
#pragma once

#include "poe/autograd/transfer.hpp"
#include "poe/optim/learner_cuda.hpp"

#include <algorithm>

namespace poe::detail {

/// Rows of a pass at a time: few keep a core's caches warm, many keep a GPU busy.
template <class Device>
inline constexpr int chunk_rows = std::is_same_v<Device, Cpu> ? 128 : 1024;

/// Calls f(context, first, count) until every row of [0, rows) was covered once: each rank takes a
/// slice, in chunks of at most `chunk` rows. What a call takes from the arena is gone after it.
/// Values only; layers are in evaluation mode.
template <class T, class D, class F>
void for_each_chunk(Learner<T, D>& learner, int rows, int chunk, F&& f) {
  learner.evaluate({}, [&](Context<T, D>& ctx) {
    const Slice mine = slice_of(rows, ctx.rank, learner.threads());
    for (int done = 0; done < mine.count; done += chunk) {
      const Scratch<D> values(ctx.executor().values());
      const Scratch<Cpu> host(ctx.arena());
      f(ctx, mine.first + done, std::min(chunk, mine.count - done));
    }
  });
}

}  // namespace poe::detail
