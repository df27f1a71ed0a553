# SPDX-License-Identifier: MIT
"""Runs a differentiable function in torch and collects its inputs, values and gradients."""
import numpy as np
import torch

from support import Random, to_float32


class Recorder:
    """Collects the tensors of all cases; every random array is a new stream of seed 11."""

    def __init__(self):
        self.tensors, self.metadata, self.streams = {}, {}, 0

    def random(self, *shape, kind="normal"):
        self.streams += 1
        return to_float32(getattr(Random(11, self.streams), kind)(*shape))

    def put(self, name, value):
        if isinstance(value, torch.Tensor):
            value = value.detach().numpy()
        self.tensors[name] = np.array(value, np.float64)

    def differentiate(self, case, function, leaves, parameters=()):
        """Stores the leaves, y = function(**leaves), a random g and the gradients of sum(y * g).

        parameters: (name, torch parameter) pairs that `function` uses without having them as
        arguments.
        """
        leaves = {name: torch.tensor(value, requires_grad=True) for name, value in leaves.items()}
        y = function(**leaves)
        g = self.random(*y.shape)
        (y * torch.from_numpy(g)).sum().backward()
        everything = dict(leaves, **dict(parameters))
        for name, value in everything.items():
            self.put(f"{case}.{name}", value)
        self.put(f"{case}.g", g)
        self.put(f"{case}.y", y)
        for name, value in everything.items():
            self.put(f"{case}.d{name}", value.grad)
        return y


def pair(numbers):
    return ",".join(str(n) for n in numbers)
