// SPDX-License-Identifier: MIT
// Classifiers learn, and their cache gives back what was stored or trains again.
#include "support.hpp"

#include "poe/data/digits.hpp"
#include "poe/eval/digit_classifiers.hpp"
#include "poe/eval/oracle.hpp"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;
using namespace poe;

struct Tiny : Net<DigitImage, Conv2d<8, kernel(5).stride(3)>, Relu, Flatten, Linear<10>> {
  static constexpr const char* name = "tiny";
  static constexpr ClassifierTraining training{.epochs = 3, .batch = 20, .learning_rate = 5e-3};
};
struct Other : Net<DigitImage, Flatten, Linear<10>> {
  static constexpr const char* name = "other";
  static constexpr ClassifierTraining training = Tiny::training;
};
struct Normalised : Net<DigitImage, Conv2d<4, kernel(7).stride(7)>, BatchNorm2d, Relu, Flatten,
                        Dropout<20>, Linear<10>> {};

const Digits& train_digits() {
  static const Digits digits = make_digits(1000, Random{1, 0, 0});
  return digits;
}
const Digits& test_digits() {
  static const Digits digits = make_digits(300, Random{2, 0, 0});
  return digits;
}

struct Directory {
  fs::path path = fs::temp_directory_path() / ("poe-oracle-" + std::to_string(::getpid()));
  Directory() { fs::remove_all(path); }
  ~Directory() { fs::remove_all(path); }
};

struct Colour : Net<Shape<3, 32, 32>, Conv2d<8, kernel(5).stride(3)>, Relu, Flatten, Linear<10>> {
  static constexpr const char* name = "colour";
  static constexpr ClassifierTraining training = Tiny::training;
};

/// Digits of 28 x 28 in the middle of images of 32 x 32, whose channels `ink` colours.
Digits coloured(const Digits& grey, const int (&ink)[3]) {
  Digits digits{grey.rows, 32, 32, 3, {}, grey.labels, "coloured digits"};
  digits.pixels.resize(static_cast<std::size_t>(grey.rows) * 32 * 32 * 3);
  for (std::size_t n = 0; n < static_cast<std::size_t>(grey.rows); ++n)
    for (std::size_t y = 0; y < 28; ++y)
      for (std::size_t x = 0; x < 28; ++x)
        for (std::size_t c = 0; c < 3; ++c)
          digits.pixels[((n * 32 + y + 2) * 32 + x + 2) * 3 + c] =
              static_cast<std::uint8_t>(grey.pixels[(n * 28 + y) * 28 + x] * ink[c] / 2);
  return digits;
}

/// load_or_train with its warnings.
struct Attempt {
  std::vector<std::string> warnings;
  Oracle<Tiny> oracle;

  explicit Attempt(const fs::path& directory, const ClassifierTraining& how = Tiny::training)
      : oracle(load_or_train<Tiny>(
            train_digits(), test_digits(), 2,
            {directory, {}, [this](const std::string& text) { warnings.push_back(text); }}, how)) {}
};

std::vector<float> numbers(Oracle<Tiny>& oracle) {
  const Buffer<float>& p = oracle.classifier.learner().state().parameters;
  return {p.begin(), p.end()};
}

TEST_CASE("the paper's oracle has the parameters of ResNet-18 with one input channel") {
  const auto d = describe<ResNet18, float>("net");
  CHECK(d.parameter_count() == 11'175'370);
  CHECK(d.statistics.size() == 2 * 20);  // 17 + 3 normalisations, mean and variance
  CHECK(d.parameters.front().name == "net.0.weight");
  // 9 * 32 + 32, 9 * 32 * 64 + 64, 9 * 64 * 64 + 64, 576 * 128 + 128, 128 * 10 + 10
  CHECK(describe<SmallOracle, float>("net").parameter_count() ==
        320 + 18496 + 36928 + 73856 + 1290);
}

