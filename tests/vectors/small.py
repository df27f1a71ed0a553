# SPDX-License-Identifier: MIT
"""The small networks of the reference models with two and three modalities, and their data."""
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from models import initial_bounds
from support import Random, to_float32

LATENT = 3
NAMES = {2: ("top", "bottom"), 3: ("top", "middle", "bottom")}

# Of every case with two modalities, and of every case with three.
SETTINGS = {
    2: {"lambda": (1.0, 1.0), "beta": 1.0, "alpha": 0.1},
    3: {"lambda": (1.0, 0.7, 1.3), "beta": 0.8, "alpha": 0.3},
}


# Subsets of the modalities are bit masks.


def members(subset):
    return [m for m in range(subset.bit_length()) if subset >> m & 1]


def subsets(of, smallest=1):
    """The subsets with at least `smallest` members, by increasing mask."""
    return [s for s in range(1, of + 1) if s & ~of == 0 and len(members(s)) >= smallest]


# Networks.


def features():
    return nn.Sequential(nn.Conv2d(1, 2, 2, 2), nn.Softplus(threshold=1000), nn.Flatten())


def decoder():
    return nn.Sequential(
        nn.Linear(LATENT, 12),
        nn.Softplus(threshold=1000),
        nn.Unflatten(1, (2, 2, 3)),
        nn.ConvTranspose2d(2, 1, 2, 2),
    )


class Encoder(nn.Module):
    """Features of the modalities `inputs` side by side, then a head: location and raw scale."""

    def __init__(self, inputs, names):
        super().__init__()
        self.inputs = inputs
        if len(inputs) == 1:
            self.features = features()
        else:
            self.features = nn.ModuleDict({names[m]: features() for m in inputs})
        self.head = nn.Sequential(
            nn.Linear(12 * len(inputs), 5), nn.ELU(), nn.Linear(5, 2 * LATENT)
        )

    def forward(self, x):
        stacks = [self.features] if len(self.inputs) == 1 else self.features.values()
        parts = [stack(x[m]) for stack, m in zip(stacks, self.inputs)]
        return self.head(torch.cat(parts, 1)).split(LATENT, 1)


class Net(nn.Module):
    """The networks of one model, named and ordered as in a checkpoint.

    encoders: name -> modalities that it sees.
    """

    def __init__(self, names, encoders, bridge=False, learn_prior=False):
        super().__init__()
        self.names = names
        self.encoders = nn.ModuleDict({e: Encoder(inputs, names) for e, inputs in encoders.items()})
        if bridge:
            self.bridge = nn.Linear(len(names) * LATENT, 2 * LATENT)
        self.decoders = nn.ModuleDict({m: decoder() for m in names})
        if learn_prior:
            self.prior = nn.ParameterDict({"scale": nn.Parameter(torch.zeros(LATENT))})
        self.double()
        bounds = dict(initial_bounds(self), **{"prior.scale": 0.5})
        with torch.no_grad():
            for p, (name, value) in enumerate(self.named_parameters()):
                u = Random(7, (1 << 20) + p).uniform(*value.shape)
                value.copy_(torch.from_numpy(to_float32(bounds[name] * (2.0 * u - 1.0))))

    def log_p(self, m, z, x):
        """log p(x_m | z) of every row."""
        logits = self.decoders[self.names[m]](z)
        return -F.binary_cross_entropy_with_logits(logits, x[m], reduction="none").sum((1, 2, 3))


def own_networks(names):
    return {name: (m,) for m, name in enumerate(names)}


# Rows of data.


def groups(names, pair):
    """Name -> (loader, observed, first sample, rows); `pair`: also one with two modalities."""
    n = len(names)
    table = {"P": (0, (1 << n) - 1, 0, 5)}
    for m, name in enumerate(names):
        table[f"U_{name}"] = (1 + m, 1 << m, 100 * (1 + m), 4 - m)
    if pair:
        table["pair"] = (4, 0b101, 400, 3)
    return table


def images(observed, first, rows):
    def of(m):
        u = [Random(8, m, i).uniform(1, 4, 6) for i in range(first, first + rows)]
        return torch.from_numpy(to_float32(np.square(np.stack(u))))

    return {m: of(m) for m in members(observed)}


# What a file says of a case.


def describe(settings):
    def text(value):
        return ",".join(str(v) for v in value) if isinstance(value, tuple) else str(value)

    return " ".join(f"{name}={text(value)}" for name, value in settings.items())


def gradients(case, net):
    """In full, in PyTorch's layout; a parameter that the loss does not reach has gradient zero."""
    for name, value in net.named_parameters():
        g = torch.zeros_like(value) if value.grad is None else value.grad
        yield f"{case}.grad.{name}", g.numpy()
