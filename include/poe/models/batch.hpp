// SPDX-License-Identifier: MIT
// A batch for a multimodal model: groups of samples, each with its own set of observed modalities.
#pragma once

#include <algorithm>
#include <span>
#include <tuple>
#include <utility>

#include <poe/models/modality.hpp>
#include <poe/ops/elementwise.hpp>

namespace poe {

namespace detail {
template <class T, class M, class D, class I>
struct ViewsOf;
template <class T, class M, class D, std::size_t... I>
struct ViewsOf<T, M, D, std::index_sequence<I...>> {
  using Type = std::tuple<View<T, typename M::template At<static_cast<int>(I)>::Sample, D>...>;
};
}  // namespace detail

/// Samples that were observed in the same modalities: all of them (paired data), one, or any set. A
/// loader's batch is one group, or several where samples were observed differently.
template <class T, class M, class D = Cpu>
struct Group {
  Subset observed = 0;
  int rows = 0;              // samples here
  int total = 0;             // samples of the group, of which other ranks may hold the rest
  int first_row = 0;         // position of the first of them in the loader's batch
  std::uint32_t loader = 0;  // number of the loader: different loaders draw different noise
  typename detail::ViewsOf<T, M, D,
                           std::make_index_sequence<static_cast<std::size_t>(M::count)>>::Type x;

  /// Samples [first, first + count) of this group; positions in the loader's batch are kept.
  Group slice(int first, int count) const {
    Group part = *this;
    part.rows = count;
    part.first_row = first_row + first;
    each_index<M::count>([&]<int I>(std::integral_constant<int, I>) {
      if (contains(observed, I)) std::get<I>(part.x) = std::get<I>(x).slice(first, count);
    });
    return part;
  }
};

/// Samples of the modality that is named by the type Tag.
template <class Tag, class T, class S, class D>
struct Given {
  View<T, S, D> x;
};
template <class Tag, class T, class S, class D>
Given<Tag, T, S, D> given(View<T, S, D> x) {
  return {x};
}
template <class Tag, class T, class S, class D>
Given<Tag, T, S, D> given(const Tensor<T, S, D>& x) {
  return {x.view()};
}
template <class Tag, class T, class S, class D>
Given<Tag, T, S, D> given(const Tensor<T, S, D>&& x) = delete;  // its memory ends with it

/// A loader's batch in which exactly the given modalities were observed:
///   observe<float, Digit>(0, given<Top>(tops), given<Bottom>(bottoms)).
/// Fails if the modalities have different numbers of samples.
template <class T, class M, class... Tags, class... S, class D>
Group<T, M, D> observe(std::uint32_t loader, Given<Tags, T, S, D>... parts) {
  Group<T, M, D> group;
  group.loader = loader;
  const auto put = [&]<class Tag, class Sample>(const Given<Tag, T, Sample, D>& part) {
    constexpr int index = M::template index_of<Tag>();
    static_assert(index >= 0, "poe: the model has no modality of this Tag");
    if constexpr (index >= 0) {
      static_assert(std::is_same_v<typename M::template At<index>::Sample, Sample>,
                    "poe: samples of this modality have another Shape");
      expect(group.observed == 0 || group.rows == part.x.rows,
             "observe: {} samples of modality '{}', {} of the others", part.x.rows, Tag::name,
             group.rows);
      group.observed |= only(index);
      group.rows = group.total = part.x.rows;
      std::get<static_cast<std::size_t>(index)>(group.x) = part.x;
    }
  };
  (put(parts), ...);
  return group;
}

/// Samples of modality J of the chosen groups as one batch: in place where they lie side by side,
/// copied otherwise.
template <int J, class T, class M, class D, class F>
auto join_samples(Executor<D>& on, std::span<const Group<T, M, D>> groups, F&& chosen) {
  View<T, typename M::template At<J>::Sample, D> all{};
  bool adjacent = true;
  for (std::size_t g = 0; g < groups.size(); ++g) {
    if (!chosen(g)) continue;
    const auto& part = std::get<J>(groups[g].x);
    expect(part.rows == groups[g].rows, "a group of {} samples has {} of modality '{}'",
           groups[g].rows, part.rows, M::name(J));
    if (all.rows == 0) {
      all = part;
    } else if (part.rows > 0) {
      adjacent = adjacent && part.data == all.data + all.flat().size();
      all.rows += part.rows;
    }
  }
  if (!adjacent) {
    T* const copy = on.values().template take<T>(all.flat().size());
    T* to = copy;
    for (std::size_t g = 0; g < groups.size(); ++g)
      if (chosen(g)) {
        const auto part = std::get<J>(groups[g].x).flat();
        pass_on(part.size(), part.data(), Sink<T>{to}, on);
        to += part.size();
      }
    all.data = copy;
  }
  return all;
}

}  // namespace poe
