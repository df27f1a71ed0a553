// SPDX-License-Identifier: MIT
// Oracles: classifiers of digits that judge what a model generates, trained once and then cached.
#pragma once

#include "poe/data/digit_set.hpp"
#include "poe/eval/classifier.hpp"
#include "poe/io/weights.hpp"
#include "poe/nn/layers.hpp"

#include <fmt/core.h>
#include <zlib.h>

#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <system_error>
#include <vector>

namespace poe {

using DigitImage = Shape<1, 28, 28>;

// clang-format off
/// A small network, for quick looks: after its one epoch, 99.0 % of MNIST's test digits.
struct SmallOracle : Net<DigitImage,
    Conv2d<32, kernel(3).pad(1)>, Relu, MaxPool2d<kernel(2).stride(2)>,       // (32, 14, 14)
    Conv2d<64, kernel(3).pad(1)>, Relu, MaxPool2d<kernel(2).stride(2)>,       // (64, 7, 7)
    Conv2d<64, kernel(3).pad(1)>, Relu, MaxPool2d<kernel(2).stride(2)>,       // (64, 3, 3)
    Flatten, Linear<128>, Relu, Dropout<25>, Linear<10>> {
  static constexpr const char* name = "small";
  static constexpr ClassifierTraining training{
      .epochs = 1, .batch = 64, .learning_rate = 4e-3, .warm_up = 0.3};
};

/// ResNet-18 with one input channel, the paper's oracle: after two epochs, 99.3 %. `published` is the
/// training of the published code.
struct ResNet18 : Net<DigitImage,
    Conv2d<64, kernel(7).stride(2).pad(3).no_bias()>, BatchNorm2d, Relu,      // (64, 14, 14)
    MaxPool2d<kernel(3).stride(2).pad(1)>,                                    // (64, 7, 7)
    BasicBlock<64, 1>, BasicBlock<64, 1>,
    BasicBlock<128, 2>, BasicBlock<128, 1>,                                   // (128, 4, 4)
    BasicBlock<256, 2>, BasicBlock<256, 1>,                                   // (256, 2, 2)
    BasicBlock<512, 2>, BasicBlock<512, 1>,                                   // (512, 1, 1)
    GlobalAveragePool, Linear<10>> {
  static constexpr const char* name = "resnet18";
  static constexpr ClassifierTraining training{.epochs = 2, .batch = 128, .learning_rate = 2e-3};
  static constexpr ClassifierTraining published{
      .epochs = 10, .batch = 64, .learning_rate = 2e-4, .constant = true};
};
// clang-format on

/// A trained oracle and what is known of it.
template <class N, class Device = Cpu>
struct Oracle {
  Classifier<N, Device> classifier;
  double test_accuracy = 0;
  bool from_cache = false;
  std::filesystem::path file;  ///< empty: not stored

