// SPDX-License-Identifier: MIT
// Executor<Cuda>: streams as branches of a pass, and device memory.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include <poe/core/error.hpp>
#include <poe/core/executor.hpp>
#include <poe/cuda/runtime.hpp>

namespace poe {

namespace cuda {
struct ProductEngine;  // ops/engine_cuda.hpp

/// How exactly the products of float are taken. Sums are always kept in float.
enum class Precision {
  float32,  // as they are
  tf32,     // tensor cores: factors rounded to 10 bits after the point
  bf16      // tensor cores: factors rounded to 7 bits
};

/// The precision that is called so on a command line; fails for another name.
inline Precision precision_named(std::string_view name) {
  if (name == "float32") return Precision::float32;
  if (name == "tf32") return Precision::tf32;
  expect(name == "bf16", "precision of products: expected float32, tf32 or bf16, got '{}'", name);
  return Precision::bf16;
}

/// Who computes convolutions, and linear layers, in float (null: our kernels), and how exactly.
struct Engines {
  const ProductEngine *convolution = nullptr, *linear = nullptr;
  Precision precision = Precision::float32;
  friend constexpr bool operator==(const Engines&, const Engines&) = default;
};
}  // namespace cuda

template <>
struct Memory<Cuda> {
  static void* allocate(std::size_t bytes) { return cuda::allocate(bytes); }
  static void release(void* p) noexcept { cuda::release(p); }
  static void clear(void* p, std::size_t bytes) {
    cuda::clear(p, bytes, nullptr);
    cuda::synchronise(nullptr);
  }
};

/// Runs operations on the GPU: work goes into the stream of the current branch. A pass begins on
/// branch 0; fork(n) lets branches 0 .. n-1 start where branch 0 is, join(n) lets branch 0 wait for
/// all of them. Under capture this is what makes independent networks parallel branches of the
/// graph.
///
/// Each branch has scratch memory of its own: what one branch has given back may still be in use
/// when another, which does not wait for it, takes memory.
template <>
class Executor<Cuda> {
 public:
  Executor() { add_branch(); }
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  Arena& host() { return host_; }
  BasicArena<Cuda>& values() { return values_; }
  /// Scratch memory for the kernels of one operation of the current branch.
  BasicArena<Cuda>& scratch() { return here().scratch; }
  cuda::Stream stream() { return here().stream.get(); }
  /// The stream of branch 0: where passes begin and end.
  cuda::Stream first_stream() const { return branches_[0]->stream.get(); }

  /// If set, kernels that draw random numbers read the step from here, not from their Random: a
  /// captured step then differs from launch to launch.
  const std::uint32_t* step = nullptr;
  /// Kernels that meet bad data (an id outside its table) set bit 0 here; null: they do not.
  std::uint32_t* fault = nullptr;
  cuda::Engines engines;

  void reset() {
    host_.reset();
    values_.reset();
    for (auto& b : branches_) b->scratch.reset();
    current_ = 0;
  }

  void fork(int branches) {
    while (static_cast<int>(branches_.size()) < branches) add_branch();
    cuda::record(branches_[0]->reached.get(), branches_[0]->stream.get());
    for (int i = 1; i < branches; ++i)
      cuda::wait(branches_[static_cast<std::size_t>(i)]->stream.get(), branches_[0]->reached.get());
  }
  void enter(int branch) { current_ = static_cast<std::size_t>(branch); }
  void leave() { current_ = 0; }
  void join(int branches) {
    for (int i = 1; i < branches; ++i) {
      Branch& b = *branches_[static_cast<std::size_t>(i)];
      cuda::record(b.reached.get(), b.stream.get());
      cuda::wait(branches_[0]->stream.get(), b.reached.get());
    }
  }

  /// Waits until no branch has anything left to do.
  void wait_for_all() {
    for (auto& b : branches_) cuda::synchronise(b->stream.get());
  }

 private:
  struct DestroyStream {
    void operator()(cuda::StreamHandle* s) const { cuda::destroy(s); }
  };
  struct DestroyEvent {
    void operator()(cuda::EventHandle* e) const { cuda::destroy(e); }
  };
  struct Branch {
    std::unique_ptr<cuda::StreamHandle, DestroyStream> stream{cuda::create_stream()};
    std::unique_ptr<cuda::EventHandle, DestroyEvent> reached{
        cuda::create_event(cuda::EventUse::order)};
    BasicArena<Cuda> scratch;
  };
  Branch& here() { return *branches_[current_]; }
  void add_branch() { branches_.push_back(std::make_unique<Branch>()); }

  Arena host_;
  BasicArena<Cuda> values_;
  std::vector<std::unique_ptr<Branch>> branches_;
  std::size_t current_ = 0;
};

}  // namespace poe
