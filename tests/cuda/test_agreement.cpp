// SPDX-License-Identifier: MIT
// The same network, model and evaluation on both devices: values and gradients agree.
#include <poe/eval/accuracy.hpp>
#include <poe/eval/classifier.hpp>
#include <poe/eval/encode.hpp>
#include <poe/eval/importance.hpp>
#include <poe/optim/learner_cuda.hpp>

#include "../digit_model.hpp"
#include "device.hpp"

namespace {
using namespace poe;
using namespace poe::test;

/// Results of one pass of a network: output, gradient of the input, of the parameters, statistics.
struct Pass {
  std::vector<double> output, input_gradient, parameter_gradient, statistics;
};

template <class T>
std::vector<double> numbers(const T* data, std::size_t n) {
  return {data, data + n};
}

/// Runs the network N on `rows` random samples, with the gradient cos(i) for output element i.
template <class N, class T, class D>
Pass pass(int rows, Mode mode, bool ids) {
  using In = typename N::In;
  using Out = typename N::Out;
  const auto description = describe<N, T>("net");
  Buffer<T> parameters(description.parameter_size), statistics(description.statistic_size);
  initialise<T>({parameters.data(), parameters.size()}, description.parameters, 5);
  initialise<T>({statistics.data(), statistics.size()}, description.statistics, 5);
  Tensor<T, In> x(rows);
  fill_normal(Random{6, 0, 0}, 0, x.flat());
  if (ids)
    for (std::size_t i = 0; i < x.flat().size(); ++i)
      x.flat()[i] = static_cast<T>(Random{7, 0, 0}.below(9, i));
  Tensor<T, Out> g(rows);
  for (std::size_t i = 0; i < g.flat().size(); ++i)
    g.flat()[i] = static_cast<T>(std::cos(static_cast<double>(i)));

  Buffer<T, D> on_device[3] = {Buffer<T, D>(parameters.size()), Buffer<T, D>(statistics.size()),
                               Buffer<T, D>(parameters.size())};  // the last: gradients
  const auto put = [&](Buffer<T, D>& to, const Buffer<T>& from) {
    if (from.size() == 0) return;
    if constexpr (std::is_same_v<D, Cpu>)
      std::copy(from.begin(), from.end(), to.begin());
    else
      cuda::upload(to.data(), from.data(), from.size() * sizeof(T), nullptr);
  };
  const auto get = [&](const T* from, std::size_t n) {
    std::vector<T> values(n);
    if (n > 0) {
      if constexpr (std::is_same_v<D, Cpu>)
        std::copy(from, from + n, values.begin());
      else
        cuda::download(values.data(), from, n * sizeof(T), nullptr);
    }
    return numbers(values.data(), n);
  };
  put(on_device[0], parameters);
  put(on_device[1], statistics);
  Tape<T, D> tape;
  Context<T, D> ctx{.tape = tape,
                    .parameters = on_device[0].data(),
                    .gradients = on_device[2].data(),
                    .statistics = on_device[1].data(),
                    .mode = mode,
                    .random = {8, 0, 2}};
  Cursor<T, D> cursor{ctx};
  const auto leaf = tape.leaf(to_device(ctx, x.view()));
  const auto y = N::forward(cursor, leaf);
  const auto weights = to_device(ctx, g.view());
  pass_on(y.count(), weights.data, sink(y), ctx.executor());
  tape.backward();
  Pass result;
  const auto out = to_host(ctx, y);
  result.output = numbers(out.data, y.count());
  if (!ids) result.input_gradient = get(leaf.gradient->data, leaf.count());
  result.parameter_gradient = get(on_device[2].data(), parameters.size());
  result.statistics = get(on_device[1].data(), statistics.size());
  return result;
}

template <class N, class T>
void require_same_pass(int rows, Mode mode, bool ids, double tolerance) {
  INFO(rows << " samples, " << (mode == Mode::train ? "train" : "evaluate"));
  const Pass cpu = pass<N, T, Cpu>(rows, mode, ids);
  const Pass gpu = pass<N, T, Cuda>(rows, mode, ids);
  require_close(gpu.output, cpu.output, tolerance, "output");
  require_close(gpu.input_gradient, cpu.input_gradient, tolerance, "gradient of the input");
  require_close(gpu.parameter_gradient, cpu.parameter_gradient, tolerance,
                "gradient of the parameters");
  require_close(gpu.statistics, cpu.statistics, tolerance, "statistics");
}

/// In double both devices round differently in the last bits only; every sum here has less than
/// 10^4 terms of order one.
constexpr double last_bits = 1e-10;

// clang-format off
struct Plain1 : Net<Shape<7>, Linear<33>, Relu, Linear<5>, Elu, Linear<6, false>, Sigmoid, Linear<3>, Softplus> {};
struct Images : Net<Shape<3, 9, 8>, Conv2d<5, kernel(3, 2).stride(2, 1).pad(1)>, Relu, BatchNorm2d,
                    ConvTranspose2d<4, kernel(3).stride(2).pad(1).output_pad(1)>, Relu, Flatten, Linear<4>> {};
struct Pools : Net<Shape<2, 9, 7>, Conv2d<6, kernel(3).pad(1).no_bias()>, BatchNorm2d, Relu, MaxPool2d<kernel(3).stride(2).pad(1)>,
                   BasicBlock<6, 1>, BasicBlock<8, 2>, GlobalAveragePool, Linear<3>> {};
struct Dropped : Net<Shape<4, 3, 5>, ChannelDropout<40>, Conv2d<4, kernel(3)>, Relu, Flatten, Dropout<30>, Linear<5>> {};
struct Sentence : Net<Shape<6>, Embedding<9, 8, 0>, Conv2d<4, kernel(3, 8)>, Relu, Flatten, Linear<3>> {};
struct Upwards : Net<Shape<6>, Linear<12>, Reshape<3, 2, 2>, ConvTranspose2d<2, kernel(4, 3).stride(2)>> {};
struct Long : Net<Shape<3, 8, 8>, Conv2d<8, kernel(3).pad(1)>, BatchNorm2d, Flatten, Linear<10>> {};
// clang-format on

}  // namespace

