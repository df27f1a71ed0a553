// SPDX-License-Identifier: MIT
// The tape: operations run at once and leave behind the closure that takes gradients back.
//
// Gradient policy of the whole library: gradients of parameters are added to the flat gradient
// buffer; the gradient of an intermediate is overwritten by its first contribution and added to by
// later ones. A variable that received no gradient stops the backward pass there, so what took no
// part costs nothing.
#pragma once

#include <new>
#include <type_traits>
#include <utility>

#include <poe/core/tensor.hpp>
#include <poe/ops/elementwise.hpp>

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

template <class T, class Device = Cpu>
class Tape {
 public:
  Tape() = default;
  Tape(const Tape&) = delete;
  Tape& operator=(const Tape&) = delete;

  /// Where the operations run.
  Executor<Device>& executor() { return executor_; }
  /// Memory of the host that lasts until the next reset.
  Arena& arena() { return executor_.host(); }

  /// Forgets everything; its memory is used again by the next step.
  void reset() {
    last_ = nullptr;
    nodes_ = 0;
    executor_.reset();
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
    pass_on(v.count(), data.data, Sink<T>{v.value}, executor_);
    return v;
  }
  template <class S>
  Variable<T, S, Device> leaf(const Tensor<T, S, Device>& data) {
    return leaf(data.view());
  }

  /// The result of an operation: values not yet set; with a gradient if `differentiable` and
  /// recording.
  template <class S>
  Variable<T, S, Device> make(int rows, bool differentiable) {
    Variable<T, S, Device> v;
    v.rows = rows;
    v.value = executor_.values().template take<T>(v.count());
    if (differentiable && recording) {
      v.gradient = new (arena().template take<Gradient<T>>(1)) Gradient<T>{};
      v.gradient->data = executor_.values().template take<T>(v.count());
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
    last_ = new (arena().template take<Closure>(1)) Closure(last_, out.gradient, backward);
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
    last_ = new (arena().template take<Closure>(1)) Closure(last_, backward);
    ++nodes_;
  }

  /// Calls part(i) for i = 0 .. n-1: passes that do not need each other's results and share no
  /// variable whose gradient is wanted. On the GPU they are branches that may run at the same time,
  /// forwards and backwards.
  template <class F>
  void parallel(int n, F&& part) {
    if (std::is_same_v<Device, Cpu> || n < 2) {
      for (int i = 0; i < n; ++i) part(i);
    } else {
      Executor<Device>* const on = &executor_;
      const auto step = [&](auto forwards, auto backwards) {
        forwards();
        record_always(backwards);
      };
      step([=] { on->fork(n); }, [=] { on->join(n); });
      for (int i = 0; i < n; ++i) {
        step([=] { on->enter(i); }, [=] { on->leave(); });
        part(i);
        step([=] { on->leave(); }, [=] { on->enter(i); });
      }
      step([=] { on->join(n); }, [=] { on->fork(n); });
    }
  }

  /// Runs the tape backwards, once. Gradients of the results must have been set by seed().
  void backward() {
    for (Node* node = last_; node != nullptr; node = node->previous) node->run(node);
    last_ = nullptr;
  }

  /// Runs f() and at once takes back the gradients of all that it recorded; then forgets it, and
  /// all memory taken meanwhile. Gradients of variables made before add up from segment to segment
  /// and go on with backward(). So a long pass needs only the memory of its longest segment; what
  /// f() is to leave behind it writes into memory that the caller took. Not within a part of
  /// parallel().
  template <class F>
  void segment(F&& f) {
    struct Outside {
      Node *&last, *before;
      ~Outside() { last = before; }
    };
    Scratch<Cpu> host(executor_.host());
    Scratch<Device> values(executor_.values());
    const Outside outside{last_, std::exchange(last_, nullptr)};
    f();
    backward();
  }

  /// Operations recorded since the last reset.
  long size() const { return nodes_; }

 private:
  struct Node {
    void (*run)(Node*);
    Node* previous;
  };
  Executor<Device> executor_;
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
T* add_sink(const Rows<T, S, D>& x, Executor<D>& on) {
  Gradient<T>* const g = x.of.gradient;
  if (g == nullptr) return nullptr;
  if (!g->written) {
    clear_values(x.of.count(), g->data, on);
    g->written = true;
  }
  return g->data + x.offset();
}

/// Adds `weight` to the gradient of rows of a result: the start of a backward pass.
template <class T, class S, class D>
void seed(const Rows<T, S, D>& result, T weight, Executor<D>& on) {
  if (T* const g = add_sink(result, on); g != nullptr)
    add_number(static_cast<std::size_t>(result.count) * S::size, weight, g, on);
}

/// On the CPU neither asks anything of the executor.
template <class T, class S>
T* add_sink(const Rows<T, S, Cpu>& x) {
  Executor<Cpu> any;
  return add_sink(x, any);
}
template <class T, class S>
void seed(const Rows<T, S, Cpu>& result, T weight) {
  Executor<Cpu> any;
  seed(result, weight, any);
}

}  // namespace poe
