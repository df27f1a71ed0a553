// SPDX-License-Identifier: MIT
// Elementwise functions: each is a functor with its value and its derivative, for both back ends.
#pragma once

#include <poe/core/math.hpp>

namespace poe {

/// What a layer does to its numbers on the way to memory.
enum class Activation { none, relu };

// A functor has value(x) and slope(x, y): the derivative at x, given y = value(x).

/// max(x, 0); NaN stays NaN.
struct ReluFunction {
  template <class T>
  POE_HD static T value(T x) {
    return x < T(0) ? T(0) : x;
  }
  template <class T>
  POE_HD static T slope(T, T y) {
    return y > T(0) ? T(1) : T(0);
  }
};

/// x for x > 0, e^x - 1 below.
struct EluFunction {
  template <class T>
  POE_HD static T value(T x) {
    return x > T(0) ? x : math::exp(x) - T(1);
  }
  template <class T>
  POE_HD static T slope(T x, T y) {
    return x > T(0) ? T(1) : y + T(1);
  }
};

struct SigmoidFunction {
  template <class T>
  POE_HD static T value(T x) {
    return math::sigmoid(x);
  }
  template <class T>
  POE_HD static T slope(T, T y) {
    return y * (T(1) - y);
  }
};

struct SoftplusFunction {
  template <class T>
  POE_HD static T value(T x) {
    return math::softplus(x);
  }
  template <class T>
  POE_HD static T slope(T x, T) {
    return math::sigmoid(x);
  }
};

}  // namespace poe
