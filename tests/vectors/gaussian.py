# SPDX-License-Identifier: MIT
"""Reference products of Gaussian experts and KL divergences, in 150-digit decimal arithmetic.

float64 is not enough where one expert is e^120 times as precise as another: the differences
mu_i - mu cancel to nothing. The derivatives are written by hand; where float64 can follow, they and
the values are compared with torch.
"""
import decimal
from decimal import Decimal

import numpy as np

from gaussian_by_autograd import check_divergence_by_autograd, check_product_by_autograd
from support import Random, to_float32

decimal.setcontext(decimal.Context(prec=150, Emax=decimal.MAX_EMAX, Emin=decimal.MIN_EMIN))
ONE, TWO, HALF = Decimal(1), Decimal(2), Decimal("0.5")
FLOOR = {0.0: Decimal(0), 1e-6: Decimal("1e-6")}


def decimals(array):
    return np.vectorize(lambda v: Decimal(float(v)), otypes=[object])(array)


def doubles(array):
    return np.vectorize(float, otypes=[np.float64])(array)


# One expert, one product, one divergence: scalars of Decimal.


def log_precision(raw, head, floor):
    """l = -2 log sigma of a network's raw output, and dl / d raw."""
    if raw > 1000:  # exp(-1000) is below the last digit
        s, slope = raw, ONE
    else:
        e = raw.exp()
        s, slope = (ONE + e).ln(), e / (ONE + e)
    s += FLOOR[floor]
    power = TWO if head == "scale" else ONE  # s is sigma, or the variance
    return -power * s.ln(), -power * slope / s


def product(mus, ls):
    """mu, log-precision and weights of the product of experts; no expert: N(0, 1)."""
    if not mus:
        return Decimal(0), Decimal(0), []
    precisions = [l.exp() for l in ls]
    total = sum(precisions)
    weights = [p / total for p in precisions]
    return sum(w * m for w, m in zip(weights, mus)), total.ln(), weights


def divergence(mq, lq, mp, lp):
    """KL(N(mq, e^-lq) || N(mp, e^-lp)) and its derivatives with respect to mq, lq, mp, lp."""
    ratio, precision, d = (lp - lq).exp(), lp.exp(), mq - mp
    kl = HALF * (lq - lp + ratio + d * d * precision - ONE)
    by_lq, by_lp = HALF * (ONE - ratio), HALF * (ratio - ONE + d * d * precision)
    return kl, d * precision, by_lq, -d * precision, by_lp


# Cases.


def product_case(mu, raw, mask, prior, head, floor, g_mu, g_l, g_kl):
    """mu, raw: [expert, row, latent]; mask: [expert, row]; g_*: weights of the outputs."""
    experts, rows, latent = mu.shape
    tensors = {"mu": mu, "raw": raw, "mask": mask, "g_mu": g_mu, "g_l": g_l, "g_kl": g_kl}
    out = {n: np.full((rows, latent), Decimal(0), object) for n in ("mu_out", "l_out", "sigma_out")}
    out["kl"] = np.full(rows, Decimal(0), object)
    for n in ("dmu", "dl", "draw", "dmu_kl", "dl_kl", "draw_kl"):
        out[n] = np.full(mu.shape, Decimal(0), object)
    dmu, draw, gm, gl, gk = (decimals(a) for a in (mu, raw, g_mu, g_l, g_kl))
    for row, j in np.ndindex(rows, latent):
        active = [i for i in range(experts) if mask[i, row]]
        heads = {i: log_precision(draw[i, row, j], head, floor) for i in active}
        mus, ls = [dmu[i, row, j] for i in active], [heads[i][0] for i in active]
        if prior:
            mus.append(Decimal(0))
            ls.append(Decimal(0))
        m, l, weights = product(mus, ls)
        out["mu_out"][row, j], out["l_out"][row, j] = m, l
        out["sigma_out"][row, j] = (-HALF * l).exp()
        kl, kl_m, kl_l, _, _ = divergence(m, l, Decimal(0), Decimal(0))
        out["kl"][row] += kl
        for i, w in zip(active, weights):
            at = (i, row, j)
            for suffix, bar_m, bar_l in (
                ("", gm[row, j], gl[row, j]),
                ("_kl", gk[row] * kl_m, gk[row] * kl_l),
            ):
                by_l = w * (bar_m * (dmu[at] - m) + bar_l)
                out["dmu" + suffix][at], out["dl" + suffix][at] = bar_m * w, by_l
                out["draw" + suffix][at] = by_l * heads[i][1]
    tensors.update({name: doubles(value) for name, value in out.items()})
    return tensors


