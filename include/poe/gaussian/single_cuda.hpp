// SPDX-License-Identifier: MIT
// The steps of a fusion of Gaussian experts as single operations on the GPU, each a kernel of its
// own: for programs that need only one of them, and to measure what their fusion gains.
//
// Arrays are on the device, row by row. A Gaussian of `latent` dimensions is a row of 2 latent
// numbers: locations, then log-precisions (of an expert as its encoder makes it: raw scales).
// Gradients are added to where they go. Results agree with fuse_values() to rounding.
#pragma once

#include <cstdint>
#include <span>

#include <poe/core/random.hpp>
#include <poe/cuda/executor.hpp>
#include <poe/gaussian/algebra.hpp>

namespace poe::gaussian {

/// experts (rows, 2 latent) with raw scales -> the same with log-precisions.
template <class T>
void to_log_precision(const T* expert, int rows, int latent, ScaleLink link, T* normal,
                      Executor<Cuda>& on);
/// gradient: of the result; adds to `sink` (rows, 2 latent).
template <class T>
void to_log_precision_gradient(const T* expert, const T* gradient, int rows, int latent,
                               ScaleLink link, T* sink, Executor<Cuda>& on);

/// Product of Gaussians (rows, 2 latent), and of N(0, I) with `with_prior`. observed (rows,
/// factors): 0 where a factor is missing; null: none is. The product of nothing is N(0, I).
template <class T>
void product(std::span<const T* const> factors, const std::uint8_t* observed, bool with_prior,
             int rows, int latent, T* posterior, Executor<Cuda>& on);
/// posterior: what product() made; gradient: of it; sinks: of the factors, null where none is
/// wanted.
template <class T>
void product_gradient(std::span<const T* const> factors, const std::uint8_t* observed,
                      const T* posterior, const T* gradient, int rows, int latent,
                      std::span<T* const> sinks, Executor<Cuda>& on);

/// KL(from || to) of every row, summed over dimensions; `to` null: to N(0, I).
template <class T>
void divergence_rows(const T* from, const T* to, int rows, int latent, T* divergence,
                     Executor<Cuda>& on);
/// gradient (rows); sinks (rows, 2 latent) of either argument, null where none is wanted.
template <class T>
void divergence_rows_gradient(const T* from, const T* to, const T* gradient, int rows, int latent,
                              T* from_sink, T* to_sink, Executor<Cuda>& on);

/// z = location + sigma * epsilon, (rows, latent); epsilon is element ((first_row + row) * latent +
/// dimension) of the random stream.
template <class T>
void sample(const T* normal, const Random& random, int first_row, int rows, int latent, T* z,
            Executor<Cuda>& on);
/// z: what sample() made; gradient: of it; adds to `sink` (rows, 2 latent).
template <class T>
void sample_gradient(const T* normal, const T* z, const T* gradient, int rows, int latent, T* sink,
                     Executor<Cuda>& on);

/// log of the mean of e^x over the `count` numbers of every row: log-weights of importance samples,
/// log-densities of the components of a mixture. x (rows, count) -> (rows).
template <class T>
void log_mean_exp(const T* x, int rows, int count, T* result, Executor<Cuda>& on);
/// result: what log_mean_exp() made; gradient (rows); adds to `sink` (rows, count). Rows whose
/// result is infinite pass no gradient on.
template <class T>
void log_mean_exp_gradient(const T* x, const T* result, const T* gradient, int rows, int count,
                           T* sink, Executor<Cuda>& on);

}  // namespace poe::gaussian
