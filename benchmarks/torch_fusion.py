#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The fusions that bench_fusion timed, in idiomatic PyTorch: the same plans, batches and latent sizes.

Reads the file that `bench_fusion --json FILE` wrote and writes another one with PyTorch's times: of
the forward pass, and of forward and backward pass together. On CUDA each is timed call by call and
once more inside a captured graph. The file is written after every row, so that a run that is cut
short has results, too.
"""
import argparse
import json
import os
import statistics
import sys
import time

import torch
import torch.nn.functional as F


def divergence(q, p):
    """KL of diagonal Gaussians, summed over dimensions; p None: the prior N(0, I)."""
    m, s = q
    if p is None:
        return (0.5 * (s * s + m * m - 1) - s.log()).sum(1)
    r, d = s / p[1], (m - p[0]) / p[1]
    return (0.5 * (r * r + d * d - 1) - r.log()).sum(1)


def make_fusion(plan):
    """f(*experts) -> locations and scales of the products, divergences, samples"""

    def fuse(*experts):
        normals = []
        for e in experts:
            location, raw = e.chunk(2, 1)
            normals.append((location, F.softplus(raw) + plan["floor"]))
        products = []
        for bits in plan["products"]:
            members = [n for i, n in enumerate(normals) if bits >> i & 1]
            if len(members) == 1:
                products.append(members[0])
                continue
            precisions = [s.reciprocal().square() for _, s in members]
            variance = sum(precisions[1:], precisions[0]).reciprocal()
            weighted = [m * t for (m, _), t in zip(members, precisions)]
            products.append((sum(weighted[1:], weighted[0]) * variance, variance.sqrt()))
        out = []
        for source, target in plan["divergences"]:
            out.append(divergence(products[source], products[target] if target >= 0 else None))
        for p in plan["samples"]:
            m, s = products[p]
            out.append(m + s * torch.randn_like(s))
        return out or [t for p in products for t in p]

    return fuse


def capture(call, calls):
    """-> a function that runs call(0), ..., call(calls - 1) as one CUDA graph"""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            call(0)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for i in range(calls):
            call(i)
    return graph.replay


class Clock:
    def __init__(self, cuda, repeats, seconds):
        self.cuda, self.repeats, self.seconds = cuda, repeats, seconds

    def once(self, call, calls):
        """seconds of one call: of the GPU, or of this process on one thread"""
        if not self.cuda:
            start = time.process_time()
            for i in range(calls):
                call(i)
            return (time.process_time() - start) / calls
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        for i in range(calls):
            call(i)
        end.record()
        torch.cuda.synchronize()
        return start.elapsed_time(end) * 1e-3 / calls

    def median(self, call):
        for i in range(3):
            call(i)
        calls = max(1, min(1000, int(self.seconds / max(self.once(call, 1), 1e-9))))
        return statistics.median(self.once(call, calls) for _ in range(self.repeats))

    def both(self, call, copies):
        """-> seconds call by call, and inside a graph"""
        launched = self.median(call)
        if not self.cuda:
            return launched, launched
        nodes = max(copies, 20)
        return launched, self.median(lambda _, replay=capture(call, nodes): replay()) / nodes


def measure(plan, row, device, mode, clock):
    torch.manual_seed(1)
    copies = row["copies"]
    wide = (row["batch"], 2 * row["latent"])
    sets = [[torch.randn(wide, device=device, requires_grad=True) for _ in range(plan["experts"])]
            for _ in range(copies)]
    fuse = make_fusion(plan)
    if mode != "eager":
        torch._dynamo.reset()
        fuse = torch.compile(fuse, fullgraph=True, dynamic=False,
                             mode="max-autotune-no-cudagraphs" if mode == "max-autotune" else None)
    arrived = [torch.randn_like(t) for t in fuse(*sets[0])]

    def forward(i):
        return fuse(*sets[i % copies])

    def step(i):
        experts = sets[i % copies]
        return torch.autograd.grad(fuse(*experts), experts, arrived)

    return clock.both(forward, copies), clock.both(step, copies)


def write(path, out):
    """Replaces the file in one step; None: standard output"""
    text = json.dumps(out, indent=1) + "\n"
    if path is None:
        sys.stdout.write(text)
        return
    with open(path + ".new", "w") as f:
        f.write(text)
    os.replace(path + ".new", path)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--like", required=True, help="what bench_fusion --json wrote")
    p.add_argument("--device", choices=["cpu", "cuda"], help="by default that of the file")
    p.add_argument("--mode", choices=["eager", "compile", "max-autotune"], default="eager")
    p.add_argument("--json", help="file to write; standard output by default")
    p.add_argument("--plan", nargs="+", help="only these plans of the file")
    p.add_argument("--latent", nargs="+", type=int, help="only these latent sizes of the file")
    p.add_argument("--quick", action="store_true", help="fewer repetitions")
    a = p.parse_args()
    with open(a.like) as f:
        like = json.load(f)
    device = a.device or like["device"]
    torch.set_num_threads(1)
    clock = Clock(device == "cuda", *((5, 0.005) if a.quick else (15, 0.02)))
    out = {"torch": torch.__version__, "mode": a.mode, "device": device, "rows": []}
    for row in like["rows"]:
        if row["direction"] != "forward":
            continue
        if row["plan"] not in (a.plan or [row["plan"]]) or row["latent"] not in (a.latent or [row["latent"]]):
            continue
        forward, step = measure(like["plans"][row["plan"]], row, device, a.mode, clock)
        out["rows"].append({"plan": row["plan"], "batch": row["batch"], "latent": row["latent"],
                            "forward_launched_us": forward[0] * 1e6, "forward_graph_us": forward[1] * 1e6,
                            "step_launched_us": step[0] * 1e6, "step_graph_us": step[1] * 1e6})
        if a.json:
            write(a.json, out)
        print("torch %s: %s, batch %d, latent %d" % (a.mode, row["plan"], row["batch"], row["latent"]),
              file=sys.stderr, flush=True)
    write(a.json, out)


if __name__ == "__main__":
    main()
