# SPDX-License-Identifier: MIT
"""Reference losses, their parts and gradients of every model with Gaussian posteriors."""
import functools

import torch

from models import kl, kl_prior, softplus
from small import LATENT, NAMES, SETTINGS, Net
from small import describe, gradients, groups, images, members, own_networks, subsets
from support import Random

PRIOR = 0  # as a subset: nothing is observed

# Posterior families.


def stand_in(names, k, j):
    """The network that sees modality j and speaks for modality k."""
    return names[j] if k == j else f"{names[k]}_from_{names[j]}"


def stand_in_networks(names):
    n = range(len(names))
    return {stand_in(names, k, j): (j,) for j in n for k in n}


def joint(names, subset):
    return "_".join(names[m] for m in members(subset))


def joint_networks(names):
    ordered = sorted(subsets((1 << len(names)) - 1), key=lambda s: (len(members(s)), s))
    return {joint(names, s): tuple(members(s)) for s in ordered}


def networks_and_joint(names):
    everything = (1 << len(names)) - 1
    return dict(own_networks(names), **{joint(names, everything): tuple(members(everything))})


def product_of_members(names, s):
    return [[names[m] for m in members(s)]]


def product_with_stand_ins(names, s):
    missing = [k for k in range(len(names)) if not s >> k & 1]
    own = [names[m] for m in members(s)]
    if not missing:
        return [own]
    return [own + [stand_in(names, k, j) for k in missing] for j in members(s)]


def network_of_exactly(names, s):
    return [[joint(names, s)]]


def joint_or_members(names, s):
    complete = s == (1 << len(names)) - 1
    return network_of_exactly(names, s) if complete else product_of_members(names, s)


def products_of_subsets(names, s):
    return [[names[m] for m in members(t)] for t in subsets(s)]


# Name -> (networks, the experts of every alternative of a posterior, most alternatives for n).
FAMILIES = {
    "stand_ins": (stand_in_networks, product_with_stand_ins, lambda n: max(1, n - 1)),
    "joint": (joint_networks, network_of_exactly, lambda n: 1),
    "jmvae": (networks_and_joint, joint_or_members, lambda n: 1),
    "experts": (own_networks, product_of_members, lambda n: 1),
    "bridge": (own_networks, product_of_members, lambda n: 1),
    "mixture_of_products": (own_networks, products_of_subsets, lambda n: (1 << n) - 1),
}


def product(experts, prior_expert):
    """The product of (mu, sigma), with N(0, I) as one more expert where wanted."""
    precision = sum(sigma**-2 for _, sigma in experts) + (1.0 if prior_expert else 0.0)
    return sum(mu * sigma**-2 for mu, sigma in experts) / precision, precision**-0.5


class Group:
    """The rows of one loader, and the parts of the loss that an objective asks of them."""

    def __init__(self, net, family, prior_expert, settings, loader, observed, first, rows):
        self.net, self.family, self.prior_expert = net, family, prior_expert
        self.settings, self.loader, self.observed, self.rows = settings, loader, observed, rows
        self.x = images(observed, first, rows)
        self.everything = (1 << len(net.names)) - 1
        self.parts = {}

    def expert(self, name):
        mu, raw = self.net.encoders[name](self.x)
        return mu, softplus(raw) + 1e-6

    def bridge(self):
        def sample(m, name):
            mu, sigma = self.expert(name)
            return mu + sigma * self.noise((1 << 25) + (self.loader << 3) + m)

        z = [sample(m, name) for m, name in enumerate(self.net.names)]
        mu, raw = self.net.bridge(torch.cat(z, 1)).split(LATENT, 1)
        return mu, softplus(raw) + 1e-6

    @functools.cache
    def posteriors(self, subset):
        """(mu, sigma) of every alternative of q(z | x_S)."""
        if self.family == "bridge" and subset == self.everything:
            return [self.bridge()]
        alternatives = FAMILIES[self.family][1](self.net.names, subset)
        return [
            product([self.expert(e) for e in names], self.prior_expert) for names in alternatives
        ]

    def noise(self, stream):
        return torch.from_numpy(Random(9, stream, 3).normal(self.rows, LATENT))

    def stream(self, subset, alternative):
        n = len(self.net.names)
        draws = 1 << n.bit_length()  # the smallest power of two that is at least n + 1
        posterior = (self.loader << n) + subset
        return (posterior * FAMILIES[self.family][2](n) + alternative) * draws

    def named(self, subset):
        return ",".join(self.net.names[m] for m in members(subset))

    def add(self, name, value):
        self.parts[name] = self.parts.get(name, 0.0) + value.mean()

    def reconstruct(self, source, target, weight=1.0):
        """-R(source -> target), summed over the alternatives of the source."""
        for a, (mu, sigma) in enumerate(self.posteriors(source)):
            z = mu + sigma * self.noise(self.stream(source, a))
            for m in members(target):
                name = f"log_p({self.net.names[m]}|{self.named(source)})"
                factor = -weight * self.settings["lambda"][m]
                self.add(name, factor * self.net.log_p(m, z, self.x))

    def diverge(self, source, target, weight=1.0):
        """beta KL(source || target), summed over the alternatives of both."""
        factor = weight * self.settings["beta"]
        for q in self.posteriors(source):
            if target == PRIOR:
                self.add(f"kl({self.named(source)})", factor * kl_prior(q))
            else:
                for p in self.posteriors(target):
                    self.add(f"kl({self.named(source)}||{self.named(target)})", factor * kl(q, p))

    def elbo(self, subset, weight=1.0):
        self.reconstruct(subset, subset, weight)
        self.diverge(subset, PRIOR, weight)


