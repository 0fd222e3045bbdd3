"""Weights of the published two-view network as a function of name and shape, as its golden outputs were made with."""

import re
import zlib

import numpy as np

_TIED = re.compile(r"\.layer_rn\.(\d+)\.")
_GAINS = (  # the first that fits multiplies one by the root of the inputs
    (re.compile(r"^patch_embed\.proj\."), 0.15),
    (re.compile(r"^decoder_embed\."), 0.15),
    (re.compile(r"\.attn\.qkv\."), 1.2),
    (re.compile(r"\.cross_attn\.proj[qk]\."), 1.2),
    (re.compile(r"resConfUnit[12]\.conv2\."), 0.5),
    (re.compile(r"resConfUnit[12]\.conv1\."), 2**0.5),
    (re.compile(r"\.dpt\.head\.4\."), 0.2),
    (re.compile(r"^downstream_head[12]\.proj\."), 0.5),
)


def seeded_array(name, shape):
    name = _TIED.sub(lambda m: f".layer{int(m.group(1)) + 1}_rn.", name)
    x = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(size=shape)  # noqa: NPY002  (frozen by numpy's policy)
    if name.endswith(".bias"):
        return (0.05 * x).astype(np.float32)
    if name == "mask_token":
        return (0.02 * x).astype(np.float32)
    if len(shape) == 1:
        return (1.0 + 0.1 * x).astype(np.float32)
    transposed = re.search(r"act_postprocess\.[01]\.1\.weight$", name)
    inputs = shape[0] if transposed else int(np.prod(shape[1:]))
    gain = next((g for pattern, g in _GAINS if pattern.search(name)), 1.0)
    x *= gain / np.sqrt(inputs)
    return x.astype(np.float32)


def listed(path):
    """{name: shape} of a listing, tied names included, and the set of those that are tied."""
    rows = [line.split("\t") for line in path.read_text().splitlines() if line and not line.startswith("#")]
    shapes = {row[0]: tuple(int(n) for n in row[1].strip("()").split(",") if n.strip()) for row in rows}
    return shapes, {row[0] for row in rows if len(row) > 3}
