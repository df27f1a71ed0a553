// SPDX-License-Identifier: MIT
// The paper's models: each is a posterior family and an objective over the same modalities.
//
//                     | loss of Wu & Goodman (VaevaeLoss) | the paper's loss, eq. 7-10 (SvaeLoss)
//   n^2 experts       | SVAE*                             | SVAE
//   joint networks    | VAEVAE (b)                        | VAEVAE*
//   n experts         | VAEVAE (a)                        |
//
// The published code exchanges the names SVAE and SVAE*; these are the paper's.
#pragma once

#include <poe/models/vae.hpp>

namespace poe {

/// SVAE (eq. 3-10): stand-in experts q*_k(z | x_j) complete the product when modality k is missing,
///   q(z | x_1, x_2) = q_1(z | x_1) q_2(z | x_2),  q(z | x_1) = q_1(z | x_1) q*_2(z | x_1),
/// trained by the joint bound, the divergences KL(q_12 || q_1), KL(q_12 || q_2), and every single
/// modality's bound.
template <class T, class M, class Head, class Device = Cpu>
using Svae = Vae<T, M, PoeWithStandIns<Head>, SvaeLoss, Device>;

/// SVAE* (footnote 1): the experts of SVAE under the loss of VAEVAE.
template <class T, class M, class Head, class Device = Cpu>
using SvaeStar = Vae<T, M, PoeWithStandIns<Head>, VaevaeLoss, Device>;

/// VAEVAE (b) (Wu & Goodman 2019; section 3): a network of its own for q(z | x_1, x_2).
template <class T, class M, class Head, class Device = Cpu>
using Vaevae = Vae<T, M, JointEncoders<Head>, VaevaeLoss, Device>;

/// VAEVAE* (section 4): the networks of VAEVAE (b) under the loss of SVAE.
template <class T, class M, class Head, class Device = Cpu>
using VaevaeStar = Vae<T, M, JointEncoders<Head>, SvaeLoss, Device>;

/// VAEVAE (a) (section 3): q(z | x_1, x_2) = q_1(z | x_1) q_2(z | x_2), with q(z | x_i) = q_i(z |
/// x_i).
template <class T, class M, class Head, class Device = Cpu>
using VaevaeA = Vae<T, M, UnimodalExperts<Head>, VaevaeLoss, Device>;

/// A plain VAE of one modality (eq. 1).
template <class T, class M, class Head, class Device = Cpu>
using PlainVae = Vae<T, M, UnimodalExperts<Head>, Elbo, Device>;

}  // namespace poe