TEST_CASE("a classifier without an opinion has a cross-entropy of log 10, and then learns") {
  Classifier<Tiny> classifier(3, 2);
  classifier.learner().state().parameters.clear();
  const auto data = labelled_images(train_digits());
  std::vector<double> losses;
  classifier.train(data, {.epochs = 1, .batch = 20, .learning_rate = 5e-3},
                   [&](const ClassifierProgress& p) {
                     CHECK(p.steps == 50);
                     CHECK(p.step == static_cast<int>(losses.size()) + 1);
                     losses.push_back(p.loss);
                   });
  REQUIRE(losses.size() == 50);
  CHECK(losses.front() == Approx(std::log(10)).epsilon(1e-6));

  Classifier<Tiny> fresh(3, 2);
  fresh.train(data, Tiny::training);
  CHECK(fresh.accuracy(labelled_images(test_digits())) > 0.85);
}

TEST_CASE("the learning rate rises linearly, falls along a cosine and ends at 0") {
  Classifier<Other> classifier(1, 1);
  std::vector<double> rates;
  classifier.train(
      labelled_images(train_digits()),
      {.epochs = 2, .batch = 100, .learning_rate = 0.5, .warm_up = 0.4},
      [&](const ClassifierProgress&) { rates.push_back(classifier.learner().adam.learning_rate); });
  REQUIRE(rates.size() == 20);
  CHECK(rates[0] == Approx(0.5 / 8));
  CHECK(rates[7] == Approx(0.5));
  CHECK(rates[13] == Approx(0.25));
  CHECK(rates[19] == Approx(0).margin(1e-12));
}

TEST_CASE("a constant learning rate stays") {
  Classifier<Other> classifier(1, 1);
  std::vector<double> rates;
  classifier.train(
      labelled_images(train_digits()),
      {.epochs = 1, .batch = 250, .learning_rate = 0.5, .constant = true},
      [&](const ClassifierProgress&) { rates.push_back(classifier.learner().adam.learning_rate); });
  CHECK(rates == std::vector<double>(4, 0.5));
}

// Epochs over digits: those of the published code of MMVAE go over pairs, 30 with each digit.
TEST_CASE("the published training is that of the published code") {
  const auto check = [](const ClassifierTraining& how, int epochs, int batch, double rate) {
    CHECK(how.epochs == epochs);
    CHECK(how.batch == batch);
    CHECK(how.learning_rate == rate);
    CHECK(how.constant);
    CHECK(how.epochs_for(100) == epochs);
  };
  check(MnistClassifier::published, 30 * 30, 256, 1e-3);
  check(SvhnClassifier::published, 30 * 30, 256, 1e-3);
  check(ResNet18::published, 10, 64, 2e-4);
}

TEST_CASE("what is learnt and seen does not depend on the number of ranks, but for rounding") {
  const auto data = labelled_images(train_digits());
  std::vector<double> losses[2];
  std::vector<std::uint8_t> seen[2];
  Tensor<float, DigitImage> images(300);
  std::transform(test_digits().pixels.begin(), test_digits().pixels.end(), images.data(),
                 [](std::uint8_t p) { return static_cast<float>(p) / 255.0F; });
  for (const int i : {0, 1}) {
    Classifier<Normalised> classifier(5, i == 0 ? 1 : 3);
    classifier.train(data, {.epochs = 1, .batch = 64, .learning_rate = 1e-3},
                     [&](const ClassifierProgress& p) { losses[i].push_back(p.loss); });
    seen[i] = classifier.predict(images);
    std::size_t right = 0;
    for (std::size_t n = 0; n < 300; ++n) right += seen[i][n] == test_digits().labels[n];
    CHECK(classifier.accuracy(labelled_images(test_digits())) == static_cast<double>(right) / 300);
  }
  test::require_close(losses[1], losses[0], 1e-3, "losses");
  std::size_t equal = 0;
  for (std::size_t n = 0; n < 300; ++n) equal += seen[0][n] == seen[1][n];
  CHECK(equal >= 295);
}

