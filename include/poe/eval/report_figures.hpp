// SPDX-License-Identifier: MIT
// The figures of a report, filled by a trained model; the caller adds titles.
#pragma once

#include "poe/eval/accuracy.hpp"
#include "poe/io/figures.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace poe {

/// A figure and the images that it points to. It may be moved, not copied.
template <class Figure>
struct FilledFigure {
  FilledFigure() = default;
  FilledFigure(FilledFigure&&) noexcept = default;
  FilledFigure& operator=(FilledFigure&&) noexcept = default;

  Figure figure;
  std::vector<std::vector<float>> pixels;

  /// Keeps a batch of images. -> what the figure draws.
  template <class T, class S>
  Images keep(const Tensor<T, S>& images) {
    static_assert(is_image<S>, "poe: figures show modalities that are images, Shape<C, H, W>");
    std::vector<float>& kept = pixels.emplace_back();
    for (const T x : images.flat()) kept.push_back(static_cast<float>(x));
    return {ImageOf<S>::height, ImageOf<S>::width, ImageOf<S>::channels, kept};
  }
};

namespace detail {

/// The first `per_class` samples of each class, class by class.
struct ClassExamples {
  std::vector<int> rows;
  std::vector<GridGroup> groups;  // of the classes that occur

  ClassExamples(std::span<const std::uint8_t> labels, int per_class) {
    for (int c = 0; c < 256; ++c) {
      int found = 0;
      for (std::size_t n = 0; n < labels.size() && found < per_class; ++n)
        if (labels[n] == c) rows.push_back(static_cast<int>(n)), ++found;
      if (found > 0) groups.push_back({std::to_string(c), found});
    }
  }
};

/// One band: the modalities of `images` one below the other.
template <class Decoded>
GridBand band_of(FilledFigure<GridFigure>& grid, std::string label, const Decoded& images,
                 bool generated) {
  GridBand band{std::move(label), "", {}};
  std::apply(
      [&](const auto&... part) {
        (band.parts.push_back({grid.keep(part), generated}), ...);
      },
      images);
  return band;
}

}  // namespace detail

/// What the model completes: a column per sample, the first `per_class` of every class; a band of
/// the samples themselves, and one for each subset S of `given` with the means of all modalities,
/// decoded from one z ~ q(z | x_S). With the halves of a digit and S = top, bottom, both: the eight
/// rows of the paper's figure.
template <class V>
FilledFigure<GridFigure> reconstruction_grid(const V& model, LearnerOf<V>& learner,
                                             const typename V::HostGroup& samples,
                                             std::span<const std::uint8_t> labels,
                                             std::span<const Subset> given, int per_class,
                                             const Random& random) {
  using M = typename V::ModalitySet;
  expect(samples.observed == all_of(V::modalities) &&
             labels.size() == static_cast<std::size_t>(samples.rows),
         "reconstruction_grid: expected complete samples with a label each, got '{}' and {} labels "
         "for {} samples",
         names_of<M>(samples.observed), labels.size(), samples.rows);
  const detail::ClassExamples examples(labels, per_class);
  const int columns = static_cast<int>(examples.rows.size());
  auto originals = detail::DecodedFrom<V>::make(columns);
  typename V::HostGroup shown{samples.observed, columns, columns, 0, samples.loader, {}};
  each_index<V::modalities>([&]<int I>(std::integral_constant<int, I>) {
    for (int k = 0; k < columns; ++k) {
      const auto row = std::get<I>(samples.x).slice(examples.rows[static_cast<std::size_t>(k)], 1);
      std::copy(row.flat().begin(), row.flat().end(), std::get<I>(originals).row(k).begin());
    }
    std::get<I>(shown.x) = std::get<I>(originals).view();
  });

  FilledFigure<GridFigure> grid;
  grid.figure.groups = examples.groups;
  grid.figure.bands.push_back(detail::band_of(grid, "samples", originals, false));
  for (const Subset s : given)
    grid.figure.bands.push_back(detail::band_of(grid, "from " + names_of<M>(s, " + "),
                                                complete(model, learner, shown, s, random), true));
  return grid;
}

/// What the model draws by itself: images from z ~ p(z), glued, each with the class that the
/// oracle sees in it as caption.
template <class V, class Oracle, class Glue = StackRows<>>
FilledFigure<SamplesFigure> prior_samples(const V& model, LearnerOf<V>& learner, int count,
                                          Oracle& oracle, const Random& random,
                                          const Glue& glue = {}) {
  FilledFigure<SamplesFigure> samples;
  const auto images = glue(draw_from_prior(model, learner, count, random));
  for (const std::uint8_t c : oracle.predict(images.view()))
    samples.figure.captions.push_back(std::to_string(c));
  samples.figure.images = samples.keep(images);
  return samples;
}

}  // namespace poe
