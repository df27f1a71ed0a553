// SPDX-License-Identifier: MIT
// The classifiers of MNIST and of SVHN by which coherence is measured, and their published weights.
#pragma once

#include <poe/eval/classifier.hpp>
#include <poe/io/weights.hpp>
#include <poe/nn/layers.hpp>

#include <array>
#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace poe {

// clang-format off
/// The classifier of MNIST of Shi et al. (2019), 21,840 parameters. `layers` are PyTorch's names of
/// those that have any. 9,923 of the 10,000 test digits are right with the published weights, 9,886
/// after this training. `published` is their training: 30 epochs over pairs, in each of which a digit
/// occurs 30 times, so 900 over the digits.
struct MnistClassifier : Net<Shape<1, 28, 28>,
    Conv2d<10, kernel(5)>, MaxPool2d<kernel(2).stride(2)>, Relu,                    // (10, 12, 12)
    Conv2d<20, kernel(5)>, ChannelDropout<50>, MaxPool2d<kernel(2).stride(2)>, Relu,  // (20, 4, 4)
    Flatten, Linear<50>, Relu, Dropout<50>, Linear<10>> {
  static constexpr const char* name = "mnist";
  static constexpr std::array<std::string_view, 4> layers{"conv1", "conv2", "fc1", "fc2"};
  static constexpr ClassifierTraining training{.epochs = 10, .batch = 64, .learning_rate = 3e-3};
  static constexpr ClassifierTraining published{
      .epochs = 900, .batch = 256, .learning_rate = 1e-3, .constant = true};
};

/// Their classifier of SVHN, 31,340 parameters. With so much dropout few digits want many epochs:
/// after 4,000 steps on 849 digits, 167 of 234 others are right (200 with the published weights).
/// With a learning rate of 8e-3 it sees one class everywhere.
struct SvhnClassifier : Net<Shape<3, 32, 32>,
    Conv2d<10, kernel(5)>, MaxPool2d<kernel(2).stride(2)>, Relu,                    // (10, 14, 14)
    Conv2d<20, kernel(5)>, ChannelDropout<50>, MaxPool2d<kernel(2).stride(2)>, Relu,  // (20, 5, 5)
    Flatten, Linear<50>, Relu, Dropout<50>, Linear<10>> {
  static constexpr const char* name = "svhn";
  static constexpr std::array layers = MnistClassifier::layers;
  static constexpr ClassifierTraining training{
      .epochs = 10, .batch = 64, .learning_rate = 2e-3, .least_steps = 4000};
  static constexpr ClassifierTraining published = MnistClassifier::published;
};
// clang-format on

/// The classifier N with the weights of a safetensors file in PyTorch's layout whose tensors are
/// called N::layers + ".weight" and ".bias". Throws Error as load_weights() does: for a tensor that
/// is missing, of another shape, not of float32, or of no layer.
template <class N, class Device = Cpu>
Classifier<N, Device> load_classifier(const std::filesystem::path& path, int threads) {
  Classifier<N, Device> classifier(0, threads);
  std::vector<ParameterInfo> parameters = classifier.learner().description().parameters;
  for (std::size_t p = 0; p < parameters.size(); ++p) {
    std::string& own = parameters[p].name;  // "net.0.weight", "net.0.bias", "net.3.weight", ...
    own.replace(0, own.rfind('.'), N::layers.at(p / 2));
  }
  const std::array<WeightSection<float>, 1> sections{
      {{"", &parameters, classifier.learner().state().parameters.data()}}};
  load_weights<float>(SafetensorsFile::open(path), path.string(), sections);
  return classifier;
}

}  // namespace poe
