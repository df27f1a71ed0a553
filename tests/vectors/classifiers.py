# SPDX-License-Identifier: MIT
"""Logits of the classifiers of MNIST and of SVHN by which coherence is measured."""
import torch
from torch import nn

from models import initial_bounds
from support import Random, to_float32

IMAGES = 5
SHAPES = {"mnist": (1, 28, 28), "svhn": (3, 32, 32)}


class Classifier(nn.Module):
    """Two convolutions, each pooled and then rectified, and two linear layers."""

    def __init__(self, channels, flat):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 10, 5)
        self.conv2 = nn.Conv2d(10, 20, 5)
        self.conv2_drop = nn.Dropout2d()
        self.fc1 = nn.Linear(flat, 50)
        self.fc1_drop = nn.Dropout()
        self.fc2 = nn.Linear(50, 10)
        self.double().eval()
        bounds = initial_bounds(self)
        with torch.no_grad():
            for p, (name, value) in enumerate(self.named_parameters()):
                u = Random(7, (1 << 20) + p).uniform(*value.shape)
                value.copy_(torch.from_numpy(to_float32(bounds[name] * (2.0 * u - 1.0))))

    def forward(self, x):
        x = torch.relu(torch.max_pool2d(self.conv1(x), 2))
        x = torch.relu(torch.max_pool2d(self.conv2_drop(self.conv2(x)), 2))
        return self.fc2(self.fc1_drop(torch.relu(self.fc1(x.flatten(1)))))


def images(m, shape):
    rows = [to_float32(Random(8, m, i).uniform(*shape) ** 2) for i in range(IMAGES)]
    return torch.stack([torch.from_numpy(row) for row in rows])


def classifier_vectors():
    tensors, metadata = {}, {}
    for m, (name, shape) in enumerate(SHAPES.items()):
        net = Classifier(shape[0], 320 if name == "mnist" else 500)
        tensors[f"{name}.logits"] = net(images(m, shape)).detach().numpy()
        parameters = (f"{p}:{'x'.join(map(str, v.shape))}" for p, v in net.named_parameters())
        metadata[f"{name}.parameters"] = " ".join(parameters)
    return tensors, metadata
