// SPDX-License-Identifier: MIT
// cuDNN as the engine of convolutions of float32 numbers.
//
// cuDNN wants the weights as (filters, kernel_h, kernel_w, channels); ours, seen as the matrix
// (patch, filters), are transposed for every product. Bias, ReLU and what a product is added to are
// a pass of their own over its result.
#include "columns.cuh"

#include <poe/ops/engine_cuda.hpp>
#include <poe/ops/rearrange.hpp>

#if defined(__CUDACC__) && defined(POE_HAVE_CUDNN)

#include "cudnn.cuh"

#include <limits>
#include <map>
#include <mutex>

namespace poe::cuda {
namespace {

using plans::Plan;
using plans::Product;

/// The process's connection to cuDNN, and the plan of every product met so far.
class Library {
 public:
  Library() { plans::check(cudnnCreate(&handle_), "cudnnCreate"); }

  /// Null if cuDNN cannot do this, or if it would have to be asked during a capture.
  const Plan* plan(Product product, const Window& w, int rows, const float* large,
                   const float* small, Executor<Cuda>& on) {
    const std::ptrdiff_t most = std::numeric_limits<int>::max();
    if (rows == 0 || rows * std::ptrdiff_t{w.large()} > most ||
        rows * std::ptrdiff_t{w.small()} > most)
      return nullptr;
    const Precision precision = on.engines.precision;
    const ProductKey key = key_of(product, w, rows, precision, large, small);
    const std::lock_guard lock(mutex_);
    auto known = plans_.find(key);
    if (known == plans_.end()) {
      if (is_capturing(on.stream())) return nullptr;
      const bool tensor_cores = precision != Precision::float32;
      known = plans_.emplace(key, find_plan(product, w, rows, key.back(), {handle_}, tensor_cores))
                  .first;
    }
    return known->second ? &*known->second : nullptr;
  }

  void execute(const Plan& plan, const float* large, const float* small, const float* weights,
               Executor<Cuda>& on) {
    using plans::Descriptor;
    Scratch<Cuda> scratch(on.scratch());
    const void* const workspace =
        scratch.take<unsigned char>(static_cast<std::size_t>(plan.workspace));
    const void* const arrays[] = {large, small, weights};
    Descriptor pack(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
    pack.set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS,
             {plans::large_id, plans::small_id, plans::weights_id})
        .set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, 3, arrays)
        .set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace);
    pack.finalise("variant pack");
    const std::lock_guard lock(mutex_);
    plans::check(cudnnSetStream(handle_, native(on.stream())), "cudnnSetStream");
    plans::check(cudnnBackendExecute(handle_, plan.plan.get(), pack.get()), "cudnnBackendExecute");
  }

 private:
  cudnnHandle_t handle_ = nullptr;
  std::mutex mutex_;
  std::map<ProductKey, std::optional<Plan>> plans_;
};

// Never destroyed: at the end of the process CUDA may be gone before a destructor would run.
Library& library() {
  static Library& l = *new Library;
  return l;
}

/// Has product(to) write its n numbers, and does with them what the epilogue asks for; a bias is
/// one of `columns`.
template <class F>
void with_epilogue(float* to, std::size_t n, int columns, const detail::Epilogue<float>& epilogue,
                   Scratch<Cuda>& scratch, Executor<Cuda>& on, F&& product) {
  float* const result = epilogue.accumulate ? scratch.take<float>(n) : to;
  product(result);
  if (epilogue.accumulate || epilogue.bias != nullptr || epilogue.relu)
    launch_add_parts<float>(result, 1, n, columns, to, epilogue, on.stream());
}

const float* transposed(const Window& w, const float* weights, Scratch<Cuda>& scratch,
                        Executor<Cuda>& on) {
  float* const to = scratch.take<float>(w.weights());
  transpose_samples<float>(1, w.patch(), w.filters, weights, {to}, on);
  return to;
}

bool large_to_small_by_cudnn(const Window& w, const float* large, const float* weights,
                             float* small, int rows, const detail::Epilogue<float>& epilogue,
                             Executor<Cuda>& on) {
  const Plan* const plan = library().plan(Product::large_to_small, w, rows, large, small, on);
  if (plan == nullptr) return false;
  Scratch<Cuda> scratch(on.scratch());
  const float* const k = transposed(w, weights, scratch, on);
  with_epilogue(small, numbers(rows, w.small()), w.filters, epilogue, scratch, on,
                [&](float* to) { library().execute(*plan, large, to, k, on); });
  return true;
}

bool small_to_large_by_cudnn(const Window& w, const float* small, const float* weights,
                             float* large, int rows, const detail::Epilogue<float>& epilogue,
                             Executor<Cuda>& on) {
  const Plan* const plan = library().plan(Product::small_to_large, w, rows, large, small, on);
  if (plan == nullptr) return false;
  Scratch<Cuda> scratch(on.scratch());
  const float* const k = transposed(w, weights, scratch, on);
  with_epilogue(large, numbers(rows, w.large()), w.channels, epilogue, scratch, on,
                [&](float* to) { library().execute(*plan, to, small, k, on); });
  return true;
}

bool weight_gradient_by_cudnn(const Window& w, const float* large, const float* small,
                              float* weights_gradient, int rows, Executor<Cuda>& on) {
  const Plan* const plan = library().plan(Product::weight_gradient, w, rows, large, small, on);
  if (plan == nullptr) return false;
  Scratch<Cuda> scratch(on.scratch());
  float* const k = scratch.take<float>(w.weights());
  library().execute(*plan, large, small, k, on);
  transpose_samples<float>(1, w.filters, w.patch(), k, {weights_gradient, true}, on);
  return true;
}

}  // namespace

const ProductEngine* cudnn() {
  static constexpr ProductEngine engine{"cudnn", large_to_small_by_cudnn, small_to_large_by_cudnn,
                                        weight_gradient_by_cudnn};
  return &engine;
}

}  // namespace poe::cuda

#else

const poe::cuda::ProductEngine* poe::cuda::cudnn() { return nullptr; }

#endif
