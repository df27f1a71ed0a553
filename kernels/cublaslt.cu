// SPDX-License-Identifier: MIT
// cuBLASLt as the engine of layers that are plain matrix products, of float32 numbers.
//
// Our matrices are row-major, cuBLASLt's column-major: what it sees of a matrix is the transpose.
// With X (rows, depth) the large image, W (depth, columns), Y (rows, columns) the small one:
//   large to small    Y = X W       as  Y' = W' X'
//   small to large    X = Y W'      as  X' = W Y'
//   weight gradient   W += X' Y     as  W' += Y' X
#include "device.cuh"

#include <poe/ops/engine_cuda.hpp>

#if defined(__CUDACC__)

#include <cublasLt.h>

#include <array>
#include <climits>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>

namespace poe::cuda {
namespace {

void check(cublasStatus_t status, const char* call) {
  expect(status == CUBLAS_STATUS_SUCCESS, "cuBLASLt: {}: {}", call,
         cublasLtGetStatusString(status));
}

/// D (m x n, column-major) = relu(a_op(A) b_op(B) + D or nothing + bias of the rows or nothing).
struct Product {
  cublasOperation_t a_op, b_op;
  int m, n, k;
  const float *a, *b;
  float* d;
  detail::Epilogue<float> epilogue;
};

/// Factors as they are, or rounded on the way to the tensor cores; float sums in any case.
cublasComputeType_t compute_type(Precision precision) {
  switch (precision) {
    case Precision::tf32:
      return CUBLAS_COMPUTE_32F_FAST_TF32;
    case Precision::bf16:
      return CUBLAS_COMPUTE_32F_FAST_16BF;
    case Precision::float32:
      break;
  }
  return CUBLAS_COMPUTE_32F;
}

/// The descriptors of a product.
struct Description {
  cublasLtMatmulDescOpaque_t operation{};
  cublasLtMatrixLayoutOpaque_t a{}, b{}, d{};

  Description(const Product& p, Precision precision) {
    check(cublasLtMatmulDescInit(&operation, compute_type(precision), CUDA_R_32F),
          "cublasLtMatmulDescInit");
    set(CUBLASLT_MATMUL_DESC_TRANSA, p.a_op);
    set(CUBLASLT_MATMUL_DESC_TRANSB, p.b_op);
    const bool bias = p.epilogue.bias != nullptr;
    set(CUBLASLT_MATMUL_DESC_EPILOGUE,
        p.epilogue.relu ? (bias ? CUBLASLT_EPILOGUE_RELU_BIAS : CUBLASLT_EPILOGUE_RELU)
                        : (bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT));
    if (bias) set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, p.epilogue.bias);
    layout(a, p.a_op == CUBLAS_OP_N ? p.m : p.k, p.a_op == CUBLAS_OP_N ? p.k : p.m);
    layout(b, p.b_op == CUBLAS_OP_N ? p.k : p.n, p.b_op == CUBLAS_OP_N ? p.n : p.k);
    layout(d, p.m, p.n);
  }

 private:
  template <class V>
  void set(cublasLtMatmulDescAttributes_t name, const V& value) {
    check(cublasLtMatmulDescSetAttribute(&operation, name, &value, sizeof(value)),
          "cublasLtMatmulDescSetAttribute");
  }
  static void layout(cublasLtMatrixLayoutOpaque_t& l, int rows, int columns) {
    check(cublasLtMatrixLayoutInit(&l, CUDA_R_32F, static_cast<std::uint64_t>(rows),
                                   static_cast<std::uint64_t>(columns), rows),
          "cublasLtMatrixLayoutInit");
  }
};

/// The largest power of two, up to 256, that divides an address.
std::uint32_t alignment_of(const void* p) {
  const auto address = reinterpret_cast<std::uintptr_t>(p) | 256U;
  return static_cast<std::uint32_t>(address & (~address + 1));
}

struct Algorithm {
  cublasLtMatmulAlgo_t algorithm;
  std::size_t workspace;
};

/// What NVIDIA recommends for this generation of GPUs.
constexpr std::uint64_t most_workspace = std::uint64_t{32} << 20;

/// The process's connection to cuBLASLt, and the algorithm of every product met so far.
class Library {
 public:
  Library() { check(cublasLtCreate(&handle_), "cublasLtCreate"); }
  cublasLtHandle_t handle() const { return handle_; }

  /// The first choice of the heuristic whose sums have a fixed order; nothing if there is none. It
  /// depends on sizes, alignments and the precision only.
  const std::optional<Algorithm>& algorithm(const Product& p, Precision precision,
                                            Description& description) {
    const auto bit = [](bool b) { return b ? 1U : 0U; };
    const Key key = {
        static_cast<std::uint32_t>(p.m),
        static_cast<std::uint32_t>(p.n),
        static_cast<std::uint32_t>(p.k),
        static_cast<std::uint32_t>(precision),
        static_cast<std::uint32_t>(p.a_op) * 16 + static_cast<std::uint32_t>(p.b_op),
        bit(p.epilogue.relu) + 2 * bit(p.epilogue.accumulate) + 4 * bit(p.epilogue.bias != nullptr),
        alignment_of(p.a),
        alignment_of(p.b),
        alignment_of(p.d),
        alignment_of(p.epilogue.bias)};
    const std::lock_guard lock(mutex_);
    const auto known = algorithms_.find(key);
    if (known != algorithms_.end()) return known->second;
    return algorithms_.emplace(key, choose(p, description)).first->second;
  }

