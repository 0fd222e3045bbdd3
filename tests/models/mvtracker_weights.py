"""Weights as a function of name and shape, as the golden outputs of the published MVTracker were made with."""

import functools
import zlib

import numpy as np

STEP = 0.005  # of places: with larger steps the embedding of displacements would turn round-off into chaos


def seeded_array(name, shape):
    x = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(size=shape)  # noqa: NPY002  (frozen by numpy's policy)
    if name.endswith(".bias"):
        x = 0.02 * x
    elif len(shape) == 1:
        x = 1 + 0.1 * x
    elif name.endswith("virual_tracks"):
        x = 0.5 * x
    else:
        gain = 2**0.5 if name.startswith("fnet.") else 0.15 if name == "updateformer.flow_head.4.weight" else 1.0
        x = gain * x / np.sqrt(int(np.prod(shape[1:])))
    if name.startswith("updateformer.flow_head.4."):
        x[:3] = STEP * x[:3]
    return x.astype(np.float32)


def listed(path):
    """{name: shape} of a listing."""
    rows = [line.split("\t") for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return {name: tuple(int(n) for n in shape.strip("()").split(",") if n.strip()) for name, shape in rows}


def state_of(golden):
    """All weights under their published names."""
    return {name: seeded_array(name, shape) for name, shape in listed(golden / "mvtracker" / "state_dict.txt").items()}


@functools.cache
def network(golden, parity):
    """The network with seeded weights; made once for all tests."""
    from toolkit.models.mvtracker import MVTracker

    return MVTracker.from_state_dict(state_of(golden), parity=parity)


@functools.cache
def arrays(golden, name):
    """The arrays of a golden file."""
    with np.load(golden / "mvtracker" / f"{name}.npz") as file:
        return dict(file)


def views(case, frames=slice(None)):
    """Images, depth and cameras of a case, as arguments of `track`."""
    return case["rgbs"][:, frames], case["depths"][:, frames], case["intrs"][:, frames], case["extrs"][:, frames]