TEMPLATE_TEST_CASE("every layer gives the same values, gradients and statistics on both devices",
                   "", Plain1, Images, Pools, Dropped, Sentence, Upwards) {
  for (const Mode mode : {Mode::train, Mode::evaluate})
    for (const int rows : {2, 5})
      require_same_pass<TestType, double>(rows, mode, std::is_same_v<TestType, Sentence>,
                                          last_bits);
}

TEMPLATE_TEST_CASE("every layer on two samples", "[small]", Plain1, Images, Pools, Dropped,
                   Sentence, Upwards) {
  require_same_pass<TestType, double>(2, Mode::train, std::is_same_v<TestType, Sentence>,
                                      last_bits);
}

TEST_CASE("what is not a number passes the ReLUs that products apply") {
  const auto check = []<class L, class S, class T>(L, S, T) {
    using N = Net<S, L, Relu, Flatten>;
    const auto description = describe<N, T>("net");
    Buffer<T> initial(description.parameter_size);
    initialise<T>({initial.data(), initial.size()}, description.parameters, 5);
    Buffer<T, Cuda> parameters(initial.size());
    cuda::upload(parameters.data(), initial.data(), initial.size() * sizeof(T), nullptr);
    Tensor<T, S> x(3);
    for (T& v : x.row(1)) v = std::numeric_limits<T>::quiet_NaN();
    Tape<T, Cuda> tape;
    Context<T, Cuda> ctx{.tape = tape, .parameters = parameters.data()};
    Cursor<T, Cuda> cursor{ctx};
    const auto y = N::forward(cursor, tape.constant(to_device(ctx, x.view())));
    const auto out = to_host(ctx, y);
    for (std::size_t i = 0; i < y.count(); ++i)
      REQUIRE(std::isnan(out.data[i]) == (i * 3 / y.count() == 1));
  };
  const auto both = [&](auto number) {
    check(Linear<20>{}, Shape<9>{}, number);
    check(Linear<3>{}, Shape<700>{}, number);  // a sum in parts
    check(Conv2d<5, kernel(3).pad(1)>{}, Shape<2, 4, 6>{}, number);
    check(ConvTranspose2d<5, kernel(3).stride(2)>{}, Shape<3, 4, 2>{}, number);
  };
  both(float{});
  both(double{});
}

