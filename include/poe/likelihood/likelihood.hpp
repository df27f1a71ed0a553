// SPDX-License-Identifier: MIT
// log p(x | z): what a decoder's output means, its log-density per sample and the gradient, in one
// pass.
//
// A likelihood is a type with
//   fits(size, parameters) -> bool            whether a decoder of so many numbers suits samples
//                                             of that size
//   row(parameters, x, sizes, slope) -> T     log-density of one sample, summed over its elements;
//                                             and in `slope`, if not null, its derivative by each
//                                             parameter
//   spec                                      the same as numbers, for the GPU's kernels
//   mean(parameters, sizes, out)              the distribution's mean (probabilities, for images)
// `parameters` is the decoder's output for the sample and x the observed sample.
#pragma once

#include <span>

#include <poe/autograd/context.hpp>
#include <poe/core/math.hpp>
#include <poe/likelihood/element.hpp>
#include <poe/likelihood/score.hpp>

namespace poe {

namespace detail {

/// The sum of f(i) over [0, n) in a fixed order that vectorises: 16 partial sums, then those.
template <class T, class F>
POE_ALWAYS_INLINE T sum_over(int n, F&& f) {
  constexpr int width = 16;
  T partial[width] = {};
  int i = 0;
  for (; i + width <= n; i += width)
    for (int k = 0; k < width; ++k) partial[k] += f(i + k);
  for (int k = 0; k < width && i + k < n; ++k) partial[k] += f(i + k);
  T sum = 0;
  for (int k = 0; k < width; ++k) sum += partial[k];
  return sum;
}

/// The log-density of `size` independent elements; in `slope`, if not null, its derivatives.
template <class T, class Element>
T sum_elements(Element element, const T* parameters, const T* x, int size, T* slope) {
  if (slope == nullptr)
    return sum_over<T>(size, [=](int i) { return element(parameters[i], x[i]).value; });
  return sum_over<T>(size, [=](int i) {
    const Scored<T> scored = element(parameters[i], x[i]);
    slope[i] = scored.slope;
    return scored.value;
  });
}

}  // namespace detail

/// Independent Bernoulli pixels, from logits t: log p = x t - softplus(t). x may be grey, in [0,
/// 1].
struct Bernoulli {
  static constexpr const char* name = "bernoulli";
  static constexpr LikelihoodSpec spec{LikelihoodSpec::bernoulli};
  static constexpr bool fits(int size, int parameters) { return parameters == size; }

  template <class T>
  static T row(const T* logits, const T* x, int size, int /*parameters*/, T* slope) {
    return detail::sum_elements(BernoulliElement<T>{}, logits, x, size, slope);
  }
  template <class T>
  static void mean(const T* logits, int /*size*/, int parameters, T* out) {
    for (int i = 0; i < parameters; ++i) out[i] = math::sigmoid(logits[i]);
  }
};

/// A fixed scale as a fraction, because a type's arguments are whole numbers.
template <int Numerator, int Denominator>
struct FixedScale {
  static_assert(Numerator > 0 && Denominator > 0, "poe: a scale is positive");
  static constexpr double scale = static_cast<double>(Numerator) / Denominator;
  static constexpr bool fits(int size, int parameters) { return parameters == size; }

  template <class T>
  static void mean(const T* location, int, int parameters, T* out) {
    for (int i = 0; i < parameters; ++i) out[i] = location[i];
  }
};

/// Independent N(location, (Numerator / Denominator)^2).
template <int Numerator = 1, int Denominator = 1>
struct Normal : FixedScale<Numerator, Denominator> {
  static constexpr const char* name = "normal";
  static constexpr LikelihoodSpec spec{LikelihoodSpec::normal, Normal::scale};

  template <class T>
  static T row(const T* location, const T* x, int size, int, T* slope) {
    return detail::sum_elements(NormalElement<T>(Normal::scale), location, x, size, slope);
  }
};

/// Independent Laplace(location, Numerator / Denominator). The derivative where x = location is 0.
template <int Numerator = 1, int Denominator = 1>
struct Laplace : FixedScale<Numerator, Denominator> {
  static constexpr const char* name = "laplace";
  static constexpr LikelihoodSpec spec{LikelihoodSpec::laplace, Laplace::scale};

