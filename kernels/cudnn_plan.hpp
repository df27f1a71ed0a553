// SPDX-License-Identifier: MIT
// Execution plans of cuDNN for the three products of a convolution. Plain C++: a plan for a GPU can
// be made, and checked, on a machine that has none.
#pragma once

#include <poe/core/config.hpp>
#include <poe/core/error.hpp>
#include <poe/ops/window.hpp>

#include <cudnn.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#if CUDNN_VERSION < 90800
#error "poe: cuDNN 9.8 or later, which can make plans for a GPU that it only has a description of"
#endif

namespace poe::cuda::plans {

/// Fails, naming the call and what cuDNN says about it, unless it returned success.
inline void check(cudnnStatus_t status, const char* call) {
  if (status == CUDNN_STATUS_SUCCESS) return;
  std::array<char, 1024> text{};
  cudnnGetLastErrorString(text.data(), text.size());
  fail("cuDNN: {}: {} {}", call, cudnnGetErrorString(status), text.data());
}

/// An object of cuDNN's graph interface: created, given attributes, then finalised.
class Descriptor {
 public:
  explicit Descriptor(cudnnBackendDescriptorType_t type) {
    check(cudnnBackendCreateDescriptor(type, &handle_), "cudnnBackendCreateDescriptor");
  }
  ~Descriptor() {
    if (handle_ != nullptr) cudnnBackendDestroyDescriptor(handle_);
  }
  Descriptor(Descriptor&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }

  cudnnBackendDescriptor_t get() const { return handle_; }

  Descriptor& set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                  std::int64_t count, const void* values) {
    check(cudnnBackendSetAttribute(handle_, name, type, count, values), "cudnnBackendSetAttribute");
    return *this;
  }
  Descriptor& set(cudnnBackendAttributeName_t name, std::int64_t value) {
    return set(name, CUDNN_TYPE_INT64, 1, &value);
  }
  Descriptor& set(cudnnBackendAttributeName_t name, std::initializer_list<std::int64_t> values) {
    return set(name, CUDNN_TYPE_INT64, static_cast<std::int64_t>(values.size()), values.begin());
  }
  Descriptor& set(cudnnBackendAttributeName_t name, float value) {
    return set(name, CUDNN_TYPE_FLOAT, 1, &value);
  }
  Descriptor& set(cudnnBackendAttributeName_t name, cudnnDataType_t value) {
    return set(name, CUDNN_TYPE_DATA_TYPE, 1, &value);
  }
  Descriptor& set(cudnnBackendAttributeName_t name, cudnnHandle_t value) {
    return set(name, CUDNN_TYPE_HANDLE, 1, &value);
  }
  Descriptor& set(cudnnBackendAttributeName_t name, const Descriptor& value) {
    return set(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &value.handle_);
  }
  /// Whether this can be: false is cuDNN's answer for what it does not support.
  bool try_finalise() { return cudnnBackendFinalize(handle_) == CUDNN_STATUS_SUCCESS; }
  Descriptor& finalise(const char* what) {
    check(cudnnBackendFinalize(handle_), what);
    return *this;
  }

  std::int64_t number(cudnnBackendAttributeName_t name) const {
    std::int64_t value = 0, count = 0;
    check(cudnnBackendGetAttribute(handle_, name, CUDNN_TYPE_INT64, 1, &count, &value),
          "cudnnBackendGetAttribute");
    return value;
  }

 private:
  cudnnBackendDescriptor_t handle_ = nullptr;
};

/// What plans are for: the GPU of a handle, or one that is only described.
struct Target {
  cudnnHandle_t handle = nullptr;
  const Descriptor* properties = nullptr;
};

