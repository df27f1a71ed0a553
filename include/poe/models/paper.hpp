// SPDX-License-Identifier: MIT
// The models: each is a posterior family and an objective over the same modalities.
//
//                     | loss of Wu & Goodman (VaevaeLoss) | the paper's loss, eq. 7-10 (SvaeLoss)
//   n^2 experts       | SVAE*                             | SVAE
//   2^n - 1 networks  | VAEVAE (b)                        | VAEVAE*
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

/// JMVAE (eq. 2; Suzuki et al. 2017): a joint network trained on pairs alone,
///   -E_q[log p(x_1, x_2 | z)] + KL(q_12 || p) + alpha (KL(q_12 || q_1) + KL(q_12 || q_2)).
template <class T, class M, class Head, class Device = Cpu>
using Jmvae = Vae<T, M, JointAndSingles<Head>, JmvaeLoss, Device>;

/// MVAE (section 2; Wu & Goodman 2018): q(z | x_S) = p(z) prod_{m in S} q_m(z | x_m), trained by
/// the sum of the bounds of everything observed, of single modalities, and of random subsets.
template <class T, class M, class Head, class Device = Cpu>
using Mvae = Vae<T, M, UnimodalExperts<Head, true>, MvaeLoss, Device>;

/// Bridged VAE (section 2): q(z | x_1, x_2) = N(bridge(z_1, z_2)), z_m ~ q_m(z | x_m), one linear
/// layer. The paper gives no loss for it; this is that of VAEVAE.
template <class T, class M, class Head, class Device = Cpu>
using BridgedVae = Vae<T, M, JointAndSingles<Head, true>, VaevaeLoss, Device>;

/// MMVAE (section 2; Shi et al. 2019): q(z | x_S) = (1 / |S|) sum_{m in S} q_m(z | x_m), trained by
/// VaeOptions::estimator. The experts are Laplace where Head ends in a LaplaceHead.
template <class T, class M, class Head, class Device = Cpu>
using Mmvae = Vae<T, M, MixtureOfExperts<Head>, ParticleBound, Device>;

/// MoPoE (Sutter et al. 2021): the uniform mixture of the products of all subsets, under its bound.
template <class T, class M, class Head, class Device = Cpu>
using Mopoe = Vae<T, M, MixtureOfProducts<Head>, Elbo, Device>;

/// MVTCAE (Hwang et al. 2021): the product of the experts, under the total-correlation bound.
template <class T, class M, class Head, class Device = Cpu>
using Mvtcae = Vae<T, M, UnimodalExperts<Head>, MvtcaeLoss, Device>;

/// A plain VAE of one modality (eq. 1).
template <class T, class M, class Head, class Device = Cpu>
using PlainVae = Vae<T, M, UnimodalExperts<Head>, Elbo, Device>;

}  // namespace poe
