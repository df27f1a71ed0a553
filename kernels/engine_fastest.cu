// SPDX-License-Identifier: MIT
// The engine that has each product computed by the faster of cuDNN and our kernels.
#include "launch.cuh"

#include <poe/ops/engine_cuda.hpp>

#if defined(__CUDACC__) && defined(POE_HAVE_CUDNN)

#include "cudnn.cuh"

#include <limits>
#include <map>
#include <memory>
#include <mutex>

#include <poe/ops/conv_cuda.hpp>

namespace poe::cuda {
namespace {

using plans::Product;

/// Our kernels compute while this lives, as exactly as before.
class OwnKernels {
 public:
  explicit OwnKernels(Executor<Cuda>& on) : on_(on), engines_(on.engines) {
    on.engines.convolution = on.engines.linear = nullptr;
  }
  ~OwnKernels() { on_.engines = engines_; }
  OwnKernels(const OwnKernels&) = delete;
  OwnKernels& operator=(const OwnKernels&) = delete;

 private:
  Executor<Cuda>& on_;
  Engines engines_;
};

struct DestroyEvent {
  void operator()(EventHandle* e) const { destroy(e); }
};
struct DestroyGraph {
  void operator()(GraphHandle* g) const { destroy(g); }
};

/// Milliseconds that work takes on the device as part of a graph, where the host does not hold it
/// up: the least of several times, because what other streams do can only add to it.
template <class F>
double time_of(F&& work, Executor<Cuda>& on) {
  constexpr int runs = 8, rounds = 5;
  work();  // makes plans, takes memory, loads code
  begin_capture(on.stream());
  std::unique_ptr<GraphHandle, DestroyGraph> graph;
  try {
    for (int i = 0; i < runs; ++i) work();
    graph.reset(end_capture(on.stream()));
  } catch (...) {
    abandon_capture(on.stream());
    throw;
  }
  const std::unique_ptr<EventHandle, DestroyEvent> from(create_event()), to(create_event());
  double least = std::numeric_limits<double>::infinity();
  for (int i = 0; i < rounds; ++i) {
    record(from.get(), on.stream());
    launch(graph.get(), on.stream());
    record(to.get(), on.stream());
    least = std::min(least, milliseconds(from.get(), to.get()) / runs);
  }
  return least;
}

/// Which products cuDNN is the faster one for.
class Measurements {
 public:
  /// by_cudnn(to) -> whether it can, and by_us(to) compute the product of the key: n numbers. What
  /// is met for the first time during a capture cannot be measured then, and is ours.
  template <class Cudnn, class Own>
  bool cudnn_is_faster(const ProductKey& key, std::size_t n, Executor<Cuda>& on, Cudnn&& by_cudnn,
                       Own&& by_us) {
    if (const auto known = find(key)) return *known;
    if (n == 0 || is_capturing(on.stream())) return false;
    const OwnKernels own(on);
    Scratch<Cuda> scratch(on.scratch());
    float* const to = scratch.take<float>(n);
    const bool faster =
        by_cudnn(to) && time_of([&] { by_cudnn(to); }, on) < time_of([&] { by_us(to); }, on);
    const std::lock_guard lock(mutex_);
    return faster_.emplace(key, faster).first->second;
  }

 private:
  std::optional<bool> find(const ProductKey& key) {
    const std::lock_guard lock(mutex_);
    const auto known = faster_.find(key);
    return known != faster_.end() ? std::optional(known->second) : std::nullopt;
  }

  std::mutex mutex_;
  std::map<ProductKey, bool> faster_;
};
Measurements& measurements() {
  static Measurements& m = *new Measurements;
  return m;
}

bool large_to_small_by_faster(const Window& w, const float* large, const float* weights,
                              float* small, int rows, const detail::Epilogue<float>& epilogue,
                              Executor<Cuda>& on) {
  const auto by_cudnn = [&](float* to) {
    return cudnn()->large_to_small(w, large, weights, to, rows, epilogue, on);
  };
  const bool faster = measurements().cudnn_is_faster(
      key_of(Product::large_to_small, w, rows, on.engines.precision, large, small),
      numbers(rows, w.small()), on, by_cudnn,
      [&](float* to) { large_to_small<float>(w, large, weights, to, rows, epilogue, on); });
  return faster && by_cudnn(small);
}

bool small_to_large_by_faster(const Window& w, const float* small, const float* weights,
                              float* large, int rows, const detail::Epilogue<float>& epilogue,
                              Executor<Cuda>& on) {
  const auto by_cudnn = [&](float* to) {
    return cudnn()->small_to_large(w, small, weights, to, rows, epilogue, on);
  };
  const bool faster = measurements().cudnn_is_faster(
      key_of(Product::small_to_large, w, rows, on.engines.precision, large, small),
      numbers(rows, w.large()), on, by_cudnn,
      [&](float* to) { small_to_large<float>(w, small, weights, to, rows, epilogue, on); });
  return faster && by_cudnn(large);
}

bool weight_gradient_by_faster(const Window& w, const float* large, const float* small,
                               float* weights_gradient, int rows, Executor<Cuda>& on) {
  const auto by_cudnn = [&](float* to) {
    return cudnn()->weight_gradient(w, large, small, to, rows, on);
  };
  const bool faster = measurements().cudnn_is_faster(
      key_of(Product::weight_gradient, w, rows, on.engines.precision, large, small), w.weights(),
      on, by_cudnn, [&](float* to) { weight_gradient<float>(w, large, small, to, rows, on); });
  return faster && by_cudnn(weights_gradient);
}

}  // namespace

const ProductEngine* fastest() {
  static constexpr ProductEngine engine{"fastest", large_to_small_by_faster,
                                        small_to_large_by_faster, weight_gradient_by_faster};
  return &engine;
}

}  // namespace poe::cuda

#else

const poe::cuda::ProductEngine* poe::cuda::fastest() { return nullptr; }

#endif
