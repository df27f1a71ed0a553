// SPDX-License-Identifier: MIT
// Clouds of particles as plain pointers: what the implementations of both back ends are given.
//
// Particle p = c K + k is number k of component c; its sample of row r is number i = p rows + r.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include <poe/core/random.hpp>
#include <poe/cuda/executor.hpp>
#include <poe/ops/sink.hpp>
#include <poe/particles/estimator.hpp>

namespace poe::particles {

/// Components of one cloud, and modalities of one estimate: more than any model here asks for.
inline constexpr int most_components = 32;

/// Operands and results of drawing a cloud. What is null is not wanted.
template <class T>
struct CloudMemory {
  int rows = 0, latent = 0, particles = 0;  // K
  Distribution distribution = Distribution::normal;
  std::span<const T* const> components;  // (rows, 2 latent): location, l = -2 log scale
  const T* prior = nullptr;              // (latent): l; null: all 0
  T* z = nullptr;                        // (C K rows, latent)
  T* log_prior = nullptr;                // (C K rows): log p(z)
  T* log_q = nullptr;                    // (C, C K rows): log q_j(z), j first
  T* divergence = nullptr;               // KL(q_c || p) of row r at c divergence_stride + r
  std::ptrdiff_t divergence_stride = 0;

  int size() const { return static_cast<int>(components.size()); }
};

/// Where the noise comes from: number k of component c uses stream first_stream + numbers[c] K + k,
/// element (first_row + row) latent + dimension.
struct Noise {
  Random random;
  std::uint32_t first_stream = 0;
  std::span<const int> numbers;
  int first_row = 0;
};

/// The log-density of one modality under particles [first, first + count), and where its
/// gradient goes.
template <class T>
struct ScoredParticles {
  const T* log_p = nullptr;
  Sink<T> gradient{};
  T lambda = 1;
  int first = 0, count = 0;
};

/// Operands and results of an estimate. A plain struct: kernels get it as it is.
template <class T>
struct EstimateMemory {
  Rule rule{};
  int rows = 0, components = 0, particles = 0, scored_count = 0;
  const T *log_prior = nullptr, *log_q = nullptr, *divergence = nullptr;
  std::ptrdiff_t divergence_stride = 0;
  T weight = 0;             // derivative of the loss by the estimate of a row
  T divergence_weight = 1;  // of KL(q_c || p) in the estimate
  T* estimate = nullptr;    // (rows)
  T* share = nullptr;       // (C K rows): normalised weights; null: no gradients wanted of them
  T* by_log_q = nullptr;    // (C, C K rows): derivative of the loss by log q_j(z)
  ScoredParticles<T> scored[most_components];
};

/// What an estimate leaves for the backward pass of its cloud.
template <class T>
struct Coefficients {
  Rule rule{};
  const T* share = nullptr;     // derivative by log p(z) = unit * share
  const T* by_log_q = nullptr;  // derivative by log q_j(z)
  T unit = 0;
  T by_divergence = 0;  // derivative by each KL(q_c || p); 0: none
};

/// Gradients of a cloud. What is null is not there, or not wanted; the others are added to.
template <class T>
struct CloudGradients {
  const T* z = nullptr;
  Coefficients<T> by{};
  std::span<T* const> components;
  T* prior = nullptr;
};

/// The GPU's implementations: kernels/particles.cuh and particles_rows.cuh.
template <class T>
void draw_cloud(const CloudMemory<T>& memory, const Noise& noise, Executor<Cuda>& on);
template <class T>
void estimate_rows(const EstimateMemory<T>& memory, Executor<Cuda>& on);
template <class T>
void spread_cloud(const CloudMemory<T>& memory, const CloudGradients<T>& gradients,
                  Executor<Cuda>& on);

}  // namespace poe::particles
