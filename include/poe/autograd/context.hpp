// SPDX-License-Identifier: MIT
// What an operation is given besides its operands: the tape, the parameters, the mode, the
// randomness.
#pragma once

#include <poe/autograd/tape.hpp>
#include <poe/core/random.hpp>
#include <poe/core/team.hpp>

namespace poe {

/// Dropout and batch statistics differ between the two.
enum class Mode { train, evaluate };

/// The surroundings of one pass on one rank. Cheap to copy.
template <class T, class Device = Cpu>
struct Context {
  Tape<T, Device>& tape;
  const T* parameters = nullptr;  // the flat parameter buffer
  T* gradients = nullptr;         // the rank's flat gradient buffer; null: no parameter gradients
  T* statistics = nullptr;        // running statistics (BatchNorm)
  Mode mode = Mode::evaluate;
  Random random{};

  // This rank's part of a batch that several ranks share.
  Team* team = nullptr;
  int rank = 0;
  int first_row =
      0;  // position of the rank's first sample in the batch: noise does not depend on ranks

  Executor<Device>& executor() { return tape.executor(); }
  /// Memory of the host, and of the device: both last until the tape is reset.
  Arena& arena() { return tape.arena(); }
  template <class U>
  U* take_values(std::size_t count) {
    return executor().values().template take<U>(count);
  }
  bool training() const { return mode == Mode::train; }
};

/// A parameter: values, and where its gradient is added (null when none is wanted).
template <class T>
struct Parameter {
  const T* value = nullptr;
  T* gradient = nullptr;
};

/// Numbers that a parameter occupies in the flat buffer: whole cache lines, so that views are
/// aligned and ranges of parameters can be given to different threads.
template <class T>
constexpr std::size_t padded_count(std::size_t n) {
  constexpr std::size_t line = alignment / sizeof(T);
  return (n + line - 1) / line * line;
}

/// Walks the flat buffers in the order in which layers describe their parameters.
template <class T, class Device = Cpu>
struct Cursor {
  Context<T, Device>& context;
  std::size_t parameter = 0;            // offset of the next parameter
  std::size_t statistic = 0;            // offset of the next running statistic
  std::uint32_t next_noise = 1U << 16;  // stream of the next layer that draws random numbers

  Parameter<T> take(std::size_t n) {
    const std::size_t at = std::exchange(parameter, parameter + padded_count<T>(n));
    return {context.parameters + at,
            context.gradients == nullptr ? nullptr : context.gradients + at};
  }
  T* take_statistic(std::size_t n) {
    return context.statistics + std::exchange(statistic, statistic + padded_count<T>(n));
  }
};

}  // namespace poe
