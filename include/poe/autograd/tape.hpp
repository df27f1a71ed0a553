// SPDX-License-Identifier: MIT
// The tape: operations run at once and leave behind the closure that takes gradients back.
//
// Gradient policy of the whole library: gradients of parameters are added to the flat gradient
// buffer; the gradient of an intermediate is overwritten by its first contribution and added to by
// later ones. A variable that received no gradient stops the backward pass there, so what took no
// part costs nothing.
#pragma once

#include <cstring>
#include <new>
#include <type_traits>
#include <utility>

#include <poe/core/arena.hpp>
#include <poe/core/tensor.hpp>

namespace poe {

/// The gradient of one variable.
template <class T>
struct Gradient {
  T* data = nullptr;
  bool written = false;
};

/// A batch of samples on the tape: values, and a gradient if one is wanted. A handle, copied
/// freely; the memory belongs to the tape's arena.
template <class T, class S, class Device = Cpu>
struct Variable {
  using Real = T;
  using Sample = S;
  T* value = nullptr;
  Gradient<T>* gradient = nullptr;
  int rows = 0;

  bool differentiable() const { return gradient != nullptr; }
  std::size_t count() const {
    return static_cast<std::size_t>(rows) * static_cast<std::size_t>(S::size);
  }
  View<T, S, Device> view() const { return {value, rows}; }
};

/// Consecutive rows of a variable, as an operand.
template <class T, class S, class Device = Cpu>
struct Rows {
  Variable<T, S, Device> of;
  int first = 0, count = 0;

  Rows() = default;
  Rows(Variable<T, S, Device> v) : of(v), count(v.rows) {}  // NOLINT: a variable is all of its rows
  Rows(Variable<T, S, Device> v, int f, int c) : of(v), first(f), count(c) {
    expect(f >= 0 && c >= 0 && f <= v.rows && c <= v.rows - f,
           "rows of a variable: {} rows from row {} on asked of a batch of {}", c, f, v.rows);
  }
  std::size_t offset() const {
    return static_cast<std::size_t>(first) * static_cast<std::size_t>(S::size);
  }
};

/// Where a backward closure puts the gradient of an input: `data` is null when none is wanted.
template <class T>
struct Sink {
  T* data = nullptr;
  bool accumulate = false;
  void put(std::size_t i, T g) const { data[i] = accumulate ? data[i] + g : g; }
};

template <class T, class Device = Cpu>
class Tape {
 public:
  Tape() = default;
  Tape(const Tape&) = delete;
  Tape& operator=(const Tape&) = delete;

  Arena& arena() { return arena_; }

  /// Forgets everything; its memory is used again by the next step.
  void reset() {
    last_ = nullptr;
    nodes_ = 0;
    arena_.reset();
  }

  /// When false, operations compute values only and nothing is kept for a backward pass.
  bool recording = true;

  /// Borrowed data; no gradient.
  template <class S>
  Variable<T, S, Device> constant(View<T, S, Device> data) {
    // Operations never write to an operand's values, hence the cast.
    return {const_cast<T*>(data.data), nullptr, data.rows};
  }

  /// A copy of `data` whose gradient is wanted: for checks and for optimising inputs.
  template <class S>
  Variable<T, S, Device> leaf(View<T, S, Device> data) {
    auto v = make<S>(data.rows, true);
    if (data.rows > 0) std::memcpy(v.value, data.data, v.count() * sizeof(T));
    return v;
  }

  /// The result of an operation: values not yet set; with a gradient if `differentiable` and
  /// recording.
  template <class S>
  Variable<T, S, Device> make(int rows, bool differentiable) {
    Variable<T, S, Device> v;
    v.rows = rows;
    v.value = arena_.take<T>(v.count());
    if (differentiable && recording) {
      v.gradient = new (arena_.take<Gradient<T>>(1)) Gradient<T>{};
      v.gradient->data = arena_.take<T>(v.count());
    }
    return v;
  }

  /// Keeps `backward` for the backward pass if `out` wants a gradient. It runs only if `out`
  /// received one. The closure is copied into the arena: it captures handles and numbers, nothing
  /// that owns.
  template <class S, class F>
  void record(Variable<T, S, Device> out, F backward) {
    static_assert(std::is_trivially_copyable_v<F> && std::is_trivially_destructible_v<F>,
                  "poe: a backward closure captures handles and plain numbers only");
    if (!out.differentiable()) return;
    struct Closure final : Node {
      Closure(Node* before, Gradient<T>* g, F f) : Node{&call, before}, out(g), body(f) {}
      static void call(Node* self) {
        auto* closure = static_cast<Closure*>(self);
        if (closure->out == nullptr || closure->out->written) closure->body();
      }
      Gradient<T>* out;
      F body;
    };
    last_ = new (arena_.take<Closure>(1)) Closure(last_, out.gradient, backward);
    ++nodes_;
  }

  /// As record(), for an operation with several results: runs always, and asks each gradient
  /// itself.
  template <class F>
  void record_always(F backward) {
    if (!recording) return;
    struct Closure final : Node {
      Closure(Node* before, F f) : Node{&call, before}, body(f) {}
      static void call(Node* self) { static_cast<Closure*>(self)->body(); }
      F body;
    };
    last_ = new (arena_.take<Closure>(1)) Closure(last_, backward);
    ++nodes_;
  }

  /// Runs the tape backwards, once. Gradients of the results must have been set by seed().
  void backward() {
    for (Node* node = last_; node != nullptr; node = node->previous) node->run(node);
    last_ = nullptr;
  }

  /// Operations recorded since the last reset.
  long size() const { return nodes_; }

 private:
  struct Node {
    void (*run)(Node*);
    Node* previous;
  };
  Arena arena_;
  Node* last_ = nullptr;
  long nodes_ = 0;
};

/// The whole gradient of x as the destination of a closure that computes all of it.
template <class T, class S, class D>
Sink<T> sink(const Variable<T, S, D>& x) {
  if (x.gradient == nullptr) return {};
  return {x.gradient->data, std::exchange(x.gradient->written, true)};
}

/// Part of the gradient of x: zero where nothing has been added yet; the closure adds.
template <class T, class S, class D>
T* add_sink(const Rows<T, S, D>& x) {
  Gradient<T>* const g = x.of.gradient;
  if (g == nullptr) return nullptr;
  if (!g->written) {
    std::memset(g->data, 0, x.of.count() * sizeof(T));
    g->written = true;
  }
  return g->data + x.offset();
}

/// Adds `weight` to the gradient of rows of a result: the start of a backward pass.
template <class T, class S, class D>
void seed(const Rows<T, S, D>& result, T weight) {
  if (T* const g = add_sink(result); g != nullptr)
    for (std::size_t i = 0; i < static_cast<std::size_t>(result.count) * S::size; ++i)
      g[i] += weight;
}

}  // namespace poe
