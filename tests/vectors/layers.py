# SPDX-License-Identifier: MIT
"""Reference values and gradients of single layers, from torch in float64."""
import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from recorder import pair
from support import to_float32


# Convolutions and linear layers.

# (in, out, kernel, stride, padding, bias, size of the input, batch)
CONVOLUTIONS = [
    (3, 5, (3, 2), (2, 1), (1, 0), 1, (7, 6), 4),  # every number of the two directions differs
    (1, 6, (4, 4), (2, 2), (1, 1), 0, (14, 28), 2),
    (4, 3, (4, 4), (2, 2), (1, 1), 0, (3, 7), 3),  # the padding at the right is in no window
    (2, 4, (1, 4), (1, 2), (0, 1), 0, (4, 16), 2),
    (5, 4, (4, 4), (1, 1), (0, 0), 1, (4, 4), 3),  # the output is 1 x 1
    (4, 6, (1, 1), (2, 2), (0, 0), 0, (5, 4), 1),  # the last column is in no window
    (1, 3, (7, 7), (2, 2), (3, 3), 0, (9, 8), 2),
    (2, 3, (2, 3), (1, 3), (1, 2), 1, (5, 6), 1),
]
# (in, out, kernel, stride, padding, output padding, bias, size of the input, batch)
TRANSPOSED = [
    # Here every number of the two directions differs.
    (3, 4, (3, 2), (2, 3), (1, 0), (1, 2), 1, (4, 3), 2),
    (6, 4, (3, 5), (2, 2), (0, 0), (0, 0), 1, (1, 1), 3),
    (4, 3, (3, 5), (2, 2), (0, 0), (0, 0), 1, (3, 5), 2),
    (3, 1, (2, 4), (2, 2), (0, 0), (0, 0), 1, (7, 13), 2),
    (3, 1, (2, 4), (2, 2), (0, 0), (1, 0), 1, (4, 13), 2),  # the last row is the bias alone
    (5, 3, (4, 4), (1, 1), (0, 0), (0, 0), 0, (1, 1), 2),
    (3, 2, (4, 4), (2, 2), (1, 1), (0, 0), 0, (4, 5), 1),
    (4, 2, (1, 4), (1, 2), (0, 1), (0, 0), 0, (4, 4), 2),
]
# (in, out, bias, batch)
LINEAR = [(7, 5, 1, 4), (3, 8, 0, 1), (33, 17, 1, 9)]


def filter_leaves(record, x_shape, weight_shape, fan_in, bias):
    leaves = {
        "x": record.random(*x_shape),
        "weight": to_float32(record.random(*weight_shape) / math.sqrt(fan_in)),
    }
    if bias:
        leaves["bias"] = record.random(bias)
    return leaves


def convolutions(record):
    for i, (cin, cout, kernel, stride, padding, bias, size, batch) in enumerate(CONVOLUTIONS):
        leaves = filter_leaves(
            record, (batch, cin, *size), (cout, cin, *kernel), cin * math.prod(kernel), bias * cout
        )
        record.differentiate(
            f"conv{i}",
            lambda x, weight, bias=None: F.conv2d(x, weight, bias, stride, padding),
            leaves,
        )
        record.metadata[f"conv{i}"] = (
            f"in={cin} out={cout} kernel={pair(kernel)} stride={pair(stride)} "
            f"padding={pair(padding)} bias={bias} size={pair(size)} batch={batch}"
        )
    for i, (cin, cout, kernel, stride, padding, extra, bias, size, batch) in enumerate(TRANSPOSED):
        leaves = filter_leaves(
            record, (batch, cin, *size), (cin, cout, *kernel), cout * math.prod(kernel), bias * cout
        )
        record.differentiate(
            f"conv_transpose{i}",
            lambda x, weight, bias=None: F.conv_transpose2d(
                x, weight, bias, stride, padding, extra
            ),
            leaves,
        )
        record.metadata[f"conv_transpose{i}"] = (
            f"in={cin} out={cout} kernel={pair(kernel)} stride={pair(stride)} "
            f"padding={pair(padding)} output_padding={pair(extra)} bias={bias} "
            f"size={pair(size)} batch={batch}"
        )
    for i, (cin, cout, bias, batch) in enumerate(LINEAR):
        leaves = filter_leaves(record, (batch, cin), (cout, cin), cin, bias * cout)
        record.differentiate(
            f"linear{i}", lambda x, weight, bias=None: F.linear(x, weight, bias), leaves
        )
        record.metadata[f"linear{i}"] = f"in={cin} out={cout} bias={bias} batch={batch}"


# Batch normalisation, pooling, embedding, element-wise functions, a residual block.


def randomise(record, module):
    """Random weights: scaled by the fan-in, or around 1 for the scales of a BatchNorm."""
    module.double()
    with torch.no_grad():
        for name, value in module.named_parameters():
            n = record.random(*value.shape)
            if value.dim() > 1:
                n = n / math.sqrt(value[0].numel())
            elif name.endswith("weight"):
                n = 1.0 + 0.3 * n
            value.copy_(torch.from_numpy(to_float32(n)))
    return module