# Objectives: what each asks of one group.


def vaevae_loss(group, singles=False, reconstruct_all=False, reverse_pair_kl=False):
    """singles: the bound of single modalities also where several were observed."""
    for s in subsets(group.observed):
        if len(members(s)) == 1:
            if singles or s == group.observed:
                group.elbo(s)
            continue
        complete = s == group.everything
        group.reconstruct(s, group.observed if reconstruct_all else s)
        for i in members(s):
            rest = s & ~(1 << i)
            if reverse_pair_kl and not complete:
                group.diverge(rest, s)
            else:
                group.diverge(s, rest)
        if not complete:
            group.diverge(s, PRIOR)


svae_loss = functools.partial(vaevae_loss, singles=True)


def jmvae_loss(group):
    if group.observed == group.everything:
        group.elbo(group.everything)
        for m in range(len(group.net.names)):
            group.diverge(group.everything, 1 << m, group.settings["alpha"])


def mvae_loss(group, random_subsets=0, choice=0):
    group.elbo(group.observed)
    if len(members(group.observed)) > 1:
        for m in members(group.observed):
            group.elbo(1 << m)
    proper = [s for s in subsets(group.observed, smallest=2) if s != group.observed]
    for i in range(random_subsets if proper else 0):
        group.elbo(proper[(choice + i) % len(proper)])


def mopoe_loss(group):
    """The alternatives of the posterior are the products of all subsets; their mean."""
    group.elbo(group.observed, 1.0 / len(subsets(group.observed)))


def mvtcae_loss(group):
    n, alpha = float(len(members(group.observed))), group.settings["alpha"]
    group.reconstruct(group.observed, group.observed, (n - alpha) / n)
    group.diverge(group.observed, PRIOR, 1.0 - alpha)
    for m in members(group.observed):
        if group.observed != 1 << m:  # KL of a posterior to itself is zero
            group.diverge(group.observed, 1 << m, alpha / n)


# Name -> (modalities, family, objective, its options).
CASES = {
    "jmvae2": (2, "jmvae", jmvae_loss, {}),
    "mvae2": (2, "experts", mvae_loss, {}),
    "bridge2": (2, "bridge", vaevae_loss, {}),
    "mopoe2": (2, "mixture_of_products", mopoe_loss, {}),
    "mvtcae2": (2, "experts", mvtcae_loss, {}),
    "svae3": (3, "stand_ins", svae_loss, {}),
    "svae3_reconstruct_all": (3, "stand_ins", svae_loss, {"reconstruct_all": True}),
    "svae3_reverse_pair_kl": (3, "stand_ins", svae_loss, {"reverse_pair_kl": True}),
    "svae_star3": (3, "stand_ins", vaevae_loss, {}),
    "vaevae3": (3, "joint", vaevae_loss, {}),
    "vaevae_star3": (3, "joint", svae_loss, {}),
    "jmvae3": (3, "jmvae", jmvae_loss, {}),
    "mvae3": (3, "experts", mvae_loss, {"random_subsets": 1, "choice": 1}),
    "bridge3": (3, "bridge", vaevae_loss, {}),
    "mopoe3": (3, "mixture_of_products", mopoe_loss, {}),
    "mvtcae3": (3, "experts", mvtcae_loss, {}),
}


def check_golden_numbers():
    """Products and divergences that were computed elsewhere."""
    one, two = (
        torch.tensor(v, dtype=torch.float64).view(2, 1, 1) for v in ((0.5, 0.8), (-0.2, 1.5))
    )
    plain, with_prior = product([one, two], False), product([one, two], True)
    golden = [
        (plain[0], 0.344982698962),
        (plain[1] ** 2, 0.498269896194),
        (with_prior[0], 0.23025404157),
        (with_prior[1] ** 2, 0.332563510393),
        (kl_prior(with_prior), 0.243252431239),
        (kl(with_prior, one), 0.143979907025),
    ]
    for got, expected in golden:
        if abs(got.item() - expected) > 1e-11:
            raise AssertionError(f"product of two experts: expected {expected}, got {got.item()}")


def zoo_vectors():
    """Tensors and metadata of the file."""
    tensors, metadata = {}, {}
    for case, (n, family, objective, options) in CASES.items():
        net = Net(NAMES[n], FAMILIES[family][0](NAMES[n]), bridge=family == "bridge")
        total = 0.0
        for name, rows in groups(NAMES[n], pair=n == 3 and objective is not jmvae_loss).items():
            group = Group(net, family, objective is mvae_loss, SETTINGS[n], *rows)
            objective(group, **options)
            total = total + sum(group.parts.values())
            for part, value in group.parts.items():
                tensors[f"{case}.part.{name}.{part}"] = value.item()
        total.backward()
        tensors[f"{case}.loss"] = total.item()
        tensors.update(gradients(case, net))
        metadata[case] = describe(dict(modalities=n, **SETTINGS[n], **options))
    return tensors, metadata
