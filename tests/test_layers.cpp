// SPDX-License-Identifier: MIT
// Every layer against PyTorch: values, gradients, running statistics, in both modes.
#include "nchw.hpp"
#include "support.hpp"

#include <poe/io/safetensors.hpp>
#include <poe/nn/layers.hpp>

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace poe;

const SafetensorsFile& vectors() {
  static const auto file = SafetensorsFile::open(POE_TESTS_DIR "/vectors/layers.safetensors");
  return file;
}

/// A tensor of the file; its shape must be the one given.
std::vector<double> read(const std::string& name, const std::vector<std::int64_t>& shape) {
  INFO(name);
  REQUIRE(vectors().entry(name).shape == shape);
  return vectors().read<double>(name);
}
std::vector<double> read(const std::string& name, const ParameterInfo& p) {
  return read(name, std::vector<std::int64_t>(p.shape.begin(), p.shape.end()));
}

/// A batch of samples with these extents.
std::vector<double> read_batch(const std::string& name, std::span<const int> extents) {
  std::vector<std::int64_t> shape{vectors().entry(name).shape.at(0)};
  shape.insert(shape.end(), extents.begin(), extents.end());
  // PyTorch's embedding has no axis for its one channel.
  if (vectors().entry(name).shape.size() < shape.size()) std::erase(shape, 1);
  return read(name, shape);
}

/// The same, brought from PyTorch's order to channels-last.
template <class S>
Tensor<double, S> read_batch(const std::string& name) {
  const auto values = read_batch(name, S::extents);
  Tensor<double, S> t(static_cast<int>(values.size()) / S::size);
  if constexpr (is_image<S>)
    test::from_nchw<double, S>(values.data(), t.data(), t.rows());
  else
    std::copy(values.begin(), values.end(), t.data());
  return t;
}

/// The parameters of one layer, from the file, where they are called `name`.weight and so on.
template <class T>
struct Parameters {
  std::string name;
  Description<T> description;
  Buffer<T> values, gradients, statistics;
  double tolerance = 0;

  Parameters(std::string n, Description<T> d)
      : name(std::move(n)),
        description(std::move(d)),
        values(description.parameter_size),
        gradients(description.parameter_size),
        statistics(description.statistic_size) {
    initialise<T>({statistics.data(), statistics.size()}, description.statistics, 0);
    for (const ParameterInfo& p : description.parameters) {
      const auto numbers = read(p.name, p);
      from_file_order<T>(p, std::vector<T>(numbers.begin(), numbers.end()), values.data());
    }
  }
  Context<T> context(Tape<T>& tape, Mode mode) {
    gradients.clear();
    return {.tape = tape,
            .parameters = values.data(),
            .gradients = gradients.data(),
            .statistics = statistics.data(),
            .mode = mode};
  }

  void check(const std::string& what, std::span<const double> want, std::span<const T> got) const {
    test::require_close(got, want, tolerance, what);
  }
  void check_gradients(const std::string& prefix) const {
    for (const ParameterInfo& p : description.parameters)
      check(p.name, read(prefix + ".d" + p.name.substr(name.size() + 1), p),
            to_file_order(p, gradients.data()));
  }
  void check_statistics(const std::string& prefix) const {
    for (const ParameterInfo& p : description.statistics)
      check(p.name, read(prefix + p.name.substr(name.size()), p),
            to_file_order(p, statistics.data()));
  }
};

template <class L, class In, class T>
Parameters<T> parameters_of(const std::string& name) {
  Description<T> d;
  L::template describe<In>(d, name);
  return {name, d};
}

/// Runs L forward and backward on x and compares with `prefix`.y, .dx, .dweight, ...; `offset` is
/// the mean of x in standard deviations.
template <class L, class In, class T>
void check(Parameters<T>& parameters, const std::string& prefix, const Tensor<double, In>& numbers,
           Mode mode, double offset = 0) {
  INFO(prefix << " in " << (sizeof(T) == 4 ? "float" : "double"));
  using Out = decltype(L::apply(In{}));
  Tensor<T, In> x(numbers.rows());
  for (std::size_t i = 0; i < x.flat().size(); ++i) x.flat()[i] = static_cast<T>(numbers.flat()[i]);
  Tape<T> tape;
  Context<T> context = parameters.context(tape, mode);
  Cursor<T> cursor{context};
  const auto leaf = tape.leaf(x.view());
  const Variable<T, Out> y = L::forward(cursor, leaf);
  REQUIRE(cursor.parameter == parameters.description.parameter_size);
  REQUIRE(cursor.statistic == parameters.description.statistic_size);
  // No sum has more terms than input and output have elements. In each term a mean that is rounded
  // to T is wrong by offset / 2 units of the deviation.
  parameters.tolerance =
      (1 + offset / 8) * test::sum_tolerance<T>(static_cast<double>(x.flat().size() + y.count()));
  parameters.check("y", read_batch<Out>(prefix + ".y").flat(), y.view().flat());
  const auto g = read_batch<Out>(prefix + ".g");
  T* const dy = add_sink(Rows(y));
  for (std::size_t i = 0; i < y.count(); ++i) dy[i] += static_cast<T>(g.flat()[i]);
  tape.backward();
  if (vectors().contains(prefix + ".dx"))
    parameters.check("dx", read_batch<In>(prefix + ".dx").flat(),
                     {add_sink(Rows(leaf)), leaf.count()});
  parameters.check_gradients(prefix);
}

template <class T, class L, class In>
Parameters<T> check(const std::string& name) {
  auto parameters = parameters_of<L, In, T>(name);
  check<L>(parameters, name, read_batch<In>(name + ".x"), Mode::train);
  return parameters;
}