  template <class T>
  static T row(const T* location, const T* x, int size, int, T* slope) {
    return detail::sum_elements(LaplaceElement<T>(Laplace::scale), location, x, size, slope);
  }
};

/// Independent pixels, Laplace(p, Numerator / Denominator), from the logits of their means p: those
/// are in [0, 1], as Bernoulli's, or in [Margin, 1 - Margin] where a Margin is given, in
/// millionths.
template <int Numerator = 1, int Denominator = 1, int Margin = 0>
struct LaplacePixels {
  static_assert(Margin >= 0 && Margin < 500000,
                "poe: a margin, in millionths, is less than a half");
  static constexpr const char* name = "laplace-pixels";
  static constexpr LikelihoodSpec spec{
      LikelihoodSpec::laplace_pixels, FixedScale<Numerator, Denominator>::scale, -1, Margin * 1e-6};
  static constexpr bool fits(int size, int parameters) { return parameters == size; }

  template <class T>
  static T row(const T* logits, const T* x, int size, int, T* slope) {
    return detail::sum_elements(LaplacePixelElement<T>(spec.scale, spec.margin), logits, x, size,
                                slope);
  }
  template <class T>
  static void mean(const T* logits, int, int parameters, T* out) {
    const LaplacePixelElement<T> element(spec.scale, spec.margin);
    for (int i = 0; i < parameters; ++i) out[i] = element.kept(math::sigmoid(logits[i]));
  }
};

/// Class ids (whole numbers held in T) from logits: (N) ids, (N * Classes) logits. Positions whose
/// id is `Ignore` contribute exactly 0 and get zero gradient.
template <int Ignore = -1>
struct Categorical {
  static constexpr const char* name = "categorical";
  static constexpr LikelihoodSpec spec{LikelihoodSpec::categorical, 1, Ignore};
  static constexpr bool fits(int size, int parameters) {
    return parameters % size == 0 && parameters > size;
  }

