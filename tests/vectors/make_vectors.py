#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes the reference vectors of the tests; README.md defines them.

usage: make_vectors.py [folder]   (default: the folder of this script)
"""
import os
import sys

sys.dont_write_bytecode = True

import torch

import classifiers
import gaussian
import layers
import likelihoods
import mixtures
import models
import optimizers
import support
import zoo
from recorder import Recorder


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    folder = sys.argv[1] if len(sys.argv) > 1 else here
    torch.set_num_threads(1)  # the order of summation, so the last bits too, is the same everywhere
    torch.use_deterministic_algorithms(True)
    support.check_philox()
    gaussian.check_golden_numbers()
    likelihoods.check_golden_numbers()
    zoo.check_golden_numbers()
    mixtures.check_golden_numbers()

    record = Recorder()
    layers.layers(record)
    likelihoods.likelihoods(record)
    files = {
        "layers": (record.tensors, record.metadata),
        "gaussian": gaussian.gaussian_vectors(),
        "zoo": zoo.zoo_vectors(),
        "mixtures": mixtures.mixture_vectors(),
        "classifiers": classifiers.classifier_vectors(),
        "optimizers": optimizers.optimizer_vectors(),
    }
    for model in models.MODELS:
        for preset in models.PRESETS:
            files[f"{model}_{preset}"] = models.model_vectors(model, preset)
    for name, (tensors, metadata) in files.items():
        path = os.path.join(folder, name + ".safetensors")
        support.write_safetensors(path, tensors, metadata)
        print(f"{name}.safetensors: {len(tensors)} tensors, {os.path.getsize(path)} bytes")


if __name__ == "__main__":
    main()
