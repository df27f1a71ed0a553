// SPDX-License-Identifier: MIT
// Samples of several modalities as rows of stored arrays, so that what belongs to many samples is
// stored once.
#pragma once

#include <poe/core/arena.hpp>
#include <poe/core/tensor.hpp>
#include <poe/models/batch.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <tuple>

namespace poe {

/// Samples, seen in several modalities: of modality m, sample n shows row `at[m][n]` of what is
/// stored, or row n where there is no such list. An image that is part of thirty pairs, or has ten
/// captions, is thus stored once. Points to memory that its owner keeps.
template <class T, class M>
struct Samples {
  using Stored = decltype(Group<T, M>::x);

  int rows = 0;
  Stored stored{};
  std::array<std::span<const std::uint32_t>, static_cast<std::size_t>(M::count)> at{};

  Samples() = default;
  /// The samples of a batch, each stored once.
  Samples(const Group<T, M>& group) : rows(group.rows), stored(group.x) {}

  /// Where sample n lies among what is stored of modality m.
  std::uint32_t row(int m, std::uint32_t n) const {
    const auto& list = at[static_cast<std::size_t>(m)];
    return list.empty() ? n : list[n];
  }

  /// Samples [first, first + count). Where a list says which rows they show, what is stored stays
  /// as it is.
  Samples slice(int first, int count) const {
    expect_samples(first, count);
    expect_lists();
    Samples part = *this;
    part.rows = count;
    each_index<M::count>([&]<int I>(std::integral_constant<int, I>) {
      if (!at[I].empty())
        part.at[I] =
            at[I].subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count));
      else if (std::get<I>(stored).rows > 0)  // a modality that no sample has is not stored
        std::get<I>(part.stored) = std::get<I>(stored).slice(first, count);
    });
    return part;
  }

  /// Throws Error unless there are samples [first, first + count).
  void expect_samples(int first, int count) const {
    expect(first >= 0 && count >= 0 && first <= rows && count <= rows - first,
           "samples: {} from number {} on asked of {}", count, first, rows);
  }
  /// Throws Error unless sample n is there, with a stored row of every modality in `seen`. The
  /// lists are as expect_lists() wants them.
  void expect_stored(std::uint32_t n, Subset seen) const {
    expect(n < static_cast<std::uint32_t>(rows), "samples: number {} asked of {}", n, rows);
    each_index<M::count>([&]<int I>(std::integral_constant<int, I>) {
      if (!contains(seen, I)) return;
      const auto stored_rows = static_cast<std::uint32_t>(std::get<I>(stored).rows);
      expect(row(I, n) < stored_rows, "samples: sample {} shows row {} of {} rows of modality '{}'",
             n, row(I, n), stored_rows, M::name(I));
    });
  }
  /// Throws Error if there is a list of rows that has not one for each sample.
  void expect_lists() const {
    each_index<M::count>([&]<int I>(std::integral_constant<int, I>) {
      expect(at[I].empty() || at[I].size() == static_cast<std::size_t>(rows),
             "samples: expected a row of modality '{}' for each of {} samples, got {}", M::name(I),
             rows, at[I].size());
    });
  }
};

/// Samples copied out of where they are stored, side by side.
template <class T, class M>
class Gathered {
 public:
  /// Samples [first, first + count), in the modalities `seen`. Their positions are kept, and with
  /// them the noise of whatever is evaluated.
  Gathered(const Samples<T, M>& samples, Subset seen, int first, int count) {
    samples.expect_samples(first, count);
    samples.expect_lists();
    group_.observed = seen;
    group_.rows = group_.total = count;
    group_.first_row = first;
    each_index<M::count>([&]<int I>(std::integral_constant<int, I>) {
      if (!contains(seen, I)) return;
      constexpr auto size = static_cast<std::size_t>(M::template At<I>::Sample::size);
      auto& copy = std::get<I>(copies_);
      copy = Buffer<T>(size * static_cast<std::size_t>(count));
      for (int n = 0; n < count; ++n) {
        const auto number = static_cast<std::uint32_t>(first + n);
        samples.expect_stored(number, only(I));
        std::copy_n(std::get<I>(samples.stored).data + samples.row(I, number) * size, size,
                    copy.data() + static_cast<std::size_t>(n) * size);
      }
      std::get<I>(group_.x) = {copy.data(), count};
    });
  }

  const Group<T, M>& group() const { return group_; }

 private:
  std::array<Buffer<T>, static_cast<std::size_t>(M::count)> copies_;
  Group<T, M> group_;
};

template <class T, class M>
Gathered<T, M> gather(const Samples<T, M>& samples, Subset seen, int first, int count) {
  return {samples, seen, first, count};
}

}  // namespace poe
