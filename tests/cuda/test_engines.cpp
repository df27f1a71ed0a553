// SPDX-License-Identifier: MIT
// The engines of the products against plain loops in double and against our kernels, for every
// layer of the papers. Where there are none, in builds without a GPU, they must say so.
#include <algorithm>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include <poe/core/config.hpp>
#include <poe/ops/conv_cuda.hpp>
#include <poe/ops/engine_cuda.hpp>

#include "../same_bytes.hpp"
#include "../support.hpp"
#include "device.hpp"
#include "layers.hpp"
#include "products.hpp"

using namespace poe;
using poe::test::same_bytes;
using namespace poe::test;
using cuda::ProductEngine;
using tests::index;
using tests::OnDevice;

namespace {

using Floats = std::vector<float>;
using Numbers = std::vector<double>;

std::vector<const ProductEngine*> engines() {
  std::vector<const ProductEngine*> all = {cuda::cudnn(), cuda::cublaslt(), cuda::fastest()};
  std::erase(all, nullptr);
  return all;
}

/// What cuBLASLt is for: a window that covers the whole image.
bool is_linear(const Window& w) {
  return w.positions() == 1 && w.kernel_h == w.height && w.kernel_w == w.width && w.pad_h == 0;
}
/// Whether an engine must do a product: all but fastest(), which may leave it to our kernels.
bool must_do(const ProductEngine& engine, const Window& w) {
  if (&engine == cuda::cudnn()) return true;
  return &engine == cuda::cublaslt() && is_linear(w);
}

/// The numbers of a layer, the gradient that is added to, and what the products make of them.
struct Layer {
  Window w;
  int rows;
  Floats large, small, weights, bias_of_small, bias_of_large;

  Layer(const Window& window, int batch)
      : w(window),
        rows(batch),
        large(normals<float>(index(w.large()) * index(batch), 1)),
        small(normals<float>(index(w.small()) * index(batch), 2)),
        weights(normals<float>(w.weights(), 3)),
        bias_of_small(normals<float>(index(w.filters), 4)),
        bias_of_large(normals<float>(index(w.channels), 5)) {}

  template <class F>
  void for_each_product(F&& f) const {
    tests::for_each_product(w, rows, f);
  }
};

struct Options {
  bool bias = false, relu = false, accumulate = false;
};

/// x plus bias, plus what was there, then ReLU.
void apply(const Options& o, const Floats& bias, const Floats& old, Numbers& x) {
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (o.bias) x[i] += static_cast<double>(bias[i % bias.size()]);
    if (o.accumulate) x[i] += static_cast<double>(old[i]);
    if (o.relu) x[i] = std::max(x[i], 0.0);
  }
}

/// A destination before the product: numbers to add to, or NaN.
Floats before(std::size_t n, bool accumulate) {
  return accumulate ? normals<float>(n, 6) : Floats(n, std::numeric_limits<float>::quiet_NaN());
}

/// The arrays of a layer on the device, and one product of it.
struct Run {
  enum Product { large_to_small, small_to_large, weight_gradient };

  Product product;
  const Layer& layer;
  Options options;
  OnDevice<float> large, small, weights, bias;

  Run(Product what, const Layer& l, const Options& o)
      : product(what),
        layer(l),
        options(o),
        large(what == small_to_large ? before(l.large.size(), o.accumulate) : l.large),
        small(what == large_to_small ? before(l.small.size(), o.accumulate) : l.small),
        weights(what == weight_gradient ? before(l.weights.size(), true) : l.weights),
        bias(what == small_to_large ? l.bias_of_large : l.bias_of_small) {}

  /// False if the engine leaves the product to our kernels. Null: our kernels.
  bool operator()(const ProductEngine* engine, Executor<Cuda>& on) {
    const Window& w = layer.w;
    const detail::Epilogue<float> e{options.bias ? bias.data() : nullptr, options.relu,
                                    options.accumulate};
    const int n = layer.rows;
    float *const x = large.data(), *const y = small.data(), *const k = weights.data();
    if (engine != nullptr)
      return product == large_to_small   ? engine->large_to_small(w, x, k, y, n, e, on)
             : product == small_to_large ? engine->small_to_large(w, y, k, x, n, e, on)
                                         : engine->weight_gradient(w, x, y, k, n, on);
    if (product == large_to_small) poe::large_to_small<float>(w, x, k, y, n, e, on);
    if (product == small_to_large) poe::small_to_large<float>(w, y, k, x, n, e, on);
    if (product == weight_gradient) poe::weight_gradient<float>(w, x, y, k, n, on);
    return true;
  }