// Long sums: batch normalisation and the gradients of weights add up parts.
TEST_CASE("a training batch in float") {
  constexpr int rows = 100, positions = rows * 8 * 8;
  // One sum after the other: a window, a channel's samples, the 512 inputs or 10 outputs of the
  // linear layer, and for a gradient of weights all positions.
  const double tolerance = sum_tolerance<float>(3 * 9 + positions + 512 + positions);
  require_same_pass<Long, float>(rows, Mode::train, false, tolerance);
  require_same_pass<Long, float>(rows, Mode::evaluate, false, tolerance);
}

TEST_CASE("completions, codes, prior samples and log-likelihoods agree") {
  using Small2 = Small<Top, Bottom>;
  const Svae<float, Small2, SmallHead, Cpu> cpu_model(VaeOptions::paper());
  const Svae<float, Small2, SmallHead, Cuda> model(VaeOptions::paper());
  Learner<float> cpu(cpu_model.description(), 3, 1);
  Learner<float, Cuda> gpu(model.description(), 3);
  const Batch<float, Small2> batch(0, 0b11, 0, 9);
  const Random noise{4, 5, 0};
  for (const Subset given : {0b01U, 0b10U, 0b11U}) {
    const auto a = complete(cpu_model, cpu, batch.group, given, noise);
    const auto b = complete(model, gpu, batch.group, given, noise);
    require_close(numbers(std::get<1>(b).data(), std::get<1>(b).flat().size()),
                  numbers(std::get<1>(a).data(), std::get<1>(a).flat().size()), 1e-5);
    const auto ea = encode(cpu_model, cpu, batch.group, given);
    const auto eb = encode(model, gpu, batch.group, given);
    require_close(eb.at(0).location.flat(), ea.at(0).location.flat(), 1e-5);
    require_close(eb.at(0).scale.flat(), ea.at(0).scale.flat(), 1e-5);
    const auto la = importance_log_likelihood(cpu_model, cpu, batch.group, given, 0b11, 7, noise);
    const auto lb = importance_log_likelihood(model, gpu, batch.group, given, 0b11, 7, noise);
    require_close(lb.samples, la.samples, 1e-5);
  }
  const auto a = draw_from_prior(cpu_model, cpu, 4, noise),
             b = draw_from_prior(model, gpu, 4, noise);
  require_close(numbers(std::get<0>(b).data(), std::get<0>(b).flat().size()),
                numbers(std::get<0>(a).data(), std::get<0>(a).flat().size()), 1e-5);
}

TEST_CASE("a classifier learns the same on both devices") {
  // clang-format off
  struct Tiny : Net<Shape<1, 6, 6>, Conv2d<4, kernel(3).pad(1)>, BatchNorm2d, Relu, MaxPool2d<kernel(2).stride(2)>,
                    Flatten, Dropout<25>, Linear<3>> {};
  // clang-format on
  constexpr int rows = 24;
  std::vector<std::uint8_t> pixels(rows * 36), labels(rows);
  for (std::size_t n = 0; n < rows; ++n) {
    labels[n] = static_cast<std::uint8_t>(n % 3);
    for (std::size_t p = 0; p < 36; ++p)
      pixels[n * 36 + p] = static_cast<std::uint8_t>((p / 12 == n % 3 ? 150 : 0) +
                                                     Random{1, 0, 0}.below(90, n * 36 + p));
  }
  const LabelledImages<Shape<1, 6, 6>> data{{pixels.data(), rows}, labels};
  const ClassifierTraining how{.epochs = 8, .batch = 8, .learning_rate = 1e-2};
  std::vector<double> losses[2];
  Classifier<Tiny> cpu(1, 1);
  Classifier<Tiny, Cuda> gpu(1, 1);
  cpu.train(data, how, [&](const ClassifierProgress& p) { losses[0].push_back(p.loss); });
  gpu.train(data, how, [&](const ClassifierProgress& p) { losses[1].push_back(p.loss); });
  require_close(losses[1], losses[0], 1e-3);
  REQUIRE(losses[1].back() < losses[1].front() / 2);
  REQUIRE(gpu.accuracy(data) == cpu.accuracy(data));
}
