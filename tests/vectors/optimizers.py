# SPDX-License-Identifier: MIT
"""Reference steps of torch.optim.Adam in float64."""
import numpy as np
import torch

from support import Random, to_float32

STEPS, SIZE = 8, 21
# Name, and settings of torch.optim.Adam.
CASES = {
    "adam0": {"lr": 2e-4},
    "adam1": {"lr": 0.05, "betas": (0.7, 0.8), "eps": 1e-3},
    "amsgrad0": {"lr": 1e-3, "amsgrad": True},
    "amsgrad1": {"lr": 0.05, "betas": (0.7, 0.8), "eps": 1e-3, "amsgrad": True},
}


def gradients():
    """Gradients that shrink in the first half of the numbers, and grow in the others."""
    g = Random(12, 1).normal(STEPS, SIZE)
    scale = 4.0 ** np.linspace(1.0, -2.0, STEPS)[:, None]
    first = np.arange(SIZE) < SIZE // 2
    return to_float32(g * np.where(first, scale, 1.0 / scale))


def optimizer_vectors():
    g = gradients()
    start = to_float32(Random(12, 2).normal(SIZE))
    tensors, metadata = {"x": start, "gradient": g}, {"torch": torch.__version__}
    for case, settings in CASES.items():
        x = torch.tensor(start, requires_grad=True)
        adam = torch.optim.Adam([x], **settings)
        path = []
        for step in range(STEPS):
            x.grad = torch.tensor(g[step])
            adam.step()
            path.append(x.detach().numpy().copy())
        tensors[f"{case}.x"] = np.stack(path)
        for name, value in adam.state[x].items():
            if name != "step":
                tensors[f"{case}.{name}"] = value.numpy()
        metadata[case] = " ".join(f"{name}={value}" for name, value in settings.items())
    return tensors, metadata
