"""What the still points say about how far a body that moves is: what it stands before, and the floor it stands on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from toolkit.lifting.mover_bodies import Body
from toolkit.scene import F64, B

AROUND = 10  # still points nearest to a track that are what it stands before ...
NEARER_SHARE = 0.3  # ... the nearer ones of them, as some lie far beyond
TRIALS = 300
UPRIGHT = 0.8  # cosine between the floor's normal and the mean vertical of the cameras
THICKNESS = 0.01  # of the floor, in distances of the middle of the still points
UNDER = 0.03  # points so far below are below it
LEAST_SHARE, LEAST_POINTS, MOST_UNDER = 0.12, 12, 0.05
SLIPPED = 0.05  # share of a body's tracks that slip off it
LOOKED_AT = 16  # frames of a clip


@dataclass(frozen=True, eq=False)
class Still:
    """The still points.

    Attributes:
        xyz: (S, 3) in the world.
        uv: (T, S, 2) normalised coordinates.
        seen: (T, S) which are seen.
        R: (T, 3, 3) camera-to-world.
        centres: (T, 3) camera centres.
    """

    xyz: F64
    uv: F64
    seen: B
    R: F64
    centres: F64

    def depth(self, t: int, rows: NDArray) -> F64:
        """z-depth of some points in one frame."""
        return (self.xyz[rows] - self.centres[t]) @ self.R[t, :, 2]

    def depth_of_all(self) -> F64:
        """(T, S) z-depth of every point in every frame."""
        return np.einsum("tj,tsj->ts", self.R[:, :, 2], self.xyz[None] - self.centres[:, None])


@dataclass(frozen=True, eq=False)
class Floor:
    """Where normal @ x = offset; the normal points down."""

    normal: F64
    offset: float


def floor_of(still: Still, seed: int = 0) -> Floor | None:
    """The plane that many still points lie on and hardly any below; None where there is none.

    Args:
        still: The points.
        seed: Of the random samples.
    """
    X = still.xyz
    if len(X) < LEAST_POINTS:
        return None
    rng = np.random.default_rng(seed)
    down = still.R[:, :, 1].mean(0)
    size = float(np.median(np.linalg.norm(X - still.centres.mean(0), axis=1)))
    corners = X[rng.integers(len(X), size=(TRIALS, 3))]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    length = np.linalg.norm(normal, axis=1)
    normal = np.where(normal @ down < 0, -1, 1)[:, None] * normal / np.maximum(length, 1e-12)[:, None]
    offset = (normal * corners[:, 0]).sum(1)
    good = (length > 1e-9) & (normal @ down > UPRIGHT * np.linalg.norm(down))
    normal, offset = normal[good], offset[good]
    if not len(normal):
        return None
    height = X @ normal.T - offset
    on = (abs(height) < THICKNESS * size).sum(0)
    on[(height > UNDER * size).mean(0) > MOST_UNDER] = 0
    best = int(np.argmax(on))
    if on[best] < max(LEAST_POINTS, LEAST_SHARE * len(X)):
        return None
    return Floor(normal[best], float(offset[best]))


def before(body: Body, uv: F64, seen: B, still: Still) -> float:
    """Depth of the still points around a body, as it was at its mean size; NaN where there are none."""
    found = []
    for t in _frames(body):
        rows, around = body.rows[seen[t, body.rows]], np.flatnonzero(still.seen[t])
        if len(rows) and len(around) > AROUND:
            near = KDTree(still.uv[t, around]).query(uv[t, rows], k=AROUND)[1]
            depth = still.depth(t, around)[near]
            found.append(np.median(np.quantile(depth, NEARER_SHARE, axis=1)) / np.exp(body.log_depth[t]))
    middle = float(np.median(found)) if found else float("nan")
    return middle if middle > 0 else float("nan")


def under(body: Body, uv: F64, seen: B, still: Still, floor: Floor | None) -> float:
    """Depth of the floor where the ray of the lowest track meets it, as at the body's mean size; NaN where it meets none."""
    if floor is None:
        return float("nan")
    found = []
    for t in _frames(body):
        rows = body.rows[seen[t, body.rows]]
        if len(rows) < 3:
            continue
        down = still.R[t].T @ floor.normal  # the vertical in the picture
        # Of many not the very lowest: some slip off a body.
        order = np.argsort(uv[t, rows] @ down[:2], kind="stable")
        lowest = rows[order[-1 - int(SLIPPED * len(rows))]]
        ray = still.R[t] @ np.append(uv[t, lowest], 1.0)
        toward = float(ray @ floor.normal)
        depth = (floor.offset - still.centres[t] @ floor.normal) / toward if abs(toward) > 1e-3 else -1.0
        if depth > 0:
            found.append(depth / np.exp(body.log_depth[t]))
    # Of a body above the horizon no frame tells the floor.
    return float(np.median(found)) if 2 * len(found) >= len(_frames(body)) and found else float("nan")


def _frames(body: Body) -> NDArray:
    at = np.flatnonzero(body.seen)
    return at if len(at) <= LOOKED_AT else at[np.linspace(0, len(at) - 1, LOOKED_AT).astype(int)]