  Floats result(Executor<Cuda>& on) const {
    return (product == large_to_small   ? small
            : product == small_to_large ? large
                                        : weights)
        .read(on);
  }

  /// By the definition, in double.
  Numbers expected() const {
    const Layer& l = layer;
    Numbers x(product == large_to_small   ? l.small.size()
              : product == small_to_large ? l.large.size()
                                          : l.weights.size());
    l.for_each_product([&](std::size_t i, std::size_t j, std::size_t k) {
      const auto a = static_cast<double>(l.large[i]), b = static_cast<double>(l.small[j]),
                 c = static_cast<double>(l.weights[k]);
      if (product == large_to_small) x[j] += a * c;
      if (product == small_to_large) x[i] += b * c;
      if (product == weight_gradient) x[k] += a * b;
    });
    const Options o = product == weight_gradient ? Options{.accumulate = true} : options;
    apply(o, product == small_to_large ? l.bias_of_large : l.bias_of_small,
          before(x.size(), o.accumulate), x);
    return x;
  }

  /// Rounding of a sum of n products in any order: partial sums grow like sqrt(k), and of each an
  /// addition loses up to half a unit. One after the other these errors reach some n / 5 units, a
  /// tenth of what is allowed. Factors rounded to tf32 would cost 1000 sqrt(n).
  double tolerance() const {
    const Window& w = layer.w;
    const int n = product == large_to_small   ? w.patch()
                  : product == small_to_large ? w.taps() * w.filters
                                              : layer.rows * w.positions();
    return 2 * static_cast<double>(std::numeric_limits<float>::epsilon()) * (n + 8);
  }

  std::string name(const ProductEngine& engine) const {
    static constexpr const char* names[] = {"large to small", "small to large", "weight gradient"};
    return std::string(engine.name) + ": " + names[product] + ", " + tests::describe(layer.w) +
           ", rows " + std::to_string(layer.rows) + (options.bias ? ", bias" : "") +
           (options.relu ? ", ReLU" : "") + (options.accumulate ? ", added" : "");
  }
};

/// Compares with the definition: what each engine computes, twice the same bytes.
void check_product(Run::Product product, const Layer& layer, const Options& options) {
  Executor<Cuda> on;
  Numbers expected;
  for (const ProductEngine* engine : engines()) {
    Run run(product, layer, options), again(product, layer, options);
    INFO(run.name(*engine));
    const bool done = run(engine, on);
    // A bias per channel is not one per number of an image of several pixels.
    const bool no_bias = engine == cuda::cublaslt() && product == Run::small_to_large &&
                         options.bias && layer.w.pixels() > 1;
    if (must_do(*engine, layer.w)) CHECK(done == !no_bias);
    if (!done) continue;
    if (expected.empty()) expected = run.expected();
    const Floats got = run.result(on);
    require_close(got, expected, run.tolerance(), run.name(*engine));
    REQUIRE(again(engine, on));
    CHECK(same_bytes(again.result(on), got));
  }
}

struct DestroyGraph {
  void operator()(cuda::GraphHandle* g) const { cuda::destroy(g); }
};

}  // namespace

TEST_CASE("an engine is there if the build has its library") {
#if defined(POE_CUDA_ON_CPU)
  CHECK(cuda::cudnn() == nullptr);
  CHECK(cuda::cublaslt() == nullptr);
  CHECK(cuda::fastest() == nullptr);
#else
  CHECK(cuda::cublaslt() != nullptr);
  CHECK((cuda::cudnn() == nullptr) == (cuda::fastest() == nullptr));
  if (cuda::cudnn() == nullptr) WARN("a build without cuDNN");
#endif
  for (const ProductEngine* engine : engines()) CHECK(std::string(engine->name).size() > 3);
}