  template <class T>
  static T row(const T* logits, const T* x, int size, int parameters, T* slope) {
    const int classes = parameters / size;
    T sum = 0;
    for (int i = 0; i < size; ++i) {
      const T* const t = logits + static_cast<std::ptrdiff_t>(i) * classes;
      T* const g = slope == nullptr ? nullptr : slope + static_cast<std::ptrdiff_t>(i) * classes;
      if (x[i] == T(Ignore)) {
        if (g != nullptr)
          for (int k = 0; k < classes; ++k) g[k] = T(0);
        continue;
      }
      expect(is_class(x[i], classes), "categorical: position {} has class {}; there are {} classes",
             i, x[i], classes);
      const int id = static_cast<int>(x[i]);
      T top = t[0];
      for (int k = 1; k < classes; ++k) top = math::max(top, t[k]);
      const T total = detail::sum_over<T>(classes, [=](int k) { return math::exp(t[k] - top); });
      const T normaliser = top + math::log(total);
      if (g != nullptr) {
        for (int k = 0; k < classes; ++k) g[k] = -math::exp(t[k] - normaliser);
        g[id] += T(1);
      }
      sum += t[id] - normaliser;
    }
    return sum;
  }
  /// The most probable class of each position: the mean of ids would mean nothing.
  template <class T>
  static void mean(const T* logits, int size, int parameters, T* out) {
    const int classes = parameters / size;
    for (int i = 0; i < size; ++i) {
      int best = 0;
      for (int k = 1; k < classes; ++k)
        if (logits[i * classes + k] > logits[i * classes + best]) best = k;
      out[i] = static_cast<T>(best);
    }
  }
};

namespace detail {

/// score_rows() on the CPU, with the likelihood as a type; see score.hpp.
template <class Likelihood, class T>
void score(int size, int parameters, const T* decoded, std::span<const ScorePiece<T>> pieces,
           T* log_p, Sink<T> gradient, Executor<Cpu>& on) {
  Scratch<Cpu> scratch(on.host());
  const auto width = static_cast<std::size_t>(parameters);
  T* const own = gradient.accumulate ? scratch.take<T>(width) : nullptr;
  for (const ScorePiece<T>& piece : pieces)
    for (std::ptrdiff_t r = 0; r < piece.rows; ++r, decoded += parameters) {
      T* const slope = gradient.data == nullptr ? nullptr : own == nullptr ? gradient.data : own;
      const T value =
          Likelihood::template row<T>(decoded, piece.x + r * size, size, parameters, slope);
      if (log_p != nullptr) *log_p++ = value;
      if (slope == nullptr) continue;
      const T weight =
          piece.row_weights == nullptr ? piece.weight : piece.weight * piece.row_weights[r];
      for (std::size_t i = 0; i < width; ++i)
        gradient.data[i] =
            own == nullptr ? weight * slope[i] : gradient.data[i] + weight * slope[i];
      gradient.data += parameters;
    }
}
template <class Likelihood, class T>
void score(int size, int parameters, const T* decoded, std::span<const ScorePiece<T>> pieces,
           T* log_p, Sink<T> gradient, Executor<Cuda>& on) {
  score_rows<T>(Likelihood::spec, size, parameters, decoded, pieces, log_p, gradient, on);
}

/// The pieces' samples add up to the decoded ones.
template <class T, class P, class D>
void expect_scored(const Variable<T, P, D>& parameters, std::span<const ScorePiece<T>> pieces) {
  int rows = 0;
  for (const auto& piece : pieces) rows += piece.rows;
  expect(rows == parameters.rows, "log_likelihood: {} decoded samples, but {} observed ones",
         parameters.rows, rows);
}

template <class Likelihood, class P, class S>
inline constexpr bool fits = [] {
  static_assert(Likelihood::fits(S::size, P::size),
                "poe: log_likelihood wants parameters that fit the samples: one for each element, "
                "or one for each class of each element");
  return true;
}();

}  // namespace detail

/// log p(x | parameters) of every sample: parameters (B, P), x in consecutive pieces that add up to
/// B samples of shape S -> (B). Several pieces, because one decoder decodes what several loaders
/// asked for.
template <class Likelihood, class T, class P, class S, class D>
Variable<T, Scalar, D> log_likelihood(Context<T, D>& ctx, Variable<T, P, D> parameters,
                                      std::span<const View<T, S, D>> x) {
  static_assert(detail::fits<Likelihood, P, S>);
  ScorePiece<T>* const pieces = ctx.arena().template take<ScorePiece<T>>(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) pieces[i] = {x[i].data, x[i].rows};
  const std::span<const ScorePiece<T>> all(pieces, x.size());
  detail::expect_scored(parameters, all);
  auto y = ctx.tape.template make<Scalar>(parameters.rows, parameters.differentiable());
  detail::score<Likelihood>(S::size, P::size, parameters.value, all, y.value, Sink<T>{},
                            ctx.executor());
  ctx.tape.record(y, [=, on = &ctx.executor()] {
    const T* weights = y.gradient->data;
    for (std::size_t i = 0; i < all.size(); weights += all[i++].rows)
      pieces[i].row_weights = weights;
    detail::score<Likelihood>(S::size, P::size, parameters.value, all, static_cast<T*>(nullptr),
                              sink(parameters), *on);
  });
  return y;
}

/// log_likelihood() for a loss whose weights are known: each piece comes with the weight of its
/// samples in the loss, and the gradient of the parameters is computed together with the values, in
/// one pass. -> (B) values; no gradient goes through them.
template <class Likelihood, class S, class T, class P, class D>
Variable<T, Scalar, D> weighted_log_likelihood(Context<T, D>& ctx, Variable<T, P, D> parameters,
                                               std::span<const ScorePiece<T>> pieces) {
  static_assert(detail::fits<Likelihood, P, S>);
  detail::expect_scored(parameters, pieces);
  auto y = ctx.tape.template make<Scalar>(parameters.rows, false);
  detail::score<Likelihood>(S::size, P::size, parameters.value, pieces, y.value, sink(parameters),
                            ctx.executor());
  return y;
}

}  // namespace poe
