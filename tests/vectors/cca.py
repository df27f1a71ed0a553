#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes cca.safetensors: canonical correlations by scipy's generalised eigenproblem.

usage: cca.py [folder]   (default: the folder of this script; needs numpy and scipy)
"""
import os
import sys

sys.dont_write_bytecode = True

import numpy as np
import scipy.linalg

from support import Random, to_float32, write_safetensors

TRAIN, TEST, P, Q, K = 200, 40, 7, 5, 4
RIDGES = {"plain": 1e-12, "ridge": 0.25}


def draw(stream, rows):
    """Rows of x and y that share three factors; columns have means and scales of their own."""
    factors = Random(13, stream).normal(rows, 3)
    mixed = lambda s, columns: (
        factors @ Random(13, s).normal(3, columns)
        + 0.7 * Random(13, stream + s).normal(rows, columns)
    )
    x = mixed(1, P) * np.linspace(0.5, 2.0, P) + np.linspace(-3.0, 3.0, P)
    y = mixed(2, Q) * np.linspace(1.5, 0.2, Q) + 10.0
    return to_float32(x), to_float32(y)


def canonical_correlations(x, y, ridge):
    """The k largest eigenvalues of A v = lambda B v, and the two blocks of their vectors."""
    x, y = x - x.mean(0), y - y.mean(0)
    cross = x.T @ y / (len(x) - 1)
    a = np.block([[np.zeros((P, P)), cross], [cross.T, np.zeros((Q, Q))]])
    b = scipy.linalg.block_diag(np.cov(x.T), np.cov(y.T)) + ridge * np.eye(P + Q)
    values, vectors = scipy.linalg.eigh(a, b)
    values, vectors = values[::-1][:K], vectors[:, ::-1][:, :K]
    vectors = vectors / np.linalg.norm(vectors, axis=0)  # eigh's are B-orthonormal, eig's these
    largest = np.abs(vectors[:P]).argmax(0)
    vectors = vectors * np.sign(vectors[largest, np.arange(K)])
    general, general_vectors = scipy.linalg.eig(a, b)
    for k, vector in zip(np.argsort(-general.real), vectors.T):
        other = general_vectors[:, k].real
        if min(np.abs(other - vector).max(), np.abs(other + vector).max()) > 1e-9:
            raise AssertionError("eig and eigh disagree")
    return values, vectors[:P], vectors[P:]


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    folder = sys.argv[1] if len(sys.argv) > 1 else here
    (x, y), (x_test, y_test) = draw(10, TRAIN), draw(20, TEST)
    tensors = {"x": x, "y": y, "x_test": x_test, "y_test": y_test}
    for name, ridge in RIDGES.items():
        values, w_x, w_y = canonical_correlations(x, y, ridge)
        a, b = (x_test - x.mean(0)) @ w_x, (y_test - y.mean(0)) @ w_y
        cosines = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
        case = {"correlations": values, "w_x": w_x, "w_y": w_y, "score": [cosines.mean()]}
        tensors.update({f"{name}.{key}": value for key, value in case.items()})
    metadata = {name: f"ridge={ridge:g}" for name, ridge in RIDGES.items()}
    write_safetensors(os.path.join(folder, "cca.safetensors"), tensors, metadata)


if __name__ == "__main__":
    main()
