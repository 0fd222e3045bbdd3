"""Where the 4D page looks from at first: gravity up, the scene in the middle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolkit.scene import F64, Cameras


@dataclass(frozen=True, eq=False)
class StartingView:
    """The frame in which the page turns and tilts.

    Attributes:
        up: (3,) unit vector against gravity, in the world.
        ahead: (3,) unit vector at right angles to `up`: where the cameras look.
        centre: (3,) point to turn about.
        reach: Typical distance of the scene from the cameras.
        tilt_deg: How far the cameras look down from `ahead`.
    """

    up: F64
    ahead: F64
    centre: F64
    reach: float
    tilt_deg: float


def starting_view(points: NDArray, cameras: Cameras | None, *, level: float = 0.02) -> StartingView:
    """A view along the recording's own.

    Up is at right angles to all of the cameras' x axes, as people hold cameras level; where these say little (a camera that hardly
    turns), it is the cameras' own up.

    Args:
        points: (P, 3) points that matter, NaN where unknown.
        cameras: Of the clip; those without a pose do not count.
        level: Weight of the cameras' own up against the x axes' spread.
    """
    known = points[np.isfinite(points).all(-1)].astype(np.float64)
    down = np.array([0.0, 1.0, 0.0])
    if cameras is not None and cameras.registered.any():
        poses = cameras.T_wc[cameras.registered]
        start, down, forward = poses[:, :3, 3].mean(0), poses[:, :3, 1].mean(0), poses[:, :3, 2].mean(0)
        spread = np.einsum("ti,tj->ij", poses[:, :3, 0], poses[:, :3, 0]) / len(poses)
        up = np.linalg.solve(spread + level * np.eye(3), -level * down)
        up = _unit(up, -down)
    else:
        up, forward = -down, np.array([0.0, 0.0, 1.0])
        middle, size = (np.median(known, axis=0), np.linalg.norm(np.std(known, axis=0))) if len(known) else (np.zeros(3), 1.0)
        start = middle - 2.0 * (size + 1e-6) * forward
    level_ahead = forward - (forward @ up) * up
    steep = 0.2
    if np.linalg.norm(level_ahead) < steep * np.linalg.norm(forward):
        # Looking straight down or up: what is up in the picture lies ahead.
        level_ahead = -down + (down @ up) * up
    ahead = _unit(level_ahead, np.cross(up, [1.0, 0.0, 0.0]))
    gaze = _unit(forward, ahead)
    # Near things matter most to the eye: the harmonic mean of the depths is where the scene sits for it.
    depth = (known - start) @ gaze
    depth = depth[depth > 1e-6]
    reach = float(1 / np.mean(1 / depth)) if len(depth) else 1.0
    tilt = float(np.degrees(np.arcsin(np.clip(-gaze @ up, -1, 1))))
    return StartingView(up, ahead, start + gaze * reach, reach, tilt)


def _unit(vector: NDArray, otherwise: NDArray) -> F64:
    """The direction of a vector; of another one where it has none."""
    for v in (vector, otherwise, np.array([0.0, 0.0, 1.0])):
        length = float(np.linalg.norm(v))
        if np.isfinite(length) and length > 1e-9:
            return np.asarray(v, np.float64) / length
    raise AssertionError