TEST_CASE("an oracle is trained once for the same digits and settings") {
  const Directory directory;
  Attempt first(directory.path);
  CHECK_FALSE(first.oracle.from_cache);
  CHECK(first.oracle.test_accuracy > 0.85);
  CHECK(fs::exists(first.oracle.file));
  Attempt second(directory.path);
  CHECK(second.oracle.from_cache);
  CHECK(second.oracle.test_accuracy == first.oracle.test_accuracy);
  CHECK(second.oracle.classifier.accuracy(labelled_images(test_digits())) ==
        first.oracle.test_accuracy);
  CHECK(numbers(second.oracle) == numbers(first.oracle));
  CHECK(first.warnings.empty());
  CHECK(second.warnings.empty());

  const auto file = SafetensorsFile::open(first.oracle.file);
  CHECK(file.metadata().at("data") == train_digits().source);
  CHECK(file.metadata().at("epochs") == "3");
  CHECK(file.entry("net.0.weight").shape == std::vector<std::int64_t>{8, 1, 5, 5});

  ClassifierTraining how = Tiny::training;
  how.seed = 2;
  Attempt another(directory.path, how);
  CHECK_FALSE(another.oracle.from_cache);
  CHECK(another.oracle.file != first.oracle.file);

  Digits changed = train_digits();
  changed.pixels[1234] ^= 1;
  const auto again = load_or_train<Tiny>(changed, test_digits(), 2, {directory.path});
  CHECK_FALSE(again.from_cache);
  CHECK(again.file != first.oracle.file);
}

TEST_CASE("a cache file that cannot be trusted is a warning and another training") {
  const Directory directory;
  const fs::path file = Attempt(directory.path).oracle.file;
  const auto size = fs::file_size(file);
  std::string expected;
  SECTION("cut off") {
    fs::resize_file(file, size - 100);
    REQUIRE(fs::file_size(file) == size - 100);
    expected = "safetensors";
  }
  SECTION("one bit of a weight") {
    std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
    stream.seekg(static_cast<std::streamoff>(size) - 3);
    const char byte = static_cast<char>(stream.get() ^ 1);
    stream.seekp(static_cast<std::streamoff>(size) - 3);
    stream.put(byte);
    REQUIRE(stream.good());
    expected = "CRC-32";
  }
  SECTION("another oracle under its name") {
    const auto other = load_or_train<Other>(train_digits(), test_digits(), 1, {directory.path});
    fs::rename(other.file, file);
    REQUIRE(fs::file_size(file) != size);
    expected = "other, 3 epochs";
  }
  SECTION("not of this library") {
    fs::remove(file);
    std::ofstream(file) << "hello";
    REQUIRE(fs::file_size(file) == 5);
    expected = "safetensors";
  }
  Attempt repaired(directory.path);
  CHECK_FALSE(repaired.oracle.from_cache);
  CHECK(repaired.oracle.test_accuracy > 0.85);
  REQUIRE(repaired.warnings.size() == 1);
  CHECK_THAT(repaired.warnings[0], Catch::Contains(expected) && Catch::Contains(file.string()));
  CHECK(Attempt(directory.path).oracle.from_cache);
}

TEST_CASE("an oracle works without a cache, and where none can be written") {
  Attempt none({});
  CHECK(none.warnings.empty());
  CHECK(none.oracle.file.empty());
  CHECK(none.oracle.test_accuracy > 0.85);

  const Directory directory;
  std::ofstream(directory.path) << "a file where a directory should be";
  Attempt blocked(directory.path);
  REQUIRE(blocked.warnings.size() == 1);
  CHECK_THAT(blocked.warnings[0], Catch::Contains(directory.path.string()));
  CHECK(blocked.oracle.file.empty());
  CHECK(numbers(blocked.oracle) == numbers(none.oracle));
}

