# SPDX-License-Identifier: MIT
"""Numbers as a function (Philox4x32-10) and a writer of safetensors files, both in numpy alone."""
import json
import struct

import numpy as np

MASK32 = np.uint64(0xFFFFFFFF)
SHIFT32 = np.uint64(32)


def philox4x32(counter, key):
    """Ten rounds of Philox4x32; counter: four arrays of 32-bit words, key: two words."""
    x, y, z, w = (np.asarray(c, np.uint64) for c in counter)
    k0, k1 = (int(k) for k in key)
    for _ in range(10):
        a = np.uint64(0xD2511F53) * x  # 32 x 32 bits, so the 64-bit product is exact
        b = np.uint64(0xCD9E8D57) * z
        x, y, z, w = (
            (b >> SHIFT32) ^ y ^ np.uint64(k0),
            b & MASK32,
            (a >> SHIFT32) ^ w ^ np.uint64(k1),
            a & MASK32,
        )
        k0 = (k0 + 0x9E3779B9) & 0xFFFFFFFF
        k1 = (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return x, y, z, w


class Random:
    """Element i of (seed, stream, step); elements 4b .. 4b+3 share one Philox block."""

    def __init__(self, seed, stream=0, step=0):
        self.seed, self.stream, self.step = seed, stream, step

    def _blocks(self, count):
        b = np.arange((count + 3) // 4, dtype=np.uint64)
        same = np.ones_like(b)
        counter = (
            b & MASK32,
            b >> SHIFT32,
            same * np.uint64(self.step),
            same * np.uint64(self.stream),
        )
        words = philox4x32(counter, (self.seed & 0xFFFFFFFF, self.seed >> 32))
        return np.stack(words, axis=1).astype(np.float64)

    def uniform(self, *shape):
        """Elements 0, 1, ... as (word + 1/2) / 2^32, in double, in the given shape."""
        count = int(np.prod(shape))
        u = (self._blocks(count) + 0.5) / 4294967296.0
        return u.reshape(-1)[:count].reshape(shape)

    def normal(self, *shape):
        """Box-Muller in double on the word pairs (0, 1) and (2, 3) of each block, cosine first."""
        count = int(np.prod(shape))
        u = (self._blocks(count) + 0.5) / 4294967296.0
        radius = np.sqrt(-2.0 * np.log(u[:, 0::2]))
        angle = 2.0 * np.pi * u[:, 1::2]
        n = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=2)
        return n.reshape(-1)[:count].reshape(shape)


def to_float32(values):
    """The nearest float32 values, kept in float64: a float and a double run start from the same."""
    return np.asarray(values, np.float64).astype(np.float32).astype(np.float64)


def write_safetensors(path, tensors, metadata):
    """Writes F64 tensors in the order of the dict; metadata maps strings to strings."""
    header, blobs, offset = {"__metadata__": metadata}, [], 0
    for name, value in tensors.items():
        array = np.asarray(value, dtype="<f8")
        blob = array.tobytes()  # C order, whatever the strides of the source
        header[name] = {
            "dtype": "F64",
            "shape": list(array.shape),
            "data_offsets": [offset, offset + len(blob)],
        }
        blobs.append(blob)
        offset += len(blob)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the data then start at a multiple of eight bytes
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def check_philox():
    """The known-answer vectors of Random123 for philox4x32-10."""
    ones = 0xFFFFFFFF
    known = [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((ones,) * 4, (ones,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ]
    for counter, key, expected in known:
        got = tuple(int(word) for word in philox4x32(counter, key))
        if got != expected:
            raise AssertionError(f"Philox4x32-10 of {counter}: expected {expected}, got {got}")
