# SPDX-License-Identifier: MIT
"""Reference estimates and gradients of the mixture-of-experts model (MMVAE), by autograd."""
import math

import torch
from torch.distributions import Laplace, Normal, kl_divergence
from torch.nn import functional as F

from models import softplus
from small import LATENT, NAMES, SETTINGS, Net
from small import describe, gradients, groups, images, own_networks
from support import Random

PARTICLES = 3
ESTIMATORS = (
    "elbo",
    "elbo_published",
    "iwae",
    "iwae_looser",
    "dreg",
    "dreg_looser",
    "dreg_published",
)
DISTRIBUTIONS = {"normal": Normal, "laplace": Laplace}


# Distributions; densities are summed over the latent dimensions.


def double(value):
    return torch.tensor(value, dtype=torch.float64)


def density(q, z):
    return q.log_prob(z).sum(-1)


def mixture_density(experts, z):
    return torch.logsumexp(torch.stack([density(q, z) for q in experts]), 0) - math.log(
        len(experts)
    )


def divergence(q, p):
    return kl_divergence(q, p).sum(-1)


def sums_to_latent(raw):
    return F.softmax(raw, -1) * raw.shape[-1]


def posterior(kind, mu, raw):
    scale = softplus(raw) if kind == "normal" else sums_to_latent(raw)
    return DISTRIBUTIONS[kind](mu, scale + 1e-6)


def prior_of(kind, net):
    learnt = hasattr(net, "prior")
    scale = sums_to_latent(net.prior["scale"]) if learnt else double([1.0] * LATENT)
    return DISTRIBUTIONS[kind](double([0.0] * LATENT), scale)


def without_gradient(q):
    return type(q)(q.mean.detach(), q.scale.detach())


def noise(kind, loader, component, particle, rows):
    stream = (1 << 24) + (loader << 16) + component * PARTICLES + particle
    random = Random(9, stream, 3)
    if kind == "normal":
        return torch.from_numpy(random.normal(rows, LATENT))
    u = torch.from_numpy(random.uniform(rows, LATENT) - 0.5)
    return -torch.sign(u) * torch.log1p(-2.0 * torch.abs(u))


# Estimates for each row: experts, z [particle, row, latent] and log_p(d, z) [particle, row] for
# each observed modality d; log_p is weighted with lambda. -> the value, and what to differentiate.


def elbo(experts, prior, log_p, z, beta):
    def bound(q, zm):
        observed = sum(log_p(d, zm) for d in range(len(experts)))
        return observed.mean(0) - beta * divergence(q, prior)

    value = sum(bound(q, zm) for q, zm in zip(experts, z)) / len(experts)
    return value, value


def elbo_published(experts, prior, log_p, z, beta):
    """Every modality is decoded from its own z only, weighted by the ratio of the densities."""

    def bound(r):
        total = -beta * divergence(experts[r], prior)
        for d, q in enumerate(experts):
            fixed = z[d].detach()
            ratio = torch.exp(density(experts[r], fixed) - density(q, fixed).detach())
            total = total + ((1.0 if d == r else ratio) * log_p(d, z[d])).mean(0)
        return total

    value = sum(bound(r) for r in range(len(experts))) / len(experts)
    return value, value


def log_weights(experts, prior, log_p, z):
    """[component, particle, row]"""

    def of(zm):
        joint = density(prior, zm) + sum(log_p(d, zm) for d in range(len(experts)))
        return joint - mixture_density(experts, zm)

    return torch.stack([of(zm) for zm in z])


def log_mean(log_w, looser):
    """log of the mean over all weights; looser: of each component's, then the mean of those."""
    if looser:
        return (torch.logsumexp(log_w, 1) - math.log(log_w.shape[1])).mean(0)
    return torch.logsumexp(log_w.flatten(0, 1), 0) - math.log(log_w.shape[0] * log_w.shape[1])


def iwae(experts, prior, log_p, z, looser):
    value = log_mean(log_weights(experts, prior, log_p, z), looser)
    return value, value


def dreg(experts, prior, log_p, z, looser, square=True):
    """Doubly reparameterised: decoders and prior get the normalised weights w, what reaches z is
    multiplied by w once more, and the density of the mixture trains nothing but through z."""
    log_w = log_weights([without_gradient(q) for q in experts], prior, log_p, z)
    if looser:
        w = F.softmax(log_w.detach(), 1)
        share = 1.0 / len(experts)
    else:
        w = F.softmax(log_w.detach().flatten(0, 1), 0).view_as(log_w)
        share = 1.0
    if square:
        for zm, wm in zip(z, w):
            zm.register_hook(lambda g, wm=wm: g * wm.unsqueeze(-1))
    return log_mean(log_w, looser), share * (w * log_w).sum((0, 1))