TEST_CASE("oracles of coloured images are trained and kept as those of grey ones") {
  const Directory directory;
  const Digits train = coloured(train_digits(), {2, 1, 0}),
               test = coloured(test_digits(), {2, 1, 0});
  auto first = load_or_train<Colour>(train, test, 1, {directory.path});
  CHECK_FALSE(first.from_cache);
  CHECK(first.test_accuracy > 0.85);
  // The channels count: in another colour the same digits are other images.
  CHECK(first.classifier.accuracy(labelled_images<Colour::In>(coloured(test_digits(), {0, 0, 1}))) <
        0.5);

  auto second = load_or_train<Colour>(train, test, 1, {directory.path});
  CHECK(second.from_cache);
  CHECK(second.file == first.file);
  Tensor<float, Colour::In> images(test.rows);
  std::transform(test.pixels.begin(), test.pixels.end(), images.data(),
                 [](std::uint8_t p) { return static_cast<float>(p) / 255.0F; });
  const std::vector<std::uint8_t> seen = second.predict(images);
  std::size_t right = 0;
  for (std::size_t n = 0; n < seen.size(); ++n) right += seen[n] == test.labels[n];
  CHECK(static_cast<double>(right) / test.rows == first.test_accuracy);

  CHECK_THROWS_WITH(load_or_train<Colour>(train_digits(), test_digits(), 1, {}),
                    Catch::Contains("32 x 32 x 3") && Catch::Contains("28 x 28 x 1"));
  CHECK_THROWS_WITH(load_or_train<Tiny>(train, test, 1, {}), Catch::Contains("28 x 28 x 1"));
}

TEST_CASE("an oracle of earlier versions is found under its name") {
  // CRC-32 of the pixels and then the labels, and of the text, by zlib of Python
  Digits digits{3, 28, 28, 1, std::vector<std::uint8_t>(3 * 784), {3, 1, 4}, "by hand"};
  for (std::size_t i = 0; i < digits.pixels.size(); ++i)
    digits.pixels[i] = static_cast<std::uint8_t>(i * i % 251);
  ClassifierTraining how{.epochs = 2, .batch = 2, .learning_rate = 4e-3, .warm_up = 0.3, .seed = 9};
  CHECK(detail::oracle_settings("other", digits, digits, how) ==
        "other, 2 epochs, batch 2, learning rate 0.004, warm-up 0.3, seed 9; 3 training images, "
        "CRC-32 e6a87e28; 3 test images, CRC-32 e6a87e28");
  const Directory directory;
  CHECK(load_or_train<Other>(digits, digits, 1, {directory.path}, how).file.filename() ==
        "oracle-other-62555aae.safetensors");
  ClassifierTraining constant = how;
  constant.constant = true;
  CHECK_THAT(detail::oracle_settings("other", digits, digits, constant),
             Catch::Contains("batch 2, learning rate 0.004, constant, seed 9"));
  CHECK(load_or_train<Other>(digits, digits, 1, {directory.path}, constant).file.filename() !=
        "oracle-other-62555aae.safetensors");
  how.least_steps = 5;
  CHECK_THAT(detail::oracle_settings("other", digits, digits, how),
             Catch::Contains("2 epochs, at least 5 steps, batch 2"));
}

TEST_CASE("few images are seen in more epochs, until there are enough steps") {
  Classifier<Other> classifier(1, 1);
  int steps = 0, announced = 0;
  const auto count = [&](const ClassifierProgress& p) { ++steps, announced = p.steps; };
  const auto data = labelled_images(train_digits());  // 10 steps of 100 make an epoch
  classifier.train(data, {.epochs = 2, .batch = 100, .least_steps = 20}, count);
  CHECK(steps == 20);
  steps = 0;
  classifier.train(data, {.epochs = 2, .batch = 100, .least_steps = 21}, count);
  CHECK(steps == 30);
  CHECK(announced == 30);
}

TEST_CASE("a classifier says what it cannot learn from") {
  Classifier<Other> classifier(1, 1);
  const auto data = labelled_images(train_digits());
  CHECK_THROWS_WITH(classifier.train({data.images, data.labels.first(10)}, {}),
                    Catch::Contains("1000 and 10 labels"));
  CHECK_THROWS_WITH(classifier.train(data, {.epochs = 0}), Catch::Contains("epochs"));
  CHECK_THROWS_WITH(classifier.train(data, {.batch = 0, .least_steps = 9}), Catch::Contains("0"));
  CHECK_THROWS_WITH(classifier.train(data, {.least_steps = -1}), Catch::Contains("-1"));
  std::vector<std::uint8_t> wrong(data.labels.begin(), data.labels.end());
  wrong[77] = 10;
  CHECK_THROWS_WITH(classifier.train({data.images, wrong}, {}), Catch::Contains("class 10"));
}

}  // namespace
