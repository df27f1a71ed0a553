# SPDX-License-Identifier: MIT
"""Checks products of experts and KL divergences against torch's own formulas and derivatives."""
import numpy as np
import torch


def torch_variance(raw, head, floor):
    s = floor - torch.nn.functional.logsigmoid(-raw)
    return s**2 if head == "scale" else s


def compare(case, name, got, expected):
    expected = expected.detach().numpy()
    if not np.allclose(got, expected, rtol=1e-9, atol=1e-10):
        raise AssertionError(
            f"{case}.{name}: differs from autograd by {np.abs(got - expected).max()}"
        )


def check_product_by_autograd(case, t, prior, head, floor):
    mu, raw, mask, g_mu, g_l, g_kl = (
        torch.tensor(t[n]) for n in ("mu", "raw", "mask", "g_mu", "g_l", "g_kl")
    )
    mu.requires_grad_()
    raw.requires_grad_()
    precision = mask[:, :, None] / torch_variance(raw, head, floor)
    absent = (mask.sum(0) == 0)[:, None] * (0.0 if prior else 1.0)
    total = precision.sum(0) + prior + absent  # no expert at all: N(0, 1)
    m, variance = (precision * mu).sum(0) / total, 1.0 / total
    q = torch.distributions.Normal(m, variance.sqrt())
    kl = torch.distributions.kl_divergence(
        q, torch.distributions.Normal(torch.zeros_like(m), 1.0)
    ).sum(1)
    for name, value in (("mu_out", m), ("l_out", total.log()), ("sigma_out", q.scale), ("kl", kl)):
        compare(case, name, t[name], value)
    for suffix, objective in (
        ("", (g_mu * m + g_l * total.log()).sum()),
        ("_kl", (g_kl * kl).sum()),
    ):
        for name, grad in zip(
            ("dmu", "draw"), torch.autograd.grad(objective, (mu, raw), retain_graph=True)
        ):
            compare(case, name + suffix, t[name + suffix], grad)


def check_divergence_by_autograd(case, t, head, floor):
    leaves = [torch.tensor(t[n], requires_grad=True) for n in ("mu_q", "raw_q", "mu_p", "raw_p")]
    q, p = (
        torch.distributions.Normal(m, torch_variance(r, head, floor).sqrt())
        for m, r in (leaves[:2], leaves[2:])
    )
    kl = torch.distributions.kl_divergence(q, p).sum(1)
    compare(case, "kl", t["kl"], kl)
    for name, grad in zip(
        ("dmu_q", "draw_q", "dmu_p", "draw_p"),
        torch.autograd.grad((kl * torch.tensor(t["g"])).sum(), leaves),
    ):
        compare(case, name, t[name], grad)
