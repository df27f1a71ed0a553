// SPDX-License-Identifier: MIT
// Networks as types: shapes, parameter counts and names, initial values, fused ReLUs.
#include "network.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <string>
#include <vector>

namespace {

using namespace poe;
using namespace poe::test;

/// The shape after some layers.
template <class In, class... Layers>
using After = decltype(Sequence<Layers...>::apply(In{}));
template <class A, class B>
inline constexpr bool same = std::is_same_v<A, B>;

// MNIST-Split: a half of a digit to 64 latent dimensions and back.

constexpr Geometry halve = kernel(4).stride(2).pad(1).no_bias();
using Half = Shape<1, 14, 28>;
using Trunk = Sequence<Conv2d<64, halve>, Relu, Conv2d<128, halve>, Relu, Conv2d<256, halve>, Relu>;
struct Encoder : Net<Half, Trunk, Flatten, Linear<512>, Relu, GaussianHead<64>> {};
struct Decoder : Net<Shape<64>, Linear<512>, Relu, Linear<112>, Relu, Reshape<112, 1, 1>,
                     ConvTranspose2d<56, kernel(3, 5).stride(2)>, Relu,
                     ConvTranspose2d<28, kernel(3, 5).stride(2)>, Relu,
                     ConvTranspose2d<1, kernel(2, 4).stride(2)>, Sigmoid> {};

static_assert(same<After<Half, Conv2d<64, halve>>, Shape<64, 7, 14>>);
static_assert(same<After<Shape<64, 7, 14>, Conv2d<128, halve>>, Shape<128, 3, 7>>);
static_assert(same<After<Half, Trunk>, Shape<256, 1, 3>>);
static_assert(same<After<Half, Trunk, Flatten>, Shape<768>>);
static_assert(same<Encoder::Out, Shape<128>>);
static_assert(
    same<After<Shape<112, 1, 1>, ConvTranspose2d<56, kernel(3, 5).stride(2)>>, Shape<56, 3, 5>>);
static_assert(
    same<After<Shape<56, 3, 5>, ConvTranspose2d<28, kernel(3, 5).stride(2)>>, Shape<28, 7, 13>>);
static_assert(same<Decoder::Out, Half>);
// A third of a digit needs a row more than the transposed convolution gives.
static_assert(
    same<After<Shape<28, 4, 13>, ConvTranspose2d<1, kernel(2, 4).stride(2).output_pad(1, 0)>>,
         Shape<1, 9, 28>>);
static_assert(same<After<Shape<5>>, Shape<5>>);

// The oracles.

struct DigitOracle
    : Net<Shape<1, 28, 28>, Conv2d<10, kernel(5)>, MaxPool2d<kernel(2).stride(2)>, Relu,
          Conv2d<20, kernel(5)>, ChannelDropout<50>, MaxPool2d<kernel(2).stride(2)>, Relu, Flatten,
          Linear<50>, Relu, Dropout<50>, Linear<10>> {};
struct StreetOracle
    : Net<Shape<3, 32, 32>, Conv2d<10, kernel(5)>, MaxPool2d<kernel(2).stride(2)>, Relu,
          Conv2d<20, kernel(5)>, ChannelDropout<50>, MaxPool2d<kernel(2).stride(2)>, Relu, Flatten,
          Linear<50>, Relu, Dropout<50>, Linear<10>> {};
using Stem = Sequence<Conv2d<64, kernel(7).stride(2).pad(3).no_bias()>, BatchNorm2d, Relu,
                      MaxPool2d<kernel(3).stride(2).pad(1)>>;
struct ResNet18
    : Net<Shape<1, 28, 28>, Stem, BasicBlock<64, 1>, BasicBlock<64, 1>, BasicBlock<128, 2>,
          BasicBlock<128, 1>, BasicBlock<256, 2>, BasicBlock<256, 1>, BasicBlock<512, 2>,
          BasicBlock<512, 1>, GlobalAveragePool, Linear<10>> {};

static_assert(same<DigitOracle::Out, Shape<10>> && same<StreetOracle::Out, Shape<10>>);
static_assert(same<After<Shape<1, 28, 28>, Stem>, Shape<64, 7, 7>>);
static_assert(same<After<Shape<64, 7, 7>, BasicBlock<128, 2>>, Shape<128, 4, 4>>);
static_assert(
    same<After<Shape<128, 4, 4>, BasicBlock<256, 2>, BasicBlock<512, 2>>, Shape<512, 1, 1>>);
static_assert(same<ResNet18::Out, Shape<10>>);

template <class N>
std::vector<std::string> names(bool statistics = false) {
  const auto d = describe<N, float>("net");
  std::vector<std::string> list;
  for (const ParameterInfo& p : statistics ? d.statistics : d.parameters) list.push_back(p.name);
  return list;
}

}  // namespace