def divergence_case(mu_q, raw_q, mu_p, raw_p, head, floor, g):
    """KL(q || p) of each row, and the gradient of sum(kl * g)."""
    inputs = {"mu_q": mu_q, "raw_q": raw_q, "mu_p": mu_p, "raw_p": raw_p}
    names = ("dmu_q", "draw_q", "dmu_p", "draw_p")
    out = {n: np.full(mu_q.shape, Decimal(0), object) for n in names}
    out["kl"] = np.full(len(mu_q), Decimal(0), object)
    exact = {n: decimals(a) for n, a in inputs.items()}
    for at in np.ndindex(*mu_q.shape):
        lq, slope_q = log_precision(exact["raw_q"][at], head, floor)
        lp, slope_p = log_precision(exact["raw_p"][at], head, floor)
        kl, *slopes = divergence(exact["mu_q"][at], lq, exact["mu_p"][at], lp)
        out["kl"][at[0]] += kl
        for n, slope, inner in zip(names, slopes, (ONE, slope_q, ONE, slope_p)):
            out[n][at] = Decimal(float(g[at[0]])) * slope * inner
    return {**inputs, "g": g, **{name: doubles(value) for name, value in out.items()}}


# The file.

EXTREME_RAW = to_float32([-30, -20, -15.5, -14.5, -1, 0, 3, 19, 21, 1e4, 1e8, 1e13])
# (experts, masked, prior, head, floor, scales)
PRODUCTS = (
    [(e, 0, 0, "scale", 1e-6, "ordinary") for e in range(1, 6)]
    + [(e, 0, 1, "scale", 0.0, "ordinary") for e in range(1, 6)]
    + [(e, 1, prior, "scale", 1e-6, "ordinary") for e in (1, 2, 3, 5) for prior in (0, 1)]
    + [(1, 0, 0, "scale", floor, "extreme") for floor in (0.0, 1e-6)]
    + [(e, 0, e % 2, "scale", floor, "extreme") for e in range(1, 6) for floor in (0.0, 1e-6)]
    + [(e, 1, prior, "scale", 0.0, "extreme") for e in (2, 4) for prior in (0, 1)]
    + [(e, 0, 1, "variance", 0.0, scales) for e in (1, 2, 3) for scales in ("ordinary", "extreme")]
)
ROWS, LATENT = 4, 3
# Pairs (raw of q, raw of p) with a KL and gradients that float can hold; (wide q, narrow p) cannot.
EXTREME_PAIRS = [
    (-30, -30),
    (1e13, 1e13),
    (-30, 1e13),
    (1e13, 0),
    (-30, 0),
    (0, 1e13),
    (0, -30),
    (-15.5, -14.5),
    (19, 21),
    (1e4, -15),
    (-20, 1e8),
    (3, -30),
]


def raw_values(stream, scales, *shape):
    u = Random(12, stream).uniform(*shape)
    if scales == "ordinary":
        return to_float32(6.0 * u - 3.0)
    raw = EXTREME_RAW[(u * len(EXTREME_RAW)).astype(int)]
    raw[0, 0, 0], raw[-1, 0, 0] = EXTREME_RAW[-1], EXTREME_RAW[0]  # the widest with the narrowest
    return raw


def mask_values(stream, experts, masked):
    mask = np.ones((experts, ROWS))
    if masked:
        mask = (Random(12, stream).uniform(experts, ROWS) < 0.6).astype(np.float64)
        mask[:, 1] = 0.0  # one row that observes nothing
        mask[:, 2] = 1.0  # and one that observes everything
    return mask


