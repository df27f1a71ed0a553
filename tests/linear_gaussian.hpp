// SPDX-License-Identifier: MIT
// Linear-Gaussian data, where every posterior and every density is known, and models that have
// these posteriors.
//
//   z ~ N(0, I),  x_m = a_m z + b_m + s_m noise,  element by element.
//
// The precision of z given x_1 and x_2 is 1 + A_1 + A_2, A_m = a_m^2 / s_m^2, and its location is
// (h_1 + h_2) / precision, h_m = a_m (x_m - b_m) / s_m^2. The experts of a product of two share the
// prior's precision, 1 = share_1 + share_2:
//   q_m(z | x_m) = N(h_m / (A_m + share_m), 1 / (A_m + share_m)),
//   q*_k(z | x_m) = N(0, 1 / share_k),
// so that q_1 q_2 and q_m q*_k are the true posteriors.
#pragma once

#include "digit_model.hpp"

#include <numbers>

namespace poe::test::linear {

inline constexpr int dims = 3;
using Vector = std::array<double, dims>;
struct Linears : Net<Shape<dims>, Flatten> {};
struct LinearDecoder : Net<Shape<dims>, Linear<dims>> {};
struct LinearPair : Modalities<Modality<Top, Linears, LinearDecoder, Normal<3, 4>>,
                               Modality<Bottom, Linears, LinearDecoder, Normal<1, 2>>> {};
using LinearHead = GaussianHead<dims>;

inline constexpr Vector a[2] = {{1.2, -0.7, 0.4}, {0.5, 0.9, -1.6}},
                        b[2] = {{0.1, -0.3, 0.2}, {-0.4, 0.6, 0}};
inline constexpr double s[2] = {0.75, 0.5}, share[2] = {0.3, 0.7};
inline constexpr const char* names[2] = {"top", "bottom"};

inline double information(int m, std::size_t d) { return a[m][d] * a[m][d] / (s[m] * s[m]); }

/// log N(x; 0, variance).
inline double log_normal(double x, double variance) {
  return -0.5 * (x * x / variance + std::log(2 * std::numbers::pi * variance));
}
/// log p(x_m), and log p(x_1, x_2) by the determinant and the inverse of its 2 x 2 covariance.
inline double log_marginal(int m, const Vector& x) {
  double sum = 0;
  for (std::size_t d = 0; d < dims; ++d)
    sum += log_normal(x[d] - b[m][d], a[m][d] * a[m][d] + s[m] * s[m]);
  return sum;
}
inline double log_joint(const Vector (&x)[2]) {
  double sum = 0;
  for (std::size_t d = 0; d < dims; ++d) {
    const double u = x[0][d] - b[0][d], v = x[1][d] - b[1][d], uv = a[0][d] * a[1][d];
    const double uu = a[0][d] * a[0][d] + s[0] * s[0], vv = a[1][d] * a[1][d] + s[1] * s[1];
    const double determinant = uu * vv - uv * uv;
    sum -= 0.5 * ((vv * u * u - 2 * uv * u * v + uu * v * v) / determinant +
                  std::log(4 * std::numbers::pi * std::numbers::pi * determinant));
  }
  return sum;
}

/// The head of a network becomes location = sum over inputs m of gain_m (x_m - b_m), precision.
template <class V>
void set_head(Trial<V>& trial, const std::string& name, const std::vector<int>& inputs, auto&& gain,
              auto&& precision) {
  const std::size_t width = inputs.size() * dims;
  std::vector<double> weight(2 * dims * width), bias(2 * dims);
  for (std::size_t d = 0; d < dims; ++d) {
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      const double g = gain(inputs[i], d);
      weight[d * width + i * dims + d] = g;
      bias[d] -= g * b[inputs[i]][d];
    }
    const double softplus = 1 / std::sqrt(precision(d)) - trial.model.options.scale_floor;
    bias[dims + d] = std::log(std::expm1(softplus));
  }
  from_file_order<double>(trial.info("encoders." + name + ".head.weight"), weight,
                          trial.parameters.data());
  from_file_order<double>(trial.info("encoders." + name + ".head.bias"), bias,
                          trial.parameters.data());
}