def estimate(estimator, experts, prior, log_p, z, beta=1.0):
    common = (experts, prior, log_p, z)
    return {
        "elbo": lambda: elbo(*common, beta),
        "elbo_published": lambda: elbo_published(*common, beta),
        "iwae": lambda: iwae(*common, looser=False),
        "iwae_looser": lambda: iwae(*common, looser=True),
        "dreg": lambda: dreg(*common, looser=False),
        "dreg_looser": lambda: dreg(*common, looser=True),
        "dreg_published": lambda: dreg(*common, looser=True, square=False),
    }[estimator]()


# One group of rows, and all cases.


def group_loss(net, estimator, kind, settings, loader, observed, first, rows):
    x = images(observed, first, rows)
    seen = list(x)
    experts = [posterior(kind, *net.encoders[net.names[m]](x)) for m in seen]
    z = []
    for m, q in zip(seen, experts):
        eps = torch.stack([noise(kind, loader, m, k, rows) for k in range(PARTICLES)])
        z.append(q.mean + q.scale * eps)

    def log_p(d, zm):
        repeated = {seen[d]: x[seen[d]].repeat(PARTICLES, 1, 1, 1)}  # particles, then rows
        values = net.log_p(seen[d], zm.flatten(0, 1), repeated)
        return settings["lambda"][seen[d]] * values.view(PARTICLES, rows)

    value, surrogate = estimate(estimator, experts, prior_of(kind, net), log_p, z, settings["beta"])
    return -value.mean(), -surrogate.mean()


def cases():
    """Name -> (modalities, estimator, distribution, whether the prior's scale is learnt)."""
    table = {}
    for n in (2, 3):
        for estimator in ESTIMATORS:
            for kind in DISTRIBUTIONS:
                table[f"{estimator}_{kind}{n}"] = (n, estimator, kind, True)
    for estimator in ("elbo", "iwae", "dreg_looser"):
        for kind in DISTRIBUTIONS:
            table[f"{estimator}_{kind}2_standard_prior"] = (2, estimator, kind, False)
    return table


def mixture_vectors():
    """Tensors and metadata of the file."""
    tensors, metadata = {}, {}
    for case, (n, estimator, kind, learn_prior) in cases().items():
        net = Net(NAMES[n], own_networks(NAMES[n]), learn_prior=learn_prior)
        loss = 0.0
        for name, rows in groups(NAMES[n], pair=n == 3).items():
            value, surrogate = group_loss(net, estimator, kind, SETTINGS[n], *rows)
            surrogate.backward()
            tensors[f"{case}.part.{name}"] = value.item()
            loss += value.item()
        tensors[f"{case}.loss"] = loss
        tensors.update(gradients(case, net))
        options = {"estimator": estimator, "posterior": kind, "particles": PARTICLES}
        metadata[case] = describe(
            dict(modalities=n, **SETTINGS[n], **options, learn_prior=learn_prior)
        )
    return tensors, metadata


def check_golden_numbers():
    """Numbers that were computed elsewhere, to the ten digits that are known of all of them."""

    def compare(name, got, expected):
        if abs(got - expected) > 1e-10:
            raise AssertionError(f"{name}: expected {expected}, got {got}")

    one, two = double([0.5, 0.8]), double([-0.2, 1.5])
    q, p = Laplace(*one), Laplace(*two)
    compare("KL of Laplace", kl_divergence(q, p).item(), 0.317601736584)
    mixture = mixture_density([Normal(*v.view(2, 1)) for v in (one, two)], double([0.25]))
    compare("mixture", mixture.item(), -1.0089930881)
    scale = sums_to_latent(double([0.2, -1.0, 0.7])) + 1e-6
    for got, expected in zip(scale, (1.01697928893, 0.306308974267, 1.6767147368)):
        compare("scale", got.item(), expected)

    # p(z) = N(0, 1), x | z ~ N(w z, 1), three particles of one expert N(mean, sigma).
    value = -1.54611125839
    theta = 0.0630879475305
    golden = {
        "iwae": (0.0731393721854, 0.467559743887, theta),
        "dreg": (0.0649493361908, -0.0303665222483, theta),
        "dreg_published": (0.274905191824, -0.20146058803, theta),
    }
    for estimator, derivatives in golden.items():
        leaves = [double([v]).requires_grad_() for v in (0.4, 0.9, 1.0)]
        mean, sigma, w = leaves
        z = mean + sigma * double([0.3, -1.1, 0.6]).view(3, 1, 1)
        standard = Normal(double([0.0]), double([1.0]))
        got, surrogate = estimate(
            estimator,
            [Normal(mean, sigma)],
            standard,
            lambda d, z: density(Normal(w * z, 1.0), double([1.2])),
            [z],
        )
        surrogate.sum().backward()
        compare(estimator, got.item(), value)
        for name, leaf, expected in zip(("mean", "sigma", "w"), leaves, derivatives):
            compare(f"{estimator}, derivative of {name}", leaf.grad.item(), expected)