 private:
  using Key = std::array<std::uint32_t, 10>;

  std::optional<Algorithm> choose(const Product& p, Description& description) const {
    cublasLtMatmulPreferenceOpaque_t preference{};
    check(cublasLtMatmulPreferenceInit(&preference), "cublasLtMatmulPreferenceInit");
    const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t name, const auto& value) {
      check(cublasLtMatmulPreferenceSetAttribute(&preference, name, &value, sizeof(value)),
            "cublasLtMatmulPreferenceSetAttribute");
    };
    prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, most_workspace);
    // No split of the depth, or parts that a second kernel adds up: never in order of arrival.
    prefer(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
           static_cast<std::uint32_t>(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE));
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, alignment_of(p.a));
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, alignment_of(p.b));
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, alignment_of(p.d));
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, alignment_of(p.d));
    cublasLtMatmulHeuristicResult_t result{};
    int found = 0;
    const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(
        handle_, &description.operation, &description.a, &description.b, &description.d,
        &description.d, &preference, 1, &result, &found);
    if (status == CUBLAS_STATUS_NOT_SUPPORTED) return std::nullopt;
    check(status, "cublasLtMatmulAlgoGetHeuristic");
    if (found == 0 || result.state != CUBLAS_STATUS_SUCCESS) return std::nullopt;
    return Algorithm{result.algo, result.workspaceSize};
  }

  cublasLtHandle_t handle_ = nullptr;
  std::mutex mutex_;
  std::map<Key, std::optional<Algorithm>> algorithms_;
};

// Never destroyed: at the end of the process CUDA may be gone before a destructor would run.
Library& library() {
  static Library& l = *new Library;
  return l;
}

bool multiply(const Product& p, Executor<Cuda>& on) {
  const Precision precision = on.engines.precision;
  Description description(p, precision);
  const std::optional<Algorithm>& choice = library().algorithm(p, precision, description);
  if (!choice) return false;
  Scratch<Cuda> scratch(on.scratch());
  void* const workspace = scratch.take<unsigned char>(choice->workspace);
  const float alpha = 1, beta = p.epilogue.accumulate ? 1.0F : 0.0F;
  check(cublasLtMatmul(library().handle(), &description.operation, &alpha, p.a, &description.a, p.b,
                       &description.b, &beta, p.d, &description.d, p.d, &description.d,
                       &choice->algorithm, workspace, choice->workspace, native(on.stream())),
        "cublasLtMatmul");
  return true;
}

struct Matrix {
  int rows, depth, columns;
};

/// A window as a plain product: one tap over every pixel, or one position over the whole image.
std::optional<Matrix> as_matrix(const Window& w, int rows) {
  if (w.pad_h != 0 || w.pad_w != 0 || rows == 0) return std::nullopt;
  if (w.positions() == 1 && w.kernel_h == w.height && w.kernel_w == w.width)
    return Matrix{rows, w.large(), w.filters};
  const bool every_pixel = w.taps() == 1 && w.stride_h == 1 && w.stride_w == 1 &&
                           w.out_height == w.height && w.out_width == w.width;
  if (!every_pixel || rows > INT_MAX / w.pixels()) return std::nullopt;
  return Matrix{rows * w.pixels(), w.channels, w.filters};
}

bool large_to_small_by_cublaslt(const Window& w, const float* large, const float* weights,
                                float* small, int rows, const detail::Epilogue<float>& epilogue,
                                Executor<Cuda>& on) {
  const auto x = as_matrix(w, rows);
  return x && multiply({CUBLAS_OP_N, CUBLAS_OP_N, x->columns, x->rows, x->depth, weights, large,
                        small, epilogue},
                       on);
}

bool small_to_large_by_cublaslt(const Window& w, const float* small, const float* weights,
                                float* large, int rows, const detail::Epilogue<float>& epilogue,
                                Executor<Cuda>& on) {
  const auto x = as_matrix(w, rows);
  // A bias has one number per channel, and must have one per number of a row here.
  if (!x || (epilogue.bias != nullptr && x->depth != w.channels)) return false;
  return multiply(
      {CUBLAS_OP_T, CUBLAS_OP_N, x->depth, x->rows, x->columns, weights, small, large, epilogue},
      on);
}

bool weight_gradient_by_cublaslt(const Window& w, const float* large, const float* small,
                                 float* weights_gradient, int rows, Executor<Cuda>& on) {
  const auto x = as_matrix(w, rows);
  return x && multiply({CUBLAS_OP_N,
                        CUBLAS_OP_T,
                        x->columns,
                        x->depth,
                        x->rows,
                        small,
                        large,
                        weights_gradient,
                        {.accumulate = true}},
                       on);
}

}  // namespace

const ProductEngine* cublaslt() {
  static constexpr ProductEngine engine{"cublaslt", large_to_small_by_cublaslt,
                                        small_to_large_by_cublaslt, weight_gradient_by_cublaslt};
  return &engine;
}

}  // namespace poe::cuda

#else

const poe::cuda::ProductEngine* poe::cuda::cublaslt() { return nullptr; }

#endif
