// SPDX-License-Identifier: MIT
// What mnist_svhn says of a model: coherences, and pictures of samples and of translations.
#pragma once

#include <poe/eval/coherence.hpp>
#include <poe/eval/digit_classifiers.hpp>
#include <poe/eval/report_figures.hpp>
#include <poe/train/trainer.hpp>

#include <set>

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
DigitOracles make_oracles(const std::filesystem::path& files, const OracleOptions& training,
                          int threads, const DigitPairSource& data) {
  const auto make = [&]<class Net>(Net, const poe::Digits& train, const poe::Digits& held_out) {
    return files.empty() ? trained_oracle<Net, Device>(training, threads, train, held_out)
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
    // wide enough apart to stand below either image
    samples.figure.captions.push_back(fmt::format("{}{:>18}{}", seen[static_cast<std::size_t>(n)],
                                                  "", seen_house[static_cast<std::size_t>(n)]));
  }
  samples.figure.images = samples.keep(both);
  samples.figure.columns = 6;
  samples.figure.title = "Samples of the prior";
  samples.figure.subtitle = fmt::format(
      "{} on {}: one code decoded twice; below, the classes that the oracles see", o.model, data);
  poe::write_png(o.out / "samples.png", poe::draw(samples.figure));
}

/// Test digits of one modality, none of them twice, and below each what the model makes of it:
/// several draws of the other modality. FROM_to_TO.png.
template <int From, class Model>
void draw_translations(const Model& model, poe::LearnerOf<Model>& learner, const DigitPairs& test,
                       const poe::Scores& scores, const std::string& data, const Options& o) {
  using M = typename Model::ModalitySet;
  constexpr int to = 1 - From, per_class = 5, draws = 5;
  const std::string from_name = M::name(From), to_name = M::name(to);
  const auto& digits = From == 0 ? test.pairs.a : test.pairs.b;
  std::vector<std::size_t> pairs;  // the first of each digit
  std::vector<std::uint8_t> labels;
  std::set<std::uint32_t> seen;
  for (std::size_t n = 0; n < digits.size(); ++n) {
    if (!seen.insert(digits[n]).second) continue;
    pairs.push_back(n);
    labels.push_back(test.labels[n]);
  }
  const poe::detail::ClassExamples examples(labels, per_class);
  std::vector<std::uint32_t> shown[2];
  for (const int k : examples.rows) {
    const std::size_t n = pairs[static_cast<std::size_t>(k)];
    shown[0].push_back(test.pairs.a[n]);
    shown[1].push_back(test.pairs.b[n]);
  }
  auto samples = test.samples<M>();
  samples.rows = static_cast<int>(examples.rows.size());
  samples.at = {shown[0], shown[1]};
  const auto part = poe::gather(samples, poe::only(From), 0, samples.rows);
  poe::Tensor<float, typename M::template At<From>::Sample> given(samples.rows);
  std::ranges::copy(std::get<From>(part.group().x).flat(), given.flat().begin());

  // The notes say what was generated: ink cannot, where one side is in colour.
  constexpr bool blue = to == 0;
  poe::FilledFigure<poe::GridFigure> grid;
  grid.figure.bands.push_back({from_name, "given", {{grid.keep(given), blue}}});
  for (std::uint32_t d = 0; d < draws; ++d) {
    const auto made =
        poe::complete(model, learner, part.group(), poe::only(From), evaluation_noise.at_step(d));
    grid.figure.bands.push_back(
        {to_name, fmt::format("draw {}", d + 1), {{grid.keep(std::get<to>(made)), blue}}});
  }
  double coherence = 0;
  for (const auto& [name, value] : scores.values)
    if (name == fmt::format("coherence_{}_to_{}", from_name, to_name)) coherence = value;
  grid.figure.groups = examples.groups;
  grid.figure.groups_per_line = 5;
  grid.figure.title = fmt::format("From {} to {}", from_name, to_name);
  grid.figure.subtitle =
      fmt::format("{} ({} preset) on {}: held-out digits, {} draws from each; coherence {:.3f}",
                  o.model, o.preset, data, draws, coherence);
  poe::write_png(o.out / fmt::format("{}_to_{}.png", from_name, to_name), poe::draw(grid.figure));
}

}  // namespace examples