  std::vector<std::uint8_t> predict(View<float, typename N::In> images) {
    return classifier.predict(images);
  }
};

/// Where oracles are kept, and who is told what happens.
struct OracleCache {
  std::filesystem::path directory;  ///< created if needed; empty: nothing is kept
  std::function<void(const ClassifierProgress&)> progress{};
  std::function<void(const std::string&)> warn{};
};

/// The digits as a classifier's data; throws Error unless they have the sizes of an Image.
template <class Image = DigitImage>
LabelledImages<Image> labelled_images(const Digits& digits) {
  using I = ImageOf<Image>;
  check_sizes(digits, I::height, I::width, I::channels);
  return {{digits.pixels.data(), digits.rows}, digits.labels};
}

namespace detail {

inline std::uint32_t checksum(std::span<const std::byte> bytes, std::uint32_t start = 0) {
  if (bytes.empty()) return start;  // a null pointer would make zlib start anew
  return static_cast<std::uint32_t>(
      crc32_z(start, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}
inline std::uint32_t checksum(const Digits& digits) {
  return checksum(std::as_bytes(std::span(digits.labels)),
                  checksum(std::as_bytes(std::span(digits.pixels))));
}

/// All that the numbers of an oracle depend on, but for rounding.
inline std::string oracle_settings(const char* name, const Digits& train, const Digits& test,
                                   const ClassifierTraining& how) {
  const std::string steps =
      how.least_steps > 0 ? fmt::format(", at least {} steps", how.least_steps) : "";
  const std::string course = how.constant ? "constant" : fmt::format("warm-up {}", how.warm_up);
  return fmt::format(
      "{}, {} epochs{}, batch {}, learning rate {}, {}, seed {}; {} training images, "
      "CRC-32 {:08x}; {} test images, CRC-32 {:08x}",
      name, how.epochs, steps, how.batch, how.learning_rate, course, how.seed, train.rows,
      checksum(train), test.rows, checksum(test));
}

/// A value of the metadata, which must be there.
inline const std::string& metadata_value(const SafetensorsFile& file, const std::string& path,
                                         const char* key) {
  const auto found = file.metadata().find(key);
  expect(found != file.metadata().end(), "'{}': expected '{}' in the metadata", path, key);
  return found->second;
}

template <class N, class D>
std::array<WeightSection<float>, 2> sections_of(Classifier<N, D>& classifier) {
  const Description<float>& d = classifier.learner().description();
  TrainingState<float>& s = classifier.learner().state();
  return {{{"", &d.parameters, s.parameters.data()}, {"", &d.statistics, s.statistics.data()}}};
}

template <class N, class D>
std::string weights_checksum(Classifier<N, D>& classifier) {
  const TrainingState<float>& s = classifier.learner().state();
  const auto bytes = [](const Buffer<float>& b) {
    return std::as_bytes(std::span(b.data(), b.size()));
  };
  return fmt::format("{:08x}", checksum(bytes(s.statistics), checksum(bytes(s.parameters))));
}

/// Fills the oracle from its file; throws Error when that is not the file of an oracle of these
/// settings, whole and unchanged.
template <class N, class D>
void load_oracle(Oracle<N, D>& oracle, const std::string& settings) {
  const std::string path = oracle.file.string();
  const auto file = SafetensorsFile::open(oracle.file);
  const std::string& got = metadata_value(file, path, "settings");
  expect(got == settings, "'{}': expected the oracle '{}', got '{}'", path, settings, got);
  const std::string& accuracy = metadata_value(file, path, "test_accuracy");
  const char* const end = accuracy.data() + accuracy.size();
  expect(
      std::from_chars(accuracy.data(), end, oracle.test_accuracy).ptr == end && !accuracy.empty(),
      "'{}': expected a number as test_accuracy, got '{}'", path, accuracy);
  load_weights<float>(file, path, sections_of(oracle.classifier));
  const std::string& expected = metadata_value(file, path, "weights_crc32");
  const std::string sum = weights_checksum(oracle.classifier);
  expect(sum == expected, "'{}': expected weights with CRC-32 {}, got {}", path, expected, sum);
}

template <class N, class D>
void save_oracle(Oracle<N, D>& oracle, const std::string& settings, int epochs,
                 const std::string& source) {
  std::error_code error;
  std::filesystem::create_directories(oracle.file.parent_path(), error);
  expect(!error, "cannot create the directory '{}': {}", oracle.file.parent_path().string(),
         error.message());
  save_weights<float>(oracle.file, sections_of(oracle.classifier),
                      {{"settings", settings},
                       {"epochs", std::to_string(epochs)},
                       {"test_accuracy", fmt::format("{}", oracle.test_accuracy)},
                       {"data", source},
                       {"weights_crc32", weights_checksum(oracle.classifier)}});
}

}  // namespace detail

/// The oracle N for these digits: from its file in the cache, or trained, tested and stored there.
/// The name of the file holds a checksum of the digits and of how it was trained, so that another
/// training never finds it. A file that cannot be used or written is a warning, no more.
template <class N, class Device = Cpu>
Oracle<N, Device> load_or_train(const Digits& train, const Digits& test, int threads,
                                const OracleCache& cache,
                                const ClassifierTraining& how = N::training) {
  const auto training_data = labelled_images<typename N::In>(train);
  const auto test_data = labelled_images<typename N::In>(test);
  const std::string settings = detail::oracle_settings(N::name, train, test, how);
  const auto attempt = [&](const char* otherwise, auto&& action) {
    try {
      action();
      return true;
    } catch (const Error& error) {
      if (cache.warn) cache.warn(fmt::format("{}; {}", error.what(), otherwise));
      return false;
    }
  };
  std::filesystem::path file;
  if (!cache.directory.empty())
    file = cache.directory / fmt::format("oracle-{}-{:08x}.safetensors", N::name,
                                         detail::checksum(std::as_bytes(std::span(settings))));

  if (std::error_code ignored; !file.empty() && std::filesystem::exists(file, ignored)) {
    Oracle<N, Device> stored{{how.seed, threads}, 0, true, file};
    if (attempt("the oracle is trained again", [&] { detail::load_oracle(stored, settings); }))
      return stored;
  }
  Oracle<N, Device> oracle{{how.seed, threads}, 0, false, file};
  oracle.classifier.train(training_data, how, cache.progress);
  oracle.test_accuracy = oracle.classifier.accuracy(test_data);
  if (!file.empty() && !attempt("the oracle is not kept", [&] {
        detail::save_oracle(oracle, settings, how.epochs_for(train.rows), train.source);
      }))
    oracle.file.clear();
  return oracle;
}

}  // namespace poe
