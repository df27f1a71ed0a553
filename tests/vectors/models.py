# SPDX-License-Identifier: MIT
"""Reference losses, terms and digests of gradients of the bimodal models on MNIST-Split."""
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from support import Random, to_float32

LATENT = 64
MODALITIES = ("top", "bottom")
MODELS = ("svae", "svae_star", "vaevae", "vaevae_a", "vaevae_star")
PRESETS = ("paper", "official")
# First sample, number of samples and observed modalities of each group of rows.
GROUPS = {"P": (0, 5, (0, 1)), "U_top": (100, 4, (0,)), "U_bottom": (200, 3, (1,))}


def softplus(r):
    return -F.logsigmoid(-r)  # torch's own softplus switches to r above 20


# Networks.


def conv_stack():
    return nn.Sequential(
        nn.Conv2d(1, 64, 4, 2, 1, bias=False),
        nn.ReLU(),
        nn.Conv2d(64, 128, 4, 2, 1, bias=False),
        nn.ReLU(),
        nn.Conv2d(128, 256, 4, 2, 1, bias=False),
        nn.ReLU(),
        nn.Flatten(),
    )


def encoder_head(features):
    return nn.Sequential(nn.Linear(features, 512), nn.ReLU(), nn.Linear(512, 2 * LATENT))


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = conv_stack()
        self.head = encoder_head(768)

    def forward(self, x):
        return self.head(self.features(x)).split(LATENT, 1)


class JointEncoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.ModuleDict({m: conv_stack() for m in MODALITIES})
        self.head = encoder_head(2 * 768)

    def forward(self, x):
        parts = [self.features[name](x[m]) for m, name in enumerate(MODALITIES)]
        return self.head(torch.cat(parts, 1)).split(LATENT, 1)


def decoder():
    return nn.Sequential(
        nn.Linear(LATENT, 512),
        nn.ReLU(),
        nn.Linear(512, 112),
        nn.ReLU(),
        nn.Unflatten(1, (112, 1, 1)),
        nn.ConvTranspose2d(112, 56, (3, 5), 2),
        nn.ReLU(),
        nn.ConvTranspose2d(56, 28, (3, 5), 2),
        nn.ReLU(),
        nn.ConvTranspose2d(28, 1, (2, 4), 2),
    )