/// The decoders of the data, and encoders whose posteriors are the true ones.
template <class V>
void set_truth(Trial<V>& trial) {
  constexpr bool products = V::networks == 4;
  for (const int m : {0, 1}) {
    std::vector<double> weight(dims * dims);
    for (std::size_t d = 0; d < dims; ++d) weight[d * dims + d] = a[m][d];
    const std::string decoder = std::string("decoders.") + names[m] + ".0.";
    from_file_order<double>(trial.info(decoder + "weight"), weight, trial.parameters.data());
    from_file_order<double>(trial.info(decoder + "bias"), b[m], trial.parameters.data());

    const auto precision = [&](std::size_t d) {
      return information(m, d) + (products ? share[m] : 1);
    };
    set_head(
        trial, names[m], {m},
        [&](int, std::size_t d) { return a[m][d] / (s[m] * s[m] * precision(d)); }, precision);
    if (products)
      set_head(
          trial, std::string(names[1 - m]) + "_from_" + names[m], {m},
          [](int, std::size_t) { return 0; }, [&](std::size_t) { return share[1 - m]; });
  }
  if (V::networks != 3) return;
  const auto precision = [](std::size_t d) { return 1 + information(0, d) + information(1, d); };
  set_head(
      trial, "top_bottom", {0, 1},
      [&](int m, std::size_t d) { return a[m][d] / (s[m] * s[m] * precision(d)); }, precision);
}

/// `rows` copies of x, observed in both modalities.
struct Repeated {
  std::vector<double> x[2];
  Group<double, LinearPair> group;
  Repeated(const Vector (&value)[2], int rows) {
    for (const int m : {0, 1})
      for (int n = 0; n < rows; ++n) x[m].insert(x[m].end(), value[m].begin(), value[m].end());
    using Rows = View<double, Shape<dims>>;
    group = {.observed = 3,
             .rows = rows,
             .total = rows,
             .x = {Rows{x[0].data(), rows}, Rows{x[1].data(), rows}}};
  }
};

/// Sample i of the data.
struct Sample {
  Vector x[2];
  explicit Sample(std::uint32_t i) {
    const auto noise = normals<double>(3 * dims, i);
    for (std::size_t m = 0; m < 2; ++m)
      for (std::size_t d = 0; d < dims; ++d)
        x[m][d] = a[m][d] * noise[d] + b[m][d] + s[m] * noise[dims * (m + 1) + d];
  }
};

/// q(z | x_S) of the first row; of no modality: the prior.
struct Gaussian {
  double location = 0, variance = 1;
};
using Gaussians = std::array<Gaussian, dims>;
template <class V>
Gaussians posterior(Trial<V>& trial, const Repeated& data, Subset from, int alternative = 0) {
  Gaussians result;
  if (from == 0) return result;
  auto ctx = trial.context();
  const double* const q =
      trial.model.posterior(ctx, data.group.slice(0, 1), from, alternative).value;
  for (std::size_t d = 0; d < dims; ++d) result[d] = {q[d], std::exp(-q[dims + d])};
  return result;
}

/// Mean and variance of log p(x_m | z), z ~ q.
struct Moments {
  double mean = 0, variance = 0;
};
inline Moments reconstruction(const Gaussians& q, int m, std::span<const double> x) {
  Moments result;
  const double s2 = s[m] * s[m];
  for (std::size_t d = 0; d < dims; ++d) {
    const double error = x[d] - a[m][d] * q[d].location - b[m][d];
    const double spread = a[m][d] * a[m][d] * q[d].variance;  // of a z
    result.mean += log_normal(error, s2) - 0.5 * spread / s2;
    result.variance += (2 * spread * spread + 4 * error * error * spread) / (4 * s2 * s2);
  }
  return result;
}

}  // namespace poe::test::linear
