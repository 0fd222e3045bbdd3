"""Compiles every inner loop before somebody waits for it: half a minute once for an installation, nothing afterwards."""

from __future__ import annotations

import tempfile
from typing import get_args

import cv2
import numpy as np

from toolkit.export.bundle import export
from toolkit.geometry.cameras import intrinsics_from_fov
from toolkit.methods.request import Preset
from toolkit.run import run
from toolkit.scene import StereoVideo, Video

_FRAMES, _SIDE, _SHIFT_PX = 22, 96, 5  # as short and small as still reaches every loop


def warm_up() -> None:
    """Runs and exports a tiny pair of a flat, drifting texture with every preset."""
    texture = np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)
    wide = cv2.resize(texture, (2 * _SIDE, _SIDE), interpolation=cv2.INTER_CUBIC)
    eyes = [Video.from_frames(np.stack([wide[:, t + eye * _SHIFT_PX :][:, :_SIDE] for t in range(_FRAMES)])) for eye in (0, 1)]
    pair = StereoVideo(eyes[0], eyes[1], intrinsics_from_fov(60, (_SIDE, _SIDE)), 0.063)
    for preset in get_args(Preset):
        scene = run(pair, preset=preset, grid=(16, 16), progress=lambda event: None)
    with tempfile.TemporaryDirectory() as folder:
        export(scene, folder)
