"""Weights as a function of name and shape, as the golden outputs of the published tracker were made with."""

import re
import zlib

import numpy as np

PREFIX = "track_predictor."
_POSITION_STEP = {"coarse": 0.01, "fine": 0.004}  # full-size random steps would make round-off grow from one iteration to the next


def seeded_array(name, shape):
    x = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(size=shape)  # noqa: NPY002  (frozen by numpy's policy)
    short = name.removeprefix(PREFIX)
    if short.endswith("bias"):
        x = 0.05 * x
    elif len(shape) == 1:
        x = 1 + 0.1 * x
    elif short.endswith("virual_tracks"):
        x = 0.5 * x
    else:
        gain = 1.3 if short.endswith("in_proj_weight") else 2**0.5 if "_fnet." in short else 1.0
        x = gain * x / np.sqrt(int(np.prod(shape[1:])))
    if re.search(r"flow_head\.(weight|bias)$", short):
        x[:2] = _POSITION_STEP[short.split("_")[0]] * x[:2]
    return x.astype(np.float32)


def listed(path):
    """{name: shape} of a listing."""
    rows = [line.split("\t") for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return {name: tuple(int(n) for n in shape.strip("()").split(",") if n) for name, shape, _ in rows}
