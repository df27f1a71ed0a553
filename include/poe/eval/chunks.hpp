// SPDX-License-Identifier: MIT
// A pass over many samples: all ranks of a learner, in chunks, so that memory stays bounded.
#pragma once

#include "poe/optim/learner.hpp"

#include <algorithm>

namespace poe::detail {

/// Calls f(context, first, count) until every row of [0, rows) was covered once: each rank takes a
/// slice, in chunks of at most `chunk` rows. What a call takes from the arena is gone after it.
/// Values only; layers are in evaluation mode.
template <class T, class F>
void for_each_chunk(Learner<T>& learner, int rows, int chunk, F&& f) {
  learner.evaluate({}, [&](Context<T>& ctx) {
    const Slice mine = slice_of(rows, ctx.rank, learner.threads());
    for (int done = 0; done < mine.count; done += chunk) {
      const Scratch rewind(ctx.arena());
      f(ctx, mine.first + done, std::min(chunk, mine.count - done));
    }
  });
}

}  // namespace poe::detail