def gaussian_vectors():
    tensors, metadata = {}, {}
    normal = lambda stream, *shape: to_float32(1.5 * Random(12, stream).normal(*shape))
    for k, (experts, masked, prior, head, floor, scales) in enumerate(PRODUCTS):
        s, shape = 10 * k, (experts, ROWS, LATENT)
        case = product_case(
            normal(s, *shape),
            raw_values(s + 1, scales, *shape),
            mask_values(s + 2, experts, masked),
            prior,
            head,
            floor,
            normal(s + 3, ROWS, LATENT),
            normal(s + 4, ROWS, LATENT),
            normal(s + 5, ROWS),
        )
        if scales == "ordinary":
            check_product_by_autograd(f"poe{k}", case, prior, head, floor)
        tensors.update({f"poe{k}.{name}": value for name, value in case.items()})
        metadata[f"poe{k}"] = (
            f"experts={experts} batch={ROWS} latent={LATENT} prior={prior} head={head} "
            f"floor={floor:g} masked={masked} scales={scales}"
        )
    pairs = to_float32(EXTREME_PAIRS).reshape(ROWS, LATENT, 2)
    same = raw_values(5000, "ordinary", ROWS, LATENT)
    equal_mu = normal(5001, ROWS, LATENT)
    wide, narrow = to_float32([[1e13, 1e8]]), to_float32([[-30.0, -30.0]])
    divergences = [
        ("ordinary", 1e-6, "scale", raw_values(5002, "ordinary", ROWS, LATENT), same, None),
        ("ordinary", 0.0, "variance", raw_values(5003, "ordinary", ROWS, LATENT), same, None),
        ("equal", 1e-6, "scale", same, same, equal_mu),
        ("extreme", 0.0, "scale", pairs[..., 0], pairs[..., 1], None),
        ("extreme", 1e-6, "scale", pairs[..., 0], pairs[..., 1], None),
        ("overflow", 0.0, "scale", wide, narrow, None),
    ]
    for k, (scales, floor, head, raw_q, raw_p, mu) in enumerate(divergences):
        s = 6000 + 10 * k
        mu_q, mu_p = (
            (normal(s, *raw_q.shape), normal(s + 1, *raw_q.shape)) if mu is None else (mu, mu)
        )
        case = divergence_case(mu_q, raw_q, mu_p, raw_p, head, floor, normal(s + 2, len(raw_q)))
        if scales in ("ordinary", "equal"):
            check_divergence_by_autograd(f"kl{k}", case, head, floor)
        tensors.update({f"kl{k}.{name}": value for name, value in case.items()})
        metadata[f"kl{k}"] = (
            f"batch={raw_q.shape[0]} latent={raw_q.shape[1]} head={head} floor={floor:g} "
            f"scales={scales}"
        )
    return tensors, metadata


def check_golden_numbers():
    """Values that were computed elsewhere: N(0.5, 0.8^2), N(-0.2, 1.5^2) and their products."""
    m1, m2, zero = Decimal("0.5"), Decimal("-0.2"), Decimal(0)
    s1, s2 = Decimal("0.8"), Decimal("1.5")
    l1, l2 = -TWO * s1.ln(), -TWO * s2.ln()
    kl = lambda *a: divergence(*a)[0]
    pair, triple = product([m1, m2], [l1, l2]), product([m1, m2, zero], [l1, l2, zero])
    variances = product([m1, m2, zero], [-s1.ln(), -s2.ln(), zero])  # 0.8 and 1.5 as variances
    far = product([Decimal(3), Decimal(7)], [Decimal(-60), Decimal(60)])
    known = [
        (kl(m1, l1, zero, zero), 0.168143551314),
        (kl(m2, l2, zero, zero), 0.239534891892),
        (kl(m1, l1, m2, l2), 0.379719770533),
        (kl(m2, l2, m1, l1), 1.01201634058),
        (pair[0], 0.344982698962),
        ((-pair[1]).exp(), 0.498269896194),
        (kl(*pair[:2], m1, l1), 0.0332102209344),
        (kl(*pair[:2], zero, zero), 0.156948173657),
        (triple[0], 0.23025404157),
        ((-triple[1]).exp(), 0.332563510393),
        (kl(*triple[:2], zero, zero), 0.243252431239),
        (kl(*triple[:2], m1, l1), 0.143979907025),
        (variances[0], 0.168571428571),
        ((-variances[1]).exp(), 0.342857142857),
        (kl(*variances[:2], zero, zero), 0.220857440545),
        (far[0], 7.0),
        (far[1], 60.0),
    ]
    for value, expected in known:
        if abs(float(value) - expected) > 1e-10 * abs(expected):
            raise AssertionError(f"expected {expected}, got {value}")