TEST_CASE("engines compute every layer of the papers as it is defined") {
  if (engines().empty()) {
    SUCCEED("no engines in this build");
    return;
  }
  for (const auto& [network, windows] : tests::paper_layers())
    for (const Window& w : windows) {
      INFO(network);
      const Layer layer(w, 3);
      check_product(Run::large_to_small, layer, {.bias = true, .relu = true});
      check_product(Run::small_to_large, layer, {.accumulate = true});
      check_product(Run::weight_gradient, layer, {});
    }
}

TEST_CASE("engines and every epilogue, every number of rows") {
  if (engines().empty()) {
    SUCCEED("no engines in this build");
    return;
  }
  for (const Window& w : tests::odd_layers())
    for (const int rows : {1, 32, 33}) {
      const Layer layer(w, rows);
      for (const bool bias : {false, true})
        for (const bool relu : {false, true})
          for (const bool accumulate : {false, true}) {
            check_product(Run::large_to_small, layer, {bias, relu, accumulate});
            check_product(Run::small_to_large, layer, {bias, relu, accumulate});
          }
      check_product(Run::weight_gradient, layer, {});
    }
}

TEST_CASE("engines agree with our kernels on a batch of 100") {
  if (engines().empty()) {
    SUCCEED("no engines in this build");
    return;
  }
  for (const auto& [network, windows] : tests::paper_layers())
    for (const Window& w : windows) {
      INFO(network);
      const Layer layer(w, 100);
      for (const auto product : {Run::large_to_small, Run::small_to_large, Run::weight_gradient}) {
        Executor<Cuda> on;
        Run own(product, layer, {.bias = true});
        own(nullptr, on);
        const Floats want = own.result(on);
        for (const ProductEngine* engine : engines()) {
          Run run(product, layer, {.bias = true});
          if (run(engine, on))  // both round
            require_close(run.result(on), want, 2 * run.tolerance(), run.name(*engine));
        }
      }
    }
}

TEST_CASE("an engine in a captured graph computes the same bytes as outside") {
  if (engines().empty()) {
    SUCCEED("no engines in this build");
    return;
  }
  for (const Window& w : {tests::halving(8, 7, 14, 16), tests::linear(96, 64)}) {
    const Layer layer(w, 20);
    for (const ProductEngine* engine : engines())
      for (const auto product : {Run::large_to_small, Run::small_to_large, Run::weight_gradient}) {
        Executor<Cuda> on;
        Run eager(product, layer, {}), captured(product, layer, {});
        INFO(eager.name(*engine));
        if (!eager(engine, on)) continue;
        const Floats want = eager.result(on);
        cuda::begin_capture(on.stream());
        const bool done = captured(engine, on);
        const std::unique_ptr<cuda::GraphHandle, DestroyGraph> graph(
            cuda::end_capture(on.stream()));
        REQUIRE(done);
        cuda::launch(graph.get(), on.stream());
        CHECK(same_bytes(captured.result(on), want));
      }
  }
}

TEST_CASE("during a capture cuDNN is not asked for new plans") {
  if (cuda::cudnn() == nullptr) {
    SUCCEED("no cuDNN in this build");
    return;
  }
  const Layer layer(tests::halving(7, 6, 8, 9), 5);  // a window that no other test uses
  for (const ProductEngine* engine : {cuda::cudnn(), cuda::fastest()}) {
    Executor<Cuda> on;
    Run run(Run::large_to_small, layer, {});
    cuda::begin_capture(on.stream());
    const bool done = run(engine, on);
    cuda::abandon_capture(on.stream());
    INFO(engine->name);
    CHECK_FALSE(done);
  }
}

TEST_CASE("no rows are nothing to do for an engine", "[small]") {
  const Layer layer(tests::linear(8, 4), 0);
  Executor<Cuda> on;
  OnDevice<float> gradient(before(layer.weights.size(), true)), some(Floats(8, 1.0F));
  for (const ProductEngine* engine : engines()) {
    INFO(engine->name);
    CHECK_FALSE(engine->weight_gradient(layer.w, some.data(), some.data(), gradient.data(), 0, on));
  }
  CHECK(same_bytes(gradient.read(on), before(layer.weights.size(), true)));
}
