// SPDX-License-Identifier: MIT
// What mnist_svhn says of a model: coherences, and pictures of samples and of translations.
#pragma once

#include <poe/eval/coherence.hpp>
#include <poe/eval/digit_classifiers.hpp>
#include <poe/eval/report_figures.hpp>
#include <poe/train/trainer.hpp>

#include "log_likelihoods.hpp"
#include "oracles.hpp"
#include "svhn_data.hpp"

namespace examples {

using WrittenImage = poe::MnistClassifier::In;
using HouseImage = poe::SvhnClassifier::In;

/// The oracles of both modalities.
struct DigitOracles {
  ImageOracle<WrittenImage> written;
  ImageOracle<HouseImage> house;
  auto both() const { return std::tie(written, house); }
};

namespace detail {

/// The classifier of a file; says how many training and held-out digits it gets right.
template <class Net, class Device>
ImageOracle<typename Net::In> loaded_oracle(const std::filesystem::path& file, int threads,
                                            const poe::Digits& train, const poe::Digits& held_out) {
  using Image = typename Net::In;
  auto net = std::make_shared<poe::Classifier<Net, Device>>(
      poe::load_classifier<Net, Device>(file, threads));
  const auto share = [&](const poe::Digits& d) {
    return net->accuracy(poe::labelled_images<Image>(d));
  };
  const double on_train = share(train), on_test = share(held_out);
  fmt::print("oracle: {} from {}: {:.0f} of {} training and {:.0f} of {} held-out digits right\n",
             Net::name, file.string(), on_train * train.rows, train.rows, on_test * held_out.rows,
             held_out.rows);
  return {on_test, [net](auto images) { return net->predict(images); }};
}

}  // namespace detail

/// The oracles from the directory `files`, or trained on the digits where it is empty.
template <class Device>
DigitOracles make_oracles(const std::filesystem::path& files, const std::filesystem::path& cache,
                          int threads, const DigitPairSource& data) {
  const auto make = [&]<class Net>(Net, const poe::Digits& train, const poe::Digits& held_out) {
    return files.empty() ? trained_oracle<Net, Device>(cache, threads, train, held_out)
                         : detail::loaded_oracle<Net, Device>(
                               files / fmt::format("{}_classifier.safetensors", Net::name), threads,
                               train, held_out);
  };
  return {make(poe::MnistClassifier{}, data.train.written, data.test.written),
          make(poe::SvhnClassifier{}, data.train.house, data.test.house)};
}

/// Coherence from one modality to the other, as its name and the model's modalities have it.
template <class Model>
void add_cross_coherences(const Model& model, poe::LearnerOf<Model>& learner,
                          const DigitPairs& test, const DigitOracles& oracles,
                          poe::Scores& scores) {
  using M = typename Model::ModalitySet;
  const auto samples = test.samples<M>();
  for (const int from : {0, 1}) {
    const auto counts = poe::cross_coherence(model, learner, samples, test.labels, poe::only(from),
                                             oracles.both(), evaluation_noise);
    const poe::ClassCounts& there = counts[static_cast<std::size_t>(1 - from)];
    const std::string name = fmt::format("coherence_{}_to_{}", M::name(from), M::name(1 - from));
    scores.values.emplace_back(name, there.accuracy());
    scores.values.emplace_back(name + "_by_class", there.class_mean());
  }
}

/// Samples of the prior, both modalities side by side, with the classes that the oracles see.
template <class Model>
void draw_pairs(const Model& model, poe::LearnerOf<Model>& learner, const DigitOracles& oracles,
                const std::string& data, const Options& o) {
  constexpr int count = 30, height = 32, width = 28 + 2 + 32;
  const auto drawn = poe::draw_from_prior(model, learner, count, evaluation_noise);
  const auto& [written, house] = drawn;
  const auto seen = oracles.written.predict(written.view());
  const auto seen_house = oracles.house.predict(house.view());
  poe::FilledFigure<poe::SamplesFigure> samples;
  poe::Tensor<float, poe::Shape<3, height, width>> both(count);
  for (int n = 0; n < count; ++n) {
    for (int c = 0; c < 3; ++c)
      for (int h = 0; h < height; ++h)
        for (int w = 0; w < width; ++w) {
          const bool ink = w < 28 && h >= 2 && h < 30;
          both(n, c, h, w) =
              ink ? 1 - written(n, 0, h - 2, w) : (w < 30 ? 1.0F : house(n, c, h, w - 30));
        }
    samples.figure.captions.push_back(fmt::format("{}  {}", seen[static_cast<std::size_t>(n)],
                                                  seen_house[static_cast<std::size_t>(n)]));
  }
  samples.figure.images = samples.keep(both);
  samples.figure.columns = 6;
  samples.figure.title = "Samples of the prior";
  samples.figure.subtitle = fmt::format(
      "{} on {}: one code decoded twice; below, the classes that the oracles see", o.model, data);
  poe::write_png(o.out / "samples.png", poe::draw(samples.figure));
}

/// Test pairs beside what the model makes of each of their sides and of both.
template <class Model>
void draw_translations(const Model& model, poe::LearnerOf<Model>& learner, const DigitPairs& test,
                       const poe::Scores& scores, const std::string& data, const Options& o) {
  using M = typename Model::ModalitySet;
  const int rows = std::min(1000, static_cast<int>(test.labels.size()));
  const auto shown = poe::gather(test.samples<M>(), poe::all_of(2), 0, rows);
  const std::vector<poe::Subset> given{1, 2, 3};
  auto grid = poe::reconstruction_grid(model, learner, shown.group(),
                                       std::span(test.labels).first(static_cast<std::size_t>(rows)),
                                       given, 5, evaluation_noise);
  grid.figure.title = "Held-out digits translated";
  grid.figure.subtitle = fmt::format("{} ({} preset) on {}:", o.model, o.preset, data);
  for (const auto& [name, value] : scores.values)
    if (name.find("_to_") != std::string::npos && !name.ends_with("_by_class"))
      grid.figure.subtitle += fmt::format(" {} {:.3f}", name, value);
  grid.figure.groups_per_line = 5;
  poe::write_png(o.out / "translations.png", poe::draw(grid.figure));
}

}  // namespace examples
