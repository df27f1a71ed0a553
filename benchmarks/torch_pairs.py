#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Training steps of SVAE and VAEVAE on MNIST-SVHN and CUB-Captions in tuned PyTorch: what
bench_train_step is compared with there, as torch_peer.py is on MNIST-Split.

  svae     n^2 experts and the paper's loss (eq. 3-10)
  vaevae   VAEVAE (b): a joint encoder and the loss of Wu & Goodman
One step = one batch of pairs and one of each single modality: gather, forward, backward, Adam. The data
are made up in the real shapes. --selftest compares losses and gradients with plain layers and distributions.
"""
import argparse
import math
import statistics
import time

import torch
import torch.nn.functional as F
from torch import nn

import torch_peer as peer
from torch_layers import (Bernoulli, Categorical, FlattenPixels, OneChannelConv, OneChannelUpConv, TokenLinear, UpConv,
                          UpConvOfCode, Words)

SAMPLES, FLOOR = 10000, 1e-6  # of each data set; below every scale


# ----------------------------------------------------------------------------- MNIST-SVHN
def relu():
    return nn.ReLU(inplace=True)


def halving(i, o):
    return nn.Conv2d(i, o, 4, 2, 1)


def doubling(i, o):
    return UpConv(i, o, 4, 2, 1)


class MnistSvhn:
    batch, latent, weights = 256, 20, (1, 1)
    parameters = {"svae": 1684547, "vaevae": 2438187}

    @staticmethod
    def features(m):
        if m == 0:
            return nn.Sequential(nn.Linear(784, 400), relu())
        return nn.Sequential(halving(3, 32), relu(), halving(32, 64), relu(), halving(64, 128), relu(),
                             FlattenPixels())

    @classmethod
    def encoder(cls, m):
        return nn.Sequential(cls.features(m), nn.Linear((400, 2048)[m], 2 * cls.latent))

    @classmethod
    def joint(cls):
        return (nn.ModuleList([cls.features(0), nn.Sequential(cls.features(1), nn.Linear(2048, 400))]),
                nn.Linear(800, 2 * cls.latent))

    @classmethod
    def decoder(cls, m):
        if m == 0:
            return nn.Sequential(nn.Linear(cls.latent, 400), relu(), nn.Linear(400, 784))
        return nn.Sequential(UpConvOfCode(cls.latent, 128, 4), relu(), doubling(128, 64), relu(),
                             doubling(64, 32), relu(), doubling(32, 3))

    @staticmethod
    def data():
        i = torch.arange(SAMPLES * 3072)  # sparse bright pixels
        pixels = torch.where(i % 5 == 0, (i % 97) / 97.0, 0.0)
        return pixels[:SAMPLES * 784].view(SAMPLES, 784).clone(), pixels.view(SAMPLES, 32, 32, 3)

    @staticmethod
    def input(m, x):
        return x if m == 0 else x.permute(0, 3, 1, 2)

    @staticmethod
    def surprise(m, logits, x):
        return Bernoulli.apply(logits, x)


# ----------------------------------------------------------------------------- CUB-Captions
class CubCaptions:
    batch, latent, weights = 100, 64, (1, 0.002)
    parameters = {"svae": 10503798, "vaevae": 11454582}
    length, classes, width = 32, 1590, 2048

    @classmethod
    def features(cls, m):
        if m == 1:
            return nn.Sequential(nn.Linear(cls.width, 1024), nn.ELU(), nn.Linear(1024, 512), nn.ELU(),
                                 nn.Linear(512, 256), nn.ELU())
        layers = [Words(cls.classes, 128, padding_idx=0)]
        for i, o, k, s, p in ((1, 32, 4, 2, 1), (32, 64, 4, 2, 1), (64, 128, 4, 2, 1),
                              (128, 128, (1, 4), (1, 2), (0, 1)), (128, 128, (1, 4), (1, 2), (0, 1))):
            kind = OneChannelConv if i == 1 else nn.Conv2d
            layers += [kind(i, o, k, s, p, bias=False), nn.BatchNorm2d(o), relu()]
        return nn.Sequential(*layers, FlattenPixels())

    @classmethod
    def encoder(cls, m):
        return nn.Sequential(cls.features(m), nn.Linear((2048, 256)[m], 2 * cls.latent, bias=m == 1))

    @classmethod
    def joint(cls):
        return (nn.ModuleList([cls.features(0), cls.features(1)]),
                nn.Sequential(nn.Linear(2304, 512), relu(), nn.Linear(512, 2 * cls.latent)))

    @classmethod
    def decoder(cls, m):
        if m == 1:
            return nn.Sequential(nn.Linear(cls.latent, 256), nn.ELU(), nn.Linear(256, 512), nn.ELU(),
                                 nn.Linear(512, 1024), nn.ELU(), nn.Linear(1024, cls.width))
        layers = [UpConvOfCode(cls.latent, 128, 4, bias=False), nn.BatchNorm2d(128), relu()]
        for i, o, k, s, p in ((128, 128, (1, 4), (1, 2), (0, 1)), (128, 128, (1, 4), (1, 2), (0, 1)),
                              (128, 64, 4, 2, 1), (64, 32, 4, 2, 1)):
            layers += [UpConv(i, o, k, s, p, bias=False), nn.BatchNorm2d(o), relu()]
        return nn.Sequential(*layers, OneChannelUpConv(32, 1, 4, 2, 1, bias=False), relu(),
                             TokenLinear(128, cls.classes))

    @classmethod
    def data(cls):
        i = torch.arange(SAMPLES * cls.length)  # fifteen words, then <pad>
        ids = torch.where(i % cls.length < 15, 1 + i % (cls.classes - 1), 1)
        features = (torch.arange(SAMPLES * cls.width) % 97) / 97.0
        return ids.view(SAMPLES, cls.length), features.view(SAMPLES, cls.width)

    @staticmethod
    def input(m, x):
        return x

    @staticmethod
    def surprise(m, decoded, x):
        if m == 0:
            return Categorical.apply(decoded, x.flatten())
        return (decoded - x).abs_().sum() * 100 + x.numel() * math.log(0.02)  # Laplace of scale 0.01


# ----------------------------------------------------------------------------- models
class PairModel(nn.Module):
    """forward(x, y): batches of both modalities, pairs first, then as many samples of their own -> loss."""

    def __init__(self, kind, data):
        super().__init__()
        self.kind, self.data = kind, data
        # SVAE: own expert and stand-in of the first modality, then of the second.
        self.encoders = nn.ModuleList([data.encoder(m) for m in ((0, 0, 1, 1) if kind == "svae" else (0, 1))])
        if kind == "vaevae":
            self.joint, self.joint_head = data.joint()
        self.decoders = nn.ModuleList([data.decoder(0), data.decoder(1)])

    def posteriors(self, x, y):
        """location and scale of both single posteriors, (2, rows, L), and of the joint one of the pairs"""
        b, inputs = x.shape[0] // 2, (x, y)
        if self.kind == "svae":
            loc, raw = torch.stack([e(inputs[i // 2]) for i, e in enumerate(self.encoders)]).chunk(2, -1)
            precision = (F.softplus(raw) + FLOOR).pow(-2)
            weighted = loc * precision
            own = slice(0, 4, 2)
            joint_p, joint_w = precision[own, :b].sum(0), weighted[own, :b].sum(0)
            p, w = precision.unflatten(0, (2, 2)).sum(1), weighted.unflatten(0, (2, 2)).sum(1)
            return (w / p, p.rsqrt()), (joint_w / joint_p, joint_p.rsqrt())
        loc, raw = torch.stack([e(v) for e, v in zip(self.encoders, inputs)]).chunk(2, -1)
        features = torch.cat([f(v[:b]) for f, v in zip(self.joint, inputs)], 1)
        joint_loc, joint_raw = self.joint_head(features).chunk(2, -1)
        return (loc, F.softplus(raw) + FLOOR), (joint_loc, F.softplus(joint_raw) + FLOOR)

    def forward(self, x, y, noise=None):
        b = x.shape[0] // 2
        (loc, scale), (joint_loc, joint_scale) = self.posteriors(x, y)
        kl = peer.kl(joint_loc, joint_scale, loc[:, :b], scale[:, :b]).sum()
        bounds = slice(0 if self.kind == "svae" else b, None)  # of single modalities: on pairs too, or not
        loc, scale = loc[:, bounds], scale[:, bounds]
        kl = kl + peer.kl0(loc, scale).sum()
        rows = loc.shape[1]
        if noise is None:
            noise = torch.randn(b + 2 * rows, self.data.latent)
        joint_z = joint_loc + joint_scale * noise[:b]
        z = loc + scale * noise[b:].view(2, rows, -1)
        loss = kl
        for m, v in enumerate((x, y)):
            target = torch.cat([v[:b], v]) if self.kind == "svae" else v
            decoded = self.decoders[m](torch.cat([joint_z, z[m]]))
            loss = loss + self.data.weights[m] * self.data.surprise(m, decoded, target)
        return loss / b


# ----------------------------------------------------------------------------- steps
class Steps:
    def __init__(self, a):
        torch.manual_seed(1)
        self.data = DATA[a.data_set]
        self.net = PairModel(a.model, self.data).to(memory_format=torch.channels_last)
        self.batch = a.batch or self.data.batch
        self.parameters = sum(p.numel() for p in self.net.parameters())
        assert self.parameters == self.data.parameters[a.model], self.parameters
        self.stored = self.data.data()
        self.adam, _ = peer.make_opt(self.net, argparse.Namespace(lr=1e-4, adam=a.adam, mode="eager"),
                                     torch.device("cpu"))
        self.order = peer.Batches(SAMPLES, 1.0, self.batch, self.batch, "cpu", 1).epoch(a.bench + a.warmup + 10)
        self.at = 0

    def gather(self, index):
        b = self.batch
        rows = index[:2 * b], torch.cat([index[:b], index[2 * b:]])
        return [self.data.input(m, self.stored[m].index_select(0, rows[m])) for m in (0, 1)]

    def run(self):
        x, y = self.gather(self.order[self.at % len(self.order)])
        self.at += 1
        self.adam.zero_grad(set_to_none=True)
        loss = self.net(x, y)
        loss.backward()
        self.adam.step()
        return loss


def bench(a):
    steps = Steps(a)
    for _ in range(a.warmup):
        steps.run()
    medians, fastest, cpu = [], math.inf, []
    for _ in range(a.repeats):
        times = []
        for _ in range(a.bench):
            start, cpu_start = time.perf_counter(), time.process_time()
            steps.run()
            times.append((time.perf_counter() - start) * 1e3)
            cpu.append((time.process_time() - cpu_start) * 1e3)
        medians.append(statistics.median(times))
        fastest = min(fastest, *times)
    memory = " ".join("%s=%.0f" % kv for kv in peer.peak_mem(torch.device("cpu")).items())
    print("BENCH data=%s model=%s batch=%d threads=%d adam=%s params=%d | median %.3f ms/step (reps %s) min %.3f ms, "
          "cpu-time median %.2f ms | mem %s" %
          (a.data_set, a.model, steps.batch, a.threads, a.adam, steps.parameters, statistics.median(medians),
           "/".join("%.2f" % m for m in medians), fastest, statistics.median(cpu), memory), flush=True)
    if a.profile:
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
            for _ in range(3):
                steps.run()
        print(profile.key_averages().table(sort_by="self_cpu_time_total", row_limit=25, max_name_column_width=45))


# ----------------------------------------------------------------------------- self-test
def plainly(module, x):
    """The same layers as PyTorch's own."""
    if isinstance(module, (nn.Sequential, nn.ModuleList)):
        for layer in module:
            x = plainly(layer, x)
        return x
    if isinstance(module, UpConvOfCode):
        return nn.ConvTranspose2d.forward(module, x[:, :, None, None])
    if isinstance(module, nn.ConvTranspose2d):
        return nn.ConvTranspose2d.forward(module, x)
    if isinstance(module, nn.Conv2d):
        return nn.Conv2d.forward(module, x)
    if isinstance(module, nn.ReLU):
        return x.relu()
    return module(x)