template <class T, class S>
void check_batch_norm(const std::string& name, double offset = 0) {
  auto parameters = parameters_of<BatchNorm2d, S, T>(name);
  for (const std::string step : {".step0", ".step1", ".eval"}) {
    check<BatchNorm2d>(parameters, name + step, read_batch<S>(name + step + ".x"),
                       step == ".eval" ? Mode::evaluate : Mode::train, offset);
    parameters.check_statistics(name + step);
  }
}

}  // namespace

TEMPLATE_TEST_CASE("Linear", "", float, double) {
  check<TestType, Linear<5>, Shape<7>>("linear0");
  check<TestType, Linear<8, false>, Shape<3>>("linear1");
  check<TestType, Linear<17>, Shape<33>>("linear2");
}

TEMPLATE_TEST_CASE("Conv2d", "", float, double) {
  using T = TestType;
  check<T, Conv2d<5, kernel(3, 2).stride(2, 1).pad(1, 0)>, Shape<3, 7, 6>>("conv0");
  check<T, Conv2d<6, kernel(4).stride(2).pad(1).no_bias()>, Shape<1, 14, 28>>("conv1");
  check<T, Conv2d<3, kernel(4).stride(2).pad(1).no_bias()>, Shape<4, 3, 7>>("conv2");
  check<T, Conv2d<4, kernel(1, 4).stride(1, 2).pad(0, 1).no_bias()>, Shape<2, 4, 16>>("conv3");
  check<T, Conv2d<4, kernel(4)>, Shape<5, 4, 4>>("conv4");
  check<T, Conv2d<6, kernel(1).stride(2).no_bias()>, Shape<4, 5, 4>>("conv5");
  check<T, Conv2d<3, kernel(7).stride(2).pad(3).no_bias()>, Shape<1, 9, 8>>("conv6");
  check<T, Conv2d<3, kernel(2, 3).stride(1, 3).pad(1, 2)>, Shape<2, 5, 6>>("conv7");
}

TEMPLATE_TEST_CASE("ConvTranspose2d", "", float, double) {
  using T = TestType;
  check<T, ConvTranspose2d<4, kernel(3, 2).stride(2, 3).pad(1, 0).output_pad(1, 2)>,
        Shape<3, 4, 3>>("conv_transpose0");
  check<T, ConvTranspose2d<4, kernel(3, 5).stride(2)>, Shape<6, 1, 1>>("conv_transpose1");
  check<T, ConvTranspose2d<3, kernel(3, 5).stride(2)>, Shape<4, 3, 5>>("conv_transpose2");
  check<T, ConvTranspose2d<1, kernel(2, 4).stride(2)>, Shape<3, 7, 13>>("conv_transpose3");
  check<T, ConvTranspose2d<1, kernel(2, 4).stride(2).output_pad(1, 0)>, Shape<3, 4, 13>>(
      "conv_transpose4");
  check<T, ConvTranspose2d<3, kernel(4).no_bias()>, Shape<5, 1, 1>>("conv_transpose5");
  check<T, ConvTranspose2d<2, kernel(4).stride(2).pad(1).no_bias()>, Shape<3, 4, 5>>(
      "conv_transpose6");
  check<T, ConvTranspose2d<2, kernel(1, 4).stride(1, 2).pad(0, 1).no_bias()>, Shape<4, 4, 4>>(
      "conv_transpose7");
}

TEMPLATE_TEST_CASE("BatchNorm2d: two steps of training, then evaluation", "", float, double) {
  check_batch_norm<TestType, Shape<3, 4, 5>>("batch_norm0");
  check_batch_norm<TestType, Shape<4, 1, 1>>("batch_norm1");
  check_batch_norm<TestType, Shape<2, 3, 2>>("batch_norm2", 100);
}

TEMPLATE_TEST_CASE("MaxPool2d", "", float, double) {
  using T = TestType;
  check<T, MaxPool2d<kernel(2).stride(2)>, Shape<3, 6, 4>>("max_pool0");
  check<T, MaxPool2d<kernel(2).stride(2)>, Shape<2, 5, 7>>("max_pool1");
  check<T, MaxPool2d<kernel(3).stride(2).pad(1)>, Shape<2, 14, 14>>("max_pool2");
  check<T, MaxPool2d<kernel(3).stride(2).pad(1)>, Shape<3, 4, 5>>("max_pool3");
}

TEMPLATE_TEST_CASE("activations, of ordinary and of extreme numbers", "", float, double) {
  const auto both = []<class L>(L, const std::string& name) {
    check<TestType, L, Shape<6>>(name + "0");
    check<TestType, L, Shape<5>>(name + "1");
  };
  both(Relu{}, "relu");
  both(Elu{}, "elu");
  both(Softplus{}, "softplus");
  both(Sigmoid{}, "sigmoid");
}

TEMPLATE_TEST_CASE("Embedding", "", float, double) {
  using S = Shape<4>;
  auto parameters = parameters_of<Embedding<6, 5>, S, TestType>("embedding0");
  check<Embedding<6, 5>>(parameters, "embedding0", read_batch<S>("embedding0.ids"), Mode::train);
}

TEMPLATE_TEST_CASE("BasicBlock, without and with projection", "", float, double) {
  check<TestType, BasicBlock<4, 1>, Shape<4, 4, 3>>("block0").check_statistics("block0");
  check<TestType, BasicBlock<5, 2>, Shape<3, 5, 4>>("block1").check_statistics("block1");
}
