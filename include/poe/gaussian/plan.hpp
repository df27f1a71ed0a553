// SPDX-License-Identifier: MIT
// What a fusion of Gaussian experts computes: its plan, and its memory as plain pointers.
#pragma once

#include <cstdint>
#include <span>

#include <poe/core/random.hpp>
#include <poe/cuda/executor.hpp>
#include <poe/gaussian/algebra.hpp>

namespace poe::gaussian {

/// Experts of one fusion: more than any model here asks for.
inline constexpr int max_experts = 32;

/// A posterior: the product of the experts whose bits are set, and of N(0, I) if `prior`. Those of
/// the experts that are `shared` count with the power 1 / share: their precision is divided by it.
/// With share = k, k of them are one expert, their geometric mean.
struct Product {
  std::uint32_t experts = 0;
  bool prior = false;
  ScaleLink link{};
  std::uint32_t shared = 0;
  double share = 1;
};

/// The prior N(0, I) as the second argument of a divergence.
inline constexpr int prior = -1;

/// KL(product `from` || product `to`, or the prior). The gradient reaches both arguments unless the
/// target is held fixed.
struct Divergence {
  int from = 0, to = prior;
  bool stop_gradient_on_target = false;
};

/// One reparameterised sample z = location + sigma * epsilon of a product; epsilon is element
/// (row * L + dimension) of the random stream.
struct Draw {
  int product = 0;
  std::uint32_t stream = 0;
};

/// What a fusion computes.
struct Plan {
  std::span<const Product> products;
  std::span<const Divergence> divergences;
  std::span<const Draw> draws;
};

/// The operands and results of a fusion, in the order of its plan.
template <class T>
struct FusionMemory {
  int rows = 0, latent = 0;
  std::span<const T* const> experts;       // (rows, 2 latent): location, raw scale
  const std::uint8_t* observed = nullptr;  // (rows, experts), 0 where missing; null: all observed
  std::span<T* const> posteriors;          // (rows, 2 latent): location, log-precision
  std::span<T* const> divergences;         // (rows)
  std::span<T* const> samples;             // (rows, latent)
};

/// Gradients of a fusion. Those of results are null where none arrived; those of experts are null
/// where none is wanted, and are added to.
template <class T>
struct FusionGradients {
  std::span<const T*const> posteriors, divergences, samples;
  std::span<T* const> experts;
};

/// Results of a fusion on the GPU, in one kernel: kernels/gaussian.cuh. Sample row 0 is row
/// `first_row` of the random streams.
template <class T>
void fuse_values(const Plan& plan, const FusionMemory<T>& memory, const Random& random,
                 int first_row, Executor<Cuda>& on);
/// Gradients of the experts, in one kernel.
template <class T>
void fuse_gradients(const Plan& plan, const FusionMemory<T>& memory,
                    const FusionGradients<T>& gradients, Executor<Cuda>& on);

}  // namespace poe::gaussian