def naive_loss(net, x, y, noise):
    """The terms one by one, as the paper prints them."""
    from torch import distributions as D
    b, data, inputs, latent = x.shape[0] // 2, net.data, (x, y), net.data.latent

    def gaussian(out):
        return D.Normal(out[:, :latent], F.softplus(out[:, latent:]) + FLOOR)

    def product(*experts):
        precision = sum(1 / q.scale ** 2 for q in experts)
        return D.Normal(sum(q.loc / q.scale ** 2 for q in experts) / precision, precision ** -0.5)

    def rows(q, chosen):
        return D.Normal(q.loc[chosen], q.scale[chosen])

    def log_p(m, decoded, seen):
        if data is MnistSvhn:
            p = D.Bernoulli(logits=decoded.flatten(1), validate_args=False).log_prob(seen.flatten(1))
        elif m == 0:
            p = D.Categorical(logits=decoded.view(-1, data.length, data.classes)).log_prob(seen) * (seen != 0)
        else:
            p = D.Laplace(decoded, 0.01).log_prob(seen)
        return data.weights[m] * p.sum(1)

    def kl(q, p):
        return D.kl_divergence(q, p).sum(1)

    pairs, own = slice(0, b), slice(b, None)
    experts = [gaussian(plainly(e, inputs[i * 2 // len(net.encoders)])) for i, e in enumerate(net.encoders)]
    if net.kind == "svae":
        single = product(*experts[:2]), product(*experts[2:])
        joint = product(rows(experts[0], pairs), rows(experts[2], pairs))
        bounded = slice(None)
    else:
        single = experts
        joint = gaussian(plainly(net.joint_head, torch.cat([plainly(f, v[:b]) for f, v in zip(net.joint, inputs)], 1)))
        bounded = own
    prior, total = D.Normal(torch.zeros(()), torch.ones(())), 0
    noise = noise[:b], *noise[b:].chunk(2)
    for m, v in enumerate(inputs):
        q = rows(single[m], bounded)
        # A decoder sees all its codes at once: batch normalisation depends on it.
        z = torch.cat([joint.loc + joint.scale * noise[0], q.loc + q.scale * noise[1 + m]])
        p = log_p(m, plainly(net.decoders[m], z), torch.cat([v[:b], v[bounded]]))
        total = total - p[:b].mean() + kl(joint, rows(single[m], pairs)).mean()    # -R(12 -> m) + KL(12 -> m)
        if net.kind == "svae":                                                     # pairs: -R(m -> m) + KL(m)
            total = total - p[b:2 * b].mean() + kl(rows(single[m], pairs), prior).mean()
        total = total - p[-b:].mean() + kl(rows(single[m], own), prior).mean()     # the same of the loader's own
    return total


def selftest():
    worst = 0
    for name, data in DATA.items():
        for kind in data.parameters:
            torch.manual_seed(3)
            net = PairModel(kind, data).to(memory_format=torch.channels_last)
            x, y = [data.input(m, stored[:6].clone()) for m, stored in enumerate(data.data())]
            if data is CubCaptions:
                x[0, 3] = x[4, 0] = 0  # unknown words
            rows = 6 if kind == "svae" else 3
            noise = torch.randn(3 + 2 * rows, data.latent)
            ours, plain = net(x, y, noise), naive_loss(net, x, y, noise)
            gradients = [torch.autograd.grad(v, list(net.parameters())) for v in (ours, plain)]
            off = max(((g - h).norm() / h.norm()).item() for g, h in zip(*gradients))
            worst = max(worst, off, abs(ours.item() / plain.item() - 1))
            print("%-12s %-6s loss %.6f, naively %.6f; largest relative distance of a gradient %.1e" %
                  (name, kind, ours, plain, off))
    assert worst < 1e-3, worst


DATA = {"mnist_svhn": MnistSvhn, "cub_captions": CubCaptions}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--data-set", default="mnist_svhn", choices=list(DATA))
    add("--model", default="svae", choices=["svae", "vaevae"])
    add("--batch", type=int, default=0, help="default: the paper's")
    add("--threads", type=int, default=1)
    add("--bench", type=int, default=0, metavar="STEPS", help="timed steps of each repetition")
    add("--repeats", type=int, default=3)
    add("--warmup", type=int, default=10)
    add("--adam", default="single", choices=["single", "foreach", "flat"])
    add("--profile", action="store_true")
    add("--selftest", action="store_true")
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    if a.selftest:
        selftest()
    if a.bench:
        bench(a)


if __name__ == "__main__":
    main()
