// SPDX-License-Identifier: MIT
// The classifiers of MNIST and of SVHN: sizes, logits against PyTorch, published weights.
#include "files.hpp"
#include "nchw.hpp"
#include "network.hpp"
#include "support.hpp"

#include <poe/eval/digit_classifiers.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;
using namespace poe;

/// The network's tensors as PyTorch calls and stores them.
struct Stored {
  std::vector<TensorEntry> entries;
  std::vector<std::vector<float>> values;

  template <class N>
  static Stored of(Classifier<N>& classifier) {
    static const char* const names[] = {"conv1.weight", "conv1.bias", "conv2.weight", "conv2.bias",
                                        "fc1.weight",   "fc1.bias",   "fc2.weight",   "fc2.bias"};
    Stored stored;
    const auto& parameters = classifier.learner().description().parameters;
    REQUIRE(parameters.size() == std::size(names));
    for (std::size_t p = 0; p < parameters.size(); ++p) {
      stored.entries.push_back(
          {names[p], {parameters[p].shape.begin(), parameters[p].shape.end()}, dtype_of<float>});
      stored.values.push_back(
          to_file_order(parameters[p], classifier.learner().state().parameters.data()));
    }
    return stored;
  }
  void write(const fs::path& path) const {
    std::size_t next = 0;
    write_safetensors(path, entries, {}, [&](const TensorEntry&, FileWriter& writer) {
      writer.write(std::as_bytes(std::span(values[next++])));
    });
  }
};

/// Images of the reference vectors: pixel e, in (C, H, W) order, is u^2.
template <class Image>
Tensor<float, Image> images(std::uint32_t modality, int rows) {
  std::vector<float> nchw;
  for (int i = 0; i < rows; ++i)
    for (std::uint64_t e = 0; e < Image::size; ++e) {
      const auto u = Random{8, modality, static_cast<std::uint32_t>(i)}.uniform<double>(e);
      nchw.push_back(static_cast<float>(u * u));
    }
  Tensor<float, Image> x(rows);
  test::from_nchw<float, Image>(nchw.data(), x.data(), rows);
  return x;
}

template <class N>
std::vector<float> logits(Classifier<N>& classifier, const Tensor<float, typename N::In>& x) {
  std::vector<float> out;
  classifier.learner().evaluate({}, [&](Context<float>& ctx) {
    Cursor<float> cursor{ctx};
    const auto y = N::forward(cursor, ctx.tape.constant(x.view()));
    out.assign(y.value, y.value + x.rows() * N::Out::size);
  });
  return out;
}

/// A classifier of known numbers, stored as PyTorch would, then loaded.
template <class N>
void check_against_torch(std::uint32_t modality) {
  const std::string tensor = std::string(N::name) + ".logits";
  const auto file = SafetensorsFile::open(POE_TESTS_DIR "/vectors/classifiers.safetensors");
  const std::vector<double> want = file.read<double>(tensor);
  REQUIRE(want.size() == 5 * 10);

  Classifier<N> source(7, 1);
  const test::Directory directory;
  Stored::of(source).write(directory / "classifier.safetensors");
  auto loaded = load_classifier<N>(directory / "classifier.safetensors", 1);
  const auto x = images<typename N::In>(modality, 5);
  test::require_close(logits(loaded, x), want, 2e-6, tensor);

  const auto seen = loaded.predict(x.view());
  for (std::size_t n = 0; n < 5; ++n) {
    const auto row = want.begin() + static_cast<std::ptrdiff_t>(10 * n);
    CHECK(seen[n] == std::max_element(row, row + 10) - row);
  }
}

TEST_CASE("the classifiers of MNIST and SVHN have as many parameters as published") {
  CHECK(describe<MnistClassifier, float>("net").parameter_count() == 21'840);
  CHECK(describe<SvhnClassifier, float>("net").parameter_count() == 31'340);
}

TEST_CASE("loaded classifiers have PyTorch's logits") {
  check_against_torch<MnistClassifier>(0);
  check_against_torch<SvhnClassifier>(1);
}

TEST_CASE("dropout is as published: whole channels behind a convolution, then hidden units") {
  // Parameters by which every channel of the second convolution is 1 everywhere, hidden unit j < 20
  // is the mean over channel j, and logit 0 is the sum of these units.
  test::Model<SvhnClassifier> model(7);
  model.parameters.clear();
  const auto set = [&](std::size_t parameter, auto&& value) {
    const ParameterInfo& info = model.description.parameters[parameter];
    std::vector<double> values(info.count());
    for (std::size_t e = 0; e < values.size(); ++e) values[e] = value(e);
    from_file_order<double>(info, values, model.parameters.data());
  };
  set(3, [](std::size_t) { return 1.0; });
  set(4, [](std::size_t e) { return e / 500 == e % 500 / 25 ? 1.0 / 25 : 0.0; });
  set(6, [](std::size_t e) { return e < 20 ? 1.0 : 0.0; });
  constexpr int rows = 64;
  const Tensor<double, SvhnClassifier::In> x(rows);
  CHECK(model.forward(x, Mode::evaluate).value[0] == Approx(20));

  // In training a unit is 4 if its channel and itself are kept, with probability 1/4, or else 0.
  const auto y = model.forward(x, Mode::train);
  double kept = 0, off_grid = 0;  // a channel that is dropped in parts leaves a fraction of a unit
  for (int n = 0; n < rows; ++n) {
    const double units = y.value[10 * n] / 4;
    kept += units;
    off_grid = std::max(off_grid, std::abs(units - std::round(units)));
  }
  CHECK(off_grid < 1e-5);
  const double expected = rows * 20 / 4.0;
  CHECK(std::abs(kept - expected) < 5 * std::sqrt(expected * 0.75));
}

TEST_CASE("weights of another network are refused, with the reason") {
  Classifier<MnistClassifier> classifier(7, 1);
  const test::Directory directory;
  const fs::path path = directory / "weights.safetensors";
  Stored stored = Stored::of(classifier);
  const auto error = [&] {
    stored.write(path);
    return test::error_of([&] { load_classifier<MnistClassifier>(path, 1); });
  };
  SECTION("a tensor is missing") {
    stored.entries.pop_back();
    CHECK_THAT(error(), Catch::Contains("expected tensor 'fc2.bias', F32 (10)") &&
                            Catch::Contains(path.string()));
  }
  SECTION("another shape: the other classifier") {
    Classifier<SvhnClassifier> other(7, 1);
    stored = Stored::of(other);
    CHECK_THAT(error(), Catch::Contains("'conv1.weight'") &&
                            Catch::Contains("expected F32 (10, 1, 5, 5)") &&
                            Catch::Contains("got F32 (10, 3, 5, 5)"));
  }
  SECTION("a tensor too many") {
    stored.entries.push_back({"fc3.bias", {1}, dtype_of<float>});
    stored.values.push_back({0});
    CHECK_THAT(error(), Catch::Contains("tensor 'fc3.bias' belongs to no part"));
  }
  SECTION("no such file") {
    CHECK_THAT(test::error_of([&] { load_classifier<MnistClassifier>(directory / "none", 1); }),
               Catch::Contains("none"));
  }
}

}  // namespace
