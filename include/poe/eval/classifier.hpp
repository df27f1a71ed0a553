// SPDX-License-Identifier: MIT
// Classifier: a network that tells images apart, trained with cross-entropy.
#pragma once

#include "poe/eval/chunks.hpp"
#include "poe/likelihood/likelihood.hpp"
#include "poe/nn/net.hpp"
#include "poe/optim/learner.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <numbers>
#include <span>
#include <vector>

namespace poe {

/// How a classifier is trained: Adam; the learning rate rises linearly over the first `warm_up` of
/// all steps, then falls to 0 along a half cosine, or is `constant`.
struct ClassifierTraining {
  int epochs = 1;
  int batch = 64;
  double learning_rate = 1e-3;  ///< the largest
  double warm_up = 0.2;         ///< share of the steps
  bool constant = false;        ///< neither warm-up nor cosine
  std::uint64_t seed = 1;       ///< of initial values, order and dropout
  int least_steps = 0;          ///< few images are seen in more epochs, until there are so many

  int steps_per_epoch(int images) const { return (images - 1) / batch + 1; }
  int epochs_for(int images) const {
    const int steps = steps_per_epoch(images);
    return std::max(epochs, (least_steps + steps - 1) / steps);
  }
};

/// Where training stands after a step.
struct ClassifierProgress {
  int step = 0, steps = 0;
  double loss = 0;  ///< cross-entropy of the step's batch, in nats per image
};

/// Images as bytes (0 to 255 stand for 0 to 1) with their classes.
template <class Image>
struct LabelledImages {
  View<std::uint8_t, Image> images;
  std::span<const std::uint8_t> labels;
};

/// A network N of images, N::In, to the logits of its classes, N::Out, and its numbers.
template <class N, class Device = Cpu>
class Classifier {
 public:
  using Image = typename N::In;
  static constexpr int classes = N::Out::size;

  /// Initial values are a function of the seed. File names of the parameters begin with "net.".
  Classifier(std::uint64_t seed, int threads)
      : learner_(describe<N, float>("net"), seed, threads) {}

  Learner<float, Device>& learner() { return learner_; }

  /// Trains from where the classifier stands. Every epoch has its own order; batches of one epoch
  /// differ by one image at most in size, so that from batches of 3 on none has a single image, too
  /// few for batch statistics. `progress` is called after every step, and may throw to end the
  /// training there.
  void train(const LabelledImages<Image>& data, const ClassifierTraining& how,
             const std::function<void(const ClassifierProgress&)>& progress = {}) {
    check(data, how);
    const int rows = data.images.rows;
    const int steps = how.steps_per_epoch(rows), epochs = how.epochs_for(rows);
    ClassifierProgress at{0, epochs * steps, 0};
    std::vector<double> losses(static_cast<std::size_t>(learner_.threads()));
    for (int epoch = 0; epoch < epochs; ++epoch) {
      const Random source{how.seed, shuffle_stream, static_cast<std::uint32_t>(epoch)};
      const auto order = permutation(static_cast<std::uint32_t>(rows), source);
      for (int step = 0; step < steps; ++step) {
        const Slice batch = slice_of(rows, step, steps);
        const auto members = std::span(order).subspan(static_cast<std::size_t>(batch.first),
                                                      static_cast<std::size_t>(batch.count));
        learner_.adam.learning_rate = learning_rate(how, at.step, at.steps);
        learner_.step({how.seed, 0, static_cast<std::uint32_t>(at.step)},
                      [&](Context<float, Device>& ctx) {
                        losses[static_cast<std::size_t>(ctx.rank)] = learn(ctx, data, members);
                      });
        ++at.step;
        at.loss = 0;
        for (const double part : losses) at.loss += part;
        if (progress) progress(at);
      }
    }
  }

  /// The most probable class of every image; values in [0, 1].
  std::vector<std::uint8_t> predict(View<float, Image> images) {
    return classify(images.rows, [&](Context<float, Device>&, int first, int count) {
      return images.slice(first, count);
    });
  }

  /// The share of images whose most probable class is their label.
  double accuracy(const LabelledImages<Image>& data) {
    expect(
        data.images.rows >= 1 && data.labels.size() == static_cast<std::size_t>(data.images.rows),
        "classifier: expected images with a label each, got {} and {} labels", data.images.rows,
        data.labels.size());
    const auto predicted =
        classify(data.images.rows, [&](Context<float, Device>& ctx, int first, int count) {
          auto* const x =
              ctx.arena().template take<float>(static_cast<std::size_t>(count) * Image::size);
          for (int n = 0; n < count; ++n) to_unit(data.images, first + n, x + n * Image::size);
          return View<float, Image>{x, count};
        });
    std::size_t right = 0;
    for (std::size_t n = 0; n < predicted.size(); ++n) right += predicted[n] == data.labels[n];
    return static_cast<double>(right) / static_cast<double>(predicted.size());
  }

