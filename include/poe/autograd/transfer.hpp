// SPDX-License-Identifier: MIT
// Batches that the host writes and reads: copies to and from the device of a pass, nothing on the
// CPU.
#pragma once

#include <poe/autograd/context.hpp>

namespace poe {

/// The samples where the operations of the pass want them.
template <class T, class S>
View<T, S> to_device(Context<T>&, View<T, S> samples) {
  return samples;
}
template <class T, class S>
View<T, S, Cuda> to_device(Context<T, Cuda>& ctx, View<T, S> samples) {
  const auto flat = samples.flat();
  T* const copy = ctx.template take_values<T>(flat.size());
  if (!flat.empty()) cuda::upload(copy, flat.data(), flat.size_bytes(), ctx.executor().stream());
  return {copy, samples.rows};
}

/// The values of a variable where the host can read them; waits until they are computed.
template <class T, class S>
View<T, S> to_host(Context<T>&, Variable<T, S> x) {
  return x.view();
}
template <class T, class S>
View<T, S> to_host(Context<T, Cuda>& ctx, Variable<T, S, Cuda> x) {
  T* const copy = ctx.arena().template take<T>(x.count());
  if (x.count() > 0) cuda::download(copy, x.value, x.count() * sizeof(T), ctx.executor().stream());
  return {copy, x.rows};
}

}  // namespace poe
