// SPDX-License-Identifier: MIT
// A linear-Gaussian world of three modalities, z ~ N(0, I) in two dimensions,
//   x_m[i] ~ N(slope[m] z[i] + shift[m], scale[m]^2),
// where every density is known.
#pragma once

#include "support.hpp"

#include <poe/eval/importance.hpp>

#include <array>
#include <cmath>
#include <numbers>
#include <string>
#include <vector>

namespace poe::test::world {

inline constexpr int latent = 2;
inline constexpr double slope[] = {1.5, -0.8, 0.6}, shift[] = {0.3, -0.2, 1.0};
inline constexpr double scale[] = {0.5, 0.75, 1};

struct A {
  static constexpr const char* name = "a";
};
struct B {
  static constexpr const char* name = "b";
};
struct C {
  static constexpr const char* name = "c";
};
struct Identity : Net<Shape<latent>> {};
struct Line : Net<Shape<latent>, Linear<latent>> {};
struct World : Modalities<Modality<A, Identity, Line, Normal<1, 2>>,
                          Modality<B, Identity, Line, Normal<3, 4>>,
                          Modality<C, Identity, Line, Normal<1, 1>>> {};

/// Sets a parameter, numbers in file order.
template <class T>
void set(Learner<T>& learner, const std::string& name, const std::vector<T>& values) {
  for (const ParameterInfo& p : learner.description().parameters)
    if (p.name == name) {
      REQUIRE(p.count() == values.size());
      from_file_order<T>(p, values, learner.state().parameters.data());
      return;
    }
  FAIL("no parameter " << name);
}
template <class T>
void set_all(Learner<T>& learner, T value) {
  for (T& x : learner.state().parameters) x = value;
}

inline double raw_scale(double sigma) { return std::log(std::expm1(sigma)); }

inline void set_decoders(Learner<double>& learner) {
  for (int m = 0; m < 3; ++m) {
    const std::string name = std::string("decoders.") + World::name(m) + ".0";
    set<double>(learner, name + ".weight", {slope[m], 0, 0, slope[m]});
    set<double>(learner, name + ".bias", {shift[m], shift[m]});
  }
}

/// log p(x_T) of one sample, one observation after the other: predict, score, update. `prior`: the
/// standard deviations of z.
inline double exact_log_p(const double* x, Subset target,
                          const std::array<double, latent>& prior = {1, 1}) {
  double log_p = 0;
  for (int i = 0; i < latent; ++i) {
    const double deviation = prior[static_cast<std::size_t>(i)];
    double mean = 0, variance = deviation * deviation;
    for (int m = 0; m < 3; ++m) {
      if (!contains(target, m)) continue;
      const double expected = slope[m] * mean + shift[m];
      const double spread = slope[m] * slope[m] * variance + scale[m] * scale[m];
      const double error = x[m * latent + i] - expected;
      log_p -= 0.5 * (error * error / spread + std::log(2 * std::numbers::pi * spread));
      const double gain = variance * slope[m] / spread;
      mean += gain * error;
      variance -= gain * slope[m] * variance;
    }
  }
  return log_p;
}

struct WorldData {
  static constexpr int rows = 41;
  std::vector<double> all;  // (rows, 3, latent), drawn from the world
  std::array<Tensor<double, Shape<latent>>, 3> x{Tensor<double, Shape<latent>>(rows),
                                                 Tensor<double, Shape<latent>>(rows),
                                                 Tensor<double, Shape<latent>>(rows)};
  Group<double, World> group;

  WorldData() : all(normals<double>(rows * 3 * latent, 1)) {
    const auto z = normals<double>(rows * latent, 2);
    for (int n = 0; n < rows; ++n)
      for (int m = 0; m < 3; ++m)
        for (int i = 0; i < latent; ++i) {
          double& here = all[static_cast<std::size_t>((n * 3 + m) * latent + i)];
          here =
              slope[m] * z[static_cast<std::size_t>(n * latent + i)] + shift[m] + scale[m] * here;
          x[static_cast<std::size_t>(m)](n, i) = here;
        }
    group = {7, rows, rows, 0, 0, {x[0], x[1], x[2]}};
  }
  const double* sample(int n) const {
    return all.data() + static_cast<std::ptrdiff_t>(n) * 3 * latent;
  }
};

inline VaeOptions plain() {
  VaeOptions options;
  options.scale_floor = 0;
  return options;
}

}  // namespace poe::test::world