 private:
  static constexpr std::uint32_t shuffle_stream = 1U << 24;

  static void check(const LabelledImages<Image>& data, const ClassifierTraining& how) {
    expect(
        data.images.rows >= 2 && data.labels.size() == static_cast<std::size_t>(data.images.rows),
        "classifier: expected at least 2 images with a label each, got {} and {} labels",
        data.images.rows, data.labels.size());
    expect(how.epochs >= 1 && how.batch >= 2 && how.learning_rate > 0 && how.warm_up >= 0 &&
               how.warm_up < 1 && how.least_steps >= 0,
           "classifier: expected epochs from 1, batches from 2, a learning rate above 0, a warm-up "
           "in [0, 1) and no steps below 0, got {}, {}, {}, {} and {}",
           how.epochs, how.batch, how.learning_rate, how.warm_up, how.least_steps);
  }

  static double learning_rate(const ClassifierTraining& how, int step, int steps) {
    if (how.constant) return how.learning_rate;
    const double at = (step + 1.0) / steps;
    if (at < how.warm_up) return how.learning_rate * at / how.warm_up;
    const double way = (at - how.warm_up) / (1 - how.warm_up);
    return how.learning_rate * 0.5 * (1 + std::cos(std::numbers::pi * way));
  }

  static void to_unit(View<std::uint8_t, Image> images, int row, float* out) {
    const std::uint8_t* const from = images.data + static_cast<std::ptrdiff_t>(row) * Image::size;
    for (int p = 0; p < Image::size; ++p) out[p] = static_cast<float>(from[p]) * (1.0F / 255.0F);
  }

  auto logits(Context<float, Device>& ctx, View<float, Image> x) const {
    Cursor<float, Device> cursor{ctx};
    return N::forward(cursor, ctx.tape.constant(to_device(ctx, x)));
  }

  /// The rank's part of a step. -> its part of the mean cross-entropy.
  double learn(Context<float, Device>& ctx, const LabelledImages<Image>& data,
               std::span<const std::uint32_t> members) const {
    const auto total = static_cast<int>(members.size());
    const Slice mine = slice_of(total, ctx.rank, learner_.threads());
    const auto rows = static_cast<std::size_t>(mine.count);
    ctx.first_row = mine.first;
    auto* const x = ctx.arena().template take<float>(rows * Image::size);
    auto* const label = ctx.arena().template take<float>(rows);
    for (std::size_t n = 0; n < rows; ++n) {
      const std::uint32_t member = members[static_cast<std::size_t>(mine.first) + n];
      to_unit(data.images, static_cast<int>(member), x + n * Image::size);
      label[n] = static_cast<float>(data.labels[member]);
    }
    const auto target = to_device(ctx, View<float, Shape<1>>{label, mine.count});
    const ScorePiece<float> piece{target.data, mine.count, -1.0F / static_cast<float>(total)};
    const auto log_p = to_host(
        ctx, weighted_log_likelihood<Categorical<-1>, Shape<1>>(
                 ctx, logits(ctx, {x, mine.count}), std::span<const ScorePiece<float>>(&piece, 1)));
    double loss = 0;
    for (std::size_t n = 0; n < rows; ++n) loss -= static_cast<double>(log_p.data[n]);
    return loss / total;
  }

  template <class F>
  std::vector<std::uint8_t> classify(int rows, F&& images) {
    std::vector<std::uint8_t> best(static_cast<std::size_t>(rows));
    constexpr int chunk = detail::chunk_rows<Device>;
    detail::for_each_chunk(
        learner_, rows, chunk, [&](Context<float, Device>& ctx, int first, int count) {
          const auto t = to_host(ctx, logits(ctx, images(ctx, first, count)));
          for (int n = 0; n < count; ++n) {
            const float* const row = t.data + static_cast<std::ptrdiff_t>(n) * classes;
            best[static_cast<std::size_t>(first + n)] =
                static_cast<std::uint8_t>(std::max_element(row, row + classes) - row);
          }
        });
    return best;
  }

  Learner<float, Device> learner_;
};

}  // namespace poe
