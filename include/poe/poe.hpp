// SPDX-License-Identifier: MIT
// The one include for users: tensors, autograd, layers, Gaussian algebra, likelihoods and models.
#pragma once

#include <poe/core/tensor.hpp>   // Tensor<float, Shape<1, 14, 28>>, View
#include <poe/core/version.hpp>  // poe::version

#include <poe/autograd/context.hpp>    // Tape, Variable, Context
#include <poe/autograd/gradcheck.hpp>  // gradients against finite differences

#include <poe/nn/layers.hpp>     // Linear, Conv2d, Relu, BatchNorm2d, Embedding, ...
#include <poe/nn/net.hpp>        // Net, Sequence: networks as types
#include <poe/nn/parameter.hpp>  // names, file shapes, initial values

#include <poe/gaussian/algebra.hpp>       // products and divergences, element by element
#include <poe/gaussian/fusion.hpp>        // experts -> posteriors, KLs, samples
#include <poe/likelihood/likelihood.hpp>  // Bernoulli, Normal, Laplace, Categorical

#include <poe/models/by_name.hpp>    // model_named("svae")
#include <poe/models/modality.hpp>   // Modality, Modalities
#include <poe/models/network.hpp>    // Heads: a head by modality
#include <poe/models/objective.hpp>  // SvaeLoss, VaevaeLoss, Elbo, ...
#include <poe/models/options.hpp>    // presets of the paper and of the published code
#include <poe/models/paper.hpp>      // Svae, Vaevae, Jmvae, Mvae, Mmvae, ...
#include <poe/models/posterior.hpp>  // PoeWithStandIns, JointEncoders, ...
#include <poe/models/vae.hpp>        // Vae<T, Modalities, Posterior, Objective>

#include <poe/optim/adam.hpp>     // Adam over one flat buffer
#include <poe/optim/learner.hpp>  // Learner: parameters, ranks, steps
