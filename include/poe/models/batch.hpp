// SPDX-License-Identifier: MIT
// A batch for a multimodal model: groups of samples, each with its own set of observed modalities.
#pragma once

#include <tuple>
#include <utility>

#include <poe/models/modality.hpp>

namespace poe {

namespace detail {
template <class T, class M, class D, class I>
struct ViewsOf;
template <class T, class M, class D, std::size_t... I>
struct ViewsOf<T, M, D, std::index_sequence<I...>> {
  using Type = std::tuple<View<T, typename M::template At<static_cast<int>(I)>::Sample, D>...>;
};
}  // namespace detail

/// Samples that were observed in the same modalities: all of them (paired data), one, or any set.
/// Each group is one loader's batch.
template <class T, class M, class D = Cpu>
struct Group {
  Subset observed = 0;
  int rows = 0;       // samples here
  int total = 0;      // samples of the loader's batch, of which other ranks may hold the rest
  int first_row = 0;  // position of the first of them in the loader's batch
  std::uint32_t loader = 0;  // number of the loader: different loaders draw different noise
  typename detail::ViewsOf<T, M, D,
                           std::make_index_sequence<static_cast<std::size_t>(M::count)>>::Type x;

  /// Samples [first, first + count) of this group; positions in the loader's batch are kept.
  Group slice(int first, int count) const {
    Group part = *this;
    part.rows = count;
    part.first_row = first_row + first;
    [&]<std::size_t... I>(std::index_sequence<I...>) {
      ((contains(observed, static_cast<int>(I))
            ? void(std::get<I>(part.x) = std::get<I>(x).slice(first, count))
            : void()),
       ...);
    }(std::make_index_sequence<static_cast<std::size_t>(M::count)>{});
    return part;
  }
};

}  // namespace poe