TEST_CASE("networks of the paper have its numbers of parameters") {
  CHECK(describe<Encoder, float>("q").parameter_count() == 1'115'776);
  CHECK(describe<Decoder, float>("p").parameter_count() == 208'645);
  CHECK(describe<ResNet18, float>("oracle").parameter_count() == 11'175'370);
  CHECK(describe<DigitOracle, float>("oracle").parameter_count() == 21'840);
  CHECK(describe<StreetOracle, float>("oracle").parameter_count() == 31'340);
}

TEST_CASE("parameters are named by position, those of a block as in torchvision") {
  CHECK(names<Encoder>() == std::vector<std::string>{"net.0.0.weight", "net.0.2.weight",
                                                     "net.0.4.weight", "net.2.weight", "net.2.bias",
                                                     "net.4.weight", "net.4.bias"});
  using Blocks = Net<Shape<4, 6, 6>, BasicBlock<4, 1>, BasicBlock<8, 2>>;
  std::vector<std::string> want, running;
  for (const std::string part : {"0.conv1", "0.bn1", "0.conv2", "0.bn2", "1.conv1", "1.bn1",
                                 "1.conv2", "1.bn2", "1.downsample.0", "1.downsample.1"}) {
    const bool conv = part.find("conv") != part.npos || part.ends_with("downsample.0");
    want.push_back("net." + part + ".weight");
    if (conv) continue;
    want.push_back("net." + part + ".bias");
    running.push_back("net." + part + ".running_mean");
    running.push_back("net." + part + ".running_var");
  }
  CHECK(names<Blocks>() == want);
  CHECK(names<Blocks>(true) == running);
}

TEST_CASE("parameters lie one after the other, each on a cache line, in a bijection of the file") {
  const auto d = describe<Decoder, float>("p");
  std::size_t next = 0;
  for (const ParameterInfo& p : d.parameters) {
    CHECK(p.offset == next);
    CHECK(p.offset * sizeof(float) % alignment == 0);
    next = p.offset + (p.count() + 15) / 16 * 16;
    std::vector<float> memory(d.parameter_size), file(p.count());
    for (std::size_t e = 0; e < file.size(); ++e) file[e] = static_cast<float>(e + 1);
    from_file_order<float>(p, file, memory.data());
    CHECK(to_file_order(p, memory.data()) == file);
    CHECK(std::count(memory.begin(), memory.end(), 0.0F) ==
          static_cast<std::ptrdiff_t>(memory.size() - file.size()));
  }
  CHECK(d.parameter_size == next);
}

TEST_CASE("initial values have PyTorch's distributions and are a function of the seed") {
  using N = Net<Shape<2, 9, 9>, Conv2d<30, kernel(3)>, BatchNorm2d,
                ConvTranspose2d<20, kernel(4, 2)>, Flatten, Linear<40>>;
  Model<N> model(7);
  // Fan-in: inputs times kernel; of a transposed convolution outputs times kernel.
  const double fan_in[] = {18, 18, 0, 0, 160, 160, 20 * 10 * 8, 20 * 10 * 8};
  for (std::size_t k = 0; k < model.description.parameters.size(); ++k) {
    const ParameterInfo& p = model.description.parameters[k];
    INFO(p.name);
    const auto values = to_file_order(p, model.parameters.data());
    if (fan_in[k] == 0) {  // BatchNorm2d
      CHECK(values == std::vector<double>(30, k == 2 ? 1 : 0));
      continue;
    }
    const double bound = 1 / std::sqrt(fan_in[k]);
    const Random random{.seed = 7, .stream = (1U << 20) + static_cast<std::uint32_t>(k)};
    for (std::size_t e = 0; e < values.size(); ++e)
      REQUIRE(values[e] == Approx(bound * (2 * random.uniform<double>(e) - 1)).margin(1e-15));
  }
  CHECK(Model<N>(8).parameters[0] != model.parameters[0]);
  CHECK(std::vector(model.statistics.begin(), model.statistics.end())[0] == 0);
  CHECK(to_file_order(model.description.statistics[1], model.statistics.data()) ==
        std::vector(30, 1.0));
}

TEST_CASE("an embedding starts from N(0, 1) with a padding row of zeros") {
  Model<Net<Shape<3>, Embedding<500, 32, 4>>> model(1);
  double sum = 0, squares = 0;
  for (std::size_t e = 0; e < 500 * 32; ++e) {
    const double x = model.parameters[e];
    REQUIRE((x == 0) == (e / 32 == 4));
    sum += x, squares += x * x;
  }
  constexpr double n = 499 * 32;
  CHECK(std::abs(sum / n) < 5 / std::sqrt(n));
  CHECK(std::abs(squares / n - 1) < 5 * std::sqrt(2 / n));
}

TEST_CASE("a ReLU behind a product is fused, and the same function") {
  const auto check = []<class L, class S>(L, S) {
    using Fused = Net<S, L, Relu, Flatten>;
    using Apart = Net<S, L, Sequence<Relu>, Flatten>;  // a sequence hides the ReLU
    Model<Fused> fused(5);
    Model<Apart> apart(5);
    const auto x = normal_tensor<S>(6, 1);
    const auto y = fused.forward(x, Mode::train), z = apart.forward(x, Mode::train);
    CHECK(fused.tape.size() < apart.tape.size());
    CHECK(std::equal(y.value, y.value + y.count(), z.value));
    CHECK(std::count(y.value, y.value + y.count(), 0.0) > 0);
    seed(Rows(y), 1.0);
    seed(Rows(z), 1.0);
    fused.tape.backward();
    apart.tape.backward();
    CHECK(std::equal(fused.gradients.begin(), fused.gradients.end(), apart.gradients.begin()));
  };
  check(Linear<20>{}, Shape<9>{});
  check(Conv2d<5, kernel(3).pad(1)>{}, Shape<2, 4, 6>{});
  check(ConvTranspose2d<5, kernel(3).stride(2)>{}, Shape<3, 4, 2>{});
}

TEST_CASE("NaN passes every activation, fused or not, and touches no other sample") {
  const auto check = []<class L, class S>(L, S) {
    Model<Net<S, L, Flatten>> model(5);
    auto x = normal_tensor<S>(3, 1);
    for (double& v : x.row(1)) v = std::numeric_limits<double>::quiet_NaN();
    const auto y = model.forward(x, Mode::train);
    for (std::size_t i = 0; i < y.count(); ++i) {
      INFO("element " << i << " of " << y.count());
      REQUIRE(std::isnan(y.value[i]) == (i * 3 / y.count() == 1));
    }
  };
  check(Relu{}, Shape<9>{});
  check(Elu{}, Shape<9>{});
  check(Sigmoid{}, Shape<9>{});
  check(Softplus{}, Shape<9>{});
  check(Sequence<Linear<20>, Relu>{}, Shape<9>{});
  check(Sequence<Conv2d<5, kernel(3).pad(1)>, Relu>{}, Shape<2, 4, 6>{});
  check(Sequence<ConvTranspose2d<5, kernel(3).stride(2)>, Relu>{}, Shape<3, 4, 2>{});
  check(Sequence<ConvTranspose2d<1, kernel(4).stride(2).pad(1)>, Relu>{}, Shape<8, 4, 4>{});
}

TEST_CASE("gradients of a whole network with respect to every parameter") {
  using N =
      Net<Shape<6>, Embedding<9, 8>, Conv2d<5, kernel(3).stride(1, 2).pad(1)>, BatchNorm2d, Elu,
          ChannelDropout<20>, Flatten, Linear<12>, Softplus, Dropout<40>, Reshape<3, 2, 2>,
          ConvTranspose2d<4, kernel(3, 2).stride(2).pad(1, 0)>, Sigmoid, GlobalAveragePool>;
  Model<N> model(3);
  Tensor<double, N::In> ids(5);
  for (std::size_t i = 0; i < ids.flat().size(); ++i) ids.flat()[i] = static_cast<double>(i % 9);
  const auto g = normal_tensor<N::Out>(5, 1);
  const auto loss = [&] {
    const auto y = model.forward(ids, Mode::train);
    double* const dy = add_sink(Rows(y));
    double sum = 0;
    for (std::size_t i = 0; i < y.count(); ++i) {
      dy[i] += g.flat()[i];
      sum += g.flat()[i] * y.value[i];
    }
    return sum;
  };
  loss();
  model.tape.backward();
  // Row 0 of the table, the padding, is no parameter: numbers are checked from row 1 on.
  const std::span all(model.parameters.data(), model.parameters.size());
  const std::span<const double> gradients(model.gradients.data(), all.size());
  const auto error = gradcheck(all.subspan(8), gradients.subspan(8), loss);
  INFO(error.message());
  CHECK(error.ok(1e-8));
  for (std::size_t i = 0; i < 8; ++i) CHECK(gradients[i] == 0);
  CHECK(std::count(gradients.begin(), gradients.end(), 0.0) < 60);
}