/// A GPU that need not be here, from cuDNN's description of it in JSON.
inline Descriptor described_device(const std::string& json) {
  Descriptor properties(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
  properties.set(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
                 static_cast<std::int64_t>(json.size()) + 1, json.c_str());
  properties.finalise("device properties");
  return properties;
}

enum class Product { large_to_small, small_to_large, weight_gradient };

/// The names of the three arrays in a plan.
inline constexpr std::int64_t large_id = 1, small_id = 2, weights_id = 3;

struct Plan {
  std::vector<Descriptor> parts;  // of the graph; they live as long as it does
  Descriptor graph, proposal, plan;
  std::int64_t workspace;  // bytes
  std::int64_t engine;     // cuDNN's number of the algorithm
};

/// A batch of channels-last images; cuDNN's order of the axes is sample, channel, row, column.
inline Descriptor images(std::int64_t id, std::int64_t rows, std::int64_t channels,
                         std::int64_t height, std::int64_t width, std::int64_t alignment) {
  Descriptor t(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  t.set(CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_DATA_FLOAT)
      .set(CUDNN_ATTR_TENSOR_DIMENSIONS, {rows, channels, height, width})
      .set(CUDNN_ATTR_TENSOR_STRIDES, {channels * height * width, 1, width * channels, channels})
      .set(CUDNN_ATTR_TENSOR_UNIQUE_ID, id)
      .set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, alignment);
  t.finalise("tensor");
  return t;
}

inline Descriptor convolution(const Window& w) {
  Descriptor c(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
  const cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
  c.set(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, std::int64_t{2})
      .set(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_DATA_FLOAT)
      .set(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode)
      .set(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, {w.pad_h, w.pad_w})
      .set(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, {w.pad_h, w.pad_w})
      .set(CUDNN_ATTR_CONVOLUTION_DILATIONS, {1, 1})
      .set(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, {w.stride_h, w.stride_w});
  c.finalise("convolution");
  return c;
}

/// The product as an operation of the arrays x (large), y (small) and k (weights).
inline Descriptor operation(Product product, const Descriptor& x, const Descriptor& y,
                            const Descriptor& k, const Descriptor& convolution) {
  struct Names {
    cudnnBackendDescriptorType_t type;
    cudnnBackendAttributeName_t x, y, k, convolution, alpha, beta;
  };
  static constexpr Names names[] = {
      {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
       CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
       CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
       CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
       CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
       CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA},
      {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
       CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
       CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
       CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
       CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
       CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA},
      {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
       CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
       CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
       CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
       CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
       CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
       CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA}};
  const Names& n = names[static_cast<int>(product)];
  Descriptor op(n.type);
  op.set(n.x, x)
      .set(n.y, y)
      .set(n.k, k)
      .set(n.convolution, convolution)
      .set(n.alpha, 1.0F)
      .set(n.beta, 0.0F);
  op.finalise("operation");
  return op;
}

/// Whether an engine adds up the products of the definition, in the same order every time, and
/// takes the factors as they are. On tensor cores, if these are allowed, it rounds them to tf32.
inline bool sums_as_written(const Descriptor& engine, bool tensor_cores = false) {
  std::array<cudnnBackendNumericalNote_t, CUDNN_NUMERICAL_NOTE_TYPE_COUNT> notes{};
  std::int64_t count = 0;
  check(cudnnBackendGetAttribute(engine.get(), CUDNN_ATTR_ENGINE_NUMERICAL_NOTE,
                                 CUDNN_TYPE_NUMERICAL_NOTE, static_cast<std::int64_t>(notes.size()),
                                 &count, notes.data()),
        "numerical notes");
  return std::none_of(notes.begin(), notes.begin() + count, [&](cudnnBackendNumericalNote_t note) {
    return (note == CUDNN_NUMERICAL_NOTE_TENSOR_CORE && !tensor_cores) ||
           note == CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS ||
           note == CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION ||
           note == CUDNN_NUMERICAL_NOTE_FFT || note == CUDNN_NUMERICAL_NOTE_WINOGRAD ||
           note == CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC;
  });
}

/// What cuDNN's heuristic proposes for a graph of operations, best first.
inline std::vector<Descriptor> proposals(const Descriptor& graph, cudnnBackendHeurMode_t mode,
                                         const Target& target) {
  Descriptor heuristic(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
  heuristic.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph)
      .set(CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode);
  if (target.properties != nullptr)
    heuristic.set(CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, *target.properties);
  if (!heuristic.try_finalise()) return {};
  std::int64_t count = 0;
  check(cudnnBackendGetAttribute(heuristic.get(), CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                 CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, &count, nullptr),
        "number of proposals");
  std::vector<Descriptor> proposals;
  std::vector<cudnnBackendDescriptor_t> handles;
  for (std::int64_t i = 0; i < count; ++i)
    handles.push_back(proposals.emplace_back(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR).get());
  if (count != 0)
    check(cudnnBackendGetAttribute(heuristic.get(), CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                   CUDNN_TYPE_BACKEND_DESCRIPTOR, count, &count, handles.data()),
          "proposals");
  proposals.erase(proposals.begin() + count, proposals.end());
  return proposals;
}

inline Descriptor engine_of(const Descriptor& proposal) {
  Descriptor engine(CUDNN_BACKEND_ENGINE_DESCRIPTOR);
  cudnnBackendDescriptor_t handle = engine.get();
  std::int64_t count = 0;
  check(cudnnBackendGetAttribute(proposal.get(), CUDNN_ATTR_ENGINECFG_ENGINE,
                                 CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &count, &handle),
        "engine of a proposal");
  return engine;
}

/// Whether the small image is what cuDNN computes from the large one: positions are all that fit.
inline bool regular(const Window& w) {
  return (w.height + 2 * w.pad_h - w.kernel_h) / w.stride_h + 1 == w.out_height &&
         (w.width + 2 * w.pad_w - w.kernel_w) / w.stride_w + 1 == w.out_width;
}

/// Plans may use so much scratch memory, in bytes.
inline constexpr std::int64_t most_workspace = std::int64_t{256} << 20;

/// The first plan of cuDNN's heuristic that sums_as_written(); nothing if there is none. Images are
/// channels-last, weights (filters, kernel_h, kernel_w, channels) with channels fastest; all are
/// aligned to so many bytes.
inline std::optional<Plan> find_plan(Product product, const Window& w, int rows,
                                     std::int64_t alignment, const Target& target,
                                     bool tensor_cores = false) {
  if (!regular(w)) return std::nullopt;
  std::vector<Descriptor> parts;
  parts.reserve(5);  // so that references to them hold
  const auto keep = [&](Descriptor d) -> const Descriptor& {
    return parts.emplace_back(std::move(d));
  };
  const Descriptor& x = keep(images(large_id, rows, w.channels, w.height, w.width, alignment));
  const Descriptor& y =
      keep(images(small_id, rows, w.filters, w.out_height, w.out_width, alignment));
  const Descriptor& k =
      keep(images(weights_id, w.filters, w.channels, w.kernel_h, w.kernel_w, alignment));
  const Descriptor& op = keep(operation(product, x, y, k, keep(convolution(w))));
  Descriptor graph(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
  graph.set(CUDNN_ATTR_OPERATIONGRAPH_OPS, op);
  if (target.handle != nullptr) graph.set(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, target.handle);
  graph.finalise("graph of one operation");

  for (const auto mode : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK})
    for (Descriptor& proposal : proposals(graph, mode, target)) {
      const Descriptor engine = engine_of(proposal);
      if (!sums_as_written(engine, tensor_cores)) continue;
      Descriptor plan(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
      plan.set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, proposal);
      if (target.handle != nullptr) plan.set(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, target.handle);
      if (target.properties != nullptr)
        plan.set(CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, *target.properties);
      if (!plan.try_finalise()) continue;
      const std::int64_t workspace = plan.number(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE);
      if (workspace > most_workspace) continue;
      return Plan{std::move(parts),    std::move(graph),
                  std::move(proposal), std::move(plan),
                  workspace,           engine.number(CUDNN_ATTR_ENGINE_GLOBAL_INDEX)};
    }
  return std::nullopt;
}

}  // namespace poe::cuda::plans