def initial_bounds(net):
    """1 / sqrt(fan_in) of every parameter, by name; a bias uses the fan-in of its layer."""
    bounds = {}
    for name, layer in net.named_modules():
        if isinstance(layer, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
            w = layer.weight  # dimension 1: inputs of Linear and Conv2d, OUTPUTS of ConvTranspose2d
            fan_in = w.shape[1] * int(np.prod(w.shape[2:]))
            for suffix, _ in layer.named_parameters():
                bounds[f"{name}.{suffix}"] = 1.0 / np.sqrt(float(fan_in))
    return bounds


class Net(nn.Module):
    """The networks of one model, named and ordered as in a checkpoint."""

    def __init__(self, model):
        super().__init__()
        names = {
            "svae": ("top", "bottom_from_top", "top_from_bottom", "bottom"),
            "vaevae_a": MODALITIES,
            "vaevae": MODALITIES,
        }[family(model)]
        self.encoders = nn.ModuleDict({name: Encoder() for name in names})
        if family(model) == "vaevae":
            self.encoders["top_bottom"] = JointEncoder()
        self.decoders = nn.ModuleDict({m: decoder() for m in MODALITIES})
        self.double()
        bounds = initial_bounds(self)
        with torch.no_grad():
            for p, (name, value) in enumerate(self.named_parameters()):
                u = Random(7, (1 << 20) + p).uniform(*value.shape)
                value.copy_(torch.from_numpy(to_float32(bounds[name] * (2.0 * u - 1.0))))


def family(model):
    return model[: -len("_star")] if model.endswith("_star") else model


# Posteriors: (mu, sigma).


def normal_of(head, preset):
    """A posterior that one network gives alone."""
    mu, raw = head
    return mu, softplus(raw) + (1e-6 if preset == "paper" else 0.0)


def product_of(heads, preset):
    """A posterior that is a product of Gaussian experts."""
    if preset == "paper":
        precisions = [(softplus(raw) + 1e-6) ** -2 for _, raw in heads]
        total = sum(precisions)
    else:  # softplus(raw) is the variance of the expert, and the prior N(0, I) is one more expert
        precisions = [1.0 / softplus(raw) for _, raw in heads]
        total = 1.0 + sum(precisions)
    return sum(p * mu for p, (mu, _) in zip(precisions, heads)) / total, total**-0.5


def posterior(net, model, preset, x, subset):
    """q(z | x_S) of a batch; subset: tuple of modality numbers, x: dict from modality to images."""
    nets, kind = net.encoders, family(model)
    if kind == "svae":
        names = {
            (0, 1): (("top", 0), ("bottom", 1)),
            (0,): (("top", 0), ("bottom_from_top", 0)),
            (1,): (("top_from_bottom", 1), ("bottom", 1)),
        }[subset]
        return product_of([nets[name](x[m]) for name, m in names], preset)
    if subset != (0, 1):
        return normal_of(nets[MODALITIES[subset[0]]](x[subset[0]]), preset)
    if kind == "vaevae":
        return normal_of(nets["top_bottom"](x), preset)
    return product_of([nets["top"](x[0]), nets["bottom"](x[1])], preset)


# Losses.


def kl(q, p):
    """KL(q || p) of diagonal Gaussians, summed over the latent dimensions."""
    (mq, sq), (mp, sp) = q, p
    return (torch.log(sp / sq) + (sq**2 + (mq - mp) ** 2) / (2.0 * sp**2) - 0.5).sum(1)


def kl_prior(q):
    return kl(q, (torch.zeros_like(q[0]), torch.ones_like(q[1])))


def images(first, count, modality):
    """Pixels of samples first, first + 1, ...: squares of uniform numbers."""
    u = [Random(8, modality, i).uniform(1, 14, 28) for i in range(first, first + count)]
    return torch.from_numpy(to_float32(np.square(np.stack(u))))


def group_batch(group):
    first, count, observed = GROUPS[group]
    return {m: images(first, count, m) for m in observed}


def noise(group, subset, draw, rows):
    code = sum(1 << m for m in subset)
    stream = 16 * list(GROUPS).index(group) + 4 * code + draw
    return torch.from_numpy(Random(9, stream, 3).normal(rows, LATENT))


def subset_name(subset):
    return ",".join(MODALITIES[m] for m in subset)


def loss_terms(net, model, preset, batches):
    """All terms of eq. 7-10 that the model has, as batch means, and the posteriors they used."""
    terms, posteriors = {}, {}

    def q_of(group, subset):
        if (group, subset) not in posteriors:
            posteriors[group, subset] = posterior(net, model, preset, batches[group], subset)
        return posteriors[group, subset]

    def reconstruct(group, subset, label=""):
        mu, sigma = q_of(group, subset)
        for m in subset:
            draw = 0 if preset == "paper" else 1 + m
            z = mu + sigma * noise(group, subset, draw, len(mu))
            logits, target = net.decoders[MODALITIES[m]](z), batches[group][m]
            log_p = -F.binary_cross_entropy_with_logits(logits, target, reduction="none")
            name = f"log_p({MODALITIES[m]}|{subset_name(subset)}){label}"
            terms[name] = log_p.sum((1, 2, 3)).mean()

    def unimodal_elbo(group, m, label=""):
        reconstruct(group, (m,), label)
        terms[f"kl({MODALITIES[m]}){label}"] = kl_prior(q_of(group, (m,))).mean()

    reconstruct("P", (0, 1))
    for m, name in enumerate(MODALITIES):
        terms[f"kl(top,bottom||{name})"] = kl(q_of("P", (0, 1)), q_of("P", (m,))).mean()
    if model in ("svae", "vaevae_star"):  # the loss of eq. 7; the others train without these
        for m in (0, 1):
            unimodal_elbo("P", m)
    for m, name in enumerate(MODALITIES):
        unimodal_elbo(f"U_{name}", m, "/unpaired")
    return terms, posteriors


def total_loss(terms):
    """To minimise: KLs count as they are, log-likelihoods with a minus."""
    return sum(-value if name.startswith("log_p") else value for name, value in terms.items())


def digest(gradient, p):
    """[L2 norm, sum, dot with a fixed random vector, then up to 32 elements at equal steps]."""
    g = gradient.detach().numpy().reshape(-1)
    v = 2.0 * Random(10, p).uniform(g.size) - 1.0
    count = min(32, g.size)
    return np.concatenate(
        [
            [np.sqrt(np.sum(g * g)), np.sum(g), np.sum(g * v)],
            g[[j * g.size // count for j in range(count)]],
        ]
    )


def model_vectors(model, preset):
    """Tensors and metadata of one file."""
    net = Net(model)
    batches = {group: group_batch(group) for group in GROUPS}
    terms, posteriors = loss_terms(net, model, preset, batches)
    loss = total_loss(terms)
    loss.backward()
    tensors = {"loss": loss.item()}
    tensors.update({f"term.{name}": value.item() for name, value in terms.items()})
    for (group, subset), (mu, sigma) in posteriors.items():
        tensors[f"posterior.{group}.{subset_name(subset)}.mu"] = mu.detach().numpy()
        tensors[f"posterior.{group}.{subset_name(subset)}.sigma"] = sigma.detach().numpy()
    listed = []
    for p, (name, value) in enumerate(net.named_parameters()):
        tensors[f"grad.{name}"] = digest(value.grad, p)
        listed.append(name + ":" + "x".join(str(n) for n in value.shape))
    metadata = {
        "model": model,
        "preset": preset,
        "parameters": " ".join(listed),
        "groups": " ".join(f"{g}={c}" for g, (_, c, _) in GROUPS.items()),
    }
    return tensors, metadata
