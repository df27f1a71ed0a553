# SPDX-License-Identifier: MIT
"""Reference log-likelihoods and their gradients, from torch in float64."""
import math

import numpy as np
import torch
from torch.nn import functional as F

from support import to_float32


def bernoulli(x, target):
    """log p of grey-level targets under logits x; torch's own loses the tail at 0 and 1."""
    return target * F.logsigmoid(x) + (1.0 - target) * F.logsigmoid(-x)


def normal(x, target, scale):
    return -0.5 * ((target - x) / scale) ** 2 - math.log(scale) - 0.5 * math.log(2.0 * math.pi)


def laplace(x, target, scale):
    return -torch.abs(target - x) / scale - math.log(2.0 * scale)


def laplace_pixels(x, target, scale, margin):
    return laplace(torch.sigmoid(x).clamp(margin, 1.0 - margin), target, scale)


def density(record, case, log_p, x, target):
    """y = log p of each row, y_elements = log p of every feature; x is what a decoder gives."""
    record.put(f"{case}.target", target)
    target = torch.from_numpy(target)
    record.differentiate(case, lambda x: log_p(x, target).flatten(1).sum(1), {"x": x})
    record.put(f"{case}.y_elements", log_p(torch.from_numpy(x), target))


def likelihoods(record):
    grey = record.random(4, 6, kind="uniform")
    grey[:, :2] = [0.0, 1.0]
    density(record, "bernoulli0", bernoulli, to_float32(3.0 * record.random(4, 6)), grey)
    density(
        record,
        "bernoulli1",
        bernoulli,
        np.array([[40.0, -40.0, 0.0, 100.0], [-100.0, 1000.0, -1000.0, 16.0]]),
        np.array([[0.0, 1.0, 0.25, 1.0], [0.5, 1.0, 0.0, 0.0]]),
    )
    for case in ("bernoulli0", "bernoulli1"):
        record.metadata[case] = "x=logits target=grey level in [0,1]"
    for name, function in (("normal", normal), ("laplace", laplace)):
        for i, scale in enumerate((0.75, 0.01)):
            case, b = f"{name}{i}", float(to_float32(scale))
            record.put(f"{case}.scale", b)
            density(
                record,
                case,
                lambda x, t: function(x, t, b),
                record.random(4, 6),
                record.random(4, 6),
            )
            record.metadata[case] = f"x=location scale={scale} (rounded to float32)"
    cases = [
        (record.random(3, 4, 7), [[1, 0, 6, 3], [0, 0, 0, 0], [5, 5, 2, 1]]),
        (to_float32(200.0 * record.random(2, 3, 5)), [[1, 4, 0], [2, 3, 1]]),
    ]
    for i, (x, target) in enumerate(cases):
        target = torch.tensor(target)
        record.put(f"cross_entropy{i}.target", target)
        record.differentiate(
            f"cross_entropy{i}",
            lambda x: F.cross_entropy(
                x.transpose(1, 2), target, ignore_index=0, reduction="none"
            ).sum(1),
            {"x": x},
        )
        record.metadata[f"cross_entropy{i}"] = (
            f"batch={x.shape[0]} tokens={x.shape[1]} classes={x.shape[2]} "
            "ignore_index=0 reduction=sum over tokens"
        )
    pixels = [
        (to_float32(3.0 * record.random(4, 6)), 0.0),
        # sigmoid(-13.8156) is about 1e-6, the margin
        (np.array([[40.0, -40.0, 0.0, 14.0], [-14.0, 13.5, -13.5, -900.0]]), 1e-6),
    ]
    for i, (x, margin) in enumerate(pixels):
        grey = record.random(*x.shape, kind="uniform")
        grey[:, :2] = [0.0, 1.0]
        case = f"laplace_pixels{i}"
        density(record, case, lambda x, t: laplace_pixels(x, t, 0.75, margin), x, grey)
        record.metadata[case] = f"x=logits scale=0.75 margin={margin} target=grey level in [0,1]"


def check_golden_numbers():
    """Values that were computed elsewhere, for the formulas above."""
    t = lambda v: torch.tensor(v, dtype=torch.float64)
    scores = F.log_softmax(t([0.1, -1.0, 2.0, 0.5]), 0)
    known = [
        (bernoulli(t(1.3), t(1.0)), -0.241008453833),
        (bernoulli(t(1.3), t(0.0)), -1.54100845383),
        (bernoulli(t(1.3), t(0.25)), -1.21600845383),
        (bernoulli(t(40.0), t(0.0)), -40.0),
        (bernoulli(t(-40.0), t(1.0)), -40.0),
        (normal(t(-0.2), t(0.3), 0.75), -0.853478682975),
        (laplace(t(-0.2), t(0.3), 0.75), -1.07213177477),
        (laplace(t(-0.2), t(0.3), 0.01), -46.0879769946),
        (scores[0], -2.2524059381),
        (scores[2], -0.352405938103),
        (-F.logsigmoid(t(20.0)), 2.06115362e-9),
        (-F.logsigmoid(t(1.0)), 0.313261687518),
        (-F.logsigmoid(t(-20.0)), 20.0000000021),
    ]
    for value, expected in known:
        if abs(value.item() - expected) > 1e-9 * abs(expected):
            raise AssertionError(f"expected {expected}, got {value.item()}")