def batch_norms(record):
    # With offset 100 a one-pass E[x^2] - E[x]^2 in float loses the variance.
    for i, (channels, size, batch, offset) in enumerate(
        [(3, (4, 5), 4, 0.0), (4, (1, 1), 6, 0.0), (2, (3, 2), 5, 100.0)]
    ):
        case = f"batch_norm{i}"
        norm = randomise(record, nn.BatchNorm2d(channels))
        record.put(f"{case}.weight", norm.weight)
        record.put(f"{case}.bias", norm.bias)
        for step in ("step0", "step1", "eval"):
            norm.train(step != "eval")
            norm.zero_grad()
            x = torch.tensor(
                to_float32(offset + record.random(batch, channels, *size)), requires_grad=True
            )
            y = norm(x)
            g = record.random(*y.shape)
            (y * torch.from_numpy(g)).sum().backward()
            for name, value in (
                ("x", x),
                ("g", g),
                ("y", y),
                ("dx", x.grad),
                ("dweight", norm.weight.grad),
                ("dbias", norm.bias.grad),
                ("running_mean", norm.running_mean),
                ("running_var", norm.running_var),
            ):
                record.put(f"{case}.{step}.{name}", value)
        geometry = f"channels={channels} size={pair(size)} batch={batch}"
        record.metadata[case] = geometry + " eps=1e-05 momentum=0.1"


def pools(record):
    for i, (channels, size, batch, kernel, stride, padding) in enumerate(
        [
            (3, (6, 4), 2, 2, 2, 0),
            (2, (5, 7), 3, 2, 2, 0),
            (2, (14, 14), 1, 3, 2, 1),
            (3, (4, 5), 2, 3, 2, 1),
        ]
    ):
        # Below zero everywhere, so that padding must not win as a zero would.
        x = to_float32(-0.25 - np.abs(record.random(batch, channels, *size)))
        record.differentiate(
            f"max_pool{i}", lambda x: F.max_pool2d(x, kernel, stride, padding), {"x": x}
        )
        record.metadata[f"max_pool{i}"] = (
            f"channels={channels} kernel={kernel} stride={stride} padding={padding} "
            f"size={pair(size)} batch={batch}"
        )


def embedding(record):
    ids = np.array([[3, 0, 1, 3], [5, 3, 0, 2]])  # 4 is never used, 3 three times, 0 is the padding
    weight = record.random(6, 5)
    weight[0] = 0.0
    record.put("embedding0.ids", ids)
    record.differentiate(
        "embedding0",
        lambda weight: F.embedding(torch.from_numpy(ids), weight, padding_idx=0),
        {"weight": weight},
    )
    record.metadata["embedding0"] = "vocabulary=6 width=5 tokens=4 batch=2 padding_idx=0"


def elu(x):
    return torch.where(x > 0, x, torch.expm1(torch.clamp(x, max=0.0)))  # torch's own is exp(x) - 1


def softplus(x):
    return -F.logsigmoid(-x)  # torch's own softplus switches to x above 20


def activations(record):
    special = to_float32(
        [-1e13, -100, -30, -20, -15, -1e-4, -1e-8, 1e-8, 1e-4, 15, 19.99, 20.01, 30, 100, 1e13]
    )
    for name, function in (
        ("relu", torch.relu),
        ("elu", elu),
        ("softplus", softplus),
        ("sigmoid", torch.sigmoid),
    ):
        record.differentiate(f"{name}0", lambda x: function(x), {"x": 2.0 * record.random(4, 6)})
        record.differentiate(f"{name}1", lambda x: function(x), {"x": special.reshape(3, 5)})
        record.metadata[f"{name}0"] = "ordinary inputs"
        record.metadata[f"{name}1"] = "extreme inputs"


class BasicBlock(nn.Module):
    """The residual block of ResNet-18, named as in torchvision."""

    def __init__(self, cin, cout, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(cin, cout, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(cout)
        self.conv2 = nn.Conv2d(cout, cout, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(cout)
        if stride != 1 or cin != cout:
            self.downsample = nn.Sequential(
                nn.Conv2d(cin, cout, 1, stride, bias=False), nn.BatchNorm2d(cout)
            )

    def forward(self, x):
        h = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(h + (self.downsample(x) if hasattr(self, "downsample") else x))


def blocks(record):
    for i, (cin, cout, stride, size, batch) in enumerate(
        [(4, 4, 1, (4, 3), 3), (3, 5, 2, (5, 4), 4)]
    ):
        block = randomise(record, BasicBlock(cin, cout, stride))
        record.differentiate(
            f"block{i}", block, {"x": record.random(batch, cin, *size)}, block.named_parameters()
        )
        for name, value in block.named_buffers():
            if "running" in name:
                record.put(f"block{i}.{name}", value)
        geometry = f"in={cin} out={cout} stride={stride} size={pair(size)} batch={batch}"
        record.metadata[f"block{i}"] = geometry + " mode=train"


def layers(record):
    for part in (convolutions, batch_norms, pools, embedding, activations, blocks):
        part(record)
